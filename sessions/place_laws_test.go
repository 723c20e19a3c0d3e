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

// drawn is a queue of chance: a few nodes, crowded, and many that want to get in.
func drawn(r *rand.Rand) sessions.Queue {
	pick := func(n int) int { return r.IntN(n) }
	q := sessions.Queue{
		Order:    []sessions.Order{"", sessions.OrderLIFO, sessions.OrderDRF}[pick(3)],
		Strategy: []sessions.Strategy{"", sessions.StrategyConcentrated, sessions.StrategyRoundRobin}[pick(3)],
		LastNode: fmt.Sprintf("n%d", pick(5)),
		Options:  accel.Options{Quantum: []accel.Amount{0, 0, 25}[pick(3)]},
	}
	if pick(3) == 0 {
		q.Quotas = sessions.Quotas{User: sessions.Quota{Sessions: 6}, Project: sessions.Quota{Slots: accel.Slots{"cuda.device": 600}}}
	}
	ask := func() accel.Slots {
		s := accel.Slots{accel.SlotCPU: accel.Amount(500 * (1 + pick(8))), accel.SlotMem: accel.Amount(1+pick(8)) << 30}
		switch pick(5) {
		case 0:
			s["cuda.shares"] = accel.Amount(25 * (1 + pick(7)))
		case 1, 2:
			s["cuda.device"] = accel.Amount(100 * (1 + pick(4)))
		case 3:
			s["rocm.device"] = accel.Amount(100 * (1 + pick(2)))
		}
		return s
	}
	for i := range 1 + pick(4) {
		n := box(fmt.Sprintf("n%d", i), 8+pick(24), 16+pick(64), pick(5))
		n.Labels = map[string]string{"zone": []string{"a", "b"}[pick(2)]}
		if pick(3) == 0 {
			n = withRocm(n, 2)
		}
		if len(n.Devices) > 0 && pick(6) == 0 {
			n = broken(n, pick(len(n.Devices)))
		}
		q.Pool = append(q.Pool, accel.NewState(n))
	}
	types := []sessions.Type{sessions.TypeBatch, sessions.TypeBatch, sessions.TypeInteractive, sessions.TypeInference, sessions.TypeSystem}
	for i := range pick(24) {
		h := sessions.Held{
			ID: fmt.Sprintf("h%02d", i), Name: fmt.Sprintf("h%02d", i), Owner: []string{"ada", "bob", "cyd"}[pick(3)], Project: []string{"p", "q"}[pick(2)],
			Type: types[pick(len(types))], Priority: pick(4) * 10, Preemptible: pick(2) == 0, Leaving: pick(6) == 0,
			StartedAt: t0.Add(-time.Duration(pick(100)) * time.Minute), MinRuntime: time.Duration(pick(3)*30) * time.Minute,
		}
		if h.Type == sessions.TypeInference {
			h.ServiceID, h.ServiceName = fmt.Sprintf("svc%d", pick(3)), fmt.Sprintf("chat%d", pick(3))
		}
		node := pick(len(q.Pool))
		c, err := accel.Allocate(q.Pool[node], h.ID, ask(), q.Options)
		if err != nil {
			continue
		}
		h.Claim, q.Pool[node] = c, q.Pool[node].With(c)
		q.Running = append(q.Running, h)
	}
	for i := range pick(24) {
		w := sessions.Waiting{
			ID: fmt.Sprintf("w%02d", i), Name: fmt.Sprintf("w%02d", i), Owner: []string{"ada", "bob", "cyd"}[pick(3)], Project: []string{"p", "q"}[pick(2)],
			Type: types[pick(len(types))], Priority: pick(4) * 10, Preempts: pick(4) == 0, Since: t0.Add(-time.Duration(pick(50)) * time.Minute), Slots: ask(),
		}
		if w.Type == sessions.TypeInference {
			w.ServiceID, w.ServiceName = fmt.Sprintf("svc%d", pick(3)), fmt.Sprintf("chat%d", pick(3))
		}
		if pick(6) == 0 {
			w.Selector = map[string]string{"zone": []string{"a", "b", "c"}[pick(3)]}
		}
		if pick(10) == 0 {
			w.StartsAt = t0.Add(time.Hour)
		}
		if pick(10) == 0 {
			w.DependsOn = []sessions.Dependency{{ID: "d", Status: sessions.StatusRunning}}
		}
		q.Waiting = append(q.Waiting, w)
	}
	return q
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
		i := slices.IndexFunc(pool, func(s accel.State) bool { return s.Name() == p.Claim.Node })
		before := pool[i]
		pool[i] = before.With(p.Claim)
		for slot, amount := range p.Claim.Slots {
			if (slot == accel.SlotCPU || slot == accel.SlotMem) && amount > before.Free(slot) {
				t.Errorf("%s takes %s of %s, %s are free", p.Session, accel.Format(slot, amount), slot, accel.Format(slot, before.Free(slot)))
			}
		}
		for k := range pool[i].Node().Devices {
			if taken := before.DeviceFree(k) - pool[i].DeviceFree(k); taken != shareOf(p.Claim, pool[i].Node().Devices[k].ID) {
				t.Errorf("%s takes more of %s than is free", p.Session, pool[i].Node().Devices[k].ID)
			}
		}
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
	node := heldOf(q, wanted[order[0]][0]).Claim.Node
	state := q.Pool[slices.IndexFunc(q.Pool, func(s accel.State) bool { return s.Name() == node })]
	for _, h := range q.Running {
		if h.Leaving {
			state = state.Without(h.ID)
		}
	}
	for _, p := range d.Placed {
		if p.Claim.Node == node && slices.Index(d.Order, p.Session) < slices.Index(d.Order, w.ID) {
			state = state.With(p.Claim)
		}
	}
	without := func(spared string) bool {
		s := state
		for _, v := range wanted[w.ID] {
			if v != spared {
				s = s.Without(v)
			}
		}
		_, err := accel.Allocate(s, w.ID, w.Slots, q.Options)
		return err == nil
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
			if len(waits) == 1 && waits[0].Predicate == sessions.PredicateResources && cmp.Equal(other.Slots, w.Slots) && len(other.Selector) == 0 {
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
		i := slices.IndexFunc(pool, func(s accel.State) bool { return s.Name() == p.Claim.Node })
		pool[i] = pool[i].With(p.Claim)
	}
	for _, w := range q.Waiting {
		if waits := d.Waits[w.ID]; len(waits) != 1 || waits[0].Predicate != sessions.PredicateResources || len(w.Selector) > 0 {
			continue
		}
		for _, s := range pool {
			if _, err := accel.Allocate(s, w.ID, w.Slots, q.Options); err == nil {
				t.Errorf("%s waits and fits on %s", w.ID, s.Name())
			}
		}
	}
}

// The head of the queue starts once enough has been given back, however many small sessions arrive meanwhile. On
// half of the pools the node where it would fit when just one session ends is the wrong one: that never ends.
func TestPlaceStarvesNobody(t *testing.T) {
	for seed := range uint64(60) {
		p := newPlay(t, rand.New(rand.NewPCG(seed, 2)), seed%2 == 0)
		if p.run("big", 150) < 0 {
			t.Errorf("seed %d: after 150 minutes the head has not started", seed)
		}
	}
}

// play lets time go by over a pool: sessions arrive, are placed, and end.
type play struct {
	*lineup
	r     *rand.Rand
	now   time.Time
	ends  map[string]time.Time
	count int
}

func newPlay(t *testing.T, r *rand.Rand, endless bool) *play {
	t.Helper()
	l := newLineup(t, box("a", 32, 128, 8), box("b", 32, 128, 8), box("c", 32, 128, 8))
	l.Strategy = []sessions.Strategy{"", sessions.StrategyConcentrated, sessions.StrategyRoundRobin}[r.IntN(3)]
	p := &play{lineup: l, r: r, now: t0, ends: map[string]time.Time{}}
	if endless {
		l.held("endless", "a", "cuda.device=8")
		p.ends["endless"] = t0.Add(1000 * time.Hour)
	}
	return p
}

// run returns after how many minutes a session started that wants a whole node, having come when the
// pool was full of small ones; -1: not in time.
func (p *play) run(id string, minutes int) int {
	for minute := range minutes {
		p.now = t0.Add(time.Duration(minute) * time.Minute)
		for len(p.Waiting) < 8 { // of the same priority, and older for a while
			p.count++
			ask := []string{"cuda.device=1", "cuda.device=2", "cuda.shares=0.5", "cpu=4"}[p.r.IntN(4)]
			p.waits(fmt.Sprintf("s%05d", p.count), ask, func(w *sessions.Waiting) { w.Since = p.now })
		}
		if minute == 5 {
			p.waits(id, "cpu=8 cuda.device=8", func(w *sessions.Waiting) { w.Since = p.now })
		}
		p.end()
		if p.step(id) {
			return minute
		}
	}
	return -1
}

// end gives back what has run for its time.
func (p *play) end() {
	p.Running = slices.DeleteFunc(p.Running, func(h sessions.Held) bool {
		if p.ends[h.ID].After(p.now) {
			return false
		}
		for i, s := range p.Pool {
			p.Pool[i] = s.Without(h.ID)
		}
		return true
	})
}

// step commits one pass and reports whether a session was placed.
func (p *play) step(id string) bool {
	d := sessions.Place(p.Queue, p.now)
	p.Kept, p.LastNode = d.Kept, d.LastNode
	found := false
	for _, placed := range d.Placed {
		found = found || placed.Session == id
		i := slices.IndexFunc(p.Pool, func(s accel.State) bool { return s.Name() == placed.Claim.Node })
		p.Pool[i] = p.Pool[i].With(placed.Claim)
		p.Running = append(p.Running, sessions.Held{ID: placed.Session, Type: sessions.TypeBatch, StartedAt: p.now, Claim: placed.Claim})
		p.ends[placed.Session] = p.now.Add(time.Duration(1+p.r.IntN(40)) * time.Minute)
		p.Waiting = slices.DeleteFunc(p.Waiting, func(w sessions.Waiting) bool { return w.ID == placed.Session })
	}
	return found
}
