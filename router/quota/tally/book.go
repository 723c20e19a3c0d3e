package tally

import (
	"sync"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// book is which subjects this box has counted for of late. It is not longer than those are many.
type book struct {
	mu      sync.Mutex
	entries map[*quota.Subject]*entry
}

type entry struct {
	used    time.Time
	changed bool // Redis has not all that was counted
}

// forgotten is how long after its last use a subject is put into Redis again after that was lost: a minute and some. What is
// spent of its budget goes with the next request.
const forgotten = 70 * time.Second

// seen notes that something was counted, here and in Redis.
func (b *book) seen(p quota.Payers, now time.Time) { b.note(p, now, false) }

// changed notes that something was counted here, and may not be in Redis.
func (b *book) changed(p quota.Payers, now time.Time) { b.note(p, now, true) }

func (b *book) note(p quota.Payers, now time.Time, changed bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range p {
		if s == nil {
			continue
		}
		e := b.entries[s]
		if e == nil {
			e = &entry{}
			b.entries[s] = e
		}
		e.used, e.changed = now, e.changed || changed
	}
}

// doubt makes all of them changed.
func (b *book) doubt() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		e.changed = true
	}
}

// take gives those that have changed, and has them not changed from now on: what is counted after it marks them again.
func (b *book) take() (out []*quota.Subject) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, e := range b.entries {
		if e.changed {
			e.changed = false
			out = append(out, s)
		}
	}
	return out
}

func (b *book) waiting() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.entries {
		if e.changed {
			n++
		}
	}
	return n
}

// sweep forgets those that were not used of late and have nothing in flight.
func (b *book) sweep(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s, e := range b.entries {
		if !e.changed && now.Sub(e.used) > forgotten && s.Idle() {
			delete(b.entries, s)
		}
	}
}

// idle tells that nothing of this box is in flight.
func (b *book) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.entries {
		if !s.Idle() {
			return false
		}
	}
	return true
}
