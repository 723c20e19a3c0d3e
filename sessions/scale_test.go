package sessions_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

func (w *world) scale(wish sessions.Scale) sessions.ServiceView {
	w.t.Helper()
	v, err := w.m.ScaleService(w.t.Context(), "default", "chat", wish)
	if err != nil {
		w.t.Fatal(err)
	}
	return v
}

func (w *world) told(kind string) (out []string) {
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	for _, e := range w.store.events {
		if e.Kind == kind {
			out = append(out, e.Message)
		}
	}
	return out
}

// Whose number of routes it is: nobody's at first, a person's once one has said it, also where it is the same number,
// and the autoscaler's when it has moved.
func TestWhoScaled(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition)
		w.boot()
		v, err := w.m.CreateService(t.Context(), request())
		if err != nil || v.ScaledBy != "" || !v.ScaledAt.IsZero() {
			t.Fatalf("a new service was scaled by %q at %v: %v", v.ScaledBy, v.ScaledAt, err)
		}
		w.after(time.Minute)
		if v = w.scale(sessions.Scale{To: 2, By: "ada"}); v.ScaledBy != "ada" || !v.ScaledAt.Equal(time.Now()) {
			t.Errorf("the same number by a person: %q at %v", v.ScaledBy, v.ScaledAt)
		}
		if v = w.scale(sessions.Scale{To: 3, Auto: true, Reason: "2 -> 3: busy"}); v.Replicas != 3 || v.ScaledBy != "" {
			t.Errorf("by the autoscaler: %d by %q", v.Replicas, v.ScaledBy)
		}
		if v, err = w.m.UpdateService(t.Context(), "default", "chat", sessions.ServiceUpdate{Replicas: new(1), By: "bob"}); err != nil || v.ScaledBy != "bob" {
			t.Errorf("by an update: %q, %v", v.ScaledBy, err)
		}
		if v, err = w.m.UpdateService(t.Context(), "default", "chat", sessions.ServiceUpdate{Public: new(true), By: "eve"}); err != nil || v.ScaledBy != "bob" {
			t.Errorf("an update of something else: %q, %v", v.ScaledBy, err)
		}
		if got := w.told("autoscaled"); len(got) != 1 || got[0] != "2 -> 3: busy" {
			t.Errorf("events %q", got)
		}
		w.scale(sessions.Scale{To: 1, Auto: true, Reason: "resumed"}) // the same number, and nobody's any more
		version, events := w.service("chat").Version, len(w.told("autoscaled"))
		if v = w.scale(sessions.Scale{To: 1, Auto: true, Reason: "again"}); v.Version != version || len(w.told("autoscaled")) != events {
			t.Errorf("nothing to do, and version %d after %d, events %q", v.Version, version, w.told("autoscaled"))
		}
		w.halt()
		w.boot()
		if v = w.service("chat"); v.ScaledBy != "" || v.ScaledAt.IsZero() {
			t.Errorf("after a restart: %q at %v", v.ScaledBy, v.ScaledAt)
		}
	})
}

func TestScaleOfAnotherVersionIsRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(time.Minute)
		seen := w.service("chat").Version
		w.scale(sessions.Scale{To: 2, By: "ada", Version: seen})
		_, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 0, Auto: true, Version: seen})
		if v := w.service("chat"); !errors.Is(err, sessions.ErrConflict) || v.Replicas != 2 || v.ScaledBy != "ada" {
			t.Errorf("%d by %q: %v", v.Replicas, v.ScaledBy, err)
		}
	})
}

// More requests are no reason to try what fails again sooner; a person's word is.
func TestTheAutoscalerKeepsTheBackOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.OnStart(func(sessions.Spec) error { return errors.New("no such file: model.gguf") })
		w.seed("chat", 1)
		w.boot()
		w.after(20 * time.Second)
		before := w.service("chat")
		if before.Failures < 3 {
			t.Fatalf("%d failures", before.Failures)
		}
		if v := w.scale(sessions.Scale{To: 2, Auto: true, Reason: "busy"}); v.Failures != before.Failures || !v.RetryAt.Equal(before.RetryAt) {
			t.Errorf("%d failures, next try %v; before %d and %v", v.Failures, v.RetryAt, before.Failures, before.RetryAt)
		}
		if v := w.scale(sessions.Scale{To: 2, By: "ada"}); v.Failures != 0 {
			t.Errorf("%d failures after a person's word", v.Failures)
		}
	})
}

// Whoever waits is told while starts fail, until the next one is under way; where a route came up and crashed, its
// successor may do better.
func TestBroken(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var failing atomic.Bool
		failing.Store(true)
		w.runtime.OnStart(func(sessions.Spec) error {
			if failing.Load() {
				return errors.New("CUDA error: out of memory")
			}
			return nil
		})
		w.seed("chat", 1)
		w.boot()
		w.after(10 * time.Millisecond)
		row := w.balance.row("chat")
		if !strings.Contains(row.Broken, "CUDA error: out of memory") || !row.RetryAt.After(time.Now()) || time.Until(row.RetryAt) > time.Second {
			t.Fatalf("broken %q until %v", row.Broken, row.RetryAt)
		}
		w.halt() // a restart knows it still
		w.boot()
		if again := w.balance.row("chat"); again.Broken != row.Broken || !again.RetryAt.Equal(row.RetryAt) {
			t.Errorf("after a restart: %q until %v", again.Broken, again.RetryAt)
		}
		failing.Store(false)
		w.setSick("*", "503: loading")
		w.after(time.Until(row.RetryAt) + 10*time.Millisecond)
		if row = w.balance.row("chat"); row.Broken != "" {
			t.Errorf("while a start is under way: %q", row.Broken)
		}
		w.setSick("*", "")
		w.after(time.Second)
		w.runtime.Exit(w.wantUp("chat", 1)[0], sessions.Exit{Reason: sessions.ExitCrashed, Code: 139, Message: "segmentation fault"})
		w.after(10 * time.Millisecond)
		if v := w.service("chat"); v.Failures != 2 || w.balance.row("chat").Broken != "" {
			t.Errorf("one that came up and crashed: %d failures, broken %q", v.Failures, w.balance.row("chat").Broken)
		}
	})
}

// What another room did for a service is among its events.
func TestNotes(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		v := w.service("chat")
		if err := w.m.Note(t.Context(), v.ID, "yielded", "idle gives way"); err != nil {
			t.Fatal(err)
		}
		if got := w.told("yielded"); len(got) != 1 || got[0] != "idle gives way" {
			t.Errorf("events %q", got)
		}
		if err := w.m.Note(t.Context(), "svc-none", "yielded", "nobody"); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("of none: %v", err)
		}
	})
}
