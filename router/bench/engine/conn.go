package engine

import (
	"bytes"
	"encoding/binary"
	"slices"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/bench/poll"
)

// Where a connection is with its request.
const (
	inHead    = iota
	inBody    // of known length
	inChunks  // between chunks, or within one while left is not 0
	answering // with a timer
)

type conn struct {
	fd     int
	state  int
	get    bool // wants no more than "ok"
	last   bool // the client wants it closed afterwards
	stream bool
	left   int // bytes of the body, or of a chunk with its line end
	sent   int // events
	buf    []byte
	rest   []byte // of an answer that the connection did not take yet

	due        int64
	in         *queue
	next, prev *conn
}

var headEnd, lineEnd = []byte("\r\n\r\n"), []byte("\r\n")

// process answers what is whole in c.buf; false means that the connection is to be closed.
func (e *Server) process(c *conn, stopping bool) bool {
	for {
		ready := false
		switch c.state {
		case inHead:
			i := bytes.Index(c.buf, headEnd)
			if i < 0 {
				return len(c.buf) < 64<<10
			}
			e.head(c, c.buf[:i+2])
			c.take(i + 4)
			ready = c.state == inBody && c.left == 0
		case inBody:
			n := min(len(c.buf), c.left)
			c.look(c.buf[:n])
			c.take(n)
			c.left -= n
			if c.left > 0 {
				return true
			}
			ready = true
		case inChunks:
			var ok bool
			if ready, ok = c.chunk(); !ok {
				return false
			}
			if !ready && c.starved() {
				return true
			}
		case answering:
			return true
		}
		if ready && !e.respond(c, stopping) {
			return false
		}
	}
}

func (c *conn) take(n int) { c.buf = c.buf[:copy(c.buf, c.buf[n:])] }

// look is for whether a stream is wanted. What asks for one stands at the beginning of what our load sends.
func (c *conn) look(p []byte) {
	c.stream = c.stream || bytes.Contains(p, []byte(`"stream":true`))
}

func (e *Server) head(c *conn, head []byte) {
	c.get = head[0] != 'P'
	c.state, c.left, c.last, c.stream = inBody, 0, false, false
	for line := range bytes.SplitSeq(head, lineEnd) {
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "content-length"):
			c.left, _ = strconv.Atoi(text(value))
		case is(name, "transfer-encoding"):
			c.state = inChunks
		case is(name, "connection"):
			c.last = is(value, "close")
		case is(name, IDHeader) && e.journal != nil:
			if id, err := strconv.ParseUint(text(value), 10, 64); err == nil {
				e.journal.add(id)
			}
		}
	}
}

func is(name []byte, lower string) bool {
	return len(name) == len(lower) && bytes.EqualFold(name, unsafe.Slice(unsafe.StringData(lower), len(lower)))
}

// text is p without a copy of it.
func text(p []byte) string { return unsafe.String(unsafe.SliceData(p), len(p)) }

// starved tells that a chunk or its line is not whole.
func (c *conn) starved() bool {
	return len(c.buf) == 0 || c.left == 0 && !bytes.Contains(c.buf, lineEnd)
}

// chunk goes on in a chunked body; ready at its end.
func (c *conn) chunk() (ready, ok bool) {
	if c.left > 0 {
		n := min(len(c.buf), c.left)
		c.look(c.buf[:n])
		c.take(n)
		c.left -= n
		return false, true
	}
	i := bytes.Index(c.buf, lineEnd)
	if i < 0 {
		return false, len(c.buf) < 100
	}
	size, err := strconv.ParseUint(text(c.buf[:i]), 16, 30)
	if err != nil {
		return false, false
	}
	if size > 0 {
		c.take(i + 2)
		c.left = int(size) + 2
		return false, true
	}
	if !bytes.HasPrefix(c.buf[i:], headEnd) {
		return false, len(c.buf) < i+4
	}
	c.take(i + 4)
	return true, true
}

func (e *Server) respond(c *conn, stopping bool) bool {
	switch {
	case c.get:
		return c.write(e.texts.ok) && e.ended(c, stopping)
	case c.stream:
		c.state, c.sent = answering, 0
		c.due = poll.Now() + int64(e.s.Gap)
		if !e.event(c) {
			return false
		}
		if c.sent >= e.s.Events {
			return e.ended(c, stopping)
		}
		e.streams.push(c)
	case e.s.Delay > 0:
		c.state, c.due = answering, poll.Now()+int64(e.s.Delay)
		e.delayed.push(c)
	default:
		return c.write(e.texts.whole) && e.ended(c, stopping)
	}
	return true
}

// ended makes the connection ready for its next request, and tells whether it stays.
func (e *Server) ended(c *conn, stopping bool) bool {
	c.state = inHead
	return !c.last && !stopping
}

// event sends the next event of a stream: with the first one the head, with the last one the end.
func (e *Server) event(c *conn) bool {
	var space [4096]byte
	p := space[:0]
	if c.sent == 0 {
		p = append(p, e.texts.streamHead...)
	}
	at := len(p) + e.texts.stamp
	p = append(p, e.texts.event...)
	stamp(p[at:at+stampLen], poll.Now())
	if c.sent++; c.sent >= e.s.Events {
		p = append(p, e.texts.streamEnd...)
	}
	return c.write(p)
}

// write sends p, and keeps what the connection does not take now; false where it is broken.
func (c *conn) write(p []byte) bool {
	if len(c.rest) > 0 {
		c.rest = append(c.rest, p...)
		return c.flush()
	}
	n, again := poll.Write(c.fd, p)
	if n == 0 && !again {
		return false
	}
	c.rest = append(c.rest, p[n:]...)
	return true
}

func (c *conn) flush() bool {
	if len(c.rest) == 0 {
		return true
	}
	n, again := poll.Write(c.fd, c.rest)
	c.rest = slices.Delete(c.rest, 0, n)
	return n > 0 || again
}

// queue is of connections with timers. All wait for the same time, so what comes later is due later.
type queue struct{ first, last *conn }

func (q *queue) push(c *conn) {
	c.in, c.prev, c.next = q, q.last, nil
	if q.last != nil {
		q.last.next = c
	} else {
		q.first = c
	}
	q.last = c
}

func (q *queue) remove(c *conn) {
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		q.first = c.next
	}
	if c.next != nil {
		c.next.prev = c.prev
	} else {
		q.last = c.prev
	}
	c.in, c.next, c.prev = nil, nil, nil
}

func (j *Journal) add(id uint64) {
	n := binary.NativeEndian.Uint64(j.mem)
	if 8*(n+2) <= uint64(len(j.mem)) {
		binary.NativeEndian.PutUint64(j.mem[8*(n+1):], id)
		binary.NativeEndian.PutUint64(j.mem, n+1) // last: whoever is killed before has not taken the request
	}
}

// IDs gives what was written, in its order.
func (j *Journal) IDs() []uint64 {
	out := make([]uint64, binary.NativeEndian.Uint64(j.mem))
	for i := range out {
		out[i] = binary.NativeEndian.Uint64(j.mem[8*(i+1):])
	}
	return out
}

// Close ends the journal; the file stays.
func (j *Journal) Close() {
	_ = unix.Munmap(j.mem)
	_ = j.file.Close()
}
