package balance

// mostSkips is how many turns one request lets pass before it looks at all that are left.
const mostSkips = 8

// inTurn takes the next of the schedule. The turn of one that cannot be taken is over for everybody:
// so what is left is the schedule without it, and its share goes to the others evenly. Going on from
// it without letting turns pass would give all of it to its neighbour.
func (p *pick) inTurn() *member {
	if len(p.ask.Tried) > 0 {
		// A second try takes no turn: where one route sends all that it gets away, as one of two, every request
		// would be its turn.
		return p.amongTheRest()
	}
	for range min(mostSkips, len(p.s.schedule)) {
		m := &p.s.members[p.s.schedule[p.s.at(p.s.level.turn.Add(1)-1)]]
		if p.take(m) {
			return m
		}
	}
	return p.amongTheRest()
}

// amongTheRest looks at every member: turns of their own are shared out among those that could be
// taken, in proportion to their weights.
func (p *pick) amongTheRest() *member {
	sum := uint64(0)
	for i := range p.s.members {
		if m := &p.s.members[i]; p.may(m.route) {
			sum += m.share
		}
	}
	if sum == 0 {
		return nil
	}
	left := (p.s.level.spare.Add(1) - 1) % sum
	first := 0
	for i := range p.s.members {
		m := &p.s.members[i]
		if !p.may(m.route) {
			continue
		}
		if first = i; left < m.share {
			break
		}
		left -= m.share
	}
	// Others take and close meanwhile: the first that can still be had from there on.
	for i := range p.s.members {
		if m := &p.s.members[(first+i)%len(p.s.members)]; p.take(m) {
			return m
		}
	}
	return nil
}
