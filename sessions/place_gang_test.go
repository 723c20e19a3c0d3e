package sessions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// gang makes a waiting session one of so many containers.
func gang(count int) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) {
		for i := 1; i < count; i++ {
			w.Others = append(w.Others, fmt.Sprintf("%s-%d", w.ID, i))
		}
	}
}

// heldGang has a session of several containers run on a node, each with what is asked for.
func (l *lineup) heldGang(id, node, ask string, count int, change ...func(*sessions.Held)) *lineup {
	l.tb.Helper()
	l.held(id, node, ask, change...)
	h := &l.Running[len(l.Running)-1]
	for i := 1; i < count; i++ {
		for at, s := range l.Pool {
			if s.Name() != node {
				continue
			}
			claim, err := allocate(s, fmt.Sprintf("%s-%d", id, i), slots(l.tb, ask), l.Options)
			if err != nil {
				l.tb.Fatal(err)
			}
			h.Others, l.Pool[at] = append(h.Others, claim), s.With(claim)
		}
	}
	return l
}

// claims are all that a placement gives, by container.
func claims(p sessions.Placement) []string {
	var out []string
	for _, c := range append([]accel.Claim{p.Claim}, p.Others...) {
		text := c.Session + " on " + c.Node
		for _, s := range c.Shares {
			text += fmt.Sprintf(" %s:%d", s.Device, s.Amount)
		}
		out = append(out, text)
	}
	return out
}

func TestGangsAreAllOrNone(t *testing.T) {
	two := []accel.Node{box("a", 8, 64, 2), box("b", 16, 64, 4)}
	for name, c := range map[string]struct {
		lineup *lineup
		want   []string
		why    string
	}{
		"on the node that has room for all of it": {
			newLineup(t, two...).waits("x", "cpu=1 cuda.device=1", gang(3)),
			[]string{"x on b GPU-b-0:100", "x-1 on b GPU-b-1:100", "x-2 on b GPU-b-2:100"}, "",
		},
		"never half of it, nor on two nodes": {
			newLineup(t, two...).held("h", "b", "cuda.device=2").waits("x", "cpu=1 cuda.device=1", gang(4)), nil,
			"resources: waits for 4 cuda.device for its 4 containers together: 2 of 4 free on b; would fit if h ended; room is kept for it on b",
		},
		"none has so much": {
			newLineup(t, two...).waits("x", "cpu=5", gang(4)), nil,
			"capacity: asks for 20 cpu for its 4 containers together: b has most of it, 16 cpu; would fit an empty node with 16 cpu for its 4 containers together",
		},
		"parts of devices": {
			newLineup(t, box("a", 8, 64, 2)).waits("x", "cuda.shares=0.6", gang(3)),
			[]string{"x on a GPU-a-0:60", "x-1 on a GPU-a-1:60", "x-2 on a GPU-a-0:30 GPU-a-1:30"}, "",
		},
		"its user's limit is of all of it": {
			func() *lineup {
				l := newLineup(t, two...).waits("x", "cpu=2", gang(3))
				l.Quotas = sessions.Quotas{User: sessions.Quota{Slots: accel.Slots{"cpu": 5000}, Sessions: 1}}
				return l
			}(), nil,
			"user-limit: asks for 6 cpu, more than user ada may have: 5; would be within it with 5 cpu",
		},
		"it is one session for the limit of those": {
			func() *lineup {
				l := newLineup(t, two...).waits("x", "cpu=1", gang(3))
				l.Quotas = sessions.Quotas{User: sessions.Quota{Sessions: 1}}
				return l
			}(), []string{"x on b", "x-1 on b", "x-2 on b"}, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.lineup.place()
			var got []string
			for _, p := range d.Placed {
				got = append(got, claims(p)...)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
			if got := why(d, "x"); got != c.why {
				t.Errorf("it waits for %q, want %q", got, c.why)
			}
		})
	}
}

// TestGangsWithQuanta: where parts are rounded, what is promised for the sum holds for each.
func TestGangsWithQuanta(t *testing.T) {
	l := newLineup(t, box("a", 8, 64, 1))
	l.Options.Quantum = 25
	if d := l.waits("x", "cuda.shares=0.3", gang(4)).place(); len(d.Placed) != 1 || len(d.Placed[0].Others) != 3 {
		t.Errorf("%+v %v", d.Placed, why(d, "x"))
	}
}

func TestGangsGiveWayAsOne(t *testing.T) {
	preempts := func(w *sessions.Waiting) { w.Preempts, w.Priority = true, 50 }
	preemptible := func(h *sessions.Held) { h.Preemptible = true }
	l := newLineup(t, box("a", 16, 64, 4)).heldGang("g", "a", "cuda.device=1", 3, preemptible).waits("route", "cuda.device=4", preempts)
	d := l.place()
	if diff := cmp.Diff([]string{"g to route"}, gives(d)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"route on a g"}, keeps(d)); diff != "" {
		t.Error(diff)
	}
	// What such a session would give back is counted as a whole, too, for who only waits.
	l = newLineup(t, box("a", 16, 64, 4)).heldGang("g", "a", "cuda.device=1", 4).waits("x", "cuda.device=4")
	if got := why(l.place(), "x"); !strings.Contains(got, "would fit if g ended") {
		t.Error(got)
	}
	// One that leaves leaves as a whole.
	l = newLineup(t, box("a", 16, 64, 4)).heldGang("g", "a", "cuda.device=1", 4, func(h *sessions.Held) { h.Leaving = true }).
		waits("x", "cuda.device=2", gang(2)).waits("small", "cuda.device=1")
	d = l.place()
	if got := why(d, "x"); !strings.Contains(got, "fits when g, which is ending, has given its devices back") || len(d.Placed) != 0 {
		t.Errorf("%s; placed %v", got, where(d))
	}
}

// TestGangsAreNotStarved: the head of the queue gets its room though small ones come all the time.
func TestGangsAreNotStarved(t *testing.T) {
	l := newLineup(t, box("a", 8, 64, 0))
	for i := range 4 {
		l.held(fmt.Sprintf("h%d", i), "a", "cpu=2")
	}
	l.waits("x", "cpu=2", gang(4))
	for i := range 40 {
		l.waits(fmt.Sprintf("small%d", i), "cpu=2")
	}
	for range 10 {
		d := l.place()
		if slices.Contains(where(d), "x on a") {
			return
		}
		if len(d.Placed) > 0 {
			t.Fatalf("%v were let past it: %s", where(d), why(d, "x"))
		}
		if len(l.Running) > 0 { // one of those that run ends
			gone := l.Running[0]
			l.Running, l.Pool[0] = l.Running[1:], l.Pool[0].Without(gone.ID)
		}
		l.Kept = d.Kept
	}
	t.Error("it never got a place")
}

func TestGangsFillThePool(t *testing.T) {
	l := newLineup(t)
	for i := range 20 {
		l.Pool = append(l.Pool, accel.NewState(box(fmt.Sprintf("n%02d", i), 32, 256, 8)))
	}
	for i := range 100 {
		l.waits(fmt.Sprintf("g%03d", i), "cpu=1 cuda.device=1", gang(1+i%8))
	}
	d := l.place()
	taken := map[string]int{}
	for _, p := range d.Placed {
		for _, c := range append([]accel.Claim{p.Claim}, p.Others...) {
			if c.Node != p.Claim.Node {
				t.Errorf("%s is on two nodes", p.Session)
			}
			for _, s := range c.Shares {
				taken[s.Device]++
			}
		}
	}
	for device, n := range taken {
		if n > 1 {
			t.Errorf("%s is given %d times", device, n)
		}
	}
	if len(taken) < 150 {
		t.Errorf("%d of 160 devices are used", len(taken))
	}
}
