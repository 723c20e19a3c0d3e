package router

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// upstream is the way to one route: its address, and the connections that are kept. They never pass to the
// next place with this address.
type upstream struct {
	addr    string
	at      netip.AddrPort // addr, where that is no name
	wait    time.Duration  // for a connection
	dial    func(ctx context.Context) (net.Conn, error)
	buffers *buffers
	gone    *departures
	silence time.Duration
	streams streamsTo // for gRPC

	mu     sync.Mutex
	made   map[*engineConn]struct{} // all connections that are open
	lost   bool                     // see setLost
	idle   []*engineConn            // the one used last is the last: those that nobody needs grow old
	closed bool                     // nothing is kept

	table context.Context // ends with leave
	leave context.CancelFunc
}

const (
	mostIdle = 1024
	idleFor  = time.Minute // and then an engine may have forgotten the connection
)

func newUpstream(addr string, c Config, b *buffers, gone *departures) *upstream {
	dialer := &net.Dialer{
		Timeout:   c.ConnectTimeout,
		KeepAlive: -1, // forgetful does it
		Control:   forgetful,
	}
	table, leave := context.WithCancel(context.Background())
	at, err := netip.ParseAddrPort(addr)
	if err != nil || at.Addr().Zone() != "" {
		at = netip.AddrPort{}
	}
	return &upstream{
		table: table, leave: leave, made: map[*engineConn]struct{}{},
		addr: addr, at: netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), wait: c.ConnectTimeout, buffers: b, gone: gone, silence: c.Silence,
		dial: func(ctx context.Context) (net.Conn, error) { return dialer.DialContext(ctx, "tcp", addr) },
	}
}

func forgetful(_, _ string, raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) { err = prepare(int(fd)) })
	return errors.Join(err, failed)
}

// take gives a connection: a kept one that has not ended and has not aged, or a new one. fresh asks for a
// new one.
func (e *upstream) take(ctx func() context.Context, now time.Time, fresh bool) (*engineConn, error) {
	for !fresh {
		e.mu.Lock()
		n := len(e.idle)
		if n == 0 {
			e.mu.Unlock()
			break
		}
		c := e.idle[n-1]
		e.idle[n-1] = nil
		e.idle = e.idle[:n-1]
		e.mu.Unlock()
		if !c.over() && now.Sub(c.idleSince) < idleFor && c.quiet(now) {
			c.began, c.wrote = false, false
			return c, nil
		}
		c.close()
	}
	conn, err := e.connect(ctx)
	if err != nil {
		return nil, err
	}
	return newEngineConn(conn, e), nil
}

// leftDial bounds a dial to a route that has left the table.
const leftDial = 100 * time.Millisecond

// connect makes a connection. It does not wait long for a route that leaves the table meanwhile: its address may be
// nobody's already, and nobody says so.
func (e *upstream) connect(asked func() context.Context) (net.Conn, error) {
	var s *socket
	if e.at.IsValid() {
		var made bool
		var err error
		if s, made, err = connect(e.at); err != nil {
			return nil, err
		}
		if made {
			return s, nil
		}
	}
	ctx, cancel := context.WithCancel(asked())
	defer cancel()
	defer context.AfterFunc(e.table, func() { time.AfterFunc(leftDial, cancel) })()
	if s == nil {
		return e.dial(ctx)
	}
	if err := s.await(ctx, e.wait); err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// keep takes a connection back for the next request.
func (e *upstream) keep(c *engineConn, now time.Time) {
	c.used, c.idleSince = true, now
	var old *engineConn
	e.mu.Lock()
	keep := !e.closed && !c.over() && len(e.idle) < mostIdle
	if keep {
		e.idle = append(e.idle, c)
		if first := e.idle[0]; first != c && now.Sub(first.idleSince) > idleFor { // the oldest, one a time
			old = first
			e.idle = append(e.idle[:0], e.idle[1:]...)
		}
	}
	e.mu.Unlock()
	if old != nil {
		old.close()
	}
	if !keep {
		c.close()
	}
}

// drop takes a connection out of those that are kept; false: it was not among them.
func (e *upstream) drop(c *engineConn) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := slices.Index(e.idle, c)
	if i >= 0 {
		e.idle = slices.Delete(e.idle, i, i+1)
	}
	return i >= 0
}

// setClosed says whether connections are worth keeping.
func (e *upstream) setClosed(closed bool) {
	e.mu.Lock()
	e.closed = closed
	e.mu.Unlock()
	if closed {
		e.closeIdle()
	}
}

func (e *upstream) closeIdle() {
	e.mu.Lock()
	idle := e.idle
	e.idle = nil
	e.mu.Unlock()
	for _, c := range idle {
		c.close()
	}
	e.streams.closeIdle()
}
