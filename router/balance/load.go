package balance

// dueParts is the unit of Route.due: parts of a turn.
const dueParts = 256

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
			p.b.took(m)
			return m
		}
	}
	return p.amongTheRest()
}

func (p *pick) idlest() *member {
	var best *member
	var least float64
	for i := range p.s.members {
		m := &p.s.members[i]
		w := m.route.word.Load()
		load := float64(w&inFlight) * m.inverse
		if best != nil && (load > least || load == least && m.route.due.Load() >= best.route.due.Load()) {
			continue
		}
		if p.may(m) {
			best, least = m, load
		}
	}
	return best
}

// took moves the time at which m is due next: one of its strides after it was due, or from now where
// that is long ago, so that nobody saves up turns.
func (b *Balance) took(m *member) {
	now := b.turn.Add(1) * dueParts
	due := &m.route.due
	due.Store(max(due.Load(), now-min(now, m.stride)) + m.stride)
}
