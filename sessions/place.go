package sessions

import (
	"slices"
	"time"
)

const (
	// explained is how many sessions that wait for resources are told what would make them fit, in one pass.
	explained = 32
	// preempting is for how many sessions victims are chosen in one pass. The next pass goes on.
	preempting = 16
)

// Place decides, from one snapshot, which waiting sessions go where now, who gives way, whom room is kept
// for, and why the rest wait. It only reads its arguments, and the same ones give the same decision, in
// whatever order they list sessions and nodes. One session after the other, by priority and then by the
// queue's order:
//  1. What must hold before: the time, dependencies, limits of user and project, labels, nodes that are
//     large enough, for all routes of a
//     service together too. A session that fails any of these waits and holds up nobody.
//  2. If a node has room, it is placed: on which one, the routes of its service say, and the strategy.
//  3. If it will fit when those have gone that are being ended, that room is kept for it.
//  4. If it may preempt and there are victims that together make room, they are asked to end, and their
//     room is kept for it.
//  5. The first one that is left over here, of each kind of accelerator, is the head of the queue: the
//     room where it will fit soonest is kept for it, of what is free and of what comes free.
//
// A session of several containers is one: all of them get their places, on one node or on as few as it can be where it may
// be on several, or none does, and where it gives way they all do.
//
// What is kept is not given to any session that comes later, so no stream of small ones starves a large one; all
// the rest is, so a large one holds up nobody that does not compete with it.
func Place(q Queue, now time.Time) Decision {
	p := newPass(&q, now)
	for w := p.turns.next(); w != nil; w = p.turns.next() {
		p.decide(w)
	}
	p.explain()
	return p.decision
}

// pass is one run of Place.
type pass struct {
	queue    *Queue
	now      time.Time
	nodes    *nodes
	usage    *usage
	turns    *turns
	shapes   shapes
	holders  holders
	tried    []*want
	heads    map[string]bool // kinds of accelerators whose head has been found
	holds    map[int][]*want // by node: for whom room is kept there
	arrays   map[string]int  // by array: how many of it have a place
	crowds   map[crowdKey]*crowd
	stay     map[string]*stays // by service: routes that nothing is to take the place of; nil: not counted yet
	beside   map[string][]int  // by service of which a route waits, and node: routes of it that stay there
	preempts int               // sessions that victims were chosen for
	decision Decision
}

func newPass(q *Queue, now time.Time) *pass {
	p := &pass{
		queue: q, now: now, nodes: newNodes(q.Pool), usage: newUsage(q), heads: map[string]bool{}, holds: map[int][]*want{}, arrays: map[string]int{}, crowds: map[crowdKey]*crowd{},
		decision: Decision{Waits: map[string][]Wait{}, LastNode: q.LastNode},
	}
	p.shapes = shapes{options: q.Options, strategy: q.Strategy, nodes: p.nodes, known: map[shapeKey]*shape{}, chosen: map[string][]bool{}}
	for i := range q.Running {
		h := &q.Running[i]
		if h.Array != "" {
			p.arrays[h.Array]++
		}
		if h.Leaving {
			for node := range p.nodes.of(h) {
				p.nodes.leave(node, h)
			}
		}
	}
	slices.Sort(p.nodes.leaving)
	p.nodes.join(q.Reach, q.Unasked)
	waiting := make([]*want, len(q.Waiting))
	for i := range q.Waiting {
		waiting[i] = &want{Waiting: &q.Waiting[i], shape: p.shapes.of(&q.Waiting[i])}
	}
	p.beside = besides(q, p.nodes)
	p.turns = newTurns(q.Order, waiting, p.usage.share)
	return p
}

// lookAgain asks for another pass at t at the latest.
func (p *pass) lookAgain(t time.Time) {
	if p.decision.Next.IsZero() || t.Before(p.decision.Next) {
		p.decision.Next = t
	}
}

// decide takes one session through the steps of Place.
func (p *pass) decide(w *want) {
	p.decision.Order = append(p.decision.Order, w.ID)
	p.tried = append(p.tried, w)
	if w.waits = p.check(w); w.waits != nil { // 1
		return
	}
	if p.place(w) { // 2
		return
	}
	w.full = true
	if p.awaitLeaving(w) || p.preempt(w) { // 3, 4
		return
	}
	if kind := w.shape.kind; !p.heads[kind] && p.keepSoonest(w) { // 5
		p.heads[kind] = true
	}
}

// check asks all predicates but the last and returns those that failed.
func (p *pass) check(w *want) []Wait {
	waits := checkTime(w.Waiting, p.now)
	if waits != nil {
		p.lookAgain(w.StartsAt)
	}
	waits = append(waits, checkDependencies(w.Waiting)...)
	waits = append(waits, p.checkArray(w.Waiting)...)
	waits = append(waits, p.usage.check(w)...)
	waits = append(waits, w.Blocked...)
	if none := p.nodes.checkSelector(w.shape); none != nil {
		return append(waits, none...)
	}
	if none := p.nodes.checkCapacity(w.shape); none != nil || waits != nil {
		return append(waits, none...)
	}
	return p.checkCrowd(w)
}

// place gives a session its place if there is one.
func (p *pass) place(w *want) bool {
	if w.shape.noRoom {
		return false
	}
	beside := p.beside[w.ServiceID]
	parts := p.nodes.parts(w.shape, p.decision.LastNode, beside)
	if parts == nil {
		w.shape.noRoom = true
		return false
	}
	claims, err := p.allocate(w, parts)
	if err != nil {
		return false // never: a state that the need fits allocates it
	}
	for _, claim := range claims {
		p.nodes.place(p.nodes.byName[claim.Node], claim)
	}
	p.usage.add(w.Owner, w.Project, w.shape.slots)
	if w.Array != "" {
		p.arrays[w.Array]++
	}
	if w.shape.strategy == StrategyRoundRobin {
		p.decision.LastNode = p.nodes.now[parts[0].node].Name()
	}
	p.decision.Placed = append(p.decision.Placed, Placement{Session: w.ID, Claim: claims[0], Others: claims[1:], Why: p.why(w, parts[0].node, beside)})
	if beside != nil {
		beside[parts[0].node]++
	}
	return true
}
