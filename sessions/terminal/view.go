package terminal

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/palisade-run/palisade/sessions"
)

// View is one who watches a terminal, and may type.
type View struct {
	h    *held
	once sync.Once
	gone chan struct{} // closed with Close

	// Guarded by h.mu.
	first []byte // what is to be shown before what comes now
	at    int64  // the offset of what comes next, behind first
}

// Read returns what was shown, then what is. io.EOF: the terminal is over, or the View was closed. One goroutine calls it.
func (v *View) Read(p []byte) (int, error) {
	h := v.h
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		select {
		case <-v.gone:
			return 0, io.EOF
		default:
		}
		if lost := h.kept.first() - v.at; lost > 0 {
			v.first = append(bytes.Clone(v.first), fmt.Sprintf("\x1b[0m\r\n[%d bytes that came too fast are left out]\r\n", lost)...)
			v.at = h.kept.first()
		}
		n := copy(p, v.first)
		v.first = v.first[n:]
		if n == 0 {
			n = h.kept.read(v.at, p)
			v.at += int64(n)
		}
		switch {
		case n > 0:
			h.changed()
			return n, nil
		case h.over:
			return 0, io.EOF
		}
		change := h.change
		h.mu.Unlock()
		select {
		case <-change:
		case <-v.gone:
		}
		h.mu.Lock()
	}
}

// Write types. It waits until the program has taken it in.
func (v *View) Write(p []byte) (int, error) {
	select {
	case <-v.gone:
		return 0, io.ErrClosedPipe
	case <-v.h.ctx.Done():
		return 0, io.ErrClosedPipe
	case v.h.typed <- bytes.Clone(p):
		return len(p), nil
	}
}

// Resize makes the terminal as large as the viewer's.
func (v *View) Resize(size sessions.Window) {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	if size != (sessions.Window{}) && size != v.h.size {
		v.h.setSize(size)
	}
}

// End is how the shell ended, once Read has returned io.EOF; over is false where it goes on.
func (v *View) End() (exit sessions.Exit, over bool, err error) {
	v.h.mu.Lock()
	defer v.h.mu.Unlock()
	return v.h.exit, v.h.over, v.h.err
}

// Close stops watching; the terminal goes on. It is idempotent.
func (v *View) Close() {
	v.once.Do(func() {
		v.h.mu.Lock()
		defer v.h.mu.Unlock()
		close(v.gone)
		delete(v.h.views, v)
		v.h.changed()
	})
}
