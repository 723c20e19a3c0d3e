package balance

import (
	"slices"
	"time"
)

// Ask is what a request says about itself. It may be used again as soon as Acquire has returned.
type Ask struct {
	Now    time.Time
	Key    uint64                          // a hash of its session; 0: none
	Prompt func(yield func(p []byte) bool) // the pieces of its prompt, in order; nil: none
	Tried  []*Route                        // those that did not take it
	Retry  bool                            // costs of the service's budget
}

// Verdict is why Acquire gave a route, or none.
type Verdict uint8

// The verdicts.
const (
	Taken Verdict = iota // there is a route: Release it
	Busy                 // those that could take it have as many in flight as they may
	None                 // there is none that could
	Spent                // the service's retries are used up
)

func (v Verdict) String() string {
	return [...]string{"taken", "busy", "none", "spent"}[v&3]
}

// Acquire picks a route and takes it. It decides so:
//  1. A retry that the budget does not pay for gets none.
//  2. Of the routes that were not tried, are not closed, below the limit, and not passed over by their
//     breaker, the policy chooses.
//  3. Where such routes are only missing since they are full: Busy. One that fails is no way out.
//  4. Where all are passed over they are used all the same: what was seen on the way only ever
//     prefers, and who may answer is the table's word.
//
// Those that are far are looked at in 2 when no near one was taken, be they full or passed over; in 4 too the near ones come
// first.
func (b *Balance) Acquire(ask *Ask) (*Route, Verdict) {
	if ask.Retry && !b.budget.spend() { // 1
		return nil, Spent
	}
	for {
		s := b.roster.Load()
		r, v := b.acquire(s, ask)
		if v == Taken {
			return r, v
		}
		// Who looked at a roster that was replaced meanwhile has seen routes leave, and none come.
		if b.roster.Load() == s {
			if ask.Retry {
				b.budget.refund()
			}
			return nil, v
		}
	}
}

func (b *Balance) acquire(s *roster, ask *Ask) (*Route, Verdict) {
	if s == nil {
		return nil, None
	}
	p := pick{b: b, ask: ask}
	if m := p.search(s); m != nil { // 2
		return m.route, Taken
	}
	if p.full { // 3
		return nil, Busy
	}
	p.forced = true // 4
	if m := p.search(s); m != nil {
		return m.route, Taken
	}
	if p.full {
		return nil, Busy
	}
	return nil, None
}

// search chooses among the near ones, and then among the far ones.
func (p *pick) search(s *roster) *member {
	for ; s != nil; s = s.far {
		if len(s.members) == 0 {
			continue
		}
		p.s = s
		if m := p.choose(); m != nil {
			return m
		}
	}
	return nil
}

// pick is one search for a route.
type pick struct {
	b      *Balance
	s      *roster
	ask    *Ask
	forced bool // also those that their breaker passes over
	full   bool // one was seen that only the limit kept
}

// choose gives a member whose route is taken, or nil. Only where nothing can be taken is it nil.
func (p *pick) choose() *member {
	switch p.s.Policy {
	case LeastInFlight:
		return p.leastInFlight()
	case SessionAffinity:
		return p.affine()
	case Prefix:
		return p.prefixed()
	default:
		return p.inTurn()
	}
}

// may tells whether r could be taken now.
func (p *pick) may(r *Route) bool {
	w := r.word.Load()
	if w&(closed|out) != 0 || !p.eligible(r) {
		return false
	}
	if p.s.Limit > 0 && w&inFlight >= uint64(p.s.Limit) {
		p.full = true
		return false
	}
	return true
}

// eligible tells whether r was not tried and its breaker lets it be.
func (p *pick) eligible(r *Route) bool {
	if len(p.ask.Tried) > 0 && slices.Contains(p.ask.Tried, r) {
		return false
	}
	k := r.mark.Load()
	return k == nil || p.forced || !p.ask.Now.Before(k.ends)
}

// take takes m's route.
func (p *pick) take(m *member) bool {
	r := m.route
	if len(p.ask.Tried) > 0 && slices.Contains(p.ask.Tried, r) {
		return false
	}
	k := r.mark.Load()
	if k != nil {
		return p.takeMarked(r, k)
	}
	return p.slot(r)
}

// takeMarked takes a route against which k speaks, and with it the trial that it may be due for: only
// one does. A trial for which there is no slot is given back.
func (p *pick) takeMarked(r *Route, k *mark) bool {
	if p.ask.Now.Before(k.ends) {
		return p.forced && p.slot(r)
	}
	trial := r.claim(k, p.ask.Now)
	if trial == nil {
		return p.forced && p.slot(r)
	}
	if p.slot(r) {
		return true
	}
	r.unclaim(trial, k)
	return false
}

func (p *pick) slot(r *Route) bool {
	got := r.take(p.s.Limit)
	p.full = p.full || got == full
	return got == taken
}
