package router

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// How long a route whose connections fail is passed over: doubled from first to most.
const (
	firstAvoid = 250 * time.Millisecond
	mostAvoid  = 5 * time.Second
)

// balance shares requests over the routes of one service: smooth weighted round robin, the pick that
// nginx made known. Every pick gives each candidate its weight as credit, takes the one with the most
// (the first among equals) and charges it the sum. Equal weights alternate strictly.
type balance struct {
	mu      sync.Mutex
	entries []entry
	budget  retryBudget
}

type entry struct {
	route  *route
	weight float64
	credit float64
}

// set replaces the routes. Those that stay keep their turn. When it returns nothing new is handed to
// a route that is gone, drains, or has no weight.
func (b *balance) set(routes []*route, weights []float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	credits := make(map[*route]float64, len(b.entries))
	for _, e := range b.entries {
		credits[e.route] = e.credit
	}
	b.entries = b.entries[:0:0]
	sum := 0.0
	for i, r := range routes {
		if w := weights[i]; w > 0 && !math.IsInf(w, 0) {
			b.entries = append(b.entries, entry{route: r, weight: w, credit: credits[r]})
			sum += credits[r]
		}
	}
	// Credits sum to nothing, or who comes new would be too early or too late by what left with
	// those that went.
	for i := range b.entries {
		b.entries[i].credit -= sum / float64(len(b.entries))
	}
}

// acquire picks a route and takes a slot of it; nil where there is none. Routes whose connections fail
// are passed over while others are left. The caller releases.
func (b *balance) acquire(now time.Time) *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget.earn()
	return b.take(now, nil)
}

// another is acquire for a request that the routes in tried did not take; nil also where the
// service's retries are spent.
func (b *balance) another(now time.Time, tried []*route) *slot {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.budget.left() {
		return nil
	}
	s := b.take(now, tried)
	if s != nil {
		b.budget.spend()
	}
	return s
}

func (b *balance) take(now time.Time, tried []*route) *slot {
	r := b.pick(now, tried, false)
	if r == nil {
		// What was seen on the way only ever prefers: who may answer is the table's word.
		r = b.pick(now, tried, true)
	}
	if r == nil {
		return nil
	}
	// Under b.mu, so that set and a wait for idleness after it miss no slot.
	return r.take()
}

func (b *balance) pick(now time.Time, tried []*route, avoided bool) *route {
	best, total := -1, 0.0
	for i := range b.entries {
		e := &b.entries[i]
		if (!avoided && e.route.avoid.active(now)) || (len(tried) > 0 && slices.Contains(tried, e.route)) {
			continue
		}
		total += e.weight
		e.credit += e.weight
		if best < 0 || e.credit > b.entries[best].credit {
			best = i
		}
	}
	if best < 0 {
		return nil
	}
	e := &b.entries[best]
	e.credit -= total
	e.route.avoid.claim(now)
	return e.route
}

// avoidance is what failed connections to one route tell. After each the route is passed over for a
// while, then one request may try it: claiming the trial begins the while anew, so that a dead route
// costs one connection now and then and does not flap.
type avoidance struct {
	mu   sync.Mutex                // for those who write
	mark atomic.Pointer[avoidMark] // nil: nothing speaks against it
}

type avoidMark struct {
	fails int
	ends  time.Time
	trial bool
}

// active tells whether the route is passed over at now.
func (a *avoidance) active(now time.Time) bool {
	m := a.mark.Load()
	return m != nil && now.Before(m.ends)
}

// suspect tells whether connections failed and none has worked since.
func (a *avoidance) suspect() bool { return a.mark.Load() != nil }

// claim takes the trial, if the route is due for one.
func (a *avoidance) claim(now time.Time) {
	if a.mark.Load() == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if m := a.mark.Load(); m != nil && !now.Before(m.ends) {
		a.mark.Store(&avoidMark{fails: m.fails, ends: now.Add(avoidFor(m.fails)), trial: true})
	}
}

// failed notes that no connection was had. Those that fail beside the first count with it.
func (a *avoidance) failed(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.mark.Load()
	switch {
	case m == nil:
		m = &avoidMark{}
	case now.Before(m.ends) && !m.trial:
		return
	}
	a.mark.Store(&avoidMark{fails: m.fails + 1, ends: now.Add(avoidFor(m.fails + 1))})
}

// worked notes that the route answered.
func (a *avoidance) worked() {
	if a.mark.Load() == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mark.Store(nil)
}

func avoidFor(fails int) time.Duration {
	return min(firstAvoid<<min(fails-1, 10), mostAvoid)
}

// retryBudget bounds retries to a fifth of the requests, plus a few, so that a service in trouble is
// not sent several times the load that troubles it. The balance's lock guards it.
type retryBudget struct {
	spent float64 // retries that requests have not paid for yet; below zero: saved
}

const (
	retryShare = 0.2
	retryFree  = 10 // retries at once that need no requests before
	retrySaved = 90 // more of them that many good requests allow at once, at most
)

// earn is called once for every request.
func (b *retryBudget) earn() { b.spent = max(b.spent-retryShare, -retrySaved) }

func (b *retryBudget) left() bool { return b.spent+1 <= retryFree }

func (b *retryBudget) spend() { b.spent++ }
