package sessions

import (
	"slices"
	"time"
)

// kept is the room that is kept for a session.
type kept struct {
	nodes   []int     // the first is where it will probably fit first
	waits   []*holder // who must go from the first node
	certain bool      // they are being ended
	victims bool      // to make room for this session
}

// awaitLeaving keeps room for a session that fits when those have gone that are being ended.
func (p *pass) awaitLeaving(w *want) bool {
	if w.shape.noSoon {
		return false
	}
	for _, i := range p.nodes.leaving {
		if w.shape.on(i) && p.nodes.soon[i].Fits(&w.shape.need) {
			p.keepCertain(w, i)
			return true
		}
	}
	w.shape.noSoon = true
	return false
}

// needed lists those of a node that are being ended and must have ended before a session fits there.
func (p *pass) needed(w *want, node int) []*holder {
	state := p.nodes.soon[node]
	var needed []*holder
	for _, h := range slices.Backward(p.all().ending[node]) {
		if !h.leaves {
			continue
		}
		beside, holds := h.backInto(state, p.nodes.now[node])
		if !holds {
			continue
		}
		if beside.Fits(&w.shape.need) {
			state = beside
		} else {
			needed = append(needed, h)
		}
	}
	slices.Reverse(needed)
	return needed
}

// keepCertain keeps the room of a node that is or becomes free when those have gone that are being ended.
func (p *pass) keepCertain(w *want, node int) {
	n := p.nodes
	waits := p.needed(w, node)
	soon, later := n.soon[node], n.later[node]
	claim, err := soon.Allocate(w.ID, &w.shape.need)
	if err != nil {
		return // never: it fits
	}
	n.soon[node] = soon.With(claim)
	n.later[node] = n.soon[node]
	if later != soon {
		n.later[node] = later.With(claim)
	}
	n.level(node, w.ID)
	w.kept = &kept{nodes: []int{node}, waits: waits, certain: true}
	p.note(w, node, p.now, waits)
}

// note writes down what is kept.
func (p *pass) note(w *want, node int, since time.Time, waits []*holder) {
	p.holds[node] = append(p.holds[node], w)
	r := Reservation{Session: w.ID, Node: p.nodes.now[node].Name(), Since: since}
	for _, h := range waits {
		r.Waits = append(r.Waits, h.ID)
	}
	p.decision.Kept = append(p.decision.Kept, r)
}

// keepSoonest keeps room for the head of the queue where it will fit soonest. How long sessions run is not
// known, so one node may turn out to have been the wrong one: with time, more are kept.
func (p *pass) keepSoonest(w *want) bool {
	since, before := p.keptBefore(w)
	widen := p.queue.WidenAfter
	if widen <= 0 {
		widen = DefaultWidenAfter
	}
	count := min(1+max(0, int(p.now.Sub(since)/widen)), tries)
	plans := p.plans(w, before, count+1)
	if plans == nil {
		return false
	}
	if count < len(plans) {
		p.lookAgain(since.Add(time.Duration(count) * widen))
	}
	w.kept = &kept{waits: plans[0].waits}
	for _, plan := range plans[:min(count, len(plans))] {
		p.keepPlan(w, plan)
		p.note(w, plan.node, since, plan.waits)
	}
	return true
}

// keptBefore tells since when room has been kept for a session, and where.
func (p *pass) keptBefore(w *want) (since time.Time, nodes []string) {
	since = p.now
	for _, r := range p.queue.Kept {
		if r.Session == w.ID {
			nodes = append(nodes, r.Node)
			if r.Since.Before(since) {
				since = r.Since
			}
		}
	}
	return since, nodes
}
