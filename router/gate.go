package router

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/router/http1"
)

// Gate is where clients' connections come in. Requests that are plain are answered on our own path; a
// connection with any other is handed to an http.Server, with the bytes that were read of it: HTTP/2,
// upgrades, bodies in chunks or larger than 1 MiB, and all that is not the router's.
//
// A gate may be there before its router: requests for that one wait then, for a moment, so that whoever comes
// while the appliance is started again sees nothing of it.
type Gate struct {
	config   Config
	log      *slog.Logger
	router   atomic.Pointer[Router] // nil before Open
	opened   chan struct{}
	buffers  buffers
	gone     *departures
	carriers carriers
	rest     *http.Server
	passed   *passing
	draining atomic.Bool
	idle     atomic.Int64 // while it drains: nanoseconds that a connection may wait for a request
	pool     sync.Pool    // of *exchange
	heads    sync.Pool    // of *http1.Request

	mu        sync.Mutex
	wires     map[*wire]struct{}
	listeners map[net.Listener]struct{} // that Serve accepts from
	closed    bool
	shut      bool          // nobody is answered any more
	passedOn  int           // connections that net/http has
	empty     chan struct{} // closed when there is nothing of all that after closed
}

// NewGate makes a gate before rest, whose Handler and ConnContext it wraps; rest needs no listener of its
// own. The gate is its owner from then on. c is the router's.
func NewGate(c Config, rest *http.Server, log *slog.Logger) *Gate {
	g := &Gate{
		config: c.withDefaults(), log: log, opened: make(chan struct{}), gone: newDepartures(), rest: rest, passed: newPassing(),
		wires: map[*wire]struct{}{}, listeners: map[net.Listener]struct{}{}, empty: make(chan struct{}),
	}
	g.carriers.log, g.carriers.silence = log, g.config.Silence
	rest.ConnState = g.count
	context1, handler := rest.ConnContext, rest.Handler
	rest.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if p, ok := c.(*passedConn); ok {
			ctx = context.WithValue(ctx, passedKey{}, p)
			c = p.Conn
		}
		if context1 != nil {
			ctx = context1(ctx, c)
		}
		return ctx
	}
	rest.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if p, ok := req.Context().Value(passedKey{}).(*passedConn); ok {
			if req.TLS == nil {
				req.TLS = p.state
			}
			if p.refuse(w, req) {
				g.countMalformed()
				return
			}
		}
		if g.draining.Load() && req.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		if IsGRPC(req) || ParseAddress(g.config.Domain, req.Host, req.URL.Path).Kind != NotOurs {
			g.open(req.Context()) // and if it takes too long, the handler says so
		}
		handler.ServeHTTP(w, req)
	})
	go func() { _ = rest.Serve(g.passed) }() // ends with the gate
	return g
}

// Open lets requests through to r. Another one may take its place later: requests that have begun end where
// they began.
func (g *Gate) Open(r *Router) {
	if g.router.Swap(r) == nil {
		close(g.opened)
	}
}

// Uses tells whether a request may still come to r, or is on its way to a service of it: nobody may have it in flight yet, or
// not any more, and it will be counted. It is false for good once another router was opened and the last one has been
// counted or is in flight.
func (g *Gate) Uses(r *Router) bool {
	if g.router.Load() == r {
		select {
		case <-g.empty:
		default:
			return true
		}
	}
	if r.visitors.Load() > 0 {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.wires {
		if c.at.Load() == r {
			return true
		}
	}
	return false
}

// openingPatience is how long a request waits for the router of an appliance that starts: longer than a daemon before it
// may take to stop.
const openingPatience = 15 * time.Second

// ready waits for Open; false: it takes too long, or the client went.
func (g *Gate) ready(c *wire) bool {
	select {
	case <-g.opened:
		return true
	default:
		return g.open(c.context())
	}
}

// open is ready for those who may have no connection of ours.
func (g *Gate) open(ctx context.Context) bool {
	select {
	case <-g.opened:
		return true
	default:
	}
	timer := time.NewTimer(openingPatience)
	defer timer.Stop()
	select {
	case <-g.opened:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

type passedKey struct{}

// countMalformed counts what was no request.
func (g *Gate) countMalformed() {
	if r := g.router.Load(); r != nil {
		r.metrics.refused.WithLabelValues("malformed_request").Inc()
	}
}

// Serve answers the connections of l until Drain, Shutdown or Close; then it returns http.ErrServerClosed. Whoever
// closes l ends it too, and gets the error of that: connections that were accepted go on.
func (g *Gate) Serve(l net.Listener) error {
	g.mu.Lock()
	if g.closed {
		g.mu.Unlock()
		return http.ErrServerClosed
	}
	g.listeners[l] = struct{}{}
	g.mu.Unlock()
	defer func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.listeners, l)
		g.notice()
	}()
	wait := time.Duration(0)
	for {
		conn, err := l.Accept()
		if err == nil {
			wait = 0
			g.accept(conn)
			continue
		}
		if g.isClosed() {
			return http.ErrServerClosed
		}
		// Out of descriptors or memory: it will pass.
		if !errors.Is(err, syscall.EMFILE) && !errors.Is(err, syscall.ENFILE) && !errors.Is(err, syscall.ENOBUFS) &&
			!errors.Is(err, syscall.ENOMEM) && !errors.Is(err, syscall.ECONNABORTED) {
			return err
		}
		wait = min(max(2*wait, 5*time.Millisecond), time.Second)
		g.log.Warn("a connection could not be accepted", "error", err, "next", wait)
		time.Sleep(wait)
	}
}

func (g *Gate) isClosed() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.closed
}

func (g *Gate) accept(conn net.Conn) {
	c := &wire{gate: g, conn: conn, remote: hostOf(conn.RemoteAddr().String())}
	g.mu.Lock()
	shut := g.shut
	if !shut {
		g.wires[c] = struct{}{} // also while the gate drains: what was accepted is answered
	}
	g.mu.Unlock()
	if shut {
		_ = conn.Close()
		return
	}
	go func() {
		if g.greet(c) {
			c.serve()
			return
		}
		g.forget(c)
	}()
}

// greet makes the connection ready; false: it is gone, or is somebody else's.
func (g *Gate) greet(c *wire) bool {
	under := c.conn
	if secure, ok := c.conn.(*tls.Conn); ok {
		c.secure, under = true, secure.NetConn()
		_ = secure.SetDeadline(time.Now().Add(headTime))
		if err := secure.HandshakeContext(c.context()); err != nil {
			_ = secure.Close()
			return false
		}
		_ = secure.SetDeadline(time.Time{})
		if secure.ConnectionState().NegotiatedProtocol == "h2" {
			g.passed.give(secure)
			return false
		}
	}
	if sc, ok := under.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			if c.watch, err = g.gone.watch(raw, c.depart); err == nil && !c.secure {
				c.raw = raw
			}
		}
	}
	return true
}

func (g *Gate) forget(c *wire) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.wires, c)
	g.notice()
}

// notice tells whoever drains the gate when all has ended. The caller holds mu.
func (g *Gate) notice() {
	if !g.closed || len(g.wires)+len(g.listeners)+g.passedOn > 0 {
		return
	}
	select {
	case <-g.empty:
	default:
		close(g.empty)
	}
}

// count keeps count of the connections that net/http has.
func (g *Gate) count(_ net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateNew:
		g.passedOn++
	case http.StateHijacked, http.StateClosed:
		g.passedOn--
		g.notice()
	case http.StateActive, http.StateIdle:
	}
}

// ours tells whether a request is answered on our own path.
func (g *Gate) ours(c *wire) bool {
	r := c.head
	if r.Minor != 1 || r.Chunked || r.Upgrade || r.Expect || r.Trailers || string(r.Method) == http.MethodConnect ||
		r.ContentLength > replayLimit || len(r.Target) == 0 || r.Target[0] != '/' {
		return false
	}
	path := text(r.Target)
	for i := range r.Target {
		if r.Target[i] == '?' {
			path = path[:i]
			break
		}
	}
	return ParseAddress(g.config.Domain, text(r.Host), path).Kind != NotOurs && g.ready(c)
}

func (g *Gate) head() *http1.Request {
	if h, ok := g.heads.Get().(*http1.Request); ok {
		return h
	}
	return &http1.Request{}
}

func (g *Gate) exchange() *exchange {
	if x, ok := g.pool.Get().(*exchange); ok {
		return x
	}
	return &exchange{}
}

func (g *Gate) done(x *exchange) { g.pool.Put(x) }

// passOn hands a connection to the http.Server.
func (g *Gate) passOn(c *wire, read []byte) {
	p := &passedConn{Conn: c.conn, strict: strict{unread: read}, forget: func() { g.gone.forget(c.watch) }}
	if secure, ok := c.conn.(*tls.Conn); ok {
		p.state = new(secure.ConnectionState())
	}
	c.mu.Lock()
	c.onward = p
	c.mu.Unlock()
	if c.gone.Load() { // it was told before
		p.depart()
	}
	g.passed.give(p)
}

// drainIdle is how long Shutdown waits for clients that keep their connections and ask nothing.
const drainIdle = time.Second

// Shutdown is Drain with a second for clients that keep their connections.
func (g *Gate) Shutdown(ctx context.Context) error { return g.Drain(ctx, drainIdle) }

// Drain takes no new connections and tells clients with their next answer that their connection ends. One that
// asks nothing for idle is closed. It returns when all have ended, or with ctx's cause; Close ends the rest. Upgraded
// connections are nobody's any more: the router has them in flight.
func (g *Gate) Drain(ctx context.Context, idle time.Duration) error {
	g.idle.Store(int64(idle))
	g.stopListening()
	g.mu.Lock()
	soon := time.Now().Add(idle)
	for c := range g.wires {
		if !c.busy.Load() {
			_ = c.conn.SetReadDeadline(soon)
		}
	}
	g.notice()
	g.mu.Unlock()
	// net/http would end those that ask nothing at once, some of them with a request on its way.
	timer := time.NewTimer(idle)
	defer timer.Stop()
	select {
	case <-g.empty:
	case <-timer.C:
	case <-ctx.Done():
	}
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err = g.rest.Shutdown(ctx)
	}()
	select {
	case <-g.empty:
		<-ended
		return err
	case <-ctx.Done():
		<-ended
		return context.Cause(ctx)
	}
}

// patience is how long a client may take between two requests.
func (g *Gate) patience() time.Duration {
	if g.draining.Load() {
		return time.Duration(g.idle.Load())
	}
	return idleTime
}

// stopListening ends Serve: no new connections.
func (g *Gate) stopListening() {
	g.draining.Store(true)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for l := range g.listeners {
		_ = l.Close()
	}
}

// Close ends all connections at once.
func (g *Gate) Close() error {
	g.stopListening()
	g.mu.Lock()
	g.shut = true
	for c := range g.wires {
		c.shut.Store(true)
		c.depart()
		_ = c.conn.SetDeadline(past) // its own goroutine closes it
	}
	g.mu.Unlock()
	g.carriers.close()
	return errors.Join(g.passed.Close(), g.rest.Close())
}
