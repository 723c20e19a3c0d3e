package router

import (
	"context"
	"errors"
	"net"
	"net/http"
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

// engineConn is a connection to an engine that tells whether a request was written at all. Before the
// first byte of each request it looks whether the engine has closed meanwhile: net/http notices that
// only when its reader gets to run, and what is written until then is lost without a word on whether
// it was processed.
type engineConn struct {
	net.Conn
	raw      syscall.RawConn // nil: cannot look
	answered atomic.Bool     // bytes came since the last write: the next write begins a request
	plain    atomic.Bool     // upgraded: no more requests on it
	written  atomic.Int64
	gone     bool // what look found; writes are one at a time
	look     func(fd uintptr)
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
	return n, err
}

func (c *engineConn) Write(p []byte) (int, error) {
	if c.answered.Swap(false) && !c.plain.Load() && c.closedByEngine() {
		return 0, errStale
	}
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

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
