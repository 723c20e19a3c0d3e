package sessions_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// A database that hangs must not keep a dead engine in the balance, nor anybody from looking.
func TestStoreThatHangs(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.seed("other", 1)
		w.boot()
		w.after(2 * time.Minute)
		up := w.wantUp("chat", 2)
		w.store.set(true, false)
		w.runtime.Exit(up[0], sessions.Exit{Reason: sessions.ExitCrashed, Code: 139, Message: "it crashed"})
		w.after(time.Millisecond)
		if now, _ := w.balance.routes("chat"); slices.Contains(now, up[0]) {
			t.Error("a dead route gets traffic while its end cannot be written down")
		}
		w.setSick("*", "500")
		w.after(5 * time.Second)
		w.wantUp("other", 0)
		w.wantStatus("other", sessions.ServiceUnhealthy)
		w.setSick("*", "")
		w.after(2 * time.Second)
		w.wantUp("chat", 1)
		w.store.set(false, false)
		w.after(time.Minute)
		w.wantUp("chat", 2)
	})
}

// Who asks for a change while the database hangs is told so when it gives up waiting.
func TestChangesWaitNoLongerThanTheirContext(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(2 * time.Minute)
		w.store.set(true, false)
		go func() { _ = w.m.ClearErrors(t.Context(), "default", "chat", "first") }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := w.m.ClearErrors(ctx, "default", "chat", "second"); err == nil {
			t.Error("a change that was not written was told as done")
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s", took)
		}
		w.store.set(false, false)
		w.after(time.Minute)
	})
}

// A write of which the answer is lost was done all the same: the service must not be stuck with a
// version that the store has no longer.
func TestWriteWhoseAnswerIsLost(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(2 * time.Minute)
		w.store.set(false, true)
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 2, By: "me"}); err == nil {
			t.Fatal("the answer was lost")
		}
		w.store.set(false, false)
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 3, By: "me"}); err != nil && !errors.Is(err, sessions.ErrConflict) {
			t.Fatal(err)
		}
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 3, By: "me"}); err != nil {
			t.Fatalf("the service is stuck: %v", err)
		}
		w.after(time.Second)
		w.wantUp("chat", 3)
	})
}

func TestTrafficRatioThatCannotBeWrittenIsNotInForce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(time.Second)
		id := w.wantUp("chat", 1)[0]
		w.store.failFrom(1)
		if err := w.m.SetTrafficRatio(t.Context(), "default", "chat", id, 0); !errors.Is(err, errDiskFull) {
			t.Fatalf("got %v", err)
		}
		if got := w.service("chat").Routes[0].Weight; got != 1 {
			t.Errorf("its weight is %v though the change was refused", got)
		}
	})
}

func TestUseThatCannotBeWrittenIsWrittenWhenItIsSaidAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.boot()
		w.after(time.Second)
		s := w.create(job("desk"))
		used := time.Now().Add(time.Minute).UTC()
		w.store.failFrom(1)
		if err := w.m.Used(t.Context(), "default", s.ID, used); !errors.Is(err, errDiskFull) {
			t.Fatalf("got %v", err)
		}
		w.store.failFrom(0)
		if err := w.m.Used(t.Context(), "default", s.ID, used); err != nil {
			t.Fatal(err)
		}
		rows, err := w.store.Sessions(t.Context())
		if err != nil || len(rows) != 1 || !rows[0].Task.UsedAt.Equal(used) {
			t.Errorf("%v, %v", rows, err)
		}
	})
}

// A route that is given up is a failed start at once: its replacement waits for the back-off, though
// the engine is still being stopped.
func TestRouteGivenUpMeetsTheBackOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{IgnoreTerm: true} })
		w.seed("chat", 1, func(s *sessions.Service) { s.Policy.StartTimeout = 5 * time.Minute })
		w.setSick("*", "503")
		w.boot()
		for range 1000 {
			w.after(200 * time.Millisecond)
			v := w.service("chat")
			if v.Failures == 0 {
				continue
			}
			if n := len(w.runtime.Started()); n != 1 {
				t.Errorf("%d were started before the failure of the first was counted", n)
			}
			w.after(time.Minute)
			if n := len(w.runtime.Started()); n < 2 {
				t.Errorf("%d were started after the back-off", n)
			}
			return
		}
		t.Error("it was never given up")
	})
}

// A folder that is gone is one reason, however many routes are wanted.
func TestRefusedStartCountsOnce(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 5)
		w.dir = "/nowhere/at/all"
		w.boot()
		if v := w.service("chat"); v.Failures != 1 {
			t.Errorf("%d failures counted: %s", v.Failures, v.Sentence)
		}
	})
}

// What belongs to a service goes before its row: what comes in between must find the row again.
func TestDestroyTakesWhatBelongsToIt(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		var refuse atomic.Bool
		refuse.Store(true)
		w.destroyed = func(_ context.Context, id string) error {
			if refuse.Load() {
				return errDiskFull
			}
			return nil
		}
		w.boot()
		w.after(time.Second)
		if err := w.m.DestroyService(t.Context(), "default", "chat", "me"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantStatus("chat", sessions.ServiceDestroying)
		refuse.Store(false)
		w.after(time.Minute)
		if _, err := w.m.Service("default", "chat"); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("it is still there: %v", err)
		}
	})
}

func TestSessionNamesFit(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed(strings.Repeat("long", 16), 1)
		w.boot()
		for _, s := range w.m.Sessions("default", sessions.SessionFilter{}) {
			if len(s.Name) > 64 {
				t.Errorf("%s has %d characters", s.Name, len(s.Name))
			}
		}
	})
}
