package door

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// exchange is a request and its answer: as a tunnel does, it ends when the box has fallen silent and nothing comes of it.
type exchange struct {
	cut   context.CancelCauseFunc
	over  func()
	moved atomic.Int64 // when something came last; 0: nothing did

	mu   sync.Mutex
	body io.Closer // of a connection that is none of HTTP any more: it does not end with its request
}

func (x *exchange) still(now time.Time) time.Duration { return now.Sub(time.Unix(0, x.moved.Load())) }

// Break ends it.
func (x *exchange) Break() {
	x.cut(&Error{fmt.Errorf("%w: it fell silent", errAway), "palisade cluster status"})
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.body != nil {
		_ = x.body.Close()
	}
}

// exchange asks a box by what next does, and watches the box until the answer is closed.
func (l *lifelines) exchange(name string, r *http.Request, next func(*http.Request) (*http.Response, error)) (*http.Response, error) {
	ctx, cut := context.WithCancelCause(r.Context())
	x := &exchange{cut: cut}
	unwatch := l.add(name, x)
	x.over = sync.OnceFunc(func() { unwatch(); cut(nil) })
	answer, err := next(r.WithContext(ctx))
	if err != nil {
		err = fellSilent(ctx, name, err)
		x.over()
		return nil, err
	}
	x.moved.Store(time.Now().UnixNano())
	in := &coming{ReadCloser: answer.Body, exchange: x, ctx: ctx, name: name}
	answer.Body = in
	if out, is := in.ReadCloser.(io.ReadWriteCloser); is {
		x.mu.Lock()
		x.body = out
		x.mu.Unlock()
		answer.Body = &taken{in, out}
	}
	return answer, nil
}

// fellSilent is err, or that the box has fallen silent where this is why.
func fellSilent(ctx context.Context, name string, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, ErrAway) {
		return fmt.Errorf("box %s: %w", name, cause)
	}
	return err
}

// coming is the body of an answer.
type coming struct {
	io.ReadCloser
	*exchange
	ctx  context.Context //nolint:containedctx // of the request
	name string
}

// Read implements io.Reader.
func (c *coming) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if n > 0 {
		c.moved.Store(time.Now().UnixNano())
	}
	if err == nil || err == io.EOF { //nolint:errorlint // an orderly end, and no other
		return n, err
	}
	if err = fellSilent(c.ctx, c.name, err); c.ctx.Err() == nil {
		err = away(c.ctx, c.name, fmt.Errorf("its answer broke off: %w", err))
	}
	return n, err
}

// Close implements io.Closer.
func (c *coming) Close() error {
	err := c.ReadCloser.Close()
	c.over()
	return err
}

// taken is what a connection is where it is none of HTTP any more.
type taken struct {
	*coming
	io.Writer
}
