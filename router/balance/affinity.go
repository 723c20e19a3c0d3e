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
	g := guard{p: p, slack: slack}
	key := p.ask.Key
	for range mostMoves {
		key += golden
		m := &p.s.members[p.s.places[mix(key)%places]]
		if p.may(m) && g.lets(m) && p.take(m) {
			p.b.took(m)
			return m
		}
	}
	return p.leastInFlight()
}

// guard keeps any route from carrying over 125 % of its part of what is in flight.
type guard struct {
	p      *pick
	slack  uint64  // in flight that is always let
	part   float64 // in flight for a weight of one that is let; 0: not looked yet
	looked bool
}

const guarded = 1.25

// lets tells whether m may take one more.
func (g *guard) lets(m *member) bool {
	more := m.route.word.Load()&inFlight + 1
	if more <= max(g.slack, 1) { // one is always let: 125 % of anything is rounded up
		return true
	}
	if !g.looked {
		g.look()
	}
	return float64(more) <= math.Ceil(g.part*m.weight)
}

// look sums what those carry among whom this one request can be shared, with it.
func (g *guard) look() {
	flying, weight := uint64(1), 0.0
	for i := range g.p.s.members {
		m := &g.p.s.members[i]
		if w := m.route.word.Load(); w&(closed|out) == 0 && g.p.eligible(m) {
			flying += w & inFlight
			weight += m.weight
		}
	}
	g.part, g.looked = guarded*float64(flying)/weight, true
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
			weight: m.weight, hash: m.route.hash, index: int32(i), //nolint:gosec // an index
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
