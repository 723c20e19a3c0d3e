package router

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/router/http1"
)

// wire is a client's connection on our own path: HTTP/1.1 requests of a known length that fits in memory,
// one after the other, on one goroutine. It holds no buffer while it waits. What it does not understand it
// leaves to net/http, with the bytes that it has read.
type wire struct {
	gate       *Gate
	conn       net.Conn
	raw        syscall.RawConn // nil: read as any stream
	descriptor uintptr         // of raw; nobody but this goroutine closes it
	streaming  *exchange       // whose answer's rest is to be passed on
	carried    bool            // by a carrier: nothing waits for the client
	watch      int64
	remote     string
	secure     bool

	in      *buffer        // what was read and not yet answered; nil: nothing
	have    int            // bytes in it
	looked  int            // of those, without the end of a head
	size    int            // bytes of the request's body; -1: its head is not there yet
	counted int64          // of in, in keeper's total
	keeper  *Router        // nil: nothing is counted
	need    int            // bytes of the whole request
	head    *http1.Request // of the request that is read; nil between two

	reading, writing time.Time // until when: deadlines are moved on now and then only
	patience         time.Duration
	last             bool // no further request is answered
	pass             bool // the connection is for net/http
	lingers          bool // it is closed in a way that lets the client read why
	unread           int  // of a request that is refused: bytes that are still to come, where that is known

	at   atomic.Pointer[Router] // that is asked; nil: none, or another has the answer's rest
	busy atomic.Bool            // a request has begun, and is not answered
	gone atomic.Bool            // the client has closed its side
	shut atomic.Bool            // the gate is closed

	mu       sync.Mutex // guards what follows; a client that goes is told from elsewhere
	passed   bool       // it is net/http's now
	onward   *passedConn
	guarded  *engineConn
	cancel   context.CancelFunc
	canceled context.Context

	out     *buffer // for the answer, while some of it is to be written
	pending []byte  // that
	lacks   int64   // of the answer's body; -1: in chunks, until its end
	hushed  bool    // the answer has no body
	failed  error
}

// Bounds of how long a client may take.
const (
	headTime = 10 * time.Second // for a head, from its first byte
	idleTime = 2 * time.Minute  // between two requests
)

// serve answers the connection's requests until it ends or is to be passed on. While a stream is carried it is
// nobody's, and has no goroutine.
func (c *wire) serve() {
	c.size = -1
	c.live(c.turn)
}

// after is serve behind a stream that was carried, with the reason for which nothing more of it came.
func (c *wire) after(err error) {
	c.live(func() bool {
		x := c.streaming
		c.streaming = nil
		x.carriedOut(err)
		return c.behind(x)
	})
}

// live goes on for as long as the connection stays, after what is to be done first.
func (c *wire) live(first func() (stay bool)) {
	carried := false // c's own word is the carrier's then
	defer func() {
		if p := recover(); p != nil {
			c.gate.log.Error("a request failed the router itself; its connection is closed", "panic", p, "stack", string(debug.Stack()))
		}
		if !carried {
			c.leave()
			c.gate.forget(c)
		}
	}()
	for stay := first(); stay || c.streaming != nil; {
		if c.streaming == nil {
			stay = c.turn()
			continue
		}
		if carried = c.gate.carriers.carry(c); carried {
			return
		}
		stay = c.resume()
	}
}

// turn answers requests until one is to be resumed, or there is something else to do; false: the connection is
// left, if none is to be resumed.
func (c *wire) turn() (stay bool) {
	var err error
	if c.raw != nil {
		if !c.last {
			c.expect(c.gate.patience())
		}
		err = c.raw.Read(c.ready)
	} else {
		err = c.stream()
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	if !c.gone.Load() {
		c.timedOut()
		return false
	}
	if c.last || c.shut.Load() {
		return false
	}
	// The client's end, and maybe a request before it.
	c.last = true
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.conn.SetReadDeadline(time.Now().Add(time.Second)) // what came before it is there already
	return true
}

// leave ends the connection, or passes it on.
func (c *wire) leave() {
	if c.watch != 0 && !c.pass {
		c.gate.gone.forget(c.watch)
	}
	if c.pass {
		c.mu.Lock()
		c.passed = true
		_ = c.conn.SetDeadline(time.Time{})
		c.mu.Unlock()
		rest := append([]byte(nil), c.in.bytes[:c.have]...)
		c.release()
		c.gate.passOn(c, rest)
		return
	}
	c.release()
	if c.lingers {
		linger(c.conn, c.unread)
	}
	_ = c.conn.Close()
}

// release gives back what the connection holds in memory.
func (c *wire) release() {
	c.giveBack()
	c.gate.buffers.put(c.out)
	c.out, c.pending, c.have, c.looked = nil, nil, 0, 0
	c.forgetHead()
}

// expect bounds how long the next bytes may take: exactly, or for waits that come with every request, an
// eighth more.
func (c *wire) expect(wait time.Duration) { c.expectFrom(time.Now(), wait) }

func (c *wire) expectFrom(now time.Time, wait time.Duration) {
	if c.patience == wait && c.reading.Sub(now) >= wait {
		return
	}
	c.patience = wait
	c.reading = now.Add(wait)
	if wait == idleTime {
		c.reading = now.Add(wait + wait/8)
	}
	_ = c.conn.SetReadDeadline(c.reading)
	if wait == idleTime && c.gate.draining.Load() { // since a moment: Drain may have looked before this
		_ = c.conn.SetReadDeadline(now.Add(c.gate.patience()))
	}
	if c.gone.Load() { // it was told before
		_ = c.conn.SetReadDeadline(past)
	}
}

// ready is called when the connection may have something to read. It reads until there is nothing, and
// answers what is complete; true: the connection is left.
//
// All requests of a connection are answered within one call of RawConn.Read: what comes while a request is
// answered wakes the next turn, so no read is tried that would find nothing.
func (c *wire) ready(fd uintptr) bool {
	c.descriptor = fd
	for {
		c.room()
		n, err := readNow(fd, c.in.bytes[c.have:])
		if n <= 0 {
			if errors.Is(err, syscall.EAGAIN) {
				c.relax()
				return false
			}
			c.cutOff()
			return true
		}
		full := n == len(c.in.bytes)-c.have
		c.have += n
		if !c.advance() {
			return true
		}
		if !full && !c.gone.Load() {
			return false
		}
	}
}

// stream is ready for connections without a descriptor, and for those of TLS.
func (c *wire) stream() error {
	for {
		c.room()
		if c.have == 0 {
			c.expect(c.gate.patience())
		}
		n, err := c.conn.Read(c.in.bytes[c.have:])
		c.have += n
		if n > 0 && !c.advance() {
			return io.EOF
		}
		if errors.Is(err, io.EOF) {
			c.cutOff()
		}
		if err != nil {
			return err
		}
	}
}

// cutOff answers a client that has closed its side in the middle of a request.
func (c *wire) cutOff() {
	if c.have > 0 {
		c.answerBad(badRequest("", "incomplete_body", "The request was cut off: it ends before its head does, or its body."))
	}
}

// room sees to it that something can be read.
func (c *wire) room() {
	if c.in == nil {
		c.in = c.gate.buffers.small()
	}
}

// relax gives the buffer back where nothing is in it.
func (c *wire) relax() {
	if c.have == 0 && c.in != nil {
		c.giveBack()
		c.forgetHead()
	}
}

func (c *wire) forgetHead() {
	if c.head != nil {
		c.gate.heads.Put(c.head)
		c.head = nil
	}
}

// advance answers all that is complete; false: the connection is left.
func (c *wire) advance() bool {
	c.busy.Store(true)
	for c.have > 0 {
		if c.size < 0 {
			whole, stay := c.readHead()
			if !stay || !whole {
				return stay
			}
		}
		if c.have < c.need {
			c.expect(c.gate.config.BodySilence)
			return c.have < len(c.in.bytes) || c.grow()
		}
		c.exchange()
		if c.streaming != nil || !c.next() {
			return false
		}
	}
	c.relax()
	c.busy.Store(false)
	if c.gate.draining.Load() { // Drain has left this one alone, or will see it
		c.expect(c.gate.patience())
	}
	return true
}

// next makes ready for the next request; false: there is none.
func (c *wire) next() bool {
	if c.last {
		return false
	}
	if c.in != nil { // else it was given back, since nothing was behind the request
		copy(c.in.bytes, c.in.bytes[c.need:c.have])
		c.have -= c.need
	}
	c.size, c.looked = -1, 0
	return true
}

// resume passes on the rest of a stream that is not carried, and answers what was sent behind its request. It is
// called from as little depth as may be.
func (c *wire) resume() (stay bool) {
	x := c.streaming
	c.streaming = nil
	x.resume()
	return c.behind(x)
}

// behind answers what was sent behind the request of a stream.
func (c *wire) behind(x *exchange) (stay bool) {
	c.finish(x)
	return c.next() && c.advance()
}

// readHead looks for a whole head. stay is false where the connection is left: because of what it says, or
// since it is for net/http.
func (c *wire) readHead() (whole, stay bool) {
	b := c.in.bytes[:c.have]
	if c.head == nil {
		c.head = c.gate.head()
	}
	switch err := c.head.Take(b, c.looked); {
	case errors.Is(err, http1.ErrIncomplete):
		if c.looked == 0 {
			c.expect(headTime)
		}
		c.looked = c.have
		if c.have == len(c.in.bytes) {
			c.enlarge(http1.MaxHead)
		}
		return false, true
	case err != nil:
		if _, c.pass = http1.Preface(b); c.pass { // HTTP/2
			return false, false
		}
		return false, c.refuse(err)
	}
	if !c.gate.ours(c) {
		c.pass = true
		return false, false
	}
	c.size = int(max(c.head.ContentLength, 0))
	c.need = c.head.Len + c.size
	if c.have < c.need && c.turnsAway() {
		c.head.Close, c.lingers, c.unread = true, true, c.need-c.have
		c.exchange()
		return false, false
	}
	return true, true
}

// turnsAway tells whether the request will be refused whatever its body says: nobody without a token makes
// the router keep room for one.
func (c *wire) turnsAway() bool {
	x := c.gate.exchange()
	defer c.gate.done(x)
	x.begin(c.gate.router.Load(), c, time.Now())
	x.call.ofRequest(c.head)
	return x.turnedAway()
}

// grow makes room for more of a body: as it comes, for a length is soon said. false: too much is held for others.
func (c *wire) grow() bool {
	before := len(c.in.bytes)
	c.enlarge(min(c.need, 4*c.have))
	_ = c.head.Parse(c.in.bytes) // as before, only elsewhere
	if c.keeper == nil {
		c.keeper = c.gate.router.Load()
	}
	more := int64(len(c.in.bytes) - before)
	if c.counted += more; c.keeper.buffered.Add(more) > c.keeper.config.BufferTotal {
		c.unread = c.need - c.have
		c.answerBad(refuseBody(errNoMemory, 0))
		return false
	}
	return true
}

// giveBack gives the buffer back to those who need one.
func (c *wire) giveBack() {
	if c.keeper != nil {
		c.keeper.buffered.Add(-c.counted)
		c.counted, c.keeper = 0, nil
	}
	c.gate.buffers.put(c.in)
	c.in = nil
}

// enlarge makes the buffer at least n large.
func (c *wire) enlarge(n int) {
	next := c.gate.buffers.get(n)
	copy(next.bytes, c.in.bytes[:c.have])
	c.gate.buffers.put(c.in)
	c.in = next
}

// ask takes the router that is open, such that Gate.Uses knows.
func (c *wire) ask() *Router {
	for {
		r := c.gate.router.Load()
		c.at.Store(r)
		if c.gate.router.Load() == r {
			return r
		}
	}
}

// exchange answers the request that is in the buffer.
func (c *wire) exchange() {
	x := c.gate.exchange()
	x.begin(c.ask(), c, time.Now())
	defer c.at.Store(nil)
	x.call.ofRequest(c.head)
	x.call.remote, x.call.secure = c.remote, c.secure
	x.call.whole = c.in.bytes[c.head.Len:min(c.need, c.have)]
	c.last = c.head.Close || c.gate.draining.Load()
	c.failed, c.hushed, c.lacks = nil, false, 0
	x.run()
	if x.parted {
		c.streaming = x
		return
	}
	c.finish(x)
}

// finish is what follows an answer.
func (c *wire) finish(x *exchange) {
	_ = c.flush() // the last bytes; who is gone needs no answer
	c.last = c.last || c.failed != nil || c.gone.Load()
	c.expectFrom(x.now, idleTime)
	c.gate.done(x)
}

// timedOut says that a client took too long over a request.
func (c *wire) timedOut() {
	if c.have > 0 {
		c.answerBad(&Refusal{Status: http.StatusRequestTimeout, Type: invalidRequest, Code: "request_timeout", Message: "The rest of the request did not come."})
	}
}

// refuse answers a head that is no request, and leaves: nobody knows where the next one would begin.
func (c *wire) refuse(err error) bool {
	c.gate.countMalformed()
	c.answerBad(malformed(err))
	return false
}

func (c *wire) answerBad(f *Refusal) {
	c.last, c.failed, c.lingers = true, nil, true
	c.status(f.Status, nil)
	for _, h := range f.headers() {
		c.header([]byte(h.name), []byte(h.value))
	}
	c.header(nameRequestID, requestID(nil, ""))
	body := append(f.body(openAI), '\n')
	c.begin(int64(len(body)), false)
	_ = c.write(body, true) // who is gone needs no answer
}

// linger ends the writing side and reads on: a connection that is closed with bytes unread is reset, and the client would not
// see why. rest is how many bytes are to come, 0 where nobody knows: then for a moment.
func linger(conn net.Conn, rest int) {
	half, ok := conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	wait := refusedBody
	if rest == 0 {
		rest, wait = 64<<10, 500*time.Millisecond
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	var b [2 << 10]byte
	for rest > 0 {
		n, err := conn.Read(b[:])
		if err != nil {
			return
		}
		rest -= n
	}
}
