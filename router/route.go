package router

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// live is what of one service outlives its table: whose turn it is, and its counts.
type live struct {
	balance balance
	metrics *serviceMetrics // of its name in the table that is in force
	total   atomic.Uint64
	errors  atomic.Uint64
	flying  atomic.Int64
}

// route is what of one route outlives a table: connections, requests in flight, counts.
type route struct {
	id       string
	addr     string
	upstream *upstream
	avoid    avoidance
	total    atomic.Uint64
	errors   atomic.Uint64

	mu     sync.Mutex
	flying int
	idle   chan struct{} // closed when flying gets to 0; nil while nobody waits
	closed bool          // drains or is gone: connections are not kept
}

// slot is the right to one request on a route.
type slot struct {
	route *route
	freed atomic.Bool
}

func (r *route) take() *slot {
	r.mu.Lock()
	r.flying++
	r.mu.Unlock()
	r.total.Add(1)
	return &slot{route: r}
}

// release gives the slot back; once is enough, more does no harm.
func (s *slot) release() {
	if s.freed.Swap(true) {
		return
	}
	r := s.route
	r.mu.Lock()
	r.flying--
	if r.flying == 0 && r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
	last := r.closed && r.flying == 0
	r.mu.Unlock()
	if last {
		r.upstream.closeIdle()
	}
}

func (r *route) inFlight() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flying
}

// setClosed tells whether connections are worth keeping.
func (r *route) setClosed(closed bool) {
	r.mu.Lock()
	r.closed = closed
	r.mu.Unlock()
	r.upstream.setClosed(closed)
}

// waitIdle returns when nothing is in flight. The count and the channel to wait on are read under one
// lock, so that no end is missed.
func (r *route) waitIdle(ctx context.Context) error {
	r.mu.Lock()
	if r.flying == 0 {
		r.mu.Unlock()
		return nil
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	idle := r.idle
	r.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for route %s, which has %d requests in flight: %w", r.id, r.inFlight(), context.Cause(ctx))
	}
}

// RouteLoad is what one route does and did.
type RouteLoad struct {
	ID       string
	InFlight int
	Total    uint64 // requests given to it
	Errors   uint64 // of those: answered 5xx, broken, or not answered
	Avoided  bool   // connections to it failed, and none has worked since
}

func (r *route) load() RouteLoad {
	return RouteLoad{
		ID: r.id, InFlight: r.inFlight(), Total: r.total.Load(), Errors: r.errors.Load(),
		Avoided: r.avoid.suspect(),
	}
}
