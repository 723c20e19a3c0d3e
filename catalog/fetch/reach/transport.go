package reach

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Transport carries requests as far as their context says that they may go. Connections are kept for each level by itself: one
// that was made for the owner carries nothing of others.
type Transport struct {
	guard  *Guard
	levels [All + 1]*http.Transport
}

// Transport makes one: like is called for each level, with how connections are to be made.
func (g *Guard) Transport(like func(dial func(ctx context.Context, network, address string) (net.Conn, error)) *http.Transport) *Transport {
	t := &Transport{guard: g}
	for l := range t.levels {
		p := &proxies{seen: map[string]bool{}}
		t.levels[l] = like(g.dial(p, func(context.Context, string) Level { return Level(l) }))
		p.watch(t.levels[l])
	}
	return t
}

// Limit has a transport of somebody else's making go only where the owner may have it go who has named one host by hand: what that
// leads to otherwise is made up by others.
func (g *Guard) Limit(t *http.Transport, named string) {
	p := &proxies{seen: map[string]bool{}}
	t.DialContext = g.dial(p, func(ctx context.Context, host string) Level { return g.Level(Owner(ctx, named), host) })
	p.watch(t)
}

// dial connects with an address, if it may be asked at its level.
func (g *Guard) dial(p *proxies, level func(ctx context.Context, host string) Level) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{Timeout: connectIn, KeepAlive: 30 * time.Second}
		if !p.is(address) {
			d.ControlContext = g.Control(level(ctx, address), address)
		}
		return d.DialContext(ctx, network, address)
	}
}

const connectIn = 20 * time.Second

// RoundTrip implements http.RoundTripper. What is written as an address is looked at before a proxy is asked for it.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	l := t.guard.Level(r.Context(), r.URL.Host)
	if err := t.guard.Literal(l, r.URL.Host); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	return t.levels[l].RoundTrip(r)
}

// CloseIdleConnections lets go of what is kept.
func (t *Transport) CloseIdleConnections() {
	for _, l := range t.levels {
		l.CloseIdleConnections()
	}
}

// proxies are those that were to be used: they are the owner's, and may be anywhere.
type proxies struct {
	mu   sync.Mutex
	seen map[string]bool // HOST:PORT
}

// watch notes the proxies of a transport before they are connected with.
func (p *proxies) watch(t *http.Transport) {
	inner := t.Proxy
	if inner == nil {
		return
	}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		to, err := inner(r)
		if to != nil {
			p.note(to)
		}
		return to, err
	}
}

func (p *proxies) note(u *url.URL) {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	}
	if port == "" {
		port = "80"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen[net.JoinHostPort(u.Hostname(), port)] = true
}

func (p *proxies) is(address string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[address]
}
