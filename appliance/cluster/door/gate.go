package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// gate bounds how many connections there are of whom nobody knows yet who they are: anybody may open one.
type gate struct {
	mu        sync.Mutex
	of        map[string]int      // by address
	nodes     map[string]struct{} // addresses from which nodes came: they have places that nobody else gets
	strangers int
}

func newGate() gate { return gate{of: map[string]int{}, nodes: map[string]struct{}{}} }

func (g *gate) admit(from string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	most := mostStrangers
	if _, met := g.nodes[from]; met {
		most += keptForNodes
	}
	if g.strangers >= most || g.of[from] >= mostOfAddress {
		return false
	}
	g.strangers++
	g.of[from]++
	return true
}

// met says that who came from an address is a node.
func (g *gate) met(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.nodes[from] = struct{}{}
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
		from := countedAs(addressOf(c.RemoteAddr().String()))
		if !ok || !l.gate.admit(from) {
			_ = c.Close()
			continue
		}
		_ = tcp.SetKeepAliveConfig(keepAlive)
		if raw, err := tcp.SyscallConn(); err == nil {
			_ = unacknowledged(context.Background(), "", "", raw) // it is over already
		}
		return &socket{TCPConn: tcp, leave: sync.OnceFunc(func() { l.gate.leave(from) }), met: func() { l.gate.met(from) }}, nil
	}
}

// socket is what lies below a connection by TLS.
type socket struct {
	*net.TCPConn
	leave func()      // called once it is known whose it is, or it is over; may be nil
	met   func()      // called when it is a node's; nil where leave is
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
	if s.leave != nil {
		s.leave()
	}
	return s.TCPConn.Close()
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
	if s, ok := ctx.Value(socketKey{}).(*socket); ok && s.leave != nil {
		s.met()
		s.leave()
	}
}

// countedAs is what an address counts as: whoever has one of IPv6 has all of its network of 64 bits.
func countedAs(host string) string {
	at, err := netip.ParseAddr(host)
	if err != nil {
		return host
	}
	if at = at.Unmap().WithZone(""); at.Is6() {
		if net, err := at.Prefix(64); err == nil {
			return net.String()
		}
	}
	return at.String()
}

// addressOf is the address without its port.
func addressOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	return host
}
