package tally

import (
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// A Redis that is slow costs each request the bound once, then nothing: boxes go on alone with their shares, and together
// again when it is quick.
func TestSlowRedis(t *testing.T) {
	s := newServer(t)
	ways := []*road{newRoad(t, s, "a"), newRoad(t, s, "b")}
	limits := quota.Limits{RequestsPerMinute: 5, Concurrent: 3}
	quick := func(o *Options) { o.Bound = 100 * time.Millisecond }
	boxes := []*box{newBox(t, ways[0].path, limits, quick), newBox(t, ways[1].path, limits, quick)}
	together(t, boxes...)
	for _, w := range ways {
		w.delay.Store(int64(300 * time.Millisecond))
	}
	in := 0
	for i := range 20 {
		began := time.Now()
		g, r, ok := boxes[i%2].take(0)
		if took := time.Since(began); i >= 2 && took > 90*time.Millisecond || took > 250*time.Millisecond {
			t.Errorf("request %d took %v", i, took)
		}
		if ok {
			in++
			g.Settle(boxes[i%2].now(), 0)
		} else if r.Boxes != 2 || r.Share != 3 || r.Limit != 5 {
			t.Errorf("%+v", r)
		}
	}
	if in != 6 {
		t.Errorf("%d were let in, want three on each box", in)
	}
	if st := boxes[0].Status(); st.Mode != Alone || st.Boxes != 2 || st.Cause == "" {
		t.Errorf("%+v", st)
	}
	for _, w := range ways {
		w.delay.Store(0)
	}
	together(t, boxes...)
	if st := s.all(t, "token:ci"); st["rs"] != 6 || st["c"] != 0 {
		t.Errorf("when they were together again: %v", st)
	}
	if _, _, ok := boxes[0].take(0); ok {
		t.Error("what was let in alone was not counted")
	}
}

// An answer that was lost: whether Redis had counted the request or not, it is counted once.
func TestAnswersLost(t *testing.T) {
	s := newServer(t)
	way := newRoad(t, s, "a")
	b := newBox(t, way.path, quota.Limits{RequestsPerMinute: 1000, TokensPerMinute: 1 << 30, Concurrent: 100, Budget: 1 << 30, Window: quota.Day}, func(o *Options) { o.Bound = 100 * time.Millisecond })
	together(t, b)
	in, used := int64(0), int64(0)
	var flying []quota.Grant
	for range 3 {
		way.delay.Store(int64(time.Hour)) // Redis gets what is sent, and its answers come to nobody
		for range 4 {
			g, _, ok := b.take(10)
			if !ok {
				t.Fatal("refused")
			}
			in++
			flying = append(flying, g)
		}
		flying[0].Settle(b.now(), 7)
		used += 7
		flying = flying[1:]
		way.cut(true)
		way.delay.Store(0)
		way.cut(false)
		together(t, b)
		st := s.all(t, "token:ci")
		if st["rs"] != in || st["c"] != int64(len(flying)) || st["v"] != 10*int64(len(flying)) || st["ts"] != used || st["bs"] != used {
			t.Errorf("%d let in, %d in flight, %d used: %v", in, len(flying), used, st)
		}
	}
	for _, g := range flying {
		g.Settle(b.now(), 1)
		used++
	}
	eventually(t, "all is settled", func() bool { st := s.all(t, "token:ci"); return st["c"] == 0 && st["v"] == 0 && st["ts"] == used })
}

// What a box that died had in flight is given back when its lease has ended; one that was frozen and goes on counts it again.
func TestBoxDies(t *testing.T) {
	s := newServer(t)
	way := newRoad(t, s, "a")
	brief := func(o *Options) { o.Lease = 500 * time.Millisecond }
	limits := quota.Limits{Concurrent: 2}
	dies, lives := newBox(t, way.path, limits, brief), newBox(t, s.socket, limits, brief)
	together(t, dies, lives)
	held, _, ok := dies.take(5)
	if _, _, also := dies.take(5); !ok || !also {
		t.Fatal("refused")
	}
	if _, r, ok := lives.take(5); ok || r.Kind != quota.Concurrent {
		t.Fatalf("%v %+v", ok, r)
	}
	way.cut(true)
	var g quota.Grant
	eventually(t, "the slots are given back", func() bool {
		var ok bool
		g, _, ok = lives.take(5)
		return ok
	})
	if st := lives.Status(); st.Boxes != 1 || st.Mode != Together {
		t.Errorf("%+v", st)
	}
	way.cut(false)
	together(t, dies)
	if st := s.all(t, "token:ci"); st["c"] != 3 {
		t.Errorf("when it was back: %v", st)
	}
	if _, _, ok := lives.take(5); ok {
		t.Error("a slot that the other holds again was given away")
	}
	held.Settle(dies.now(), 0)
	g.Settle(lives.now(), 0)
	eventually(t, "all but one is settled", func() bool { return s.all(t, "token:ci")["c"] == 1 })
}

// A process that ends says so: what shares are is known at once, not after its lease. What it had not told is told.
func TestBoxLeaves(t *testing.T) {
	s := newServer(t)
	limits := quota.Limits{RequestsPerMinute: 10}
	a, b := newBox(t, s.socket, limits), newBox(t, s.socket, limits)
	together(t, a, b)
	g, _, ok := a.take(0)
	if !ok {
		t.Fatal("refused")
	}
	g.Settle(a.now(), 0)
	a.stop()
	<-a.stopped
	if n := s.client.ZCard(t.Context(), "{palisade}:boxes").Val(); n != 1 {
		t.Errorf("%d boxes", n)
	}
	if st := s.all(t, "token:ci"); st["c"] != 0 || st["rs"] != 1 {
		t.Errorf("%v", st)
	}
	eventually(t, "the other one knows", func() bool { return b.Status().Boxes == 1 })
	if keys := s.client.Keys(t.Context(), "*").Val(); len(keys) > 6 {
		t.Errorf("%q", keys)
	}
	for _, key := range s.client.Keys(t.Context(), "*").Val() {
		if ttl := s.client.TTL(t.Context(), key).Val(); ttl <= 0 || ttl > 24*time.Hour {
			t.Errorf("%s stays for %v", key, ttl)
		}
	}
}

// Budgets go on where they were when Redis has lost them, and are counted once when boxes come together.
func TestBudgetOverAnEmptyRedis(t *testing.T) {
	s := newServer(t)
	limits := quota.Limits{Budget: 1000, Window: quota.Month}
	quick := func(o *Options) { o.Bound = 200 * time.Millisecond }
	a, b := newBox(t, s.socket, limits, quick), newBox(t, s.socket, limits, quick)
	together(t, a, b)
	use := func(one *box, n int64) bool {
		g, _, ok := one.take(n)
		if ok {
			g.Settle(one.now(), n)
		}
		return ok
	}
	for range 3 {
		if !use(a, 100) || !use(b, 100) {
			t.Fatal("refused")
		}
	}
	s.kill()
	if !use(a, 100) || !use(b, 100) { // of 400 at most that are left each has half at least
		t.Error("of its share nothing was let in")
	}
	s.start()
	together(t, a, b)
	eventually(t, "all is told", func() bool { return s.all(t, "token:ci")["bs"] == 800 })
	if use(a, 201) || !use(b, 100) || !use(a, 100) || use(b, 1) {
		t.Errorf("%v", s.all(t, "token:ci"))
	}
}

// Settlements while boxes come together are neither lost nor waited for, and requests meanwhile are let in.
func TestComingTogetherUnderLoad(t *testing.T) {
	s := newServer(t)
	way := newRoad(t, s, "a")
	b := newBox(t, way.path, quota.Limits{RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 40})
	together(t, b)
	var all sync.WaitGroup
	over := make(chan struct{})
	counts := make([]int64, 4)
	for i := range counts {
		all.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
				}
				g, _, ok := b.take(3)
				if !ok {
					t.Error("refused")
					return
				}
				g.Settle(b.now(), 2)
				counts[i]++
			}
		})
	}
	for range 4 {
		way.cut(true)
		eventually(t, "it is alone", func() bool { return b.Status().Mode == Alone })
		way.cut(false)
		together(t, b)
	}
	close(over)
	all.Wait()
	sum := int64(0)
	for _, n := range counts {
		sum += n
	}
	together(t, b)
	eventually(t, "all is counted once", func() bool {
		st := s.all(t, "token:ci")
		return st["rs"] == sum && st["ts"] == 2*sum && st["c"] == 0 && st["v"] == 0
	})
}

// What a process of before used counts here while Redis is gone. Together, that one has said so itself.
func TestChargedAlone(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.socket, quota.Limits{Budget: 1000, Window: quota.Month}, func(o *Options) { o.Bound = 200 * time.Millisecond })
	together(t, b)
	b.Charge(b.now(), b.payers, 900)
	g, _, ok := b.take(200)
	if !ok {
		t.Fatal("together, it was counted")
	}
	g.Settle(b.now(), 0)
	s.kill()
	eventually(t, "it counts alone", func() bool { return b.Status().Mode == Alone })
	b.Charge(b.now(), b.payers, 900)
	if g, _, ok = b.take(100); !ok {
		t.Error("what is left is refused")
	}
	g.Settle(b.now(), 100)
	if _, r, ok := b.take(1); ok || r.Kind != quota.Budget {
		t.Errorf("alone: %v %+v", ok, r)
	}
	s.start()
	together(t, b)
	if _, r, ok := b.take(1); ok || r.Left != 0 {
		t.Errorf("together again: %v %+v", ok, r)
	}
	if got := s.all(t, "token:ci")["bs"]; got != 1000 {
		t.Errorf("the others hear of %d", got)
	}
}

// A batch in which many are about the same subject, and others about more, decides as one after the other would.
func TestOneTripForMany(t *testing.T) {
	s := newServer(t)
	way := newRoad(t, s, "a")
	b := newBox(t, way.path, quota.Limits{RequestsPerMinute: 5, Concurrent: 4}, func(o *Options) { o.Bound, o.Lease = time.Minute, time.Minute })
	together(t, b)
	other := b.payers
	other[1] = quota.NewSubject(`project "p"`, quota.Limits{RequestsPerMinute: 2}, 0, b.now()).Keyed("project:p")
	first, _, ok := b.take(0)
	if !ok {
		t.Fatal("refused")
	}
	answer := make(chan struct{})
	way.held.Store(&answer) // what comes meanwhile goes together
	before := b.tripped.Load()
	var all sync.WaitGroup
	all.Go(func() { _, _, _ = b.take(0) })
	eventually(t, "one is on its way", func() bool { return s.all(t, "token:ci")["c"] == 2 })
	first.Settle(b.now(), 0)
	kinds := make([]quota.Kind, 6)
	for i := range kinds {
		all.Go(func() {
			p := b.payers
			if i < 3 {
				p = other
			}
			if _, r, ok := b.Take(b.now(), p, quota.Ask{}); !ok {
				kinds[i] = r.Kind
			}
		})
	}
	eventually(t, "all others wait", func() bool { return len(b.queue) == 1+len(kinds) })
	close(answer)
	all.Wait()
	in := 0
	for _, k := range kinds {
		if k == 0 {
			in++
		}
	}
	st, project := s.all(t, "token:ci"), s.all(t, "project:p")
	if in != 3 || st["rs"] != 5 || st["c"] != 4 || project["rs"] > 2 || b.Status().Mode != Together {
		t.Errorf("%d let in, %v: %v, %v", in, kinds, st, project)
	}
	if trips := b.tripped.Load() - before; trips != 2 {
		t.Errorf("%d trips, want 2", trips)
	}
}
