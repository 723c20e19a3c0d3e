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
	if w.ServiceID == "" {
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
		Sentence:  fmt.Sprintf("there is room for %s of service %s %s, with nothing else there: each asks for %s", plural(c.most, "route"), w.ServiceName, where, w.shape.asksFor()),
		Would:     fmt.Sprintf("scale it to %d, or have its routes ask for less", c.most),
	}}
}

// crowdOf counts by sums: pieces that are too small count as room.
func (p *pass) crowdOf(w *want) *crowd {
	c := &crowd{}
	stay := p.staying()[w.ServiceID]
	if stay != nil {
		for node, count := range stay.heads {
			if w.shape.on(node) {
				c.most += count
			}
		}
	}
	for _, group := range p.groups(w.shape) {
		units := make([]int, len(group)) // of containers where they may be on several nodes, else of routes
		for i, node := range group {
			units[i] = p.unitsBeside(w.shape, node, stay)
		}
		if w.shape.spread {
			c.room += p.nodes.routesOver(w.shape, group, units)
			continue
		}
		for _, n := range units {
			c.room += n
		}
	}
	c.most += c.room
	return c
}

// routesOver is how many routes the nodes of a group have room for, each of which has room for so many containers: as many as can
// each have their number of them, of each node no more than one route may have there.
func (n *nodes) routesOver(s *shape, group, units []int) int {
	for routes := 1 << 40; ; {
		sum := 0
		for i, node := range group {
			sum += min(units[i], routes*n.bound(s, node, s.count))
		}
		if sum/s.count >= routes {
			return routes
		}
		routes = sum / s.count
	}
}

// groups are the nodes among which the containers of one route are.
func (p *pass) groups(s *shape) [][]int {
	if s.spread {
		return p.nodes.groups(s)
	}
	var all []int
	for node := range p.nodes.now {
		if s.on(node) {
			all = append(all, node)
		}
	}
	return [][]int{all}
}

// unitsBeside is how often what a shape asks of a node fits there beside the routes that stay.
func (p *pass) unitsBeside(s *shape, node int, stay *stays) int {
	fits := accel.Amount(1) << 40 // of routes that ask for nothing
	for k := range s.asks {
		a := &s.asks[k]
		left := p.nodes.totals[a.column][node]
		if stay != nil {
			for _, claim := range stay.claims[node] {
				left -= heldOfSlot(claim, a.slot)
			}
		}
		fits = min(fits, max(left, 0)/a.amount)
	}
	return int(fits)
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

// stays are the routes of one service that nothing is to take the place of, by node.
type stays struct {
	heads  map[int]int            // how many have their main container there
	claims map[int][]*accel.Claim // what all their containers hold there
}

// staying lists those of each service.
func (p *pass) staying() map[string]*stays {
	if p.stay != nil {
		return p.stay
	}
	p.stay = map[string]*stays{}
	for i := range p.queue.Running {
		h := &p.queue.Running[i]
		if h.ServiceID == "" || h.Leaving || h.Passing {
			continue
		}
		of := p.stay[h.ServiceID]
		if of == nil {
			of = &stays{heads: map[int]int{}, claims: map[int][]*accel.Claim{}}
			p.stay[h.ServiceID] = of
		}
		if node, known := p.nodes.byName[h.Claim.Node]; known {
			of.heads[node]++
			of.claims[node] = append(of.claims[node], &h.Claim)
		}
		for i := range h.Others {
			if node, known := p.nodes.byName[h.Others[i].Node]; known {
				of.claims[node] = append(of.claims[node], &h.Others[i])
			}
		}
	}
	return p.stay
}
