package balance

import "math"

// dueParts is the unit of Route.due: parts of a turn.
const dueParts = 256

// loadParts is the unit of loads: one request on a route with one share.
const loadParts = 1 << 24

// mostLooks is how often a search begins anew since others took what it had found.
const mostLooks = 4

// leastInFlight takes the one with the least in flight for its weight; of several the one that is due
// first, so that equals alternate, also where nothing is ever in flight when one looks.
func (p *pick) leastInFlight() *member {
	for range mostLooks {
		m := p.idlest()
		if m == nil {
			return nil
		}
		if p.take(m) {
			p.s.level.took(m)
			return m
		}
	}
	return p.amongTheRest()
}

// enough is how many routes are looked at where any of them would do. No box has more; of a hundred
// the least of 32 is as good as the least of all, and costs a third.
const enough = 32

// idlest looks at all routes, or at enough of them, others each time. Its loop does no more than it
// must: a load that is no less than the least so far needs no second look.
func (p *pick) idlest() *member {
	best, least, soonest := -1, uint64(math.MaxUint64), uint64(0)
	routes, inverse := p.s.routes, p.s.inverse[:len(p.s.routes)]
	i := 0
	if len(routes) > enough {
		i = int(p.s.level.turn.Load() * enough % uint64(len(routes)))
	}
	for n := range routes {
		if n >= enough && best >= 0 {
			break
		}
		r, at := routes[i], i
		load := (r.word.Load() & inFlight) * inverse[i]
		if i++; i == len(routes) {
			i = 0
		}
		if load > least {
			continue
		}
		due := r.due.Load()
		if load == least && due >= soonest || !p.may(r) {
			continue
		}
		best, least, soonest = at, load, due
	}
	if best < 0 {
		return nil
	}
	return &p.s.members[best]
}

// took moves the time at which m is due next: one of its strides after it was due, or from now where
// that is long ago, so that nobody saves up turns.
func (l *level) took(m *member) {
	now := l.turn.Add(1) * dueParts
	due := &m.route.due
	due.Store(max(due.Load(), now-min(now, m.stride)) + m.stride)
}
