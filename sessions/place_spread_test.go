package sessions_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// over makes a waiting session one of so many containers that may be on several nodes.
func over(count int) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) {
		gang(count)(w)
		w.Spread = true
	}
}

// engine makes a waiting session one of an engine.
func engine(w *sessions.Waiting) { w.Engine = true }

// apart makes a waiting session one whose containers all listen on one port.
func apart(w *sessions.Waiting) { w.Apart = true }

// unasked has nodes be on the boxes' own network without anybody's word.
func (l *lineup) unasked(nodes ...string) *lineup {
	l.Unasked = map[string]bool{}
	for _, n := range nodes {
		l.Unasked[n] = true
	}
	return l
}

// reach has nodes reach each other.
func (l *lineup) reach(kind string, nodes ...string) *lineup {
	if l.Reach == nil {
		l.Reach = map[string]string{}
	}
	for _, n := range nodes {
		l.Reach[n] = kind
	}
	return l
}

func TestGangsOverNodes(t *testing.T) {
	three := func() *lineup {
		return newLineup(t, box("a", 4, 64, 2), box("b", 8, 64, 4), box("c", 16, 64, 8)).reach("vxlan", "a", "b", "c")
	}
	for name, c := range map[string]struct {
		lineup *lineup
		want   string
		why    string
	}{
		"all on one where they fit": {three().waits("x", "cuda.device=1", over(6)), "c c c c c c", ""},
		"on as few as it can be":    {three().waits("x", "cuda.device=1", over(10)), "c c c c c c c c a a", ""},
		"the rest where it fits just so": {
			three().held("h", "c", "cuda.device=5").waits("x", "cuda.device=1", over(5)), "b b b b a", "",
		},
		"on all": {three().waits("x", "cuda.device=1", over(14)), "c c c c c c c c b b b b a a", ""},
		"on chosen ones": {
			newLineup(t, withLabels(box("a", 4, 64, 2), "zone", "x"), box("b", 8, 64, 4), withLabels(box("c", 8, 64, 2), "zone", "x")).reach("vxlan", "a", "b", "c").
				waits("x", "cuda.device=1", over(4), labels("zone", "x")), "a a c c", "",
		},
		"none has so many": {
			three().waits("x", "cpu=1 cuda.device=1", over(15)), "",
			"capacity: asks for 15 containers, each with 1 cpu and 1 cuda.device: nodes that reach each other have room for 14 when they are empty; would fit empty nodes with 14 containers",
		},
		"never half": {
			three().held("h", "b", "cuda.device=1").waits("x", "cuda.device=1", over(14)), "",
			"resources: waits for room for 14 containers, each with 1 cuda.device: there is room for 13 now (2 on a, 3 on b, 8 on c); " +
				"fits on c, a and b when h has ended; room is kept for it there",
		},
		"until those have gone that go": {
			three().held("h", "b", "cuda.device=3", isLeaving).waits("x", "cuda.device=1", over(14)), "",
			"resources: waits for room for 14 containers, each with 1 cuda.device: there is room for 11 now (2 on a, 1 on b, 8 on c); fits when h, which is ending, has given its devices back",
		},
		"only with nodes that reach each other": {
			newLineup(t, box("a", 8, 64, 4), box("b", 8, 64, 4), box("c", 8, 64, 4), box("d", 8, 64, 4)).reach("host", "a", "d").reach("vxlan", "b").
				waits("x", "cuda.device=1", over(6)), "a a a a d d", "",
		},
		"each on a node of its own, where they share its ports": {
			newLineup(t, box("a", 8, 64, 8), box("b", 8, 64, 2), box("c", 8, 64, 2)).reach("host", "a", "b", "c").waits("x", "cuda.device=1", over(3), apart), "a b c", "",
		},
		"apart from nobody in networks of their own": {
			newLineup(t, box("a", 8, 64, 8), box("b", 8, 64, 2)).reach("vxlan", "a", "b").waits("x", "cuda.device=1", over(3), apart), "a a a", "",
		},
		"apart, and too few nodes": {
			newLineup(t, box("a", 8, 64, 8), box("b", 8, 64, 2)).reach("host", "a", "b").waits("x", "cuda.device=1", over(3), apart), "",
			"capacity: asks for 3 containers, each with 1 cuda.device: nodes that reach each other have room for 2 when they are empty; one on a box where sessions share its network, for all listen on one port; would fit empty nodes with 2 containers",
		},
		"apart, and a node is taken": {
			newLineup(t, box("a", 8, 64, 8), box("b", 8, 64, 2)).reach("host", "a", "b").held("h", "b", "cuda.device=2").waits("x", "cuda.device=1", over(2), apart), "",
			"resources: waits for room for 2 containers, each with 1 cuda.device: there is room for 1 now (1 on a); fits on a and b when h has ended; room is kept for it there",
		},
		"an engine, where its ports may be open": {
			newLineup(t, box("a", 8, 64, 8), box("b", 8, 64, 2), box("c", 8, 64, 2)).reach("host", "a", "b", "c").unasked("a").waits("x", "cuda.device=1", over(3), engine), "b b c", "",
		},
		"an engine, and nobody has said so": {
			newLineup(t, box("a", 8, 64, 8), box("b", 8, 64, 8)).reach("host", "a", "b").unasked("a", "b").waits("x", "cuda.device=1", over(3), engine), "",
			"capacity: asks for 3 containers, each with 1 cuda.device: nodes that reach each other have room for none when they are empty; not on a and b, where its ports would be open and nobody has set cluster.session_network: host",
		},
		"none reaches another": {
			newLineup(t, box("a", 8, 64, 4), box("b", 8, 64, 4)).waits("x", "cuda.device=1", over(6)), "",
			"capacity: asks for 6 containers, each with 1 cuda.device: nodes that reach each other have room for 4 when they are empty; would fit empty nodes with 4 containers",
		},
		"concentrated": {
			newLineup(t, box("a", 8, 64, 2), box("b", 4, 64, 2), box("c", 8, 64, 2)).reach("vxlan", "a", "b", "c").
				waits("x", "cpu=1 cuda.device=1", over(4), strategy(sessions.StrategyConcentrated)), "b b a a", "",
		},
		"its user's limit is of all of it": {
			func() *lineup {
				l := three().waits("x", "cpu=2", over(3))
				l.Quotas = sessions.Quotas{User: sessions.Quota{Slots: accel.Slots{"cpu": 5000}}}
				return l
			}(), "", "user-limit: asks for 6 cpu, more than user ada may have: 5; would be within it with 5 cpu",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.lineup.place()
			var got []string
			for _, p := range d.Placed {
				for _, claim := range append([]accel.Claim{p.Claim}, p.Others...) {
					got = append(got, claim.Node)
				}
			}
			if text := strings.Join(got, " "); text != c.want {
				t.Errorf("on %s, want %s", text, c.want)
			}
			if got := why(d, "x"); got != c.why {
				t.Errorf("it waits for %q, want %q", got, c.why)
			}
		})
	}
}

// TestGangsOverNodesGiveWay: one that holds of several nodes is asked once, and what it gives back of each is counted there.
func TestGangsOverNodesGiveWay(t *testing.T) {
	l := newLineup(t, box("a", 8, 64, 2), box("b", 8, 64, 2)).reach("vxlan", "a", "b").waits("g", "cuda.device=1", over(4))
	for _, p := range l.place().Placed {
		h := sessions.Held{ID: "g", Name: "g", Project: "default", Owner: "ada", Type: sessions.TypeBatch, Preemptible: true, StartedAt: t0.Add(-time.Hour), Claim: p.Claim, Others: p.Others}
		for _, c := range allOf(h) {
			for i, s := range l.Pool {
				if s.Name() == c.Node {
					l.Pool[i] = s.With(c)
				}
			}
		}
		l.Running = append(l.Running, h)
	}
	l.Waiting = nil
	d := l.waits("r1", "cuda.device=2", asRoute("s"), priority(50)).waits("r2", "cuda.device=2", asRoute("s"), priority(50)).place()
	if diff := cmp.Diff([]string{"g to r1"}, gives(d)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"r1 on a g", "r2 on b g"}, keeps(d)); diff != "" {
		t.Error(diff)
	}
}

// TestGangsOverNodesAreNotStarved: small ones come all the time, and it gets its places all the same.
func TestGangsOverNodesAreNotStarved(t *testing.T) {
	l := newLineup(t).reach("vxlan", "n0", "n1", "n2")
	for i := range 3 {
		l.Pool = append(l.Pool, accel.NewState(box(fmt.Sprintf("n%d", i), 4, 64, 0)))
	}
	for i := range 6 {
		l.held(fmt.Sprintf("h%d", i), fmt.Sprintf("n%d", i%3), "cpu=2", startedAgo(time.Duration(10-i)*time.Minute))
	}
	l.waits("x", "cpu=4", over(2))
	for i := range 40 {
		l.waits(fmt.Sprintf("small%d", i), "cpu=2")
	}
	smalls := 0
	for range 10 {
		d := l.place()
		placed := where(d)
		for _, p := range d.Placed {
			if p.Session == "x" {
				if smalls > 2 {
					t.Errorf("%d small ones were let past it", smalls)
				}
				return
			}
			smalls++
		}
		if len(placed) == 0 && len(l.Running) == 0 {
			t.Fatal("nothing runs and nothing is placed")
		}
		for _, p := range d.Placed {
			for i, s := range l.Pool {
				if s.Name() == p.Claim.Node {
					l.Pool[i] = s.With(p.Claim)
				}
			}
		}
		gone := l.Running[0]
		l.Running = l.Running[1:]
		for i, s := range l.Pool {
			l.Pool[i] = s.Without(gone.ID)
		}
		l.Kept = d.Kept
	}
	t.Error("it never got its places")
}
