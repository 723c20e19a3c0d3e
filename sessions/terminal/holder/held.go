package holder

import (
	"io"
	"sync"
	"syscall"
)

// Held is one terminal. What it shows is written by its program, and passed on to each viewer at its own pace: the fastest
// of them holds the program up, one that is too far behind misses some, and where nobody watches nothing waits.
type Held struct {
	typed chan []byte
	sizes chan Window
	ended chan struct{} // closed with last
	rest  []byte        // typed, and not read yet; Read's own

	mu      sync.Mutex
	kept    scrollback
	size    Window
	viewers map[*viewer]struct{}
	change  chan struct{} // closed, and made anew, by all that changes here
	ending  bool          // the program has ended: nothing holds up what is still to be shown
	last    []byte        // the frame that ends it; nil while it goes on
}

// New returns a terminal of that size, whose program is to be connected with Read, Write and Sizes.
func New(size Window) *Held {
	return &Held{
		typed: make(chan []byte), sizes: make(chan Window, 4), ended: make(chan struct{}),
		viewers: map[*viewer]struct{}{}, change: make(chan struct{}), size: size,
	}
}

// Ending says that the program has ended: what it has written yet is shown without waiting for anybody.
func (h *Held) Ending() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending = true
	h.changed()
}

// Exit is the end, with the program's wait status.
func (h *Held) Exit(status syscall.WaitStatus) {
	h.end(AppendFrame(nil, KindExit, Number(uint32(status))))
}

// Fail is the end where there never was a program.
func (h *Held) Fail(f Failure, why string) { h.end(failure(f, why)) }

// failure is the frame that says why there is no terminal.
func failure(f Failure, why string) []byte {
	return AppendFrame(nil, KindFailure, append([]byte{byte(f)}, why[:min(len(why), 1<<10)]...))
}

func (h *Held) end(last []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last != nil {
		return
	}
	h.ending, h.last = true, last
	close(h.ended)
	h.changed()
}

// watched is how many watch. The channel is closed when something changes.
func (h *Held) watched() (int, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.viewers), h.change
}

// Sizes are those that the terminal is to have, one after the other.
func (h *Held) Sizes() <-chan Window { return h.sizes }

// changed wakes all who wait. The caller holds mu.
func (h *Held) changed() {
	close(h.change)
	h.change = make(chan struct{})
}

// Write is the program showing something.
func (h *Held) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.ending && h.tooFar() {
		change := h.change
		h.mu.Unlock()
		<-change
		h.mu.Lock()
	}
	if h.last != nil {
		return 0, io.ErrClosedPipe
	}
	h.kept.add(p)
	h.changed()
	return len(p), nil
}

// tooFar tells whether even the fastest of those who watch has too much to see yet.
func (h *Held) tooFar() bool {
	for v := range h.viewers {
		if v.unseen() <= Ahead {
			return false
		}
	}
	return len(h.viewers) > 0
}

// Read is the program reading what is typed, for one goroutine: io.EOF at the end.
func (h *Held) Read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		select {
		case h.rest = <-h.typed:
		case <-h.ended:
			return 0, io.EOF
		}
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

// say shows words to all, as the program would.
func (h *Held) say(words []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.kept.add(words)
	h.changed()
}

// attach makes a viewer of one who has said hello.
func (h *Held) attach(v *viewer, size Window) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.viewers) >= MostViewers {
		return false
	}
	v.first, v.at = h.kept.replay(), h.kept.shown
	h.viewers[v] = struct{}{}
	switch {
	case size == Window{}:
	case size == h.size && h.kept.first() > 0 && size.Rows > 1:
		// Who draws on the whole screen does it anew for a size that changes; what it drew before may be lost.
		h.setSize(Window{Rows: size.Rows - 1, Columns: size.Columns})
		h.setSize(size)
	case size != h.size:
		h.setSize(size)
	}
	h.changed()
	return true
}

// setSize tells the program. The last of those who watch decides. The caller holds mu.
func (h *Held) setSize(size Window) {
	h.size = size
	for {
		select {
		case h.sizes <- size: // nobody else sends
			return
		default:
		}
		select {
		case <-h.sizes: // the last ones count
		default:
		}
	}
}
