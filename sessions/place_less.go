package sessions

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/palisade-run/palisade/accel"
)

// less is one session whose end would make room for another.
type less struct {
	*holder
	cost int // how much is asked of whom
}

// What the end of a session costs, the cheapest first.
const (
	lessRoute     = iota // of a service that has others
	lessOwn              // of the same owner
	lessOther            // of somebody else
	lessLastRoute        // of a service that has no other
)

// oneLess tries the pool without each session in turn, and says which end would make room at the least cost;
// "": none would.
func (p *pass) oneLess(w *want) string {
	if w.shape.spread {
		return "" // one end is seldom enough for it
	}
	routes := p.routes()
	var best less
	for node, hs := range p.all().ending {
		if !w.shape.on(node) || !p.nodes.large(w.shape, node) {
			continue
		}
		state, kept := p.nodes.now[node], w.kept != nil && slices.Contains(w.kept.nodes, node)
		if kept {
			state = p.without(w, node)
		}
		for _, h := range hs {
			if !enough(w, node, kept, state, h) {
				continue
			}
			l := less{h, costOf(h, w, routes)}
			if !l.sensible(w) || best.holder != nil && !l.before(best) {
				continue
			}
			if h.outOf(state).Fits(&w.shape.need) {
				best = l
			}
		}
	}
	if best.holder == nil {
		return ""
	}
	service := "service " + best.ServiceName
	if best.Project != w.Project {
		service = "a service of another project"
	}
	switch best.cost {
	case lessRoute:
		return fmt.Sprintf("would fit if %s had one route less", service)
	case lessLastRoute:
		return fmt.Sprintf("would fit if %s, which has one route, had none", service)
	}
	return fmt.Sprintf("would fit if %s ended", namesOf([]*holder{best.holder}, w.Waiting)[0])
}

// enough reports whether the end of a session could make room at all, by sums. All but a few nodes have what
// the columns say: only where room is kept for w it has more.
func enough(w *want, node int, kept bool, state accel.State, h *holder) bool {
	for k := range w.shape.asks {
		a := &w.shape.asks[k]
		free := a.free[node]
		if kept {
			free = state.Free(a.slot)
		}
		if free+h.gains[a.column] < a.amount {
			return false
		}
	}
	return true
}

// routes counts the sessions of each service that are not leaving.
func (p *pass) routes() map[string]int {
	if p.holders.routes == nil {
		p.holders.routes = map[string]int{}
		for i := range p.queue.Running {
			if h := &p.queue.Running[i]; h.ServiceID != "" && !h.Leaving {
				p.holders.routes[h.ServiceID]++
			}
		}
	}
	return p.holders.routes
}

func costOf(h *holder, w *want, routes map[string]int) int {
	switch {
	case h.ServiceID != "" && routes[h.ServiceID] > 1:
		return lessRoute
	case h.ServiceID != "":
		return lessLastRoute
	case h.Owner == w.Owner:
		return lessOwn
	}
	return lessOther
}

// sensible reports whether anybody would end that session for the other.
func (l less) sensible(w *want) bool {
	return !l.leaves && l.Type != TypeSystem && (l.ServiceID == "" || l.ServiceID != w.ServiceID)
}

// before reports whether l costs less: among equals it is the lower priority, then the younger.
func (l less) before(o less) bool {
	return cmp.Or(cmp.Compare(l.cost, o.cost), byCost(l.holder, o.holder)) < 0
}
