package sessions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// chance draws queues.
type chance struct {
	*rand.Rand
	q sessions.Queue
}

// drawn is a queue of chance: a few nodes, crowded, and many that want to get in.
func drawn(r *rand.Rand) sessions.Queue {
	c := chance{Rand: r}
	c.q = sessions.Queue{
		Order:    []sessions.Order{"", sessions.OrderLIFO, sessions.OrderDRF}[c.IntN(3)],
		Strategy: []sessions.Strategy{"", sessions.StrategyConcentrated, sessions.StrategyRoundRobin}[c.IntN(3)],
		LastNode: fmt.Sprintf("n%d", c.IntN(5)),
		Options:  accel.Options{Quantum: []accel.Amount{0, 0, 25}[c.IntN(3)]},
	}
	if c.IntN(3) == 0 {
		c.q.Quotas = sessions.Quotas{User: sessions.Quota{Sessions: 6}, Project: sessions.Quota{Slots: accel.Slots{"cuda.device": 600}}}
	}
	for i := range 1 + c.IntN(4) {
		c.q.Pool = append(c.q.Pool, accel.NewState(c.node(i)))
	}
	c.q.Reach = map[string]string{}
	for _, s := range c.q.Pool {
		c.q.Reach[s.Name()] = c.word("", "bridged", "bridged", "bridged", "host")
	}
	for i := range c.IntN(24) {
		c.hold(i)
	}
	for i := range c.IntN(24) {
		c.wait(i)
	}
	return c.q
}

func (c *chance) word(of ...string) string { return of[c.IntN(len(of))] }

func (c *chance) kind() sessions.Type {
	return []sessions.Type{sessions.TypeBatch, sessions.TypeBatch, sessions.TypeInteractive, sessions.TypeInference, sessions.TypeSystem}[c.IntN(5)]
}

func (c *chance) ask() accel.Slots {
	s := accel.Slots{accel.SlotCPU: accel.Amount(500 * (1 + c.IntN(8))), accel.SlotMem: accel.Amount(1+c.IntN(8)) << 30}
	switch c.IntN(5) {
	case 0:
		s["cuda.shares"] = accel.Amount(25 * (1 + c.IntN(7)))
	case 1, 2:
		s["cuda.device"] = accel.Amount(100 * (1 + c.IntN(4)))
	case 3:
		s["rocm.device"] = accel.Amount(100 * (1 + c.IntN(2)))
	}
	return s
}

func (c *chance) node(i int) accel.Node {
	n := withLabels(box(fmt.Sprintf("n%d", i), 8+c.IntN(24), 16+c.IntN(64), c.IntN(5)), "zone", c.word("a", "b"))
	if c.IntN(3) == 0 {
		n = withRocm(n, 2)
	}
	if len(n.Devices) > 0 && c.IntN(6) == 0 {
		n = broken(n, c.IntN(len(n.Devices)))
	}
	return n
}

func (c *chance) hold(i int) {
	h := sessions.Held{
		ID: fmt.Sprintf("h%02d", i), Name: fmt.Sprintf("h%02d", i), Owner: c.word("ada", "bob", "cyd"), Project: c.word("p", "q"),
		Type: c.kind(), Priority: c.IntN(4) * 10, Preemptible: c.IntN(2) == 0, Leaving: c.IntN(6) == 0,
		StartedAt: t0.Add(-time.Duration(c.IntN(100)) * time.Minute), MinRuntime: time.Duration(c.IntN(3)*30) * time.Minute,
	}
	if h.Type == sessions.TypeInference {
		h.ServiceID, h.ServiceName = c.word("svc-1", "svc-2"), "chat"
	}
	node := c.IntN(len(c.q.Pool))
	ask := c.ask()
	claim, err := allocate(c.q.Pool[node], h.ID, ask, c.q.Options)
	if err != nil {
		return
	}
	h.Claim, c.q.Pool[node] = claim, c.q.Pool[node].With(claim)
	if c.IntN(4) == 0 { // of several containers, each wherever there is room
		for k := range 1 + c.IntN(3) {
			node := c.IntN(len(c.q.Pool))
			if claim, err := allocate(c.q.Pool[node], fmt.Sprintf("%s-%d", h.ID, k), ask, c.q.Options); err == nil {
				h.Others, c.q.Pool[node] = append(h.Others, claim), c.q.Pool[node].With(claim)
			}
		}
	}
	c.q.Running = append(c.q.Running, h)
}

func (c *chance) wait(i int) {
	w := sessions.Waiting{
		ID: fmt.Sprintf("w%02d", i), Name: fmt.Sprintf("w%02d", i), Owner: c.word("ada", "bob", "cyd"), Project: c.word("p", "q"),
		Type: c.kind(), Priority: c.IntN(4) * 10, Preempts: c.IntN(4) == 0,
		Since: t0.Add(-time.Duration(c.IntN(50)) * time.Minute), Slots: c.ask(),
	}
	if w.Type == sessions.TypeInference {
		w.ServiceID, w.ServiceName = c.word("svc-1", "svc-2"), "chat"
	}
	if c.IntN(6) == 0 {
		w.Selector = map[string]string{"zone": c.word("a", "b", "c")}
	}
	if c.IntN(10) == 0 {
		w.StartsAt = t0.Add(time.Hour)
	}
	if c.IntN(10) == 0 {
		w.DependsOn = []sessions.Dependency{{ID: "d", Status: sessions.StatusRunning}}
	}
	if c.IntN(4) == 0 {
		gang(2 + c.IntN(6))(&w)
		w.Spread = c.IntN(3) > 0
	}
	c.q.Waiting = append(c.q.Waiting, w)
}

// all are the claims of a session.
func allOf(h sessions.Held) []accel.Claim { return append([]accel.Claim{h.Claim}, h.Others...) }

func outOf(s accel.State, h sessions.Held) accel.State {
	for _, c := range allOf(h) {
		s = s.Without(c.Session)
	}
	return s
}

// roomFor counts the containers of a session that a node has room for, one after the other, at most so many.
func roomFor(s accel.State, w sessions.Waiting, most int, o accel.Options) (room int, after accel.State) {
	for ; room < most; room++ {
		c, err := allocate(s, fmt.Sprintf("%s+%d", w.ID, room), w.Slots, o)
		if err != nil {
			break
		}
		s = s.With(c)
	}
	return room, s
}

// fits says whether a session fits into a pool: where it fits.
func fits(q sessions.Queue, pool accel.Pool, w sessions.Waiting) (nodes []string, is bool) {
	count := 1 + len(w.Others)
	room, at := map[string]int{}, map[string][]string{}
	for _, s := range pool {
		n, _ := roomFor(s, w, count, q.Options)
		if n == count {
			return []string{s.Name()}, true
		}
		if kind := q.Reach[s.Name()]; kind != "" && w.Spread && n > 0 {
			room[kind], at[kind] = room[kind]+n, append(at[kind], s.Name())
		}
	}
	for kind, n := range room {
		if n >= count {
			return at[kind], true
		}
	}
	return nil, false
}

// FuzzPlace holds decisions on queues of chance to the laws of the queue.
func FuzzPlace(f *testing.F) {
	for seed := range uint64(400) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 1))
		q := drawn(r)
		d := sessions.Place(q, t0)
		checkComplete(t, q, d)
		checkCommits(t, q, d)
		checkVictims(t, q, d)
		checkRank(t, q, d)
		checkWouldNotFit(t, q, d)
		checkKept(t, q, d)

		shuffled := q
		shuffled.Pool, shuffled.Waiting, shuffled.Running = slices.Clone(q.Pool), slices.Clone(q.Waiting), slices.Clone(q.Running)
		r.Shuffle(len(q.Pool), func(i, j int) { shuffled.Pool[i], shuffled.Pool[j] = shuffled.Pool[j], shuffled.Pool[i] })
		r.Shuffle(len(q.Waiting), func(i, j int) {
			shuffled.Waiting[i], shuffled.Waiting[j] = shuffled.Waiting[j], shuffled.Waiting[i]
		})
		r.Shuffle(len(q.Running), func(i, j int) {
			shuffled.Running[i], shuffled.Running[j] = shuffled.Running[j], shuffled.Running[i]
		})
		if diff := cmp.Diff(d, sessions.Place(shuffled, t0)); diff != "" {
			t.Errorf("the order of the lists makes a difference: %s", diff)
		}
	})
}

// checkComplete: every session is either placed or told why not, once.
func checkComplete(t *testing.T, q sessions.Queue, d sessions.Decision) {
	t.Helper()
	placed := map[string]bool{}
	for _, p := range d.Placed {
		if placed[p.Session] {
			t.Errorf("%s is placed twice", p.Session)
		}
		placed[p.Session] = true
	}
	for _, w := range q.Waiting {
		if waits := d.Waits[w.ID]; placed[w.ID] == (len(waits) > 0) {
			t.Errorf("%s is placed: %t, and waits because %v", w.ID, placed[w.ID], waits)
		}
		for _, wait := range d.Waits[w.ID] {
			if wait.Predicate == "" || wait.Sentence == "" || wait.Sentence == "waits for its turn" {
				t.Errorf("%s waits for no reason: %+v", w.ID, wait)
			}
		}
	}
	if len(d.Order) != len(q.Waiting) {
		t.Errorf("%d of %d have been tried", len(d.Order), len(q.Waiting))
	}
}

// checkCommits: the placements are what the pool grants, one after the other, and never more than it has.
func checkCommits(t *testing.T, q sessions.Queue, d sessions.Decision) {
	t.Helper()
	pool := slices.Clone(q.Pool)
	for _, p := range d.Placed {
		checkTogether(t, q, p)
		for _, claim := range append([]accel.Claim{p.Claim}, p.Others...) {
			i := slices.IndexFunc(pool, func(s accel.State) bool { return s.Name() == claim.Node })
			before := pool[i]
			pool[i] = before.With(claim)
			for slot, amount := range claim.Slots {
				if (slot == accel.SlotCPU || slot == accel.SlotMem) && amount > before.Free(slot) {
					t.Errorf("%s takes %s of %s, %s are free", p.Session, accel.Format(slot, amount), slot, accel.Format(slot, before.Free(slot)))
				}
			}
			for k := range pool[i].Node().Devices {
				if taken := before.DeviceFree(k) - pool[i].DeviceFree(k); taken != shareOf(claim, pool[i].Node().Devices[k].ID) {
					t.Errorf("%s takes more of %s than is free", p.Session, pool[i].Node().Devices[k].ID)
				}
			}
		}
	}
}

// checkTogether: all containers of a session have a place, or none; they are on one node, or on nodes that reach each other.
func checkTogether(t *testing.T, q sessions.Queue, p sessions.Placement) {
	t.Helper()
	w := waitingOf(q, p.Session)
	ids := []string{p.Claim.Session}
	for _, c := range p.Others {
		ids = append(ids, c.Session)
		if c.Node != p.Claim.Node && (!w.Spread || q.Reach[c.Node] == "" || q.Reach[c.Node] != q.Reach[p.Claim.Node]) {
			t.Errorf("%s is on %s and on %s", p.Session, p.Claim.Node, c.Node)
		}
	}
	if diff := cmp.Diff(append([]string{w.ID}, w.Others...), ids); diff != "" {
		t.Errorf("not all of %s, or not in order: %s", p.Session, diff)
	}
}

func shareOf(c accel.Claim, device string) accel.Amount {
	var sum accel.Amount
	for _, s := range c.Shares {
		if s.Device == device {
			sum += s.Amount
		}
	}
	return sum
}

// checkVictims: who gives way may be asked to, and together with those who leave anyway it is enough, and no
// one of them could have stayed.
func checkVictims(t *testing.T, q sessions.Queue, d sessions.Decision) {
	t.Helper()
	leaving := map[string]bool{}
	for _, h := range q.Running {
		leaving[h.ID] = h.Leaving
	}
	wanted := map[string][]string{}
	var order []string
	for _, p := range d.Preempt {
		if leaving[p.Victim] {
			t.Errorf("%s is asked to leave, and leaves already", p.Victim)
		}
		leaving[p.Victim] = true
		if wanted[p.For] == nil {
			order = append(order, p.For)
		}
		wanted[p.For] = append(wanted[p.For], p.Victim)
		w, h := waitingOf(q, p.For), heldOf(q, p.Victim)
		switch {
		case h.Priority >= w.Priority, !h.Preemptible, h.ServiceID != "", h.Type == sessions.TypeInference, h.Type == sessions.TypeSystem,
			h.StartedAt.Add(h.MinRuntime).After(t0), !w.Preempts && w.Type != sessions.TypeInference:
			t.Errorf("%+v must not give way to %+v", h, w)
		}
	}
	// The first set was chosen with nothing but placements and those before it in the way.
	if len(order) == 0 || len(d.Kept) == 0 || d.Kept[0].Session != order[0] {
		return
	}
	w := waitingOf(q, order[0])
	node := d.Kept[0].Node
	state := q.Pool[slices.IndexFunc(q.Pool, func(s accel.State) bool { return s.Name() == node })]
	for _, h := range q.Running {
		if h.Leaving {
			state = outOf(state, h)
		}
	}
	for _, p := range d.Placed {
		for _, c := range append([]accel.Claim{p.Claim}, p.Others...) {
			if c.Node == node && slices.Index(d.Order, p.Session) < slices.Index(d.Order, w.ID) {
				state = state.With(c)
			}
		}
	}
	without := func(spared string) bool {
		s := state
		for _, v := range wanted[w.ID] {
			if v != spared {
				s = outOf(s, heldOf(q, v))
			}
		}
		room, _ := roomFor(s, w, 1+len(w.Others), q.Options)
		return room == 1+len(w.Others)
	}
	if !without("") {
		t.Errorf("the victims %v are not enough for %s", wanted[w.ID], w.ID)
	}
	for _, v := range wanted[w.ID] {
		if without(v) {
			t.Errorf("%s gives way to %s for nothing", v, w.ID)
		}
	}
}

func waitingOf(q sessions.Queue, id string) sessions.Waiting {
	return q.Waiting[slices.IndexFunc(q.Waiting, func(w sessions.Waiting) bool { return w.ID == id })]
}

func heldOf(q sessions.Queue, id string) sessions.Held {
	return q.Running[slices.IndexFunc(q.Running, func(h sessions.Held) bool { return h.ID == id })]
}

// checkRank: nobody is tried before one of higher priority, and nobody has what an equal one before them was refused.
func checkRank(t *testing.T, q sessions.Queue, d sessions.Decision) {
	t.Helper()
	for i := 1; i < len(d.Order); i++ {
		if a, b := waitingOf(q, d.Order[i-1]), waitingOf(q, d.Order[i]); a.Priority < b.Priority {
			t.Errorf("%s of priority %d is tried before %s of %d", a.ID, a.Priority, b.ID, b.Priority)
		}
	}
	for _, p := range d.Placed {
		w := waitingOf(q, p.Session)
		for _, id := range d.Order[:slices.Index(d.Order, w.ID)] {
			other := waitingOf(q, id)
			waits := d.Waits[id]
			if len(waits) == 1 && waits[0].Predicate == sessions.PredicateResources && cmp.Equal(other.Slots, w.Slots) && len(other.Selector) == 0 &&
				len(other.Others) == len(w.Others) && other.Spread == w.Spread {
				t.Errorf("%s is placed, and %s, which asks for the same and comes before it, is not", w.ID, id)
			}
		}
	}
}

// checkWouldNotFit: who waits for resources does not fit beside what was placed, unless room is kept.
func checkWouldNotFit(t *testing.T, q sessions.Queue, d sessions.Decision) {
	t.Helper()
	if len(d.Kept) > 0 {
		return
	}
	pool := slices.Clone(q.Pool)
	for _, p := range d.Placed {
		for _, c := range append([]accel.Claim{p.Claim}, p.Others...) {
			i := slices.IndexFunc(pool, func(s accel.State) bool { return s.Name() == c.Node })
			pool[i] = pool[i].With(c)
		}
	}
	for _, w := range q.Waiting {
		if waits := d.Waits[w.ID]; len(waits) != 1 || waits[0].Predicate != sessions.PredicateResources || len(w.Selector) > 0 {
			continue
		}
		if nodes, is := fits(q, pool, w); is {
			t.Errorf("%s waits and fits on %v", w.ID, nodes)
		}
	}
}

// checkKept: beside all that was placed, everyone has the room that is kept for them as soon as those have
// gone that are waited for.
func checkKept(t *testing.T, q sessions.Queue, d sessions.Decision) {
	t.Helper()
	room := map[string]int{}
	for _, r := range d.Kept {
		w := waitingOf(q, r.Session)
		if room[w.ID] += r.Containers; !w.Spread {
			room[w.ID] = r.Containers // more nodes with time, each for all of it
		}
	}
	for id, n := range room {
		if w := waitingOf(q, id); n != 1+len(w.Others) {
			t.Errorf("room is kept for %d of the %d containers of %s", n, 1+len(w.Others), id)
		}
	}
	for _, s := range q.Pool {
		for _, p := range d.Placed {
			for _, c := range append([]accel.Claim{p.Claim}, p.Others...) {
				if c.Node == s.Name() {
					s = s.With(c)
				}
			}
		}
		for _, h := range q.Running {
			if h.Leaving {
				s = outOf(s, h)
			}
		}
		for _, p := range d.Preempt {
			s = outOf(s, heldOf(q, p.Victim))
		}
		for _, r := range d.Kept {
			if r.Node != s.Name() {
				continue
			}
			for _, id := range r.Waits {
				s = outOf(s, heldOf(q, id))
			}
			w := waitingOf(q, r.Session)
			fit, after := roomFor(s, w, r.Containers, q.Options)
			if fit < r.Containers {
				t.Errorf("room is kept for %d containers of %s on %s, and there is some for %d", r.Containers, w.ID, s.Name(), fit)
				continue
			}
			s = after
		}
	}
}
