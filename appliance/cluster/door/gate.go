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
)

// gate bounds how many connections there are of whom nobody knows yet who they are: anybody may open one.
type gate struct {
	mu        sync.Mutex
	of        map[string]int // by address
	strangers int
}

func (g *gate) admit(from string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.strangers >= mostStrangers || g.of[from] >= mostOfAddress {
		return false
	}
	g.strangers++
	g.of[from]++
	return true
}

func (g *gate) leave(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strangers--
	if g.of[from]--; g.of[from] <= 0 {
		delete(g.of, from)
	}
}

// listener lets in whom the gate has room for.
type listener struct {
	net.Listener
	gate *gate
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, fmt.Errorf("waiting for other boxes: %w", err)
		}
		tcp, ok := c.(*net.TCPConn)
		from := addressOf(c.RemoteAddr().String())
		if !ok || !l.gate.admit(from) {
			_ = c.Close()
			continue
		}
		_ = tcp.SetKeepAliveConfig(keepAlive)
		return &socket{TCPConn: tcp, leave: sync.OnceFunc(func() { l.gate.leave(from) })}, nil
	}
}

// socket is what lies below a connection by TLS.
type socket struct {
	*net.TCPConn
	leave func()      // called once it is known whose it is, or it is over; may be nil
	cut   atomic.Bool // it ended, and TLS had not said that it would
}

// Read implements net.Conn. TLS reads on until the other side has said that it has no more to say, and no further.
func (s *socket) Read(p []byte) (int, error) {
	n, err := s.TCPConn.Read(p)
	if errors.Is(err, io.EOF) {
		s.cut.Store(true)
	}
	return n, err
}

// Close implements net.Conn.
func (s *socket) Close() error {
	s.known()
	return s.TCPConn.Close()
}

func (s *socket) known() {
	if s.leave != nil {
		s.leave()
	}
}

type socketKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if crypt, ok := c.(*tls.Conn); ok {
		return context.WithValue(ctx, socketKey{}, crypt.NetConn())
	}
	return ctx
}

// known says that a connection is a node's.
func known(ctx context.Context) {
	if s, ok := ctx.Value(socketKey{}).(*socket); ok {
		s.known()
	}
}

// addressOf is the address without its port.
func addressOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	return host
}
