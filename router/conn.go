package router

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// errStale says that the engine closed a kept connection before the request was written to it.
var errStale = errors.New("the engine closed this connection while it was idle")

// newTransport makes the way to one route: connections to addr, whatever host a request names.
func newTransport(addr string, c Config) *http.Transport {
	dialer := &net.Dialer{
		Timeout: c.ConnectTimeout,
		// A box that is gone without a word is noticed in a minute; silence of one that lives is another matter.
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3},
	}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, "tcp", addr)
			if err != nil {
				return nil, err
			}
			return newEngineConn(conn), nil
		},
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        time.Minute,
		DisableCompression:     true,
		MaxResponseHeaderBytes: 1 << 20,
		// No ResponseHeaderTimeout: an answer may begin after many minutes. The exchange has its own watch.
	}
}

// engineConn is a connection to an engine that tells whether a request can have been read. An engine
// may close a kept connection at the moment a request is written to it, and net/http then tells the
// same as when an engine read the request and died. So:
//
//  1. Before the first byte of each request it looks whether the engine has closed already: net/http
//     would notice only when its reader gets to run. Nothing is written then.
//  2. When the connection ends it looks whether the kernel sent bytes back as unread: then the end is
//     a reset.
type engineConn struct {
	net.Conn
	raw      syscall.RawConn // nil: cannot look
	answered atomic.Bool     // bytes came since the last write: the next write begins a request
	plain    atomic.Bool     // upgraded: no more requests on it
	spent    atomic.Bool     // carries an answer of unknown length: the last one on it
	over     atomic.Bool     // spent, and a further request has come to it: nothing is written
	written  atomic.Int64

	writing sync.Mutex // held while writing, so that an end knows of all that was written
	ended   bool
	gone    bool // what look found
	look    func(fd uintptr)
}

func newEngineConn(conn net.Conn) *engineConn {
	c := &engineConn{Conn: conn}
	if sc, ok := conn.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			c.raw = raw
		}
	}
	c.look = func(fd uintptr) {
		fds := [1]unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(fds[:], 0)
		c.gone = err == nil && n > 0 && fds[0].Revents&(unix.POLLRDHUP|unix.POLLHUP|unix.POLLERR) != 0
	}
	return c
}

func (c *engineConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.answered.Store(true)
	}
	if errors.Is(err, io.EOF) && !c.plain.Load() {
		err = c.end()
	}
	return n, err
}

// end tells a reset from an end, once the write that may be under way is over.
func (c *engineConn) end() error {
	c.writing.Lock()
	defer c.writing.Unlock()
	c.ended = true
	pending := 0
	if c.raw != nil {
		_ = c.raw.Control(func(fd uintptr) {
			pending, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		})
	}
	if pending != 0 {
		return fmt.Errorf("reading from the engine: %w", syscall.ECONNRESET)
	}
	return io.EOF
}

func (c *engineConn) Write(p []byte) (int, error) {
	if c.plain.Load() {
		return c.Conn.Write(p)
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.over.Load() || c.answered.Swap(false) && (c.ended || c.closedByEngine()) {
		return 0, errStale
	}
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// spend sees to it that no further request is written to the connection. Some engines (llama.cpp's server
// is one) close it without a word after an answer of unknown length, though the answer's head promised to keep
// it; a request that is written in that moment may be read or not, and nobody can tell. A new connection costs
// microseconds.
func (c *engineConn) spend() { c.spent.Store(true) }

// begin is told that a request has been given this connection.
func (c *engineConn) begin() { c.over.Store(c.spent.Load()) }

// CloseWrite lets the end of a client's side of an upgraded connection through.
func (c *engineConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *engineConn) closedByEngine() bool {
	if c.raw == nil {
		return false
	}
	c.gone = false
	// Control, not Read: the reader of the connection holds the latter's lock while it waits.
	return c.raw.Control(c.look) != nil || c.gone
}
