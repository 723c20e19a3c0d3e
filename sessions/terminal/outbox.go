package terminal

import (
	"context"
	"io"
	"sync"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

// outbox is what the holder is to be told, as what shows the terminal reads it. Nobody who adds to it waits for the
// session, but for who types: sizes and what was taken in are kept as the last and the sum of them.
type outbox struct {
	ctx context.Context //nolint:containedctx // the View's

	mu     sync.Mutex
	size   sessions.Window // not told yet; nothing where it was
	last   sessions.Window // as the viewer's is
	eaten  int             // bytes taken in and not told yet
	typed  []byte          // not told yet
	free   int             // bytes that may be typed yet
	rest   []byte          // of frames that were read in part
	change chan struct{}
}

func newOutbox(ctx context.Context, size sessions.Window) *outbox {
	return &outbox{ctx: ctx, last: size, free: holder.Ahead, change: make(chan struct{})}
}

func (o *outbox) changed() {
	close(o.change)
	o.change = make(chan struct{})
}

// took tells that n bytes were taken in.
func (o *outbox) took(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.eaten += n
	o.changed()
}

// taken lets n bytes more be typed.
func (o *outbox) taken(n uint32) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if int64(n) > int64(holder.Ahead-o.free-len(o.typed)) {
		return holder.ErrFrame
	}
	o.free += int(n)
	o.changed()
	return nil
}

func (o *outbox) resize(size sessions.Window) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if size != o.last {
		o.last, o.size = size, size
		o.changed()
	}
}

// types waits until p may be typed, and was read.
func (o *outbox) types(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for n := 0; n < len(p); {
		if room := min(o.free, holder.MaxFrame-len(o.typed)); room > 0 {
			chunk := p[n : n+min(room, len(p)-n)]
			o.typed = append(o.typed, chunk...)
			o.free -= len(chunk)
			n += len(chunk)
			o.changed()
			continue
		}
		change := o.change
		o.mu.Unlock()
		select {
		case <-change:
		case <-o.ctx.Done():
			o.mu.Lock()
			return n, io.ErrClosedPipe
		}
		o.mu.Lock()
	}
	if o.ctx.Err() != nil {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// Read returns frames, and io.EOF when nobody watches any more.
func (o *outbox) Read(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		if len(o.rest) == 0 {
			o.rest = o.frames()
		}
		if n := copy(p, o.rest); n > 0 {
			o.rest = o.rest[n:]
			return n, nil
		}
		change := o.change
		o.mu.Unlock()
		select {
		case <-change:
		case <-o.ctx.Done():
			o.mu.Lock()
			return 0, io.EOF
		}
		o.mu.Lock()
	}
}

// frames empties the box. The caller holds mu.
func (o *outbox) frames() (b []byte) {
	if o.eaten > 0 {
		b = holder.AppendFrame(b, holder.KindTaken, holder.Number(uint32(o.eaten)))
		o.eaten = 0
	}
	if o.size != (sessions.Window{}) {
		b = holder.AppendFrame(b, holder.KindWindow, holder.Window(o.size).Body())
		o.size = sessions.Window{}
	}
	if len(o.typed) > 0 {
		b = holder.AppendFrame(b, holder.KindInput, o.typed)
		o.typed = o.typed[:0]
		o.changed() // there is room for more
	}
	return b
}
