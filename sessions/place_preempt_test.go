package sessions_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

func mayPreempt(w *sessions.Waiting) { w.Preempts, w.Priority = true, 50 }

func TestPlacePreempts(t *testing.T) {
	route := asRoute("chat")
	one := []accel.Node{box("a", 16, 64, 4)}
	tests := []struct {
		name  string
		nodes []accel.Node
		build func(*lineup)
		want  []string
		kept  []string
		next  time.Duration
	}{
		{"a route takes the place of a preemptible session", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible).waits("r", "cuda.device=1", route)
		}, []string{"v to r"}, []string{"r on a v"}, 0},
		{"so does who may", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible).waits("r", "cuda.device=1", mayPreempt)
		}, []string{"v to r"}, []string{"r on a v"}, 0},
		{"who may not waits", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible).waits("r", "cuda.device=1", priority(90))
		}, nil, []string{"r on a v"}, 0},
		{"nobody gives way where there is room", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=3", preemptible).waits("r", "cuda.device=1", route)
		}, nil, nil, 0},
		{"not of the same priority", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible, heldPriority(10)).waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a v"}, 0},
		{"not who is not preemptible", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", heldPriority(1)).waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a v"}, 0},
		{"never routes", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible, routeOf("other")).waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a v"}, 0},
		{"not before the least run time", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible, startedAgo(time.Minute), minRuntime(5*time.Minute)).waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a v"}, 4 * time.Minute},
		{"but from that moment on", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible, startedAgo(5*time.Minute), minRuntime(5*time.Minute)).waits("r", "cuda.device=1", route)
		}, []string{"v to r"}, []string{"r on a v"}, 0},
		{"nor before it runs", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible, minRuntime(time.Second), func(h *sessions.Held) { h.StartedAt = time.Time{} })
			l.waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a v"}, 0},
		{"not if all together are not enough", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=2", preemptible).held("h", "a", "cuda.device=1").waits("r", "cuda.device=4", route)
		}, nil, []string{"r on a h v"}, 0},
		{"several together", one, func(l *lineup) {
			l.held("v1", "a", "cuda.device=2", preemptible).held("v2", "a", "cuda.device=2", preemptible).waits("r", "cuda.device=4", route)
		}, []string{"v1 to r", "v2 to r"}, []string{"r on a v1 v2"}, 0},
		{"no more than needed", one, func(l *lineup) {
			l.held("v1", "a", "cuda.device=1", preemptible, startedAgo(time.Minute)).held("v2", "a", "cuda.device=3", preemptible)
			l.waits("r", "cuda.device=3", route)
		}, []string{"v2 to r"}, []string{"r on a v2"}, 0},
		{"nor one who turns out not to be needed", []accel.Node{box("a", 8, 16, 1)}, func(l *lineup) {
			l.held("h", "a", "cpu=2").held("v1", "a", "cpu=2", preemptible, startedAgo(time.Minute))
			l.held("v2", "a", "cuda.device=1", preemptible).held("v3", "a", "cpu=4", preemptible, heldPriority(5)).waits("r", "cpu=4 cuda.device=1", route)
		}, []string{"v2 to r", "v3 to r"}, []string{"r on a v2 v3"}, 0},
		{"rather one than two of lower priority", one, func(l *lineup) {
			l.held("v1", "a", "cuda.device=1", preemptible).held("v2", "a", "cuda.device=1", preemptible).held("v3", "a", "cuda.device=2", preemptible, heldPriority(5))
			l.waits("r", "cuda.device=2", route)
		}, []string{"v3 to r"}, []string{"r on a v3"}, 0},
		{"the lowest priority", one, func(l *lineup) {
			l.held("v1", "a", "cuda.device=2", preemptible, heldPriority(3)).held("v2", "a", "cuda.device=2", preemptible, heldPriority(2))
			l.waits("r", "cuda.device=1", route)
		}, []string{"v2 to r"}, []string{"r on a v2"}, 0},
		{"then the youngest", one, func(l *lineup) {
			l.held("v1", "a", "cuda.device=2", preemptible, startedAgo(time.Hour)).held("v2", "a", "cuda.device=2", preemptible, startedAgo(time.Minute))
			l.waits("r", "cuda.device=1", route)
		}, []string{"v2 to r"}, []string{"r on a v2"}, 0},
		{"on the node where it costs least", []accel.Node{box("a", 16, 64, 2), box("b", 16, 64, 2)}, func(l *lineup) {
			l.held("v1", "a", "cuda.device=1", preemptible).held("v2", "a", "cuda.device=1", preemptible).held("v3", "b", "cuda.device=2", preemptible, heldPriority(9))
			l.waits("r", "cuda.device=2", route)
		}, []string{"v3 to r"}, []string{"r on b v3"}, 0},
		{"not while others leave that make room", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=3", preemptible).held("x", "a", "cuda.device=1", isLeaving).waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a x"}, 0},
		{"nor a second set while the first leaves", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=2", preemptible).held("x", "a", "cuda.device=2", preemptible, isLeaving).waits("r", "cuda.device=2", route)
		}, nil, []string{"r on a x"}, 0},
		{"those who leave count together with victims", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=2", preemptible).held("x", "a", "cuda.device=2", isLeaving).waits("r", "cuda.device=4", route)
		}, []string{"v to r"}, []string{"r on a v x"}, 0},
		{"what leaves serves one only", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=3", preemptible).held("x", "a", "cuda.device=1", isLeaving)
			l.waits("r1", "cuda.device=1", route).waits("r2", "cuda.device=1", route)
		}, []string{"v to r2"}, []string{"r1 on a x", "r2 on a v"}, 0},
		{"two may share what one victim gives", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible).waits("r1", "cuda.device=2", route).waits("r2", "cuda.device=2", route)
		}, []string{"v to r1"}, []string{"r1 on a v", "r2 on a v"}, 0},
		{"what victims give is kept from those behind", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=2", preemptible).waits("r", "cuda.device=4", route, priority(50)).waits("s", "cuda.device=2")
		}, []string{"v to r"}, []string{"r on a v"}, 0},
		{"cores may be what is short", []accel.Node{box("a", 4, 8, 0)}, func(l *lineup) {
			l.held("v1", "a", "mem=7g", preemptible).held("v2", "a", "cpu=3", preemptible).waits("r", "cpu=2", route)
		}, []string{"v2 to r"}, []string{"r on a v2"}, 0},
		{"a part of a device is enough for a whole one if it is the last", []accel.Node{box("a", 4, 8, 1)}, func(l *lineup) {
			l.held("v", "a", "cuda.shares=0.1", preemptible).waits("r", "cuda.device=1", route)
		}, []string{"v to r"}, []string{"r on a v"}, 0},
		{"but not if another stays on it", []accel.Node{box("a", 4, 8, 1)}, func(l *lineup) {
			l.held("v", "a", "cuda.shares=0.1", preemptible).held("h", "a", "cuda.shares=0.1").waits("r", "cuda.device=1", route)
		}, nil, []string{"r on a h v"}, 0},
		{"a quota is not passed by preemption", one, func(l *lineup) {
			l.held("v", "a", "cuda.device=4", preemptible, heldBy("bob")).waits("r", "cuda.device=2", route)
			l.Quotas.User.Slots = slots(l.tb, "cuda.device=1")
		}, nil, nil, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := newLineup(t, tt.nodes...)
			tt.build(l)
			d := l.place()
			if diff := cmp.Diff(tt.want, gives(d)); diff != "" {
				t.Errorf("preempted: %s", diff)
			}
			if diff := cmp.Diff(tt.kept, keeps(d)); diff != "" {
				t.Errorf("kept: %s", diff)
			}
			if tt.kept != nil && d.Placed != nil {
				t.Errorf("placed: %v", where(d))
			}
			var next time.Duration
			if !d.Next.IsZero() {
				next = d.Next.Sub(t0)
			}
			if next != tt.next {
				t.Errorf("looks again in %s, want %s", next, tt.next)
			}
		})
	}
}

func TestPlaceTellsVictims(t *testing.T) {
	l := newLineup(t, box("a", 16, 64, 4)).held("v", "a", "cuda.device=4", preemptible)
	l.waits("chat-1", "cpu=4 mem=16g cuda.device=2", asRoute("chat"))
	got := l.place().Preempt
	want := []sessions.Preemption{{
		Victim: "v", For: "chat-1",
		Reason: "gives way to chat-1 of service chat, which has priority 10 and asks for cpu 4, mem 16 GiB, cuda.device 2",
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
