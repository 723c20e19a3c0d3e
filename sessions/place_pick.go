package sessions

import "github.com/palisade-run/palisade/accel"

// pick chooses among the nodes that have room for a shape now; -1: none has. In order:
//  1. For a route, the nodes with the fewest routes of its service, which beside counts by node: what befalls one box is to befall as
//     few of them as can be. nil: it is none.
//  2. For a session that asks for no accelerator, nodes without any come before all others.
//  3. Round robin takes the next by name after last.
//  4. The others compare what is left of the accelerators that are asked for, then how many times the
//     asked cores and memory would fit, then cores and memory; concentrated takes the least, dispersed the most.
//  5. Among equals the first by name.
func (n *nodes) pick(s *shape, last string, beside []int) int {
	if s.strategy == StrategyRoundRobin {
		return n.pickNext(s, last, beside)
	}
	best, rank := -1, left{}
	cpu, mem, device := n.columns[cpuColumn], n.columns[memColumn], n.columns[s.device]
	for i := range cpu { // a thousand nodes for each of a thousand sessions: this must be quick
		if cpu[i] < s.cpu || mem[i] < s.mem || device[i] < s.devices {
			continue
		}
		l := left{times: float64(cpu[i]) * s.perCPU}
		if times := float64(mem[i]) * s.perMem; times < l.times {
			l.times = times
		}
		if s.kind != "" {
			l.devices = device[i]
		} else if n.equipped[i] {
			l.spoils = 1
		}
		if beside != nil {
			l.beside = beside[i]
		}
		if best >= 0 && (l.beside > rank.beside || l.beside == rank.beside && (l.spoils > rank.spoils || l.spoils == rank.spoils && !n.better(s, l, rank, i, best))) {
			continue
		}
		if n.fits(s, i) {
			best, rank = i, l
		}
	}
	return best
}

// left is what nodes are compared by.
type left struct {
	beside  int          // routes of the same service
	spoils  int          // 1: it has accelerators, and none is asked for
	devices accel.Amount // of the first accelerator that is asked for
	times   float64      // how many sessions like this one the free cores and memory would take
}

// better reports whether i, of which a is left, is to be taken rather than j, which comes before it by name.
func (n *nodes) better(s *shape, a, b left, i, j int) bool {
	more := a.devices - b.devices
	if more == 0 && s.several {
		for k := range s.asks {
			if ask := &s.asks[k]; ask.column > memColumn && more == 0 {
				more = ask.free[i] - ask.free[j]
			}
		}
	}
	if more == 0 && a.times != b.times {
		return a.times > b.times != (s.strategy == StrategyConcentrated)
	}
	if more == 0 {
		more = n.columns[cpuColumn][i] - n.columns[cpuColumn][j]
	}
	if more == 0 {
		more = n.columns[memColumn][i] - n.columns[memColumn][j]
	}
	return more != 0 && more > 0 != (s.strategy == StrategyConcentrated)
}

// pickNext is round robin.
func (n *nodes) pickNext(s *shape, last string, beside []int) int {
	best, rank := -1, 0
	for i := range n.now {
		place := 0
		if beside != nil {
			place = 4 * beside[i]
		}
		if s.kind == "" && n.equipped[i] {
			place += 2
		}
		if n.now[i].Name() <= last {
			place++ // only after all behind the last one
		}
		if (best < 0 || place < rank) && n.fits(s, i) {
			best, rank = i, place
		}
	}
	return best
}

// fits reports whether a node has room for a shape now.
func (n *nodes) fits(s *shape, i int) bool {
	for k := range s.asks {
		if s.asks[k].free[i] < s.asks[k].amount {
			return false
		}
	}
	return s.on(i) && (!s.pieces || n.now[i].Fits(&s.need))
}
