package sessions

import (
	"cmp"
	"slices"

	"github.com/palisade-run/palisade/accel"
)

const (
	// weighed is for how many of the most promising nodes it is worked out exactly what would have to end.
	weighed = 8
	// tries is on how many nodes that is tried before giving up.
	tries = 64
)

// plan is how a session comes to fit on one node: first a guess by sums, then exactly.
type plan struct {
	node   int
	parts  int    // how many containers of the session go there
	before bool   // room was kept there in the pass before
	ends   ending // the least likely of those that must end
	count  int    // how many must end
	waits  []*holder
	after  accel.State // later, without them
}

// compare sorts the node where a session will fit soonest to the front.
func (a plan) compare(b plan) int {
	return cmp.Or(cmp.Compare(a.ends, b.ends), cmp.Compare(a.count, b.count), falseLast(a.before, b.before), cmp.Compare(a.node, b.node))
}

func falseLast(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// plans works out how a session comes to fit on the most promising nodes, the best first: at least most of them
// if there are so many, and all those where room was kept before and still can be.
func (p *pass) plans(w *want, before []string, most int) []plan {
	var guesses []plan
	for i := range p.nodes.now {
		if g, ok := p.guess(w, part{i, w.shape.count}); ok {
			g.before = slices.Contains(before, p.nodes.now[i].Name())
			guesses = append(guesses, g)
		}
	}
	slices.SortFunc(guesses, func(a, b plan) int { return cmp.Or(falseLast(a.before, b.before), a.compare(b)) })
	var plans []plan
	for at, g := range guesses {
		if !g.before && (len(plans) >= max(weighed, most) || at >= max(tries, most)) {
			break
		}
		if exact, ok := p.exactly(w, g); ok {
			plans = append(plans, exact)
		}
	}
	slices.SortFunc(plans, plan.compare)
	return plans
}

// guess adds up what ends until it could be enough, which is never later than it is.
func (p *pass) guess(w *want, on part) (plan, bool) {
	node, scale := on.node, w.shape.scale(on.count)
	g := plan{node: node, parts: on.count}
	if !w.shape.on(node) {
		return g, false
	}
	later := p.nodes.later[node]
	var missing [8]accel.Amount // asks of more slots than that are only guessed more roughly
	short := 0
	for k, a := range w.shape.asks[:min(len(w.shape.asks), len(missing))] {
		switch lack := a.amount*scale - later.Free(a.slot); {
		case p.nodes.totals[a.column][node] < a.amount*scale:
			return g, false
		case lack > 0:
			missing[k] = lack
			short++
		}
	}
	for _, h := range p.all().ending[node] {
		if short == 0 {
			return g, true
		}
		if h.gone {
			continue
		}
		g.ends, g.count = max(g.ends, h.ends), g.count+1
		for k := range missing[:min(len(w.shape.asks), len(missing))] {
			if missing[k] > 0 {
				if missing[k] -= h.gains[w.shape.asks[k].column]; missing[k] <= 0 {
					short--
				}
			}
		}
	}
	return g, short == 0
}

// exactly works out who must end on a node: as few as the order in which they end allows, none of whom
// could stay.
func (p *pass) exactly(w *want, g plan) (plan, bool) {
	state, need := p.nodes.later[g.node], w.shape.of(g.parts)
	var gone []*holder
	for _, h := range p.all().ending[g.node] {
		if state.Fits(need) {
			break
		}
		if !h.gone {
			state, gone = h.outOf(state), append(gone, h)
		}
	}
	if !state.Fits(need) {
		return g, false
	}
	g.waits, g.after = spare(need, state, gone, p.nodes.later[g.node])
	g.count, g.ends = len(g.waits), endsByItself
	for _, h := range g.waits {
		g.ends = max(g.ends, h.ends)
	}
	return g, true
}

// spare puts back who can stay, the last ones first, and returns the rest and the state without them.
func spare(need *accel.Need, state accel.State, gone []*holder, before accel.State) ([]*holder, accel.State) {
	var rest []*holder
	for _, h := range slices.Backward(gone) {
		beside, had := h.backInto(state, before)
		if had && !beside.Fits(need) {
			rest = append(rest, h)
		} else if had {
			state = beside
		}
	}
	slices.Reverse(rest)
	return rest, state
}

// keepPlan keeps a node's room for a session, as its plan says.
func (p *pass) keepPlan(w *want, g plan) {
	claim, err := g.after.Allocate(w.ID, w.shape.of(g.parts))
	if err != nil {
		return // never: it fits
	}
	p.nodes.later[g.node] = g.after.With(claim)
	p.nodes.level(g.node, w.ID)
	for _, h := range g.waits {
		h.gone = true
	}
	w.kept.nodes = append(w.kept.nodes, g.node)
}
