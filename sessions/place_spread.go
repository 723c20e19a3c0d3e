package sessions

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

// part is how many containers of a session go to a node.
type part struct{ node, count int }

// of yields the nodes on which a session holds anything, each once.
func (n *nodes) of(h *Held) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		if node, known := n.byName[h.Claim.Node]; known && !yield(node) {
			return
		}
		for i := range h.Others {
			name := h.Others[i].Node
			node, known := n.byName[name]
			if !known || name == h.Claim.Node || slices.ContainsFunc(h.Others[:i], func(c accel.Claim) bool { return c.Node == name }) {
				continue
			}
			if !yield(node) {
				return
			}
		}
	}
}

// join notes which nodes reach each other.
func (n *nodes) join(reach map[string]string, unasked map[string]bool) {
	n.reach, n.unasked = make([]string, len(n.now)), make([]bool, len(n.now))
	for i, s := range n.now {
		n.reach[i], n.unasked[i] = reach[s.Name()], unasked[s.Name()]
	}
}

// bound is how many containers may be on a node that has room for so many.
func (n *nodes) bound(s *shape, node, room int) int {
	switch {
	case s.engine && n.unasked[node]:
		return 0
	case s.apart && n.reach[node] == string(NetHost):
		return min(room, 1)
	}
	return room
}

// whyBound says why containers may not be on nodes that have room for them; "": they may.
func (n *nodes) whyBound(s *shape) string {
	var unasked []string
	shares := false
	for i, state := range n.now {
		if s.on(i) && s.engine && n.unasked[i] {
			unasked = append(unasked, state.Name())
		} else if s.on(i) && s.apart && n.reach[i] == string(NetHost) {
			shares = true
		}
	}
	text := ""
	if unasked != nil {
		text = "; not on " + shorten(unasked) + ", where its ports would be open and nobody has set cluster.session_network: host"
	}
	if shares {
		text += "; one on a box where sessions share its network, for all listen on one port"
	}
	return text
}

// spread takes in what each container of a session asks for that may be on several nodes.
func (s *shapes) spread(sh *shape, each accel.Slots) {
	s.take(sh, times(each, 1, s.options))
	sh.needs = make([]accel.Need, sh.count)
	for i := range sh.needs {
		sh.needs[i], sh.invalid = accel.NewNeed(times(each, i+1, s.options), s.options)
		if sh.invalid != nil {
			return
		}
	}
}

// of is the need of so many containers on one node.
func (s *shape) of(count int) *accel.Need {
	if s.spread {
		return &s.needs[count-1]
	}
	return &s.need
}

// scale is by what the asks of a node are to be multiplied for so many containers.
func (s *shape) scale(count int) accel.Amount {
	if s.spread {
		return accel.Amount(count)
	}
	return 1
}

// room is how many containers a node has room for.
func (s *shape) room(state accel.State) int {
	most := accel.Amount(s.count)
	for k := range s.asks {
		most = min(most, state.Free(s.asks[k].slot)/s.asks[k].amount)
	}
	for ; most > 0 && !state.Fits(&s.needs[most-1]); most-- {
	}
	return int(max(most, 0))
}

// most is how many containers a node has room for, by sums, when nobody else is on it.
func (n *nodes) most(s *shape, node int) int {
	most := accel.Amount(s.count)
	for k := range s.asks {
		most = min(most, n.totals[s.asks[k].column][node]/s.asks[k].amount)
	}
	return n.bound(s, node, int(most))
}

// groups are the nodes that a session may be on together: those of each kind of network, and each alone that has none.
func (n *nodes) groups(s *shape) [][]int {
	var groups [][]int
	at := map[string]int{}
	for i := range n.now {
		if !s.on(i) {
			continue
		}
		if g, known := at[n.reach[i]]; known && n.reach[i] != "" {
			groups[g] = append(groups[g], i)
			continue
		}
		at[n.reach[i]] = len(groups)
		groups = append(groups, []int{i})
	}
	return groups
}

// parts says where the containers of a session go now; nil: there is no room for all of them.
func (n *nodes) parts(s *shape, last string, beside []int) []part {
	if s.spread {
		return n.over(s, n.now)
	}
	if node := n.pick(s, last, beside); node >= 0 {
		return []part{{node, s.count}}
	}
	return nil
}

// over says on which nodes the containers of a session go, in one view of all of them, the first ones first: all have room, or
// it is nil. In order:
//  1. They go to as few nodes as it can be: those that have room for most come first.
//  2. Among equals come first those with the most left of what is asked for, the last named first; concentrated those with the
//     least; then the first by name.
//  3. The last of them go to the node that has the least room of those that have enough.
func (n *nodes) over(s *shape, view []accel.State) []part {
	var best []part
	for _, group := range n.groups(s) {
		if parts := n.overGroup(s, view, group); parts != nil && (best == nil || len(parts) < len(best)) {
			best = parts
		}
	}
	return best
}

func (n *nodes) overGroup(s *shape, view []accel.State, group []int) []part {
	var rooms []part
	sum := 0
	for _, i := range group {
		if room := n.bound(s, i, s.room(view[i])); room > 0 {
			rooms, sum = append(rooms, part{i, room}), sum+room
		}
	}
	if sum < s.count {
		return nil
	}
	slices.SortStableFunc(rooms, func(a, b part) int { // 1, 2
		return cmp.Or(cmp.Compare(b.count, a.count), s.compareLeft(view[a.node], view[b.node]))
	})
	var parts []part
	for left := s.count; left > 0; {
		next := rooms[0]
		if next.count > left { // 3
			for _, r := range rooms {
				if r.count >= left && r.count < next.count {
					next = r
				}
			}
			next.count = left
		}
		parts, rooms, left = append(parts, next), rooms[1:], left-next.count
	}
	return parts
}

// compareLeft sorts first the node that the strategy prefers.
func (s *shape) compareLeft(a, b accel.State) int {
	for _, ask := range slices.Backward(s.asks) {
		if c := cmp.Compare(b.Free(ask.slot), a.Free(ask.slot)); c != 0 {
			if s.strategy == StrategyConcentrated {
				c = -c
			}
			return c
		}
	}
	return 0
}

// awaitLeavingOver is awaitLeaving for a session that may be on several nodes.
func (p *pass) awaitLeavingOver(w *want) bool {
	parts := p.nodes.over(w.shape, p.nodes.soon)
	if parts == nil {
		w.shape.noSoon = true
		return false
	}
	p.keepCertain(w, parts...)
	return true
}

// keepSoonestOver is keepSoonest for a session that may be on several nodes: of those that reach each other it takes the ones
// where the fewest must end for each container, and those first that it had before.
func (p *pass) keepSoonestOver(w *want) bool {
	since, before := p.keptBefore(w)
	var best []plan
	for _, group := range p.nodes.groups(w.shape) {
		if plans := p.plansOver(w, group, before); plans != nil && (best == nil || len(plans) < len(best)) {
			best = plans
		}
	}
	if best == nil {
		return false
	}
	w.kept = &kept{}
	for _, plan := range best {
		p.keepPlan(w, plan)
		p.note(w, part{plan.node, plan.parts}, since, plan.waits)
		w.kept.wait(plan.waits)
	}
	return true
}

// plansOver works out who must end on which nodes of a group; nil: that would not be enough.
func (p *pass) plansOver(w *want, group []int, before []string) []plan {
	var guesses []plan
	for _, i := range group {
		for count := p.nodes.most(w.shape, i); count > 0; count-- {
			if g, ok := p.guess(w, part{i, count}); ok {
				g.before = slices.Contains(before, p.nodes.now[i].Name())
				guesses = append(guesses, g)
				break
			}
		}
	}
	slices.SortFunc(guesses, func(a, b plan) int {
		return cmp.Or(falseLast(a.before, b.before), cmp.Compare(a.ends, b.ends), cmp.Compare(a.count*b.parts, b.count*a.parts), cmp.Compare(b.parts, a.parts), cmp.Compare(a.node, b.node))
	})
	var plans []plan
	left := w.shape.count
	for _, g := range guesses {
		for count := min(left, g.parts); count > 0; count-- {
			exact, ok := p.exactly(w, plan{node: g.node, parts: count, before: g.before})
			if ok {
				plans, left = append(plans, exact), left-count
				break
			}
		}
		if left == 0 {
			return plans
		}
	}
	return nil
}

// checkCapacityOver is checkCapacity for a session that may be on several nodes.
func (n *nodes) checkCapacityOver(s *shape) []Wait {
	best := 0
	for _, group := range n.groups(s) {
		sum := 0
		for _, i := range group {
			sum += n.most(s, i)
		}
		best = max(best, sum)
	}
	if best >= s.count {
		return nil
	}
	w := Wait{Predicate: PredicateCapacity, Sentence: fmt.Sprintf("asks for %d containers%s: nodes that reach each other have room for %s when they are empty", s.count, s.eachAsks(), count(best)) + n.whyBound(s)}
	if best > 0 {
		w.Would = "would fit empty nodes with " + plural(best, "container")
	}
	return []Wait{w}
}

func count(n int) string {
	if n == 0 {
		return "none"
	}
	return strconv.Itoa(n)
}

// asksFor says what all containers of a session ask for.
func (s *shape) asksFor() string {
	if s.spread {
		return plural(s.count, "container") + s.eachAsks()
	}
	return s.slots.String()
}

// eachAsks says what each container asks for.
func (s *shape) eachAsks() string {
	var asked []string
	for _, a := range s.asks {
		asked = append(asked, amountOf(a.slot, a.amount))
	}
	if asked == nil {
		return ""
	}
	return ", each with " + enumerate(asked)
}

// waitOver says what a session waits for that may be on several nodes, and what would make it fit.
func (p *pass) waitOver(w *want) Wait {
	room, where := 0, []string(nil)
	for _, group := range p.nodes.groups(w.shape) {
		sum, at := 0, []string(nil)
		for _, i := range group {
			if n := p.nodes.bound(w.shape, i, w.shape.room(p.without(w, i))); n > 0 {
				sum, at = sum+n, append(at, fmt.Sprintf("%d on %s", n, p.nodes.now[i].Name()))
			}
		}
		if sum > room {
			room, where = sum, at
		}
	}
	wait := Wait{Predicate: PredicateResources, Sentence: fmt.Sprintf("waits for room for %d containers%s: there is room for %s now", w.shape.count, w.shape.eachAsks(), count(room))}
	if where != nil {
		wait.Sentence += " (" + strings.Join(where[:min(len(where), 8)], ", ") + ")"
	}
	switch {
	case w.kept != nil && w.kept.certain:
		wait.Would = p.leavingSentence(w)
	case w.kept != nil && len(w.kept.waits) > 0:
		wait.Would = fmt.Sprintf("fits on %s when %s ended; room is kept for it there", p.nodeNames(w.kept.nodes), have(w.kept.waits, w.Waiting))
	case room > 0 && room < w.shape.count:
		wait.Would = "would fit with " + plural(room, "container")
	}
	return wait
}

// everFitOver reports why the containers of a session would not fit on nodes that reach each other, were they empty. Where no node
// is known yet it refuses nothing.
func everFitOver(q Queue) error {
	if len(q.Pool) == 0 {
		return nil
	}
	p := newPass(&q, q.Waiting[0].Since)
	shape := p.turns.next().shape
	why := p.nodes.checkSelector(shape)
	if why == nil {
		why = p.nodes.checkCapacity(shape)
	}
	if why == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrInvalid, why[0])
}
