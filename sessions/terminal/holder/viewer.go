package holder

import (
	"bytes"
	"fmt"
	"io"
	"time"
)

const (
	// MostViewers is how many may watch one terminal at a time.
	MostViewers = 32
	// MostSaid is how many bytes can be shown to all at once.
	MostSaid = 4 << 10
	// helloWithin is how long one who connects may take to say what for.
	helloWithin = 10 * time.Second
)

// viewer is one who watches, and may type.
type viewer struct {
	h    *Held
	conn io.ReadWriteCloser
	met  bool          // has said hello
	gone chan struct{} // closed when nothing more comes from it
	key  chan struct{} // of size 1: something was typed

	// Guarded by h.mu.
	first []byte // what is to be shown before what comes now
	at    int64  // the offset of what comes next, behind first
	owed  int    // bytes sent that it has not taken in
	typed []byte // what the program has not read yet
	eaten int    // bytes of typed that it has read since the viewer was told
}

// Serve lets one watch until it goes, or the terminal is over and it has seen all of it.
func (h *Held) Serve(conn io.ReadWriteCloser) {
	v := &viewer{h: h, conn: conn, gone: make(chan struct{}), key: make(chan struct{}, 1)}
	late := time.AfterFunc(helloWithin, func() { conn.Close() })
	defer late.Stop()
	done := make(chan struct{})
	close(done) // until there is something that shows
	parser := &Parser{Take: func(k Kind, body []byte) error {
		if v.met {
			return v.take(k, body)
		}
		late.Stop()
		if k == KindSay {
			h.say(body[:min(len(body), MostSaid)])
			return io.EOF
		}
		size, err := ReadWindow(body)
		if k != KindHello || err != nil {
			return ErrFrame
		}
		v.met = true
		if !h.attach(v, size) {
			_, _ = conn.Write(failure(FailedTooMany, fmt.Sprintf("%d watch this terminal already", MostViewers)))
			return io.EOF
		}
		done = make(chan struct{})
		go v.types()
		go func() { defer close(done); defer conn.Close(); v.show() }()
		return nil
	}}
	_, _ = io.Copy(parser, struct{ io.Reader }{conn})
	h.mu.Lock()
	close(v.gone)
	delete(h.viewers, v)
	h.changed()
	h.mu.Unlock()
	conn.Close()
	<-done
}

// unseen is how many bytes of what the program has shown it has not taken in. The caller holds h.mu.
func (v *viewer) unseen() int64 { return v.h.kept.shown - v.at + int64(v.owed) }

// take does what a frame of one who watches says.
func (v *viewer) take(k Kind, body []byte) error {
	h := v.h
	h.mu.Lock()
	defer h.mu.Unlock()
	switch k {
	case KindInput:
		if len(v.typed)+v.eaten+len(body) > Ahead {
			return ErrFrame
		}
		v.typed = append(v.typed, body...)
		select {
		case v.key <- struct{}{}:
		default:
		}
	case KindTaken:
		n, err := ReadNumber(body)
		if err != nil || int64(n) > int64(v.owed) {
			return ErrFrame
		}
		v.owed -= int(n)
		h.changed()
	case KindWindow:
		size, err := ReadWindow(body)
		if err != nil {
			return err
		}
		if size != (Window{}) && size != h.size {
			h.setSize(size)
		}
	}
	return nil
}

// types passes what is typed on to the program.
func (v *viewer) types() {
	for {
		v.h.mu.Lock()
		keys := bytes.Clone(v.typed[:min(len(v.typed), MaxFrame)])
		v.h.mu.Unlock()
		wait := v.h.typed
		if len(keys) == 0 {
			wait = nil
		}
		select {
		case wait <- keys:
			v.h.mu.Lock()
			v.typed = v.typed[len(keys):]
			v.eaten += len(keys)
			tell := v.eaten >= Ahead/4
			if len(v.typed) == 0 {
				v.typed = nil
			}
			if tell {
				v.h.changed()
			}
			v.h.mu.Unlock()
			continue
		case <-v.key:
			continue
		case <-v.gone:
		case <-v.h.ended:
		}
		return
	}
}

// show sends what is shown, as far as it is taken in, until the end of it or of the viewer.
func (v *viewer) show() {
	frames := AppendFrame(nil, KindHello, []byte{1})
	for {
		if len(frames) > 0 {
			if _, err := v.conn.Write(frames); err != nil {
				return
			}
		}
		var over bool
		v.h.mu.Lock()
		frames, over = v.next(frames[:0])
		change := v.h.change
		v.h.mu.Unlock()
		switch {
		case over:
			_, _ = v.conn.Write(frames)
			return
		case len(frames) > 0:
			continue
		}
		select {
		case <-change:
		case <-v.gone:
			return
		}
	}
}

// next appends the frames that can be sent now; over: they are the last. The caller holds h.mu.
func (v *viewer) next(frames []byte) (_ []byte, over bool) {
	h := v.h
	if v.eaten >= Ahead/4 {
		frames = AppendFrame(frames, KindTaken, Number(uint32(v.eaten)))
		v.eaten = 0
	}
	room := min(MaxFrame, Ahead-v.owed)
	if room <= 0 {
		return frames, false
	}
	if lost := h.kept.first() - v.at; lost > 0 {
		v.first = fmt.Appendf(bytes.Clone(v.first), "\x1b[0m\r\n[%d bytes that came too fast are left out]\r\n", lost)
		v.at = h.kept.first()
	}
	chunk := make([]byte, min(int64(room), int64(len(v.first))+h.kept.shown-v.at))
	n := copy(chunk, v.first)
	if v.first = v.first[n:]; len(v.first) == 0 {
		v.first = nil
	}
	if n == 0 {
		n = h.kept.read(v.at, chunk)
		v.at += int64(n)
	}
	if n > 0 {
		v.owed += n
		return AppendFrame(frames, KindOutput, chunk[:n]), false
	}
	if h.last != nil {
		return append(frames, h.last...), true
	}
	return frames, false
}
