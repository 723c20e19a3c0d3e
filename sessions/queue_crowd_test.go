package sessions_test

import (
	"testing"

	"github.com/palisade-run/palisade/sessions"
)

func isPassing(h *sessions.Held) { h.Passing = true }

// TestRoutesThatNeverFit: what keeps a route from its place are the others of its service; whoever else ended, it would not fit.
func TestRoutesThatNeverFit(t *testing.T) {
	for _, c := range []struct {
		name  string
		build func(*lineup)
		want  map[string]string
	}{
		{"one more than there is room for", func(l *lineup) {
			l.held("r1", "box", "cpu=2", routeOf("chat"))
			l.waits("r2", "cpu=2", asRoute("chat")).waits("r3", "cpu=2", asRoute("chat"))
		}, map[string]string{"r3": "capacity: there is room for 2 routes of service chat on box, with nothing else there: each asks for cpu 2; scale it to 2, or have its routes ask for less"}},
		{"who is in the way may end", func(l *lineup) {
			l.held("r1", "box", "cpu=2", routeOf("chat")).held("job", "box", "cpu=1")
			l.waits("r2", "cpu=2", asRoute("chat")).waits("r3", "cpu=2", asRoute("chat"))
		}, map[string]string{
			"r2": "resources: waits for 2 cpu: 1 of 4 free; would fit if job ended; room is kept for it",
			"r3": "capacity: there is room for 2 routes of service chat on box, with nothing else there: each asks for cpu 2; scale it to 2, or have its routes ask for less",
		}},
		{"a route that goes", func(l *lineup) {
			l.held("r1", "box", "cpu=4", routeOf("chat"), isPassing)
			l.waits("r2", "cpu=4", asRoute("chat"))
		}, map[string]string{"r2": "resources: waits for 4 cpu: 0 of 4 free; fits on box when an older route of its service has gone; room is kept for it"}},
		{"another service's routes", func(l *lineup) {
			l.held("r1", "box", "cpu=4", routeOf("draw"))
			l.waits("r2", "cpu=4", asRoute("chat"))
		}, map[string]string{"r2": "resources: waits for 4 cpu: 0 of 4 free; would fit if service draw, which has one route, had none; room is kept for it"}},
		{"it holds up nobody", func(l *lineup) {
			l.held("r1", "box", "cpu=3", routeOf("chat"))
			l.waits("r2", "cpu=3", asRoute("chat")).waits("job", "cpu=1")
		}, map[string]string{"r2": "capacity: there is room for 1 route of service chat on box, with nothing else there: each asks for cpu 3; scale it to 1, or have its routes ask for less"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLineup(t, box("box", 4, 8, 0))
			c.build(l)
			got := map[string]string{}
			for id, waits := range sessions.Place(l.Queue, t0).Waits {
				for _, w := range waits {
					got[id] += string(w.Predicate) + ": " + w.String()
				}
			}
			if len(got) != len(c.want) {
				t.Errorf("%d wait, want %d: %v", len(got), len(c.want), got)
			}
			for id, want := range c.want {
				if got[id] != want {
					t.Errorf("%s: %q\nwant %q", id, got[id], want)
				}
			}
		})
	}
}

// TestRoutesThatNeverFitOverNodes: of a node no route has more containers than may be there.
func TestRoutesThatNeverFitOverNodes(t *testing.T) {
	for name, c := range map[string]struct {
		net  string
		want int // routes that have a place; the next one is told so
	}{"each container on a node of its own": {"host", 4}, "any number on one": {"vxlan", 6}} {
		l := newLineup(t, box("a", 8, 64, 8), box("b", 2, 64, 2), box("c", 2, 64, 2)).reach(c.net, "a", "b", "c")
		for i := range 10 {
			l.waits(string(rune('k'+i)), "cuda.device=1", over(2), asRoute("chat"), func(w *sessions.Waiting) { w.Engine, w.Apart = true, true })
		}
		d := l.place()
		told := 0
		for _, waits := range d.Waits {
			if waits[0].Predicate == sessions.PredicateCapacity {
				told++
			}
		}
		if len(d.Placed) != c.want || told != 10-c.want || len(d.Kept) != 0 {
			t.Errorf("%s: %v, %d told, kept %v", name, where(d), told, keeps(d))
		}
	}
}
