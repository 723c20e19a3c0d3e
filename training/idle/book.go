package idle

import (
	"sync"
	"time"
)

// Book remembers when sessions were used last, and who uses them now. It is safe for concurrent use.
type Book struct {
	now func() time.Time

	mu    sync.Mutex
	pages map[string]page
}

type page struct {
	last time.Time
	open int
}

// NewBook returns an empty one. now is the clock.
func NewBook(now func() time.Time) *Book { return &Book{now: now, pages: map[string]page{}} }

// Opened notes that somebody has connected with a session, and is there until closed is called.
func (b *Book) Opened(session string) (closed func()) {
	b.note(session, 1)
	return sync.OnceFunc(func() { b.note(session, -1) })
}

// Mark notes that a session is used at this moment.
func (b *Book) Mark(session string) { b.note(session, 0) }

func (b *Book) note(session string, more int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[session]
	b.pages[session] = page{b.now(), p.open + more}
}

// Last is when a session was used last, as far as this book knows, and how many are connected with it now.
func (b *Book) Last(session string) (last time.Time, open int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pages[session]
	if p.open > 0 {
		return b.now(), p.open
	}
	return p.last, 0
}

// keep forgets sessions that are not among those that live.
func (b *Book) keep(live map[string]bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id, p := range b.pages {
		if !live[id] && p.open == 0 {
			delete(b.pages, id)
		}
	}
}
