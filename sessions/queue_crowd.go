package sessions

import (
	"fmt"

	"github.com/palisade-run/palisade/accel"
)

// crowd is how many routes of one service there is room for where nobody else holds anything, while a pass lasts.
type crowd struct {
	most  int // routes that the nodes have room for, those that stay included
	room  int // how many of them beside those that stay
	tried int // waiting ones that were counted so far
}

// crowdKey is of routes that ask for the same.
type crowdKey struct {
	service string
	shape   *shape
}

// checkCrowd asks whether a route would have room beside the other routes of its service if nobody else held anything. Where it has
// none, no end of anybody else helps it: nothing is kept for it. Routes that others are to take the place of do not count.
func (p *pass) checkCrowd(w *want) []Wait {
	if w.ServiceID == "" || w.shape.spread {
		return nil
	}
	key := crowdKey{w.ServiceID, w.shape}
	c := p.crowds[key]
	if c == nil {
		c = p.crowdOf(w)
		p.crowds[key] = c
	}
	if c.tried++; c.tried <= c.room {
		return nil
	}
	where := "on all boxes together"
	if len(p.nodes.now) == 1 {
		where = "on " + p.nodes.now[0].Name()
	}
	return []Wait{{
		Predicate: PredicateCapacity,
		Sentence:  fmt.Sprintf("there is room for %s of service %s %s, with nothing else there: each asks for %s", plural(c.most, "route"), w.ServiceName, where, w.shape.slots),
		Would:     fmt.Sprintf("scale it to %d, or have its routes ask for less", c.most),
	}}
}

// crowdOf counts by sums: pieces that are too small count as room.
func (p *pass) crowdOf(w *want) *crowd {
	c := &crowd{}
	stay := p.staying()[w.ServiceID]
	for node := range p.nodes.now {
		if !w.shape.on(node) {
			continue
		}
		fits := accel.Amount(1) << 40 // of routes that ask for nothing
		for k := range w.shape.asks {
			a := &w.shape.asks[k]
			left := p.nodes.totals[a.column][node]
			for _, h := range stay[node] {
				left -= heldOfSlot(&h.Claim, a.slot)
			}
			fits = min(fits, max(left, 0)/a.amount)
		}
		c.room += int(fits)
		c.most += int(fits) + len(stay[node])
	}
	return c
}

// heldOfSlot is how much a claim takes of a slot at least.
func heldOfSlot(c *accel.Claim, slot accel.Slot) (sum accel.Amount) {
	if !accelerator(slot) {
		return c.Slots[slot]
	}
	for i := range c.Shares {
		if deviceSlot(c.Shares[i].Slot) == deviceSlot(slot) {
			sum += c.Shares[i].Amount
		}
	}
	return sum
}

// staying lists the routes of each service on each node that nothing is to take the place of.
func (p *pass) staying() map[string]map[int][]*Held {
	if p.stay != nil {
		return p.stay
	}
	p.stay = map[string]map[int][]*Held{}
	for i := range p.queue.Running {
		h := &p.queue.Running[i]
		node, known := p.nodes.byName[h.Claim.Node]
		if h.ServiceID == "" || h.Leaving || h.Passing || !known {
			continue
		}
		if p.stay[h.ServiceID] == nil {
			p.stay[h.ServiceID] = map[int][]*Held{}
		}
		p.stay[h.ServiceID][node] = append(p.stay[h.ServiceID][node], h)
	}
	return p.stay
}
