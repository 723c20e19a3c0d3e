package sessions_test

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// Whether one service's route would get a place if another's went: only where that is what it lacks.
func TestFrees(t *testing.T) {
	large := func(n int) func(*world) {
		return func(w *world) { w.seed("small", n); w.asks("small", map[string]string{"cuda.device": "1"}) }
	}
	for _, c := range []struct {
		name  string
		build func(*world)
		ask   string // devices of the one that waits
		n     int
		want  bool
	}{
		{"one is enough", large(8), "1", 1, true},
		{"two are not enough for three", large(8), "3", 2, false},
		{"three are", large(8), "3", 3, true},
		{"what is free counts", large(6), "3", 1, true},
		{"more than there are", large(8), "8", 100, true},
		{"nobody waits", large(4), "3", 1, false},
		{"none goes", large(8), "1", 0, false},
		{"another comes first", func(w *world) {
			large(8)(w)
			w.seed("first", 1, func(s *sessions.Service) { s.Priority = 90 })
			w.asks("first", map[string]string{"cuda.device": "1"})
		}, "1", 1, false},
		{"the giver has routes that wait themselves: they go first, and give nothing", large(9), "1", 1, false},
		{"somebody is leaving already", func(w *world) {
			large(7)(w)
			w.seed("leaver", 1)
			w.asks("leaver", map[string]string{"cuda.device": "1"})
		}, "1", 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				c.build(w)
				w.seed("chat", 0)
				w.asks("chat", map[string]string{"cuda.device": c.ask})
				w.boot()
				w.after(time.Minute)
				if strings.HasPrefix(c.name, "somebody") {
					w.balance.hold(w.wantUp("leaver", 1)[0], 1)
					if _, err := w.m.ScaleService(t.Context(), "default", "leaver", sessions.Scale{To: 0, By: "ada"}); err != nil {
						t.Fatal(err)
					}
				}
				w.scale(sessions.Scale{To: 1, Auto: true, Reason: "held"})
				w.after(10 * time.Millisecond)
				if got := w.m.Frees("svc-chat", "svc-small", c.n); got != c.want {
					t.Errorf("got %v: %s", got, w.m.PoolWait("svc-chat"))
				}
				waits := c.name != "nobody waits"
				if why := w.m.PoolWait("svc-chat"); waits != (why != "") || waits && !strings.Contains(why, "device") {
					t.Errorf("it waits because %q", why)
				}
				if w.m.Frees("svc-chat", "svc-chat", 1) || w.m.Frees("svc-none", "svc-small", 1) || w.m.Frees("svc-chat", "svc-none", 1) || w.m.PoolWait("svc-none") != "" {
					t.Error("services that are not there, or one for itself")
				}
			})
		})
	}
}

// A route that gets its place by preemption needs no other service to give way.
func TestFreesNothingWherePreemptibleSessionsDo(t *testing.T) {
	l := newLineup(t, box("a", 16, 64, 2)).held("v", "a", "cuda.device=1", preemptible).held("r", "a", "cuda.device=1", routeOf("other"))
	l.waits("w", "cuda.device=1", asRoute("chat"))
	if d := l.place(); len(gives(d)) != 1 {
		t.Fatalf("%+v", d)
	}
	if sessions.Frees(l.Queue, t0, "svc-chat", []string{"r"}) {
		t.Error("it has a place to come already")
	}
}
