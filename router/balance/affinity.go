package balance

import (
	"cmp"
	"math"
	"slices"
)

// places is the size of the table in which keys find their route: a prime, so that every step through
// it comes by every place. With up to 160 routes it gives each its share within one in a hundred.
const places = 16381

// mostMoves is how many routes a key knows that come before the least loaded one.
const mostMoves = 8

// slack is what a route may always have in flight for its sessions, whatever the others have: engines
// answer several at once, and a session that leaves its route leaves what it had computed there.
const slack = 8

// affine takes the route where the key belongs. Where it cannot be taken, or has more than its part of
// what is in flight, the key has a second place, and a third: the same ones each time, and not the same
// ones for all keys of one route, so that its sessions spread over all others and come back to it.
func (p *pick) affine() *member {
	if p.ask.Key == 0 {
		return p.inTurn()
	}
	key := p.ask.Key
	g := guard{p: p, slack: slack, window: enough, from: key}
	for range mostMoves {
		key += golden
		m := &p.s.members[p.s.places[mix(key)%places]]
		if g.lets(m) && p.take(m) {
			return m
		}
	}
	return p.leastInFlight()
}

// guard keeps any route from carrying over 125 % of its part of what is in flight.
type guard struct {
	p      *pick
	slack  uint64 // in flight that is always let
	window int    // routes that are looked at, from a place of from; 0: all, each time
	from   uint64
	part   float64
	looked bool
}

const (
	guarded = 1.25
	fresh   = 8 // requests of a route in which what was seen through a window is seen anew
)

// lets tells whether m may take one more.
func (g *guard) lets(m *member) bool {
	more := m.route.word.Load()&inFlight + 1
	if more <= max(g.slack, 1) { // one is always let: 125 % of anything is rounded up
		return true
	}
	lets := func() bool { return float64(more) <= math.Ceil(g.part*float64(m.share)) }
	if g.looked {
		return lets()
	}
	if g.window > 0 && m.route.total.Load()%fresh != 0 {
		// What was seen a moment ago may let, and keeps nobody out.
		if g.part = math.Float64frombits(g.p.s.level.part.Load()); lets() {
			return true
		}
	}
	g.part, g.looked = g.look(), true
	if g.window > 0 {
		g.p.s.level.part.Store(math.Float64bits(g.part))
	}
	return lets()
}

// look is what one share may carry, with this request: the mean over those among whom it can be
// shared, and a quarter more.
func (g *guard) look() float64 {
	s, all := g.p.s, len(g.p.ask.Tried) == 0
	shares, flying, sum := s.shares[:len(s.routes)], uint64(1), 0
	i, count := 0, len(s.routes)
	if g.window > 0 && count > g.window {
		i, count = int(g.from%uint64(count)), g.window
	}
	for range count {
		r := s.routes[i]
		w := r.word.Load()
		// First what is true of nearly all of them: this loop is most of what a pick costs.
		if w&(closed|out) == 0 && (all && r.mark.Load() == nil || g.p.eligible(r)) {
			flying += w & inFlight
			sum += shares[i]
		}
		if i++; i == len(shares) {
			i = 0
		}
	}
	return guarded * float64(flying) / float64(sum)
}

// newPlaces gives every place to a member, as Maglev does: each has an order of its own in which it
// would have the places, and they choose in turn, by weight. One that comes or goes moves hardly any
// key but those that it gets or had.
func newPlaces(members []member) []int32 {
	type chooser struct {
		next, step, chosen uint64
		weight             float64
		hash               uint64
		index              int32
	}
	highest, choosers := 0.0, make([]chooser, len(members))
	for i := range members {
		m := &members[i]
		highest = max(highest, m.weight)
		choosers[i] = chooser{
			next: m.route.hash % places, step: mix(m.route.hash+golden)%(places-1) + 1,
			weight: m.weight, hash: m.route.hash, index: int32(i),
		}
	}
	// In an order of their own: how the table lists them moves nobody.
	slices.SortFunc(choosers, func(a, b chooser) int { return cmp.Compare(a.hash, b.hash) })
	out := make([]int32, places)
	for i := range out {
		out[i] = -1
	}
	left := places
	for round := 1.0; ; round++ {
		for i := range choosers {
			c := &choosers[i]
			if float64(c.chosen) >= round*c.weight/highest {
				continue
			}
			for out[c.next] >= 0 {
				c.next = (c.next + c.step) % places
			}
			out[c.next] = c.index
			c.chosen++
			if left--; left == 0 {
				return out
			}
		}
	}
}
