package balance

import (
	"hash/maphash"
	"math"
	"slices"
)

// Bounds of Settings.PrefixBlock, and of what is looked at of one prompt.
const (
	leastBlock = 16
	mostBlock  = 4096
	mostPrompt = 1 << 20 // bytes
	mostMarks  = 448     // remembered beginnings of the longest prompt with the shortest blocks
	mostGaps   = 4       // forgotten beginnings in a row, then the rest is not known either
)

// prefixed takes the route with the least to do: what it has not computed of this prompt, and for each
// request that it carries what requests bring of late. A conversation so stays where it is while that
// saves more than waiting costs. No route gets over 125 % of its part of what is in flight.
func (p *pick) prefixed() *member {
	if p.ask.Prompt == nil || len(p.s.members) == 1 {
		return p.leastInFlight()
	}
	if !slices.ContainsFunc(p.s.routes, p.may) {
		return nil // before reading, since the search may begin anew
	}
	l, _ := p.b.looks.Get().(*look)
	if l == nil {
		l = &look{}
		l.yield = l.feed // once: a method value is an allocation
	}
	defer p.b.looks.Put(l)
	l.begin(p.s)
	p.ask.Prompt(l.yield)
	stamp := p.s.memory.stamp(p.ask.Now)
	l.recognise(p.s, stamp)
	m := p.cheapest(l)
	if m == nil {
		m = p.leastInFlight()
	}
	if m != nil {
		l.learn(p.s, m, stamp)
	}
	return m
}

// cheapest takes the best member that the guard lets; nil where others were faster, or there is none.
func (p *pick) cheapest(l *look) *member {
	burden := float64(max(p.s.memory.mean.Load(), uint64(p.s.PrefixBlock))) / loadParts * float64(len(p.s.schedule)) / float64(len(p.s.members))
	for range mostLooks {
		g := guard{p: p}
		best, least, soonest := -1, math.Inf(1), uint64(0)
		for i, r := range p.s.routes {
			load := float64((r.word.Load()&inFlight)*p.s.inverse[i]) * burden
			cost, due := load+float64(l.work(i)), r.due.Load()
			if cost > least || cost == least && due >= soonest || !p.may(r) || !g.lets(&p.s.members[i]) {
				continue
			}
			best, least, soonest = i, cost, due
		}
		if best < 0 {
			return nil
		}
		if m := &p.s.members[best]; p.take(m) {
			p.s.level.took(m)
			return m
		}
	}
	return nil
}

// look is one prompt, cut into blocks. Each hash is of a beginning, up to the end of a block, so that
// one number stands for all before it.
type look struct {
	yield func(p []byte) bool
	seed  maphash.Seed
	block int // bytes
	size  int // of the prompt, as far as seen

	chain  uint64 // of the blocks so far
	blocks int
	next   int // the number of blocks at which the next beginning is remembered
	part   [mostBlock]byte
	filled int // of part: a block that is not whole yet

	marks  [mostMarks]uint64 // the beginnings that are remembered,
	ends   [mostMarks]int32  // and how many blocks each has
	marked int
	known  []int32 // by member: how many blocks it was given before
	common int32   // how many anybody has
}

func (l *look) begin(s *roster) {
	l.seed, l.block, l.size = s.memory.seed, s.PrefixBlock, 0
	l.chain, l.blocks, l.next, l.filled, l.marked, l.common = golden, 0, 1, 0, 0, 0
	l.known = slices.Grow(l.known[:0], len(s.members))[:len(s.members)]
	clear(l.known)
}

// feed takes the next piece of the prompt; false: no more are wanted.
func (l *look) feed(p []byte) bool {
	p = p[:min(len(p), mostPrompt-l.size)]
	l.size += len(p)
	if l.filled > 0 {
		n := copy(l.part[l.filled:l.block], p)
		l.filled += n
		p = p[n:]
		if l.filled < l.block {
			return l.size < mostPrompt
		}
		l.add(l.part[:l.block])
	}
	for len(p) >= l.block {
		l.add(p[:l.block])
		p = p[l.block:]
	}
	l.filled = copy(l.part[:l.block], p)
	return l.size < mostPrompt
}

func (l *look) add(block []byte) {
	l.chain = mix(l.chain ^ maphash.Bytes(l.seed, block))
	l.blocks++
	if l.blocks == l.next && l.marked < mostMarks {
		l.marks[l.marked], l.ends[l.marked] = l.chain, int32(l.blocks)
		l.marked++
		l.next += step(l.blocks)
	}
}

// recognise finds how much of the prompt each member was given before.
func (l *look) recognise(s *roster, stamp uint64) {
	gap := 0
	for i, hash := range l.marks[:l.marked] {
		some, common := s.memory.find(hash, stamp, seen{l.known, s.bySeat, l.ends[i]})
		if common {
			l.common = l.ends[i]
		}
		if gap++; some {
			gap = 0
		} else if gap == mostGaps {
			return
		}
	}
}

// work is how many bytes of the prompt the member i has to compute.
func (l *look) work(i int) int { return l.size - int(max(l.known[i], l.common))*l.block }

// learn notes that m is given the prompt.
func (l *look) learn(s *roster, m *member, stamp uint64) {
	s.memory.brought(uint64(l.work(s.index(m.route))))
	for _, hash := range l.marks[:l.marked] {
		s.memory.learn(hash, stamp, m.seat)
	}
}
