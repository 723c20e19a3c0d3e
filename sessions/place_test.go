package sessions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

func priority(n int) func(*sessions.Waiting) { return func(w *sessions.Waiting) { w.Priority = n } }
func by(owner string) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) { w.Owner = owner }
}
func strategy(s sessions.Strategy) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) { w.Strategy = s }
}
func labels(pairs ...string) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) {
		w.Selector = map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			w.Selector[pairs[i]] = pairs[i+1]
		}
	}
}
func asRoute(service string) func(*sessions.Waiting) {
	return func(w *sessions.Waiting) {
		w.ServiceID, w.ServiceName, w.Type = "svc-"+service, service, sessions.TypeInference
	}
}

func heldBy(owner string) func(*sessions.Held) { return func(h *sessions.Held) { h.Owner = owner } }
func ofProject(name string) func(*sessions.Held) {
	return func(h *sessions.Held) { h.Project = name }
}
func isLeaving(h *sessions.Held)     { h.Leaving = true }
func preemptible(h *sessions.Held)   { h.Preemptible, h.Priority = true, 1 }
func isInteractive(h *sessions.Held) { h.Type = sessions.TypeInteractive }
func heldPriority(n int) func(*sessions.Held) {
	return func(h *sessions.Held) { h.Priority = n }
}
func routeOf(service string) func(*sessions.Held) {
	return func(h *sessions.Held) {
		h.ServiceID, h.ServiceName, h.Type = "svc-"+service, service, sessions.TypeInference
	}
}
func startedAgo(d time.Duration) func(*sessions.Held) {
	return func(h *sessions.Held) { h.StartedAt = t0.Add(-d) }
}
func minRuntime(d time.Duration) func(*sessions.Held) {
	return func(h *sessions.Held) { h.MinRuntime = d }
}

func TestPlaceOrder(t *testing.T) {
	tests := []struct {
		name  string
		order sessions.Order
		build func(*lineup)
		want  []string
	}{
		{"first come, first served", "", func(l *lineup) {
			l.waits("a", "cpu=2").waits("b", "cpu=2").waits("c", "cpu=2")
		}, []string{"a on box", "b on box"}},
		{"last come, first served", sessions.OrderLIFO, func(l *lineup) {
			l.waits("a", "cpu=2").waits("b", "cpu=2").waits("c", "cpu=2")
		}, []string{"c on box", "b on box"}},
		{"priority before age", "", func(l *lineup) {
			l.waits("a", "cpu=2").waits("b", "cpu=2").waits("c", "cpu=2", priority(50))
		}, []string{"c on box", "a on box"}},
		{"priority before age, last come", sessions.OrderLIFO, func(l *lineup) {
			l.waits("a", "cpu=2", priority(50)).waits("b", "cpu=2").waits("c", "cpu=2")
		}, []string{"a on box", "c on box"}},
		{"who has least", sessions.OrderDRF, func(l *lineup) {
			l.held("h", "box", "cpu=1", heldBy("ada"))
			l.waits("a", "cpu=1").waits("b", "cpu=1", by("bob")).waits("c", "cpu=1", by("cyd"))
		}, []string{"b on box", "c on box", "a on box"}},
		{"shares grow while placing", sessions.OrderDRF, func(l *lineup) {
			l.waits("a1", "cpu=1").waits("a2", "cpu=1").waits("a3", "cpu=1")
			l.waits("b1", "cpu=1", by("bob")).waits("b2", "cpu=1", by("bob"))
		}, []string{"a1 on box", "b1 on box", "a2 on box", "b2 on box"}},
		{"the dominant share counts, not the sum", sessions.OrderDRF, func(l *lineup) {
			l.held("ha", "box", "cpu=1 mem=1g", heldBy("ada")) // 1/4 of the cores
			l.held("hb", "box", "mem=6g", heldBy("bob"))       // 3/8 of the memory
			l.waits("b", "cpu=1", by("bob")).waits("a", "cpu=1").held("hc", "box", "cpu=1", heldBy("cyd"))
			l.waits("c", "cpu=1", by("cyd"))
		}, []string{"a on box", "c on box"}},
		{"what the pool has none of counts for nothing", sessions.OrderDRF, func(l *lineup) {
			l.Running = append(l.Running, sessions.Held{ID: "gone", Owner: "bob", Claim: accel.Claim{Session: "gone", Node: "lost", Slots: accel.Slots{"rocm.device": 100}}})
			l.held("h", "box", "cpu=1", heldBy("ada"))
			l.waits("a", "cpu=2").waits("b", "cpu=2", by("bob"))
		}, []string{"b on box"}},
		{"priority before shares", sessions.OrderDRF, func(l *lineup) {
			l.held("h", "box", "cpu=2", heldBy("ada"))
			l.waits("a", "cpu=2", priority(11)).waits("b", "cpu=2", by("bob"))
		}, []string{"a on box"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLineup(t, box("box", 4, 16, 0))
			l.Order = tt.order
			tt.build(l)
			if diff := cmp.Diff(tt.want, where(l.place())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlaceWhere(t *testing.T) {
	three := []accel.Node{box("a", 2, 4, 0), box("b", 4, 8, 0), box("c", 6, 12, 0)}
	const conc, disp, robin = sessions.StrategyConcentrated, sessions.StrategyDispersed, sessions.StrategyRoundRobin
	tests := []struct {
		name  string
		nodes []accel.Node
		build func(*lineup)
		want  []string
	}{
		{"concentrated: least left that still fits", three, func(l *lineup) { l.Strategy = conc; l.waits("s", "cpu=1 mem=2g") }, []string{"s on a"}},
		{"concentrated: too small is passed over", three, func(l *lineup) { l.Strategy = conc; l.waits("s", "cpu=3 mem=2g") }, []string{"s on b"}},
		{"dispersed: most left", three, func(l *lineup) { l.waits("s", "cpu=1 mem=2g") }, []string{"s on c"}},
		{"dispersed: each where then most is left", three, func(l *lineup) {
			l.waits("1", "cpu=1 mem=2g").waits("2", "cpu=1 mem=2g").waits("3", "cpu=1 mem=2g").waits("4", "cpu=1 mem=2g")
		}, []string{"1 on c", "2 on c", "3 on b", "4 on c"}},
		{"round robin: by name, and around", three, func(l *lineup) {
			l.Strategy, l.LastNode = robin, "a"
			l.waits("1", "cpu=1").waits("2", "cpu=1").waits("3", "cpu=1").waits("4", "cpu=1")
		}, []string{"1 on b", "2 on c", "3 on a", "4 on b"}},
		{"round robin: the last node is gone", three, func(l *lineup) {
			l.Strategy, l.LastNode = robin, "bb"
			l.waits("1", "cpu=1").waits("2", "cpu=1")
		}, []string{"1 on c", "2 on a"}},
		{"a session's own strategy", three, func(l *lineup) { l.waits("s", "cpu=1 mem=2g", strategy(conc)) }, []string{"s on a"}},
		{"the scarcest of cores and memory counts", []accel.Node{box("cores", 32, 4, 0), box("even", 8, 16, 0)}, func(l *lineup) {
			l.waits("s", "cpu=1 mem=2g")
		}, []string{"s on even"}},
		{"accelerators count before cores", []accel.Node{box("cores", 64, 64, 2), box("gpus", 8, 8, 4)}, func(l *lineup) {
			l.waits("d", "cpu=1 mem=1g cuda.device=1").waits("c", "cpu=1 mem=1g cuda.device=1", strategy(conc))
		}, []string{"d on gpus", "c on cores"}},
		{"shares, too", []accel.Node{box("a", 8, 8, 1), box("b", 8, 8, 1)}, func(l *lineup) {
			l.held("h", "b", "cuda.shares=0.5").waits("c", "cuda.shares=0.5", strategy(conc)).waits("d", "cuda.shares=0.5")
		}, []string{"c on b", "d on a"}},
		{"who wants no accelerator spoils none", []accel.Node{box("gpu", 64, 256, 8), box("plain", 2, 4, 0)}, func(l *lineup) {
			l.waits("1", "cpu=1").waits("2", "cpu=1", strategy(robin)).waits("3", "cpu=1")
		}, []string{"1 on plain", "2 on plain", "3 on gpu"}},
		{"equals by name", []accel.Node{box("b", 4, 4, 0), box("a", 4, 4, 0)}, func(l *lineup) {
			l.waits("d", "cpu=1").waits("c", "cpu=1", strategy(conc))
		}, []string{"d on a", "c on a"}},
		{"labels", []accel.Node{withLabels(box("a", 4, 4, 0), "zone", "x"), withLabels(box("b", 2, 2, 0), "zone", "y")}, func(l *lineup) {
			l.waits("s", "cpu=1", labels("zone", "y"))
		}, []string{"s on b"}},
		{"nothing asked for goes anywhere", []accel.Node{box("a", 1, 1, 0)}, func(l *lineup) {
			l.held("h", "a", "cpu=1 mem=1g").waits("s", "")
		}, []string{"s on a"}},
		{"routes of one service go apart, before the strategy has a say", three, func(l *lineup) {
			l.Strategy = conc
			l.waits("1", "cpu=1 mem=1g", asRoute("chat")).waits("2", "cpu=1 mem=1g", asRoute("chat")).waits("3", "cpu=1 mem=1g", asRoute("chat"))
			l.waits("4", "cpu=1 mem=1g", asRoute("chat")).waits("5", "cpu=1 mem=1g", asRoute("sum"))
		}, []string{"1 on a", "2 on b", "3 on c", "4 on a", "5 on b"}},
		{"where most is left, too", three, func(l *lineup) {
			l.waits("1", "cpu=1 mem=1g", asRoute("chat")).waits("2", "cpu=1 mem=1g", asRoute("chat")).waits("3", "cpu=1 mem=1g", asRoute("chat"))
		}, []string{"1 on c", "2 on b", "3 on a"}},
		{"and round robin", three, func(l *lineup) {
			l.Strategy, l.LastNode = robin, "a"
			l.held("h", "b", "cpu=1", routeOf("chat")).waits("1", "cpu=1", asRoute("chat")).waits("2", "cpu=1", asRoute("chat")).waits("3", "cpu=1", asRoute("chat"))
		}, []string{"1 on c", "2 on a", "3 on b"}},
		{"a route goes where it fits", three, func(l *lineup) {
			l.held("h", "c", "cpu=1 mem=1g", routeOf("chat")).waits("big", "cpu=5 mem=1g", asRoute("chat"))
		}, []string{"big on c"}},
		{"whole devices before going apart: the box that has some", []accel.Node{box("a", 8, 8, 2), box("b", 8, 8, 1)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=1", routeOf("chat")).held("p", "b", "cuda.shares=0.5").waits("r", "cuda.device=1", asRoute("chat"))
		}, []string{"r on a"}},
		{"of those that are being ended none counts", three, func(l *lineup) {
			l.Strategy = conc
			l.held("h", "a", "cpu=0.5 mem=1g", routeOf("chat"), isLeaving).waits("r", "cpu=1 mem=1g", asRoute("chat"))
		}, []string{"r on a"}},
		{"people's sessions do not go apart", three, func(l *lineup) {
			l.Strategy = conc
			l.waits("1", "cpu=1 mem=1g").waits("2", "cpu=1 mem=1g")
		}, []string{"1 on a", "2 on a"}},
		{"two kinds of accelerator", []accel.Node{box("a", 4, 4, 2), withRocm(box("b", 4, 4, 2), 1)}, func(l *lineup) {
			l.waits("s", "cuda.device=1 rocm.device=1")
		}, []string{"s on b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLineup(t, tt.nodes...)
			tt.build(l)
			if diff := cmp.Diff(tt.want, where(l.place())); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// People read why a session is where it is.
func TestPlaceSaysWhyThere(t *testing.T) {
	two := []accel.Node{box("a", 2, 4, 0), box("b", 4, 8, 0)}
	tests := []struct {
		name  string
		nodes []accel.Node
		build func(*lineup)
		want  []string
	}{
		{"one box", two[:1], func(l *lineup) { l.waits("s", "cpu=1", asRoute("chat")) }, []string{""}},
		{"routes", two, func(l *lineup) {
			for _, id := range []string{"1", "2", "3", "4", "5"} {
				l.waits(id, "cpu=1", asRoute("chat"))
			}
		}, []string{
			"no other route of chat is there", "no other route of chat is there", "1 other route of chat is there, and no box with fewer has room",
			"1 other route of chat is there, and no box with fewer has room", "2 other routes of chat are there, and no box with fewer has room",
		}},
		{"dispersed", two, func(l *lineup) { l.waits("s", "cpu=1") }, []string{"of the boxes that have room the one with most left"}},
		{"concentrated", two, func(l *lineup) { l.waits("s", "cpu=1", strategy(sessions.StrategyConcentrated)) }, []string{"of the boxes that have room the one with least left"}},
		{"round robin", two, func(l *lineup) { l.waits("s", "cpu=1", strategy(sessions.StrategyRoundRobin)) }, []string{"the next box by name that has room"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLineup(t, tt.nodes...)
			tt.build(l)
			var got []string
			for _, p := range l.place().Placed {
				got = append(got, p.Why)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestPlaceRemembersTheLastNode(t *testing.T) {
	l := newLineup(t, box("a", 4, 4, 0), box("b", 4, 4, 0)).waits("1", "cpu=1")
	l.LastNode = "a"
	if d := l.place(); d.LastNode != "a" {
		t.Errorf("last node is %q after another strategy, want it as it was", d.LastNode)
	}
	l.Strategy = sessions.StrategyRoundRobin
	if d := l.place(); d.LastNode != "b" {
		t.Errorf("last node is %q, want b", d.LastNode)
	}
}

func TestPlaceKeeps(t *testing.T) {
	tests := []struct {
		name  string
		nodes []accel.Node
		build func(*lineup)
		want  []string // placed
		kept  []string
	}{
		{"small ones do not take what the head waits for", []accel.Node{box("a", 16, 64, 4)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=2").waits("big", "cuda.device=4").waits("s1", "cuda.device=1").waits("s2", "cuda.shares=0.1")
		}, nil, []string{"big on a h"}},
		{"but they take what it leaves", []accel.Node{box("a", 16, 64, 8)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=6").waits("big", "cuda.device=5").waits("s1", "cuda.device=1").waits("s2", "cuda.device=1")
		}, []string{"s1 on a", "s2 on a"}, []string{"big on a h"}},
		{"and cores, and other nodes", []accel.Node{box("a", 16, 64, 2), box("b", 16, 64, 2)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=1").held("h2", "b", "cuda.device=1", routeOf("chat"))
			l.waits("big", "cuda.device=2").waits("s1", "cuda.device=1").waits("s2", "cuda.device=1").waits("c", "cpu=14 mem=60g")
		}, []string{"s1 on b", "c on a"}, []string{"big on a h"}},
		{"cores and memory are kept, too", []accel.Node{box("a", 8, 16, 0)}, func(l *lineup) {
			l.held("h", "a", "cpu=4 mem=2g").waits("big", "cpu=8 mem=4g").waits("s1", "cpu=1 mem=1g").waits("s2", "mem=12g")
		}, []string{"s2 on a"}, []string{"big on a h"}},
		{"the oldest batch ends first", []accel.Node{box("a", 8, 16, 0)}, func(l *lineup) {
			l.held("young", "a", "cpu=4", startedAgo(time.Minute)).held("old", "a", "cpu=4", startedAgo(time.Hour)).waits("big", "cpu=4")
		}, nil, []string{"big on a old"}},
		{"batch ends sooner than interactive, that than routes", []accel.Node{box("a", 4, 16, 0), box("b", 4, 16, 0), box("c", 4, 16, 0)}, func(l *lineup) {
			l.held("r", "a", "cpu=4", routeOf("chat")).held("i", "b", "cpu=4", isInteractive).held("h1", "c", "cpu=2").held("h2", "c", "cpu=2")
			l.waits("big", "cpu=4")
		}, nil, []string{"big on c h1 h2"}},
		{"as few as possible must end", []accel.Node{box("a", 4, 16, 0), box("b", 4, 16, 0)}, func(l *lineup) {
			l.held("h1", "a", "cpu=2").held("h2", "a", "cpu=2").held("h3", "b", "cpu=3").waits("big", "cpu=4")
		}, nil, []string{"big on b h3"}},
		{"nobody whose end would not help", []accel.Node{box("a", 4, 16, 1)}, func(l *lineup) {
			l.held("cores", "a", "cpu=1", startedAgo(2*time.Hour)).held("gpu", "a", "cuda.device=1").waits("big", "cuda.device=1")
		}, nil, []string{"big on a gpu"}},
		{"one head for each kind of accelerator", []accel.Node{withRocm(box("a", 8, 16, 2), 2)}, func(l *lineup) {
			l.held("hc", "a", "cuda.device=1").held("hr", "a", "rocm.device=1").held("h", "a", "cpu=4")
			l.waits("c1", "cuda.device=2").waits("c2", "cuda.device=2").waits("r", "rocm.device=2").waits("p", "cpu=8")
			l.waits("s1", "cuda.device=1").waits("s2", "rocm.device=1").waits("s3", "cpu=1")
		}, nil, []string{"c1 on a hc", "r on a hr", "p on a h"}},
		{"the highest priority is the head", []accel.Node{box("a", 8, 16, 2)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=1").waits("low", "cuda.device=2").waits("high", "cuda.device=2", priority(90)).waits("s", "cuda.device=1")
		}, nil, []string{"high on a h"}},
		{"what can never fit keeps nothing", []accel.Node{box("a", 8, 16, 2)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=1").waits("huge", "cuda.device=3", priority(90)).waits("s", "cuda.device=1")
		}, []string{"s on a"}, nil},
		{"nor does what a broken device keeps from fitting", []accel.Node{broken(box("a", 8, 16, 2), 1)}, func(l *lineup) {
			l.waits("big", "cuda.device=2").waits("s", "cuda.device=1")
		}, []string{"s on a"}, nil},
		{"nor what waits for something else", []accel.Node{box("a", 8, 16, 2)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=1")
			l.waits("later", "cuda.device=2", func(w *sessions.Waiting) { w.StartsAt = t0.Add(time.Hour) }).waits("s", "cuda.device=1")
		}, []string{"s on a"}, nil},
		{"leaving ones are waited for", []accel.Node{box("a", 8, 16, 2), box("b", 8, 16, 2)}, func(l *lineup) {
			l.held("h", "a", "cuda.device=2").held("x", "b", "cuda.device=1", isLeaving).waits("big", "cuda.device=2").waits("s", "cuda.device=1")
		}, nil, []string{"big on b x", "s on a h"}},
		{"each has what leaves once", []accel.Node{box("a", 8, 16, 2)}, func(l *lineup) {
			l.held("x", "a", "cuda.device=1", isLeaving).held("y", "a", "cuda.device=1", isLeaving)
			l.waits("1", "cuda.device=1").waits("2", "cuda.device=1").waits("3", "cuda.device=1")
		}, nil, []string{"1 on a x", "2 on a y"}},
		{"a part of a device that is kept whole", []accel.Node{box("a", 8, 16, 1)}, func(l *lineup) {
			l.held("h", "a", "cuda.shares=0.5").waits("big", "cuda.device=1").waits("s", "cuda.shares=0.5")
		}, nil, []string{"big on a h"}},
		{"a part beside a part", []accel.Node{box("a", 8, 16, 1)}, func(l *lineup) {
			l.held("h", "a", "cuda.shares=0.5").waits("big", "cuda.shares=0.7").waits("s1", "cuda.shares=0.3").waits("s2", "cuda.shares=0.1")
		}, []string{"s1 on a"}, []string{"big on a h"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLineup(t, tt.nodes...)
			tt.build(l)
			d := l.place()
			if diff := cmp.Diff(tt.want, where(d)); diff != "" {
				t.Errorf("placed: %s", diff)
			}
			if diff := cmp.Diff(tt.kept, keeps(d)); diff != "" {
				t.Errorf("kept: %s", diff)
			}
		})
	}
}

// The node for the head may have been the wrong one: it gets one more every ten minutes.
func TestPlaceKeepsMoreWithTime(t *testing.T) {
	l := newLineup(t, box("a", 2, 4, 0), box("b", 2, 4, 0), box("c", 2, 4, 0))
	for _, node := range []string{"a", "b", "c"} {
		l.held("h"+node, node, "cpu=1").waits("s"+node, "cpu=1")
	}
	l.waits("big", "cpu=2", priority(50))
	want := [][]string{{"big on a ha"}, {"big on a ha"}, {"big on a ha", "big on b hb"}, {"big on a ha", "big on b hb", "big on c hc"}, {"big on a ha", "big on b hb", "big on c hc"}}
	for i, minutes := range []int{0, 9, 10, 20, 90} {
		now := t0.Add(time.Duration(minutes) * time.Minute)
		d := sessions.Place(l.Queue, now)
		if diff := cmp.Diff(want[i], keeps(d)); diff != "" {
			t.Errorf("after %d minutes: %s", minutes, diff)
		}
		if placed := 3 - len(want[i]); len(d.Placed) != placed {
			t.Errorf("after %d minutes %d are placed, want %d", minutes, len(d.Placed), placed)
		}
		if next := t0.Add(time.Duration(len(want[i])) * 10 * time.Minute); minutes < 20 && !d.Next.Equal(next) {
			t.Errorf("after %d minutes the next look is at %s, want %s", minutes, d.Next, next)
		}
		l.Kept = d.Kept
	}
}

func withLabels(n accel.Node, pairs ...string) accel.Node {
	n.Labels = map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		n.Labels[pairs[i]] = pairs[i+1]
	}
	return n
}

func withRocm(n accel.Node, count int) accel.Node {
	for i := range count {
		n.Devices = append(n.Devices, accel.Device{ID: "AMD-" + n.Name + string(rune('0'+i)), Index: i, Family: "rocm", Slot: "rocm.device", NUMA: -1})
	}
	return n
}

func broken(n accel.Node, device int) accel.Node {
	n.Devices[device].Fault = "XID 79"
	return n
}
