package router

import (
	"sync/atomic"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/record"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/waiting"
)

// live is what of one service outlives its table: whose turn it is, who waits, and its counts.
type live struct {
	balance balance.Balance
	line    waiting.Line
	outlook atomic.Pointer[outlook] // never nil
	guard   repeat.Guard
	metrics *serviceMetrics // of its name in the table that is in force
	total   atomic.Uint64
	errors  atomic.Uint64
	flying  atomic.Int64
}

// route is what of one route outlives a table: connections, requests in flight, counts.
type route struct {
	*balance.Route
	addr     string
	upstream *upstream
	figures  atomic.Pointer[record.LiveRoute]
}

func newRoute(id, addr string, up *upstream) *route {
	r := &route{addr: addr, upstream: up}
	r.Route = balance.NewRoute(id, r)
	return r
}

// setClosed lets requests in or keeps them out, and tells whether connections are worth keeping.
func (r *route) setClosed(closed bool) {
	r.SetClosed(closed)
	r.upstream.setClosed(closed)
}

// RouteLoad is what one route does and did.
type RouteLoad struct {
	ID       string
	InFlight int
	Total    uint64 // requests given to it
	Errors   uint64 // of those: answered 5xx, broken, or not answered
	Avoided  bool   // it failed, and has not worked since
}

func (r *route) load() RouteLoad {
	return RouteLoad{ID: r.ID(), InFlight: r.InFlight(), Total: r.Total(), Errors: r.Errors(), Avoided: r.Suspect()}
}
