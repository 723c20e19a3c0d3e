package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// keepAlive finds a box that is gone without a word, where nothing is under way to it.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 4}

// unacknowledgedFor is for how long a box's kernel may leave unacknowledged what was written to it. Without a bound it is a quarter of
// an hour, and keep-alives are not sent meanwhile.
const unacknowledgedFor = 35 * time.Second

// unacknowledged bounds that of a socket.
func unacknowledged(_ context.Context, _, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledgedFor/time.Millisecond))
	})
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("preparing a connection to another box: %w", err)
	}
	return nil
}

// Tunnel is a connection through a door. It ends in three ways, which the other side can tell apart: CloseWrite and Close are an
// orderly end, Reset is as if the program at the end had been gone before it read what it was sent, and Break, or whatever else
// happens to it, is an accident.
type Tunnel interface {
	net.Conn
	CloseWrite() error
	Reset()
	Break()
}

// Conn is a Tunnel.
type Conn struct {
	*tls.Conn
	raw   *socket
	read  io.Reader // with what came behind an answer's header
	moved atomic.Int64
	once  sync.Once
	over  func() // may be nil
}

func newConn(raw *socket, c *tls.Conn) *Conn {
	out := &Conn{Conn: c, raw: raw, read: c}
	out.moved.Store(time.Now().UnixNano())
	return out
}

// Read implements net.Conn.
func (c *Conn) Read(p []byte) (int, error) {
	n, err := c.read.Read(p)
	if n > 0 {
		c.moved.Store(time.Now().UnixNano())
	}
	if errors.Is(err, io.EOF) && c.raw.cut.Load() {
		err = io.ErrUnexpectedEOF // crypto/tls takes it for an orderly one
	}
	return n, err
}

// still is for how long nothing has come.
func (c *Conn) still(now time.Time) time.Duration { return now.Sub(time.Unix(0, c.moved.Load())) }

// Close implements net.Conn.
func (c *Conn) Close() error {
	c.done()
	return c.Conn.Close()
}

// Reset ends the connection such that the other side reads ECONNRESET.
func (c *Conn) Reset() {
	c.done()
	_ = c.raw.SetLinger(0)
	_ = c.raw.Close()
}

// Break ends the connection without a word, so that its end is not taken for an orderly one.
func (c *Conn) Break() {
	c.done()
	_ = c.raw.Close()
}

func (c *Conn) done() {
	c.once.Do(func() {
		if c.over != nil {
			c.over()
		}
	})
}

// WasReset tells whether a connection ended by a reset: what was sent on it and not answered was not read.
func WasReset(err error) bool { return errors.Is(err, syscall.ECONNRESET) }
