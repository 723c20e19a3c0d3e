package router

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// sink takes what an engine sends.
type sink interface {
	// take is given bytes at the start of b, which it may change. True: it wants no more.
	take(b []byte) (done bool)
	// leaves tells whether the request, which the engine has not begun to answer, goes elsewhere now that the engine's box is silent.
	leaves() bool
}

// engineConn is one connection to an engine. One request at a time is on it, and one goroutine reads.
type engineConn struct {
	net.Conn
	upstream  *upstream
	raw       syscall.RawConn // nil: it has no descriptor, and is read as any stream
	watch     int64
	used      bool // it has answered a request before
	idleSince time.Time
	bearing   sync.Mutex
	until     time.Time    // of the deadline
	borne     atomic.Int64 // until when nothing need be moved, in Unix nanoseconds: read without the lock
	free      bool         // there is none any more
	carried   int          // its own descriptor, where a carrier reads it: Conn is nil then; 0: none

	ended       atomic.Bool // the engine has closed its side
	interrupted atomic.Bool // by interrupt
	forsaken    atomic.Bool // by forsake, and nothing was done about it yet
	yields      bool        // what it carries may be asked of another route as long as nothing of the answer came

	look    func(fd uintptr)      // peek, bound once
	noise   bool                  // what it found
	step    func(fd uintptr) bool // turn, bound once
	request []byte                // still to be written
	wrote   bool                  // some of the request was written
	short   bool                  // the kernel takes no more of it now
	to      sink
	began   bool // bytes of an answer came
	err     error
}

func newEngineConn(conn net.Conn, e *upstream) *engineConn {
	c := &engineConn{Conn: conn, upstream: e}
	c.step, c.look = c.turn, c.peek
	e.mu.Lock()
	e.made[c] = struct{}{}
	c.forsaken.Store(e.lost)
	e.mu.Unlock()
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			if c.watch, err = e.gone.watch(raw, c.left); err == nil {
				c.raw = raw
			}
		}
	}
	return c
}

// over tells that no request is to come on the connection: the engine has closed its side, or it was interrupted or forsaken.
// What is read from one that was ends at once, and the next request would end with it.
func (c *engineConn) over() bool { return c.ended.Load() || c.interrupted.Load() || c.forsaken.Load() }

// quiet tells whether the engine has said nothing since its answer, which the next request would take for
// its own. To look is a system call, a fiftieth of a request: it is made where there was time for the engine to say
// something. Others that look by events alone see no more of a shorter time.
func (c *engineConn) quiet(now time.Time) bool {
	if c.raw == nil || now.Sub(c.idleSince) < time.Millisecond {
		return true
	}
	return c.raw.Control(c.look) == nil && !c.noise
}

func (c *engineConn) peek(fd uintptr) {
	c.noise = !nothingToRead(fd)
}

// left is told that the engine has closed its side. Its last bytes may have come together with the end,
// and then nobody would be woken for the end alone.
func (c *engineConn) left() {
	c.ended.Store(true)
	if c.upstream.drop(c) {
		c.close()
		return
	}
	c.bearing.Lock()
	defer c.bearing.Unlock()
	if !c.free {
		_ = c.SetReadDeadline(past)
	}
}

// unbound takes all bounds off: from now on the connection is read to its end as it comes.
func (c *engineConn) unbound() {
	c.bearing.Lock()
	defer c.bearing.Unlock()
	c.free = true
	_ = c.SetDeadline(time.Time{})
}

var past = time.Unix(1, 0)

// interrupt ends what the connection is waiting for; it may come from any goroutine.
func (c *engineConn) interrupt() {
	c.interrupted.Store(true)
	c.bearing.Lock()
	defer c.bearing.Unlock()
	switch {
	case c.carried > 0:
		_ = unix.Shutdown(c.carried, unix.SHUT_RDWR) // the engine sees it at once, and so does the carrier
	case c.Conn != nil:
		_ = c.SetDeadline(past)
	}
}

func (c *engineConn) close() {
	c.upstream.mu.Lock()
	delete(c.upstream.made, c)
	c.upstream.mu.Unlock()
	if c.watch != 0 {
		c.upstream.gone.forget(c.watch)
	}
	c.bearing.Lock()
	defer c.bearing.Unlock()
	if c.carried > 0 {
		_ = unix.Close(c.carried) // with the lock: the number may be another's at once
		c.carried = 0
	}
	if c.Conn != nil {
		_ = c.Close()
	}
}

// double gives another descriptor of the connection.
func (c *engineConn) double() (fd int, err error) {
	failed := c.raw.Control(func(one uintptr) { fd, err = unix.FcntlInt(one, unix.F_DUPFD_CLOEXEC, 0) })
	return fd, errors.Join(err, failed)
}

// detach leaves the connection's life to who has fd, which is another descriptor of it: neither Go's poller nor
// departures look at it any more, so that only one wakes for what comes. close still closes it. false: it was
// interrupted before.
func (c *engineConn) detach(fd int) bool {
	c.bearing.Lock()
	if c.interrupted.Load() {
		c.bearing.Unlock()
		return false
	}
	conn, raw := c.Conn, c.raw
	c.Conn, c.raw, c.carried, c.free = nil, nil, fd, true
	c.borne.Store(math.MaxInt64)
	c.bearing.Unlock()
	c.upstream.gone.release(c.watch, raw)
	c.watch = 0
	_ = conn.Close()
	return true
}

// bear moves on how long the engine may be silent; only now and then, for that is work. It may be silent
// for the bound at least and an eighth more at most.
func (c *engineConn) bear(now time.Time) {
	if now.UnixNano() < c.borne.Load() {
		return
	}
	c.bearing.Lock()
	defer c.bearing.Unlock()
	if c.until.Sub(now) >= c.upstream.silence {
		return
	}
	c.until = now.Add(c.upstream.silence + c.upstream.silence/8)
	c.borne.Store(c.until.Add(-c.upstream.silence).UnixNano())
	_ = c.SetDeadline(c.until)
	if c.ended.Load() { // it was told before
		_ = c.SetReadDeadline(past)
	}
	if c.forsaken.Load() {
		_ = c.SetReadDeadline(past)
	}
	if c.interrupted.Load() {
		_ = c.SetDeadline(past)
	}
}

// converse writes a request and gives what comes to the sink, until that wants no more or the connection
// ends: then with the reason. A nil request reads on. What converse is good at: a request and its answer
// are one write and one read, without a read that finds nothing.
func (c *engineConn) converse(request []byte, to sink) error {
	c.request, c.to, c.err, c.wrote, c.began = request, to, nil, false, false
	defer func() { c.request, c.to = nil, nil }()
	for {
		var err error
		if c.raw != nil {
			err = c.raw.Read(c.step)
		} else {
			err = c.stream()
		}
		switch {
		case c.short: // more than the kernel's buffer takes
			c.short = false
			if err := c.writeRest(); err != nil {
				return err
			}
			continue
		case errors.Is(err, os.ErrDeadlineExceeded) && c.ended.Load() && !c.interrupted.Load():
			// The engine's end, and maybe bytes before it.
			_ = c.SetReadDeadline(time.Time{}) // nothing is waited for any more
			continue
		case errors.Is(err, os.ErrDeadlineExceeded) && c.stays():
			continue
		case errors.Is(err, os.ErrDeadlineExceeded) && c.forsaken.Load():
			return errLost
		case err != nil:
			return fmt.Errorf("reading from the engine: %w", err)
		}
		return c.err
	}
}

// turn is called when the connection may have something to read, and first of all to write: the answer comes
// behind its request, so nothing is missed by not reading first. Only of a new connection there may be an
// answer already, that of an engine that takes no requests now; nobody would be woken for it again.
func (c *engineConn) turn(fd uintptr) bool {
	if len(c.request) > 0 {
		n, err := writeNow(fd, c.request[:min(len(c.request), littleData)])
		if n > 0 {
			c.wrote = true
			c.request = c.request[n:]
		}
		switch {
		case len(c.request) == 0:
			return (c.ended.Load() || !c.used) && c.drain(fd)
		case err == nil, errors.Is(err, unix.EAGAIN):
			c.short = true
			return true
		}
		// Who closed early may have said why.
		c.request = nil
		if c.drain(fd) && c.err == nil {
			return true
		}
		c.err = fmt.Errorf("writing to the engine: %w", err)
		return true
	}
	return c.drain(fd)
}

// drain reads what there is; false: nothing now.
func (c *engineConn) drain(fd uintptr) bool {
	for {
		b := c.upstream.buffers.small()
		n, err := readNow(fd, b.bytes)
		if n <= 0 {
			c.upstream.buffers.put(b)
			if errors.Is(err, unix.EAGAIN) {
				return false
			}
			c.err = c.endOf(err, fd)
			return true
		}
		c.began = true
		full := n == len(b.bytes)
		done := c.to.take(b.bytes[:n])
		c.upstream.buffers.put(b)
		if done {
			return true
		}
		// Less than there was room for: the kernel has no more, and will tell when it has.
		if !full && !c.ended.Load() {
			return false
		}
	}
}

// endOf tells a reset from an end. The kernel of an engine that closes with bytes unread sends a reset,
// which may be behind the end that was read. It does so too for what comes after its end: an end that does not
// acknowledge what was written has not seen it, and so has not who was silent until the kernel gave up.
func (c *engineConn) endOf(err error, fd uintptr) error {
	if err == nil || errors.Is(err, unix.ETIMEDOUT) {
		if unseen, failed := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); failed == nil && unseen > 0 {
			return syscall.ECONNRESET
		}
	}
	if err != nil {
		return err
	}
	if pending, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR); pending != 0 {
		return syscall.ECONNRESET
	}
	return io.EOF
}

func (c *engineConn) writeRest() error {
	n, err := c.Write(c.request)
	c.wrote = c.wrote || n > 0
	if c.request = nil; err != nil && n == 0 && !c.wrote {
		return fmt.Errorf("writing to the engine: %w", err)
	}
	return nil // who closed early may have said why: read on
}

// stream is for connections without a descriptor.
func (c *engineConn) stream() error {
	if len(c.request) > 0 {
		if err := c.writeRest(); err != nil {
			return err
		}
	}
	b := c.upstream.buffers.small()
	defer c.upstream.buffers.put(b)
	for {
		n, err := c.Read(b.bytes)
		if n > 0 {
			c.began = true
			if c.to.take(b.bytes[:n]) {
				return nil
			}
		}
		if err != nil {
			return err
		}
	}
}
