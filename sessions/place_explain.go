package sessions

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

// explain writes down why each session waits that was not placed. What would make it fit is worked out for the
// first ones only: nobody reads the thousandth, and it will be told when its turn is nearer.
func (p *pass) explain() {
	nearest := map[*shape]int{}
	left := explained
	for _, w := range p.tried {
		switch {
		case w.full && w.shape.spread:
			w.waits = append(w.waits, p.waitOver(w))
		case w.full:
			node, known := nearest[w.shape]
			if !known {
				node = p.nearest(w.shape)
				nearest[w.shape] = node
			}
			if w.kept != nil {
				node = w.kept.nodes[0]
			}
			wait := Wait{Predicate: PredicateResources, Sentence: p.sentence(w, node)}
			if left > 0 {
				wait.Would = p.would(w)
				left--
			}
			w.waits = append(w.waits, wait)
		}
		if w.waits != nil {
			p.decision.Waits[w.ID] = w.waits
		}
	}
}

// nearest is the node that comes closest to having room: where the fewest resources are short, then where
// the least is missing of the accelerators, of cores and of memory, in this order.
func (p *pass) nearest(s *shape) int {
	best, fewest := -1, len(s.asks)+1
	for i := range p.nodes.now {
		short := 0
		for k := range s.asks {
			if a := &s.asks[k]; a.free[i] < a.amount {
				short++
			}
		}
		if short < fewest || short == fewest && s.closer(i, best) {
			if s.on(i) && p.nodes.large(s, i) {
				best, fewest = i, short
			}
		}
	}
	return best
}

// closer reports whether less is missing on one node than on another.
func (s *shape) closer(i, j int) bool {
	for k := len(s.asks) - 1; k >= 0; k-- {
		a := &s.asks[k]
		if x, y := min(a.free[i], a.amount), min(a.free[j], a.amount); x != y {
			return x > y
		}
	}
	return false
}

// without returns what of a node is free for a session: what is kept for itself is.
func (p *pass) without(w *want, node int) accel.State {
	if w.kept == nil {
		return p.nodes.now[node]
	}
	return p.nodes.now[node].Without(keptFor(w.ID))
}

// sentence says what a session waits for, by what one node has of it.
func (p *pass) sentence(w *want, node int) string {
	state := p.without(w, node)
	bare := state
	for _, other := range p.holds[node] {
		bare = bare.Without(keptFor(other.ID))
	}
	short := state.Shortages(&w.shape.need)
	var asked, free, notes []string
	for _, s := range short {
		asked = append(asked, amountOf(s.Slot, s.Asked))
		part := accel.Format(s.Slot, bare.Free(s.Slot)) + " of " + accel.Format(s.Slot, s.Total)
		if len(short) > 1 {
			part += " " + string(s.Slot)
		}
		free = append(free, part)
		if kept := bare.Free(s.Slot) - s.Free; kept > 0 {
			note := accel.Format(s.Slot, kept)
			if len(short) > 1 {
				note = amountOf(s.Slot, kept)
			}
			notes = append(notes, note+" kept for "+shorten(p.keptNames(w, node)))
		}
		if s.Faulty > 0 {
			notes = append(notes, fmt.Sprintf("%d faulty", s.Faulty))
		}
		if s.Busy > 0 {
			notes = append(notes, fmt.Sprintf("%d used by others", s.Busy))
		}
		if s.Free >= s.Asked {
			notes = append(notes, "in pieces that are too small")
		}
	}
	if asked == nil { // never: it would have been placed
		return "waits for its turn"
	}
	text := "waits for " + enumerate(asked) + w.shape.together() + ": " + enumerate(free) + " free"
	if len(p.nodes.now) > 1 {
		text += " on " + state.Name()
		if w.kept == nil {
			text += ", which comes closest"
		}
	}
	return text + strings.Join(append([]string{""}, notes...), ", ")
}

// keptNames lists for whom else room is kept on a node.
func (p *pass) keptNames(w *want, node int) []string {
	var names []string
	others := 0
	for _, other := range p.holds[node] {
		switch {
		case other == w:
		case other.Project == w.Project:
			names = append(names, nameOf(other.Name, other.ID))
		default:
			others++
		}
	}
	return withOthers(names, others)
}

// would says what would make a session fit, or what it will get: the first of these that holds.
//  1. Those leave that it waits for.
//  2. One session ends, or one service has a route less: tried on a copy of the pool.
//  3. Several end on the node that is kept for it.
//  4. Those that come before it did not wait.
//  5. Those that share devices were on fewer of them.
//  6. It asked for less.
func (p *pass) would(w *want) string {
	if w.kept != nil && w.kept.certain {
		return p.leavingSentence(w)
	}
	text := p.oneLess(w)
	if w.kept != nil {
		older := !slices.ContainsFunc(w.kept.waits, func(h *holder) bool { return !h.Passing || h.ServiceID != w.ServiceID })
		switch {
		case text != "" || len(w.kept.waits) == 0:
		case older: // who waits for it does not know it by its name
			text = "fits on " + p.nodeNames(w.kept.nodes[:1]) + " when an older route of its service has gone"
		default:
			text = fmt.Sprintf("fits on %s when %s ended", p.nodeNames(w.kept.nodes[:1]), have(w.kept.waits, w.Waiting))
		}
		text += "; room is kept for it"
		if len(p.nodes.now) > 1 {
			text += " on " + p.nodeNames(w.kept.nodes)
		}
		return strings.TrimPrefix(text, "; ")
	}
	for _, try := range []func(*want) string{p.notBehind, p.together, p.smaller} {
		if text == "" {
			text = try(w)
		}
	}
	return text
}

// have puts who they are before "ended": "a has", "a and b have".
func have(hs []*holder, reader *Waiting) string {
	if len(hs) == 1 {
		return namesOf(hs, reader)[0] + " has"
	}
	return shorten(namesOf(hs, reader)) + " have"
}

func (p *pass) nodeNames(nodes []int) string {
	var names []string
	for _, i := range nodes {
		names = append(names, p.nodes.now[i].Name())
	}
	return shorten(names)
}

// leavingSentence tells of a session whose room is about to come free.
func (p *pass) leavingSentence(w *want) string {
	names := namesOf(w.kept.waits, w.Waiting)
	is, has, theirs := "is", "has", "its"
	if len(w.kept.waits) != 1 {
		is, has, theirs = "are", "have", "their"
	}
	switch who := shorten(names); {
	case len(names) == 0:
		return "fits when what is being ended has gone"
	case w.kept.victims:
		return fmt.Sprintf("takes the place of %s, which %s asked to end", who, is)
	case slices.ContainsFunc(w.kept.waits, func(h *holder) bool { return h.onDevices() }):
		return fmt.Sprintf("fits when %s, which %s ending, %s given %s devices back", who, is, has, theirs)
	default:
		return fmt.Sprintf("fits when %s, which %s ending, %s gone", who, is, has)
	}
}

// notBehind is for a session that only what is kept for others keeps from fitting.
func (p *pass) notBehind(w *want) string {
	for node := range p.nodes.now {
		if p.holds[node] == nil || !w.shape.on(node) {
			continue
		}
		state := p.nodes.now[node]
		for _, other := range p.holds[node] {
			state = state.Without(keptFor(other.ID))
		}
		if state.Fits(&w.shape.need) {
			return fmt.Sprintf("would fit on %s if %s did not wait for room there", state.Name(), shorten(p.keptNames(w, node)))
		}
	}
	return ""
}

// together is for a session whose devices are free in parts.
func (p *pass) together(w *want) string {
	for node, state := range p.nodes.now {
		if !w.shape.on(node) {
			continue
		}
		parts := ""
		for _, a := range w.shape.asks {
			free := p.nodes.columns[a.column][node]
			if free >= a.amount {
				continue
			}
			family, isDevice := strings.CutSuffix(string(a.slot), ".device")
			if !isDevice || state.Free(accel.Slot(family+".shares")) < a.amount {
				parts = ""
				break
			}
			parts = string(a.slot)
		}
		if parts != "" {
			return fmt.Sprintf("would fit on %s if the sessions that share its devices were on fewer of them", state.Name())
		}
	}
	return ""
}

// smaller tells how much less of the one resource that is short a session would have to ask for.
func (p *pass) smaller(w *want) string {
	for _, short := range slices.Backward(w.shape.asks) {
		var most accel.Amount
		for node := range p.nodes.now {
			rest := true
			for _, a := range w.shape.asks {
				rest = rest && (a.slot == short.slot || p.nodes.columns[a.column][node] >= a.amount)
			}
			if rest && w.shape.on(node) {
				most = max(most, p.nodes.columns[short.column][node])
			}
		}
		if most = roundDown(short.slot, most, p.queue.Options.Quantum); most > 0 && most < short.amount {
			return "would fit with " + amountOf(short.slot, most) + w.shape.together()
		}
	}
	return ""
}

// roundDown makes an amount one that people would ask for, and that is not more when it is written.
func roundDown(slot accel.Slot, amount, quantum accel.Amount) accel.Amount {
	unit := max(quantum, 1)
	switch {
	case slot == accel.SlotMem && amount >= 1<<30:
		unit = 1 << 30
	case slot == accel.SlotMem:
		unit = 1 << 20
	case slot == accel.SlotCPU:
		unit = 100
	case slot == deviceSlot(slot):
		unit = wholeDevice
	}
	return amount / unit * unit
}
