package balance

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Route is what is counted of one place that answers. It outlives the tables that name it.
type Route struct {
	// What every pick of every core looks at comes first, on one cache line of the route's own.

	// word is the number in flight and, above it, the flags. They are one word so that "closed" and
	// "one more" have an order: nobody gets in after the flag, and the last one out sees who waits.
	word   atomic.Uint64
	mark   atomic.Pointer[mark] // nil: nothing speaks against it
	due    atomic.Uint64        // when it is next, of those with equal load: see member.due
	total  atomic.Uint64
	errors atomic.Uint64
	faults atomic.Uint32 // gateway faults in a row
	_      [20]byte

	id    string
	hash  uint64 // of the id: the same in every run
	value any    // its maker's

	mu   sync.Mutex
	idle chan struct{} // closed when nothing is in flight; nil while nobody waits
	home *level        // of the Balance whose table has or had it last; 128 bytes in all: Go lays such out on whole lines
}

// What word holds.
const (
	inFlight = 1<<32 - 1 // the number
	closed   = 1 << 63   // SetClosed
	out      = 1 << 62   // its Balance has it no longer, or with weight 0
	waiting  = 1 << 61   // somebody waits for idleness
)

// NewRoute makes a route that is open and has done nothing. The id is never used for another place. value is
// what its maker wants to find again with it.
func NewRoute(id string, value any) *Route { return &Route{id: id, hash: hashText(id), value: value} }

// Value is what NewRoute was given.
func (r *Route) Value() any { return r.value }

// ID is what NewRoute was given.
func (r *Route) ID() string { return r.id }

// InFlight is the number of requests that it is answering.
func (r *Route) InFlight() int { return int(r.word.Load() & inFlight) }

// Total is the number of requests that were given to it.
func (r *Route) Total() uint64 { return r.total.Load() }

// Errors is the number that CountError was told of.
func (r *Route) Errors() uint64 { return r.errors.Load() }

// CountError notes a request that was answered 5xx, broken, or not answered.
func (r *Route) CountError() { r.errors.Add(1) }

// What take says.
const (
	taken = iota
	full  // as many in flight as may be
	shut  // closed, or out of its balance
)

// Take gives the right to one request, whatever its balance says; false where the route is closed, or
// has limit requests in flight (0: no limit). Every true is given back with one Release.
func (r *Route) Take(limit int) bool { return r.take(limit) == taken }

func (r *Route) take(limit int) int {
	for {
		// The swap fails where anything changed, the flags among it: nothing is ever taken back.
		w := r.word.Load()
		switch {
		case w&(closed|out) != 0:
			return shut
		case limit > 0 && w&inFlight >= uint64(limit):
			return full
		case r.word.CompareAndSwap(w, w+1):
			r.total.Add(1)
			return taken
		}
	}
}

// Release gives a Take back: once for each, which the caller sees to. It tells whether that was the
// last request of a closed route, so that what is kept for it can go.
func (r *Route) Release() (last bool) {
	w := r.word.Load()
	for {
		if w&inFlight == 0 { // nothing is taken away: others count on the word
			panic("balance: route " + r.id + " was released more often than taken")
		}
		if r.word.CompareAndSwap(w, w-1) {
			break
		}
		w = r.word.Load()
	}
	w--
	if w&inFlight == 0 && w&waiting != 0 {
		r.wake()
	}
	return w&inFlight == 0 && w&closed != 0
}

// SetClosed keeps new requests from the route or lets them in again. After SetClosed(true) returned
// nobody takes it.
func (r *Route) SetClosed(is bool) {
	if is {
		r.word.Or(closed)
	} else {
		r.word.And(^uint64(closed))
	}
}

// setOut is SetClosed for a balance that has it no longer, or has it again.
func (r *Route) setOut(is bool) {
	if is {
		r.word.Or(out)
	} else {
		r.word.And(^uint64(out))
	}
}

// WaitIdle returns when nothing is in flight, or with ctx's cause. It keeps nothing from coming: close
// the route first, or take it out of its balance.
func (r *Route) WaitIdle(ctx context.Context) error {
	idle := r.idleness()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for route %s, which has %d requests in flight: %w", r.id, r.InFlight(), context.Cause(ctx))
	}
}

// idleness is what to wait for; nil where nothing is in flight. The flag and the number are one word:
// whoever gives back the last one either did so before, and it is seen here, or sees the flag.
func (r *Route) idleness() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.word.Or(waiting)&inFlight == 0 {
		r.tell()
		return nil
	}
	if r.idle == nil {
		r.idle = make(chan struct{})
	}
	return r.idle
}

// wake tells those who wait. One who came in between makes them wait on: its release is another wake.
func (r *Route) wake() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.word.Load()&inFlight == 0 {
		r.tell()
	}
}

func (r *Route) tell() {
	r.word.And(^uint64(waiting))
	if r.idle != nil {
		close(r.idle)
		r.idle = nil
	}
}
