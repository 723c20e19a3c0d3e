package sessions_test

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

// loads has every engine take so long to load from now on.
func (w *world) loads(took time.Duration) {
	w.setSick("*", "503 Service Unavailable: loading")
	time.AfterFunc(took, func() { w.setSick("*", "") })
}

// wake scales to zero, and from there to one route that loads for so long. It returns when it did.
func (w *world) wake(took time.Duration) time.Time {
	w.scale(sessions.Scale{To: 0, Auto: true, Reason: "idle"})
	w.after(time.Minute)
	w.loads(took)
	w.scale(sessions.Scale{To: 1, Auto: true, Reason: "held"})
	return time.Now()
}

// What is seen of one load is what is expected of the next, also by the next daemon, and never in the past.
func TestLoadTimes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 0)
		w.boot()
		if _, known := w.m.LoadTime("svc-chat"); known {
			t.Error("known before the first")
		}
		w.scale(sessions.Scale{To: 1, Auto: true, Reason: "held"})
		w.after(time.Second)
		woken := w.wake(7 * time.Second)
		w.after(time.Millisecond)
		if at := w.balance.row("chat").ReadyAt; !at.Equal(woken.Add(time.Second)) { // the first took no time
			t.Errorf("expected in %v", at.Sub(woken))
		}
		if routes := w.service("chat").Routes; len(routes) == 0 || !routes[len(routes)-1].ReadyAt.After(woken.Add(-time.Second)) {
			t.Errorf("of its route: %+v", routes)
		}
		w.after(5 * time.Second)
		if at := w.service("chat").ReadyAt; !at.Equal(time.Now().Add(time.Second)) {
			t.Errorf("overdue, and expected in %v", time.Until(at))
		}
		w.after(3 * time.Second)
		w.wantUp("chat", 1)
		if at := w.balance.row("chat").ReadyAt; !at.IsZero() {
			t.Errorf("one is there, and expected in %v", time.Until(at))
		}
		if routes := w.service("chat").Routes; !routes[len(routes)-1].ReadyAt.IsZero() {
			t.Errorf("it is there, and expected at %v", routes[len(routes)-1].ReadyAt)
		}
		for range 2 {
			w.wake(7 * time.Second)
			w.after(20 * time.Second)
		}
		if took, _ := w.m.LoadTime("svc-chat"); took < 7*time.Second || took > 7200*time.Millisecond {
			t.Errorf("expected to take %v", took)
		}
		w.halt()
		w.boot()
		woken = w.wake(time.Hour)
		w.after(time.Millisecond)
		if at := w.balance.row("chat").ReadyAt; at.Sub(woken) < 7*time.Second || at.Sub(woken) > 7200*time.Millisecond {
			t.Errorf("after a restart expected in %v", at.Sub(woken))
		}
	})
}

// A load that a daemon only sees the end of is none that was measured; one that it sees loading and then done is.
func TestLoadTimesOverARestart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.setSick("*", "loading")
		w.boot()
		w.after(3 * time.Second)
		w.halt()
		w.after(2 * time.Second)
		w.boot()
		w.after(time.Second)
		w.setSick("*", "")
		w.after(time.Second)
		if took, known := w.m.LoadTime("svc-chat"); !known || took < 6*time.Second || took > 6200*time.Millisecond {
			t.Errorf("seen from both sides: %v, %v", took, known)
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.setSick("*", "loading")
		w.boot()
		w.after(3 * time.Second)
		w.halt()
		w.after(5 * time.Minute)
		w.setSick("*", "")
		w.boot()
		w.after(time.Second)
		w.wantUp("chat", 1)
		if took, known := w.m.LoadTime("svc-chat"); known {
			t.Errorf("nobody saw it, and it took %v", took)
		}
	})
}

// However long it takes, that it is done is seen soon, and not at the price of a core.
func TestReadinessIsSeenSoon(t *testing.T) {
	for _, took := range []time.Duration{40 * time.Millisecond, 900 * time.Millisecond, 13 * time.Second, 10*time.Minute - 7*time.Millisecond} {
		inWorld(t, func(t *testing.T, w *world) {
			w.seed("chat", 0, func(s *sessions.Service) { s.Policy.StartTimeout = time.Hour })
			revision := &w.store.revisions["svc-chat"][0]
			revision.Launch.Health = &catalog.HealthCheck{Path: "/health", Interval: 10 * time.Second, MaxRetries: 3, MaxWait: time.Second, ExpectedStatus: 200, InitialDelay: time.Hour}
			w.boot()
			w.loads(took)
			w.scale(sessions.Scale{To: 1, Auto: true, Reason: "held"})
			w.after(took)
			late := time.Duration(0)
			for ; len(w.balance.targets("chat")) == 0 && late < time.Second; late += time.Millisecond {
				w.after(time.Millisecond)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			if most := max(25*time.Millisecond, min(took/20, 150*time.Millisecond)) + time.Millisecond; late > most || w.probes > 10*int(took.Seconds())+40 {
				t.Errorf("after %v: seen %v late, with %d probes", took, late, w.probes)
			}
		})
	}
}
