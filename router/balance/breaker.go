package balance

import "time"

// How long a route that fails is passed over: doubled from first to most.
const (
	firstPause = 250 * time.Millisecond
	mostPause  = 5 * time.Second
)

// tolerated is how many gateway faults in a row a route may have before it is passed over.
const tolerated = 4

// Fault is what went wrong with a route.
type Fault uint8

// The kinds of faults.
const (
	Connect Fault = iota // no connection was had: speaks against the route at once
	Gateway              // 502, 503 or 504, broken before the first byte, or silent: five in a row do
)

// State is what the breaker of a route says.
type State uint8

// The states of a breaker.
const (
	Closed   State = iota // nothing speaks against the route
	Open                  // it is passed over where there are others
	HalfOpen              // the next request may try it, or one is trying it
)

func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	default:
		return "closed"
	}
}

// mark is what speaks against a route. It is never changed: the next one takes its place.
type mark struct {
	fails int       // pauses in a row, this one among them
	ends  time.Time // of the pause; then one may try
	trial bool      // one tries: the pause began anew, for the others
}

// Worked notes that the route answered: whatever spoke against it is forgotten.
func (r *Route) Worked() {
	if r.faults.Load() != 0 {
		r.faults.Store(0)
	}
	if r.mark.Load() != nil {
		r.mark.Store(nil)
	}
}

// Failed notes a fault at now. Faults beside the one that opened the breaker count with it; one in a
// trial makes the next pause longer.
func (r *Route) Failed(now time.Time, kind Fault) {
	few := kind == Gateway && r.faults.Add(1) <= tolerated
	for {
		m := r.mark.Load()
		next := mark{fails: 1}
		switch {
		case m == nil && few:
			return
		case m != nil && now.Before(m.ends) && !m.trial:
			return
		case m != nil:
			next.fails = m.fails + 1
		}
		next.ends = now.Add(pause(next.fails))
		if r.mark.CompareAndSwap(m, &next) {
			return
		}
	}
}

// State is what the breaker says at now.
func (r *Route) State(now time.Time) State {
	switch m := r.mark.Load(); {
	case m == nil:
		return Closed
	case m.trial || !now.Before(m.ends):
		return HalfOpen
	default:
		return Open
	}
}

// Suspect tells whether the route failed and has not answered since.
func (r *Route) Suspect() bool { return r.mark.Load() != nil }

// claim takes the trial that m is due for. One of those who see m gets it; nil for the others.
func (r *Route) claim(m *mark, now time.Time) *mark {
	next := &mark{fails: m.fails, ends: now.Add(pause(m.fails)), trial: true}
	if !r.mark.CompareAndSwap(m, next) {
		return nil
	}
	return next
}

// unclaim gives the trial back for which there was no slot.
func (r *Route) unclaim(claimed, before *mark) { r.mark.CompareAndSwap(claimed, before) }

func pause(fails int) time.Duration { return min(firstPause<<min(fails-1, 10), mostPause) }
