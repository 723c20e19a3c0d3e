package door

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
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
		return &gated{TCPConn: tcp, leave: sync.OnceFunc(func() { l.gate.leave(from) })}, nil
	}
}

// gated is a connection that the gate counts until it is known whose it is, or it is over.
type gated struct {
	*net.TCPConn
	leave func()
}

// Close implements net.Conn.
func (g *gated) Close() error {
	g.leave()
	return g.TCPConn.Close()
}

type gatedKey struct{}

func connContext(ctx context.Context, c net.Conn) context.Context {
	if crypt, ok := c.(*tls.Conn); ok {
		return context.WithValue(ctx, gatedKey{}, crypt.NetConn())
	}
	return ctx
}

// known says that a connection is a node's.
func known(ctx context.Context) {
	if g, ok := ctx.Value(gatedKey{}).(*gated); ok {
		g.leave()
	}
}

// tcpOf is what lies below a connection by TLS.
func tcpOf(c *tls.Conn) *net.TCPConn {
	switch raw := c.NetConn().(type) {
	case *net.TCPConn:
		return raw
	case *gated:
		return raw.TCPConn
	}
	return nil
}

// addressOf is the address without its port.
func addressOf(hostport string) string {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport
	}
	return host
}
