package sessions

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/palisade-run/palisade/accel"
)

// preempt asks others to give way to a session that may preempt, if together they make room for it, and
// keeps their room for it. Victims are of strictly lower priority, preemptible, no routes, have run for their
// least time, and are not being ended already. A session that may be on several nodes does not. Of all sets of them that suffice, and none of whom could stay,
// it takes the smallest; then the one whose highest priority is the lowest; then the youngest.
func (p *pass) preempt(w *want) bool {
	if !w.Preempts && w.Type != TypeInference || w.shape.spread || w.shape.noVictims[w.Priority] {
		return false
	}
	if p.preempts >= preempting {
		p.lookAgain(p.now)
		return false
	}
	best, found := p.cheapest(w)
	if !found {
		w.shape.noVictims[w.Priority] = true
		return false
	}
	p.preempts++
	for _, v := range best.victims {
		p.decision.Preempt = append(p.decision.Preempt, Preemption{Victim: v.ID, For: w.ID, Reason: givesWay(w, v)})
		for _, part := range v.all() {
			p.nodes.leave(part.node, v.Held)
			part.leaves, part.gone = true, true
		}
	}
	slices.Sort(p.nodes.leaving)
	for _, s := range p.shapes.known { // what the victims hold is more than what w needs: others may wait for the rest
		s.noSoon = false
	}
	p.keepCertain(w, part{best.node, w.shape.count})
	w.kept.victims = true
	return true
}

// givesWay says to a victim's people for whom it does.
func givesWay(w *want, v *holder) string {
	who := nameOf(w.Name, w.ID)
	if w.ServiceName != "" {
		who += " of service " + w.ServiceName
	}
	if v.Project != w.Project {
		who = "a session of another project"
	}
	return fmt.Sprintf("gives way to %s, which has priority %d and asks for %s", who, w.Priority, w.shape.slots)
}

// victims is a set of sessions of one node that together make room.
type victims struct {
	node    int
	victims []*holder
}

// compare sorts the set that costs least to the front.
func (a victims) compare(b victims) int {
	highest := func(v victims) int {
		return slices.MaxFunc(v.victims, func(a, b *holder) int { return cmp.Compare(a.Priority, b.Priority) }).Priority
	}
	oldest := func(v victims) *holder { return slices.MinFunc(v.victims, compareStart) }
	return cmp.Or(cmp.Compare(len(a.victims), len(b.victims)), cmp.Compare(highest(a), highest(b)),
		compareStart(oldest(b), oldest(a)), cmp.Compare(a.node, b.node))
}

// cheapest finds the best set of victims. Nodes are guessed at by sums first; the most promising ones are worked out.
func (p *pass) cheapest(w *want) (best victims, found bool) {
	type guess struct{ node, count int }
	var guesses []guess
	r := p.reclaimable(w.Priority)
	for i := range p.nodes.now {
		if count, ok := p.guessVictims(w, r, i); ok {
			guesses = append(guesses, guess{i, count})
		}
	}
	slices.SortFunc(guesses, func(a, b guess) int { return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.node, b.node)) })
	for at, g := range guesses {
		if at >= weighed && found || at >= tries {
			break
		}
		if set, ok := p.victimsOn(w, g.node); ok && (!found || set.compare(best) < 0) {
			best, found = set, true
		}
	}
	return best, found
}

// guessVictims tells how many victims a node needs at least, by sums; false: all together are not enough.
func (p *pass) guessVictims(w *want, r *reclaim, node int) (int, bool) {
	if !w.shape.on(node) {
		return 0, false
	}
	least := 1
	for _, a := range w.shape.asks {
		free := p.nodes.columns[a.column][node]
		if soon := p.nodes.soon[node]; soon != p.nodes.now[node] {
			free = soon.Free(a.slot)
		}
		switch lack, each := a.amount-free, r.each[a.column][node]; {
		case lack <= 0:
		case lack > r.most[a.column][node]:
			return 0, false
		default:
			least = max(least, int((lack+each-1)/each))
		}
	}
	return least, true
}

// victimsOn works out the best set of victims of one node. Few large ones may do as well as many cheap ones: both
// are tried.
func (p *pass) victimsOn(w *want, node int) (best victims, found bool) {
	soon := p.nodes.soon[node]
	cheap := slices.Collect(p.eligible(w.Priority, node))
	for _, order := range [][]*holder{cheap, largest(w.shape, soon, cheap)} {
		state := soon
		var gone []*holder
		for _, h := range order {
			if state.Fits(&w.shape.need) {
				break
			}
			state, gone = h.outOf(state), append(gone, h)
		}
		if !state.Fits(&w.shape.need) {
			return best, false
		}
		rest, _ := spare(&w.shape.need, state, gone, soon)
		if set := (victims{node, rest}); !found || set.compare(best) < 0 {
			best, found = set, true
		}
	}
	return best, found
}

// largest sorts first those who give the largest part of all that is short.
func largest(s *shape, soon accel.State, hs []*holder) []*holder {
	lacks := make([]accel.Amount, len(s.asks))
	for k := range s.asks {
		lacks[k] = s.asks[k].amount - soon.Free(s.asks[k].slot)
	}
	part := func(h *holder) float64 {
		least := 1.0
		for k, lack := range lacks {
			if lack > 0 {
				least = min(least, float64(h.gains[s.asks[k].column])/float64(lack))
			}
		}
		return least
	}
	sorted := slices.Clone(hs)
	slices.SortStableFunc(sorted, func(a, b *holder) int { return cmp.Compare(part(b), part(a)) })
	return sorted
}
