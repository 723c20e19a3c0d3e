package router

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/router/http1"
)

// The client's side of an exchange on our own path. An answer is written as soon as there is something of
// its body, head and body together; one in chunks piece by piece, each as a chunk of its own, so that an
// event can be added at any moment.

func (c *wire) body(time.Duration) io.Reader { return bytes.NewReader(nil) } // it was read before

func (c *wire) context() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.canceled == nil {
		c.canceled, c.cancel = context.WithCancel(context.Background())
		if c.gone.Load() {
			c.cancel()
		}
	}
	return c.canceled
}

// depart is told, from elsewhere, that the client has closed its side: what is done for it ends at once.
func (c *wire) depart() {
	c.gone.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passed {
		if c.onward != nil {
			c.onward.depart()
		}
		return
	}
	if c.guarded != nil {
		c.guarded.interrupt()
	}
	if c.cancel != nil {
		c.cancel()
	}
	_ = c.conn.SetReadDeadline(past) // it may wait for a request
}

func (c *wire) guard(e *engineConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guarded = e; e != nil && c.gone.Load() {
		e.interrupt()
	}
}

func (c *wire) left() bool { return c.gone.Load() || c.failed != nil }

// settle gives the request's memory back: a stream may last for hours.
func (c *wire) settle() {
	if c.have == c.need {
		c.giveBack()
		c.have = 0
		c.forgetHead()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil { // nobody waits by it any more
		c.cancel()
		c.cancel, c.canceled = nil, nil
	}
}

// parts: a stream goes on where the connection's goroutine has given back most of its stack.
func (c *wire) parts() bool { return c.raw != nil }

func (c *wire) take() {
	if c.out == nil {
		c.out = c.gate.buffers.get(outSize)
		c.pending = c.out.bytes[:0]
	}
}

// outSize has room for what is read of an engine at a time, with a head or a chunk's frame.
const outSize = 64 << 10

func (c *wire) status(code int, reason []byte) {
	c.take()
	c.pending = append(c.pending, "HTTP/1.1 "...)
	c.pending = append(strconv.AppendInt(c.pending, int64(code), 10), ' ')
	if len(reason) > 0 {
		c.pending = append(c.pending, reason...)
	} else {
		c.pending = append(c.pending, http.StatusText(code)...)
	}
	c.pending = append(c.pending, "\r\n"...)
}

func (c *wire) header(name, value []byte) { c.pending = http1.AppendField(c.pending, name, value) }

func (c *wire) begin(length int64, bodiless bool) {
	c.hushed, c.lacks = bodiless, length
	switch {
	case length >= 0:
		c.pending = append(strconv.AppendInt(append(c.pending, "Content-Length: "...), length, 10), "\r\n"...)
	case !bodiless:
		c.pending = append(c.pending, "Transfer-Encoding: chunked\r\n"...)
	}
	if c.last = c.last || c.gate.draining.Load(); c.last {
		c.pending = append(c.pending, "Connection: close\r\n"...)
	}
	c.pending = append(c.pending, "\r\n"...)
}

func (c *wire) write(p []byte, now bool) error {
	switch c.take(); {
	case c.hushed, len(p) == 0:
	case c.lacks < 0:
		c.pending = http1.AppendChunkHead(c.pending, len(p))
		c.pending = append(append(c.pending, p...), "\r\n"...)
	default:
		c.lacks -= int64(len(p))
		c.pending = append(c.pending, p...)
		now = now || c.lacks > 0 // the rest may take its time
	}
	if !now && len(c.pending) < outSize/2 {
		return c.failed
	}
	return c.flush()
}

// end leaves the last bytes to exchange: when the client has the whole answer, what it used is counted, so that
// its next request finds its limits as they are.
func (c *wire) end(trailer []http1.Field) error {
	switch {
	case c.hushed:
	case c.lacks < 0:
		c.take()
		c.pending = append(c.pending, "0\r\n"...)
		for _, f := range trailer {
			c.pending = http1.AppendField(c.pending, f.Name, f.Value)
		}
		c.pending = append(c.pending, "\r\n"...)
	case c.lacks > 0:
		c.cut()
	}
	return c.failed
}

// flush writes what is pending.
func (c *wire) flush() error {
	if c.out == nil {
		return c.failed
	}
	if c.failed == nil && c.carried && c.offer() {
		return nil
	}
	if c.failed == nil && !c.carried {
		c.failed = c.send(c.pending)
	}
	c.gate.buffers.put(c.out)
	c.out, c.pending = nil, nil
	return c.failed
}

// offer writes what the kernel takes now; true: something is left to be written.
func (c *wire) offer() bool {
	n, err := writeNow(c.descriptor, c.pending)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		c.failed = err
		return false
	}
	c.pending = c.pending[n:]
	return len(c.pending) > 0
}

// send writes to the client, and waits where it must. It bounds how long it may wait for a client that reads
// nothing: one that lives, and never reads again, would hold its route for ever. The bound is moved on now
// and then only, for that is work.
func (c *wire) send(p []byte) error {
	if c.descriptor != 0 && len(p) <= littleData {
		n, err := writeNow(c.descriptor, p)
		if n == len(p) {
			return nil
		}
		if err != nil && !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		p = p[n:]
	}
	silence := c.gate.config.Silence
	if now := time.Now(); c.writing.Sub(now) < silence {
		c.writing = now.Add(silence + silence/8)
		_ = c.conn.SetWriteDeadline(c.writing)
	}
	_, err := c.conn.Write(p)
	return err
}

func (c *wire) interim(res *http1.Response) {
	c.status(res.Status, res.Reason)
	for i := range res.Fields {
		if f := &res.Fields[i]; !f.OfOneConnection() && f.Known != http1.ContentLength {
			c.header(f.Name, f.Value)
		}
	}
	c.pending = append(c.pending, "\r\n"...)
	_ = c.flush() // who is gone is found out by the answer
}

var errCut = errors.New("the answer was cut")

// cut closes the connection in the middle of the answer: its length, or its last chunk, is missing.
func (c *wire) cut() {
	if c.failed == nil {
		c.failed = errCut
	}
}

func (c *wire) drop() {} // all of the request was read

func (c *wire) trailers() []byte { return []byte("\r\n") }

func (c *wire) duplex() {}

func (c *wire) join(*http1.Response, []byte, *engineConn, []byte) error {
	return errors.ErrUnsupported // upgrades are not for this path
}
