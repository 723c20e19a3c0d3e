package sessions

import (
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// kept is the room that is kept for a session.
type kept struct {
	nodes   []int     // the first is where it will probably fit first
	waits   []*holder // who must go from the first node; from all, where the session goes to several
	certain bool      // they are being ended
	victims bool      // to make room for this session
}

// wait adds to those who must go, each session once.
func (k *kept) wait(more []*holder) {
	for _, h := range more {
		if !slices.ContainsFunc(k.waits, func(o *holder) bool { return o.Held == h.Held }) {
			k.waits = append(k.waits, h)
		}
	}
}

// awaitLeaving keeps room for a session that fits when those have gone that are being ended.
func (p *pass) awaitLeaving(w *want) bool {
	switch {
	case w.shape.noSoon:
		return false
	case w.shape.spread:
		return p.awaitLeavingOver(w)
	}
	for _, i := range p.nodes.leaving {
		if w.shape.on(i) && p.nodes.soon[i].Fits(&w.shape.need) {
			p.keepCertain(w, part{i, w.shape.count})
			return true
		}
	}
	w.shape.noSoon = true
	return false
}

// needed lists those of a node that are being ended and must have ended before so much fits there.
func (p *pass) needed(need *accel.Need, node int) []*holder {
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
		if beside.Fits(need) {
			state = beside
		} else {
			needed = append(needed, h)
		}
	}
	slices.Reverse(needed)
	return needed
}

// keepCertain keeps room that is or becomes free when those have gone that are being ended.
func (p *pass) keepCertain(w *want, parts ...part) {
	w.kept = &kept{certain: true}
	for _, part := range parts {
		p.keepPart(w, part)
	}
}

func (p *pass) keepPart(w *want, part part) {
	n, node, need := p.nodes, part.node, w.shape.of(part.count)
	waits := p.needed(need, node)
	soon, later := n.soon[node], n.later[node]
	claim, err := soon.Allocate(w.ID, need)
	if err != nil {
		return // never: it fits
	}
	n.soon[node] = soon.With(claim)
	n.later[node] = n.soon[node]
	if later != soon {
		n.later[node] = later.With(claim)
	}
	n.level(node, w.ID)
	w.kept.nodes = append(w.kept.nodes, node)
	w.kept.wait(waits)
	p.note(w, part, p.now, waits)
}

// note writes down what is kept.
func (p *pass) note(w *want, on part, since time.Time, waits []*holder) {
	p.holds[on.node] = append(p.holds[on.node], w)
	r := Reservation{Session: w.ID, Node: p.nodes.now[on.node].Name(), Since: since, Containers: on.count}
	for _, h := range waits {
		r.Waits = append(r.Waits, h.ID)
	}
	p.decision.Kept = append(p.decision.Kept, r)
}

// keepSoonest keeps room for the head of the queue where it will fit soonest. How long sessions run is not
// known, so one node may turn out to have been the wrong one: with time, more are kept.
func (p *pass) keepSoonest(w *want) bool {
	if w.shape.spread {
		return p.keepSoonestOver(w)
	}
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
		p.note(w, part{plan.node, plan.parts}, since, plan.waits)
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
