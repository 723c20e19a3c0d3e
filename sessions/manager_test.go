package sessions_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

func inWorld(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		test(t, w)
		if w.cancel != nil {
			w.halt()
		}
	})
}

func TestServiceComesUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)
		w.wantUp("chat", 2)
		for _, r := range w.service("chat").Routes {
			history, err := w.m.Transitions(t.Context(), "default", r.ID)
			if err != nil {
				t.Fatal(err)
			}
			var path []string
			for _, h := range history {
				path = append(path, string(h.To))
			}
			if got := strings.Join(path, " "); got != "PENDING SCHEDULED PREPARING PREPARED CREATING RUNNING" {
				t.Errorf("it went %s", got)
			}
		}
	})
}

func TestRouteThatDiesIsReplaced(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(2 * time.Minute)
		up := w.wantUp("chat", 2)
		w.runtime.Exit(up[0], sessions.Exit{Reason: sessions.ExitCrashed, Code: 139, Signal: "SIGSEGV", Message: "it crashed"})
		synctest.Wait()
		if now, _ := w.balance.routes("chat"); slices.Contains(now, up[0]) {
			t.Error("a dead route still gets traffic")
		}
		w.after(time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)
		s, err := w.m.Session("default", up[0])
		if err != nil {
			t.Fatal(err)
		}
		if s.Status != sessions.StatusTerminated || s.Exit.Signal != "SIGSEGV" || s.Result != sessions.ResultFailure {
			t.Errorf("the dead session is %s, exit %+v", s.Status, s.Exit)
		}
		if v := w.service("chat"); v.Failures != 0 {
			t.Errorf("a route that had served for two minutes counts as %d failed starts", v.Failures)
		}
	})
}

func TestUnhealthyRouteLeavesAndComesBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(2 * time.Minute)
		addr := w.service("chat").Routes[0].Address
		w.setSick(addr, "500 Internal Server Error")
		w.after(6 * time.Second)
		w.wantStatus("chat", sessions.ServiceDegraded)
		w.wantUp("chat", 1)
		w.setSick(addr, "")
		w.after(2 * time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)

		w.setSick(addr, "500 Internal Server Error")
		w.after(2 * time.Minute)
		w.wantStatus("chat", sessions.ServiceHealthy)
		for _, r := range w.service("chat").Routes {
			if r.Address == addr {
				t.Error("a route that stays unhealthy is replaced")
			}
		}
	})
}

func TestStartsThatFailBackOff(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour {
			return runtimetest.Behaviour{ExitAfter: 100 * time.Millisecond, Exit: &sessions.Exit{Reason: sessions.ExitFailed, Code: 1, Message: "exit code 1: no such model"}}
		})
		w.setSick("*", "connection refused")
		w.seed("chat", 3)
		w.boot()
		w.after(time.Hour)
		started := len(w.runtime.Started())
		if started < 10 || started > 30 {
			t.Errorf("%d starts in an hour, want about 20", started)
		}
		v := w.wantStatus("chat", sessions.ServiceUnhealthy)
		if !strings.Contains(v.Sentence, "no such model") || !strings.Contains(v.Sentence, "next try in") {
			t.Errorf("the sentence is %q", v.Sentence)
		}
		if kept := len(w.m.Sessions("default", sessions.SessionFilter{})); kept > 11 {
			t.Errorf("%d sessions are kept", kept)
		}
		// The engine is mended, and the owner does not wait for the back-off.
		w.runtime.Behave(nil)
		w.setSick("*", "")
		if err := w.m.ClearErrors(t.Context(), "default", "chat", "owner"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)
	})
}

func TestRoutesThatDieYoungAreNoFailedStartsByName(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(time.Second)
		w.runtime.Exit(w.wantUp("chat", 1)[0], sessions.Exit{Reason: sessions.ExitCrashed, Code: 137, Signal: "SIGKILL", Message: "it was killed"})
		w.after(10 * time.Millisecond)
		if v := w.service("chat"); v.Failures != 1 || !strings.HasPrefix(v.LastError, "it was healthy, but for less than 1m0s: ") || !strings.Contains(v.LastError, "it was killed") {
			t.Errorf("%d failures, the last: %s", v.Failures, v.LastError)
		}
	})
}

func TestStartErrorsSayWhy(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.OnStart(func(sessions.Spec) error { return errors.New("command engine: not found in the session's PATH") })
		w.seed("chat", 1)
		w.boot()
		w.after(500 * time.Millisecond)
		v := w.service("chat")
		if !strings.Contains(v.Sentence, "not found in the session's PATH") {
			t.Errorf("the sentence is %q", v.Sentence)
		}
		if v.Failures != 1 {
			t.Errorf("%d starts have failed; the second must wait for the back-off", v.Failures)
		}
		ended := w.m.Sessions("default", sessions.SessionFilter{})[0]
		if _, err := w.m.Logs(t.Context(), "default", ended.ID, sessions.LogOptions{}); !errors.Is(err, sessions.ErrNotFound) || !strings.Contains(err.Error(), "not found in the session's PATH") {
			t.Errorf("asked for its log it says %v", err)
		}
	})
}

func TestScaleInDrains(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(time.Minute)
		up := w.wantUp("chat", 2)
		w.balance.hold(up[0], 5)
		w.balance.hold(up[1], 2)
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 1, By: "owner", Reason: "test"}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if now := w.wantUp("chat", 1); now[0] != up[0] {
			t.Error("the busier route went")
		}
		w.after(10 * time.Second)
		if running := w.runtime.Running(); len(running) != 2 {
			t.Fatalf("%d run while requests are in flight, want 2", len(running))
		}
		w.balance.hold(up[1], 0)
		synctest.Wait()
		if running := w.runtime.Running(); len(running) != 1 {
			t.Errorf("%d run after the drain, want 1", len(running))
		}
		w.wantStatus("chat", sessions.ServiceHealthy)
	})
}

func TestDrainHasAnEnd(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(time.Minute)
		w.balance.hold(w.wantUp("chat", 1)[0], 1)
		if err := w.m.DestroyService(t.Context(), "default", "chat", "owner"); err != nil {
			t.Fatal(err)
		}
		w.after(31 * time.Second)
		if running := w.runtime.Running(); len(running) != 0 {
			t.Errorf("%d run after the grace", len(running))
		}
		if _, err := w.m.Service("default", "chat"); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("the service is still there: %v", err)
		}
	})
}

// Clients whose requests a frozen route has wait no longer than the drain: it hears no SIGTERM.
func TestFrozenRouteIsKilledAfterTheDrain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{IgnoreTerm: true} })
		w.seed("chat", 2)
		w.boot()
		w.after(2 * time.Minute)
		frozen := w.service("chat").Routes[0]
		w.balance.hold(frozen.ID, 1)
		w.setSick(frozen.Address, "no answer")
		for range 180 {
			w.after(time.Second)
			s, err := w.m.Session("default", frozen.ID)
			if err != nil {
				t.Fatal(err)
			}
			if s.Status == sessions.StatusTerminating {
				w.after(32 * time.Second)
				if s, err = w.m.Session("default", frozen.ID); err != nil || s.Status != sessions.StatusTerminated {
					t.Errorf("it is %s, %v, after the drain of 30 s and a second", s.Status, err)
				}
				return
			}
		}
		t.Error("it was not given up")
	})
}

func TestUpdateRolls(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2, func(s *sessions.Service) { s.Revision, s.GoodRevision = 2, 1 })
		w.store.services["svc-chat"] = withRevision(w.store.services["svc-chat"], 1)
		w.boot()
		w.after(time.Minute)
		if _, err := w.m.RollBack(t.Context(), "default", "chat", 2, "owner"); err != nil {
			t.Fatal(err)
		}
		for range 200 {
			w.after(10 * time.Millisecond)
			if up, _ := w.balance.routes("chat"); len(up) < 2 {
				t.Fatalf("only %d routes get traffic while it rolls", len(up))
			}
		}
		v := w.wantStatus("chat", sessions.ServiceHealthy)
		for _, r := range v.Routes {
			if r.Revision != 2 {
				t.Errorf("a route of revision %d is left", r.Revision)
			}
		}
		if v.GoodRevision != 2 {
			t.Errorf("good revision is %d", v.GoodRevision)
		}
	})
}

func withRevision(s sessions.Service, n int) sessions.Service { s.Revision = n; return s }

func TestUpdateThatFailsRollsBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2, func(s *sessions.Service) { s.Revision, s.GoodRevision = 2, 1 })
		w.store.services["svc-chat"] = withRevision(w.store.services["svc-chat"], 1)
		w.boot()
		w.after(time.Minute)
		before := w.wantUp("chat", 2)
		w.runtime.OnStart(func(sessions.Spec) error { return errors.New("unknown flag --fast") })
		if _, err := w.m.RollBack(t.Context(), "default", "chat", 2, "owner"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		v := w.wantStatus("chat", sessions.ServiceHealthy)
		if v.Revision != 1 || !strings.Contains(v.LastError, "unknown flag --fast") {
			t.Errorf("revision %d, last error %q", v.Revision, v.LastError)
		}
		if after := w.wantUp("chat", 2); !slices.Equal(before, after) {
			t.Error("routes of the good revision were touched")
		}
	})
}

func TestDaemonRestartStopsNoSession(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(time.Minute)
		before := w.runtime.Running()
		w.halt()
		if after := w.runtime.Running(); !slices.Equal(before, after) {
			t.Fatal("a stop of the daemon stopped sessions")
		}
		w.boot()
		w.after(100 * time.Millisecond)
		w.wantStatus("chat", sessions.ServiceHealthy)
		w.wantUp("chat", 2)
		if n := len(w.runtime.Started()); n != 2 {
			t.Errorf("%d starts in all, want the first 2", n)
		}
	})
}

func TestSessionThatEndedMeanwhileIsSeen(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(2 * time.Minute)
		up := w.wantUp("chat", 2)
		w.halt()
		w.runtime.Exit(up[0], sessions.Exit{Reason: sessions.ExitOutOfMemory, Code: 137, Message: "out of memory"})
		w.runtime.Vanish(up[1])
		w.boot()
		w.after(2 * time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)
		for id, want := range map[string]sessions.ExitReason{up[0]: sessions.ExitOutOfMemory, up[1]: sessions.ExitUnknown} {
			s, err := w.m.Session("default", id)
			if err != nil {
				t.Fatal(err)
			}
			if s.Status != sessions.StatusTerminated || s.Exit.Reason != want {
				t.Errorf("%s: %s %+v, want %s", id, s.Status, s.Exit, want)
			}
		}
	})
}

// TestCrashAnywhere ends the daemon's writes after the n-th, as a SIGKILL would, for every n of a life
// of a service; the next daemon must come to the same end with nothing left over.
func TestCrashAnywhere(t *testing.T) {
	for n := 1; n <= 40; n++ {
		t.Run(fmt.Sprintf("after write %d", n), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.seed("chat", 2)
				w.seed("old", 1)
				w.store.failFrom(n)
				w.boot()
				w.after(time.Second)
				_ = w.m.DestroyService(t.Context(), "default", "old", "owner")
				_, _ = w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 1, By: "owner", Reason: "test"})
				w.after(time.Second)
				w.halt()

				w.store.failFrom(0)
				w.boot()
				if err := w.m.DestroyService(t.Context(), "default", "old", "owner"); err != nil && !errors.Is(err, sessions.ErrNotFound) && !errors.Is(err, sessions.ErrForbidden) {
					t.Fatal(err)
				}
				if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 3, By: "owner", Reason: "test"}); err != nil {
					t.Fatal(err)
				}
				w.after(10 * time.Minute)
				w.wantStatus("chat", sessions.ServiceHealthy)
				up := w.wantUp("chat", 3)
				slices.Sort(up)
				running := w.runtime.Running()
				slices.Sort(running)
				if !slices.Equal(up, running) {
					t.Errorf("running %v, routed %v", running, up)
				}
				if _, err := w.m.Service("default", "old"); !errors.Is(err, sessions.ErrNotFound) {
					t.Errorf("old: %v", err)
				}
			})
		})
	}
}

func TestDiskFullStopsNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(2 * time.Minute)
		w.store.failFrom(1)
		up := w.wantUp("chat", 2)
		w.runtime.Exit(up[0], sessions.Exit{Reason: sessions.ExitKilled, Code: 137})
		w.after(time.Minute)
		w.wantUp("chat", 1)
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 5, By: "owner", Reason: "test"}); !errors.Is(err, errDiskFull) {
			t.Errorf("scaling on a full disk: %v", err)
		}
		if v := w.service("chat"); v.Replicas != 2 {
			t.Errorf("what was not written is believed: %d replicas", v.Replicas)
		}
		w.store.failFrom(0)
		w.after(6 * time.Minute)
		w.wantStatus("chat", sessions.ServiceHealthy)
		if s := w.store.sessions[up[0]]; s.Status != sessions.StatusTerminated {
			t.Errorf("the end of a session was lost: %s", s.Status)
		}
	})
}

func TestTerminatedByHandIsReplacedWithoutBlame(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 1)
		w.boot()
		w.after(time.Second)
		up := w.wantUp("chat", 1)
		if err := w.m.TerminateSession(t.Context(), "default", up[0], "owner", true); err != nil {
			t.Fatal(err)
		}
		w.after(100 * time.Millisecond)
		if v := w.wantStatus("chat", sessions.ServiceHealthy); v.Failures != 0 {
			t.Errorf("%d failures", v.Failures)
		}
	})
}

func TestPullShowsAndFails(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.OnPull(func(string) runtimetest.PullResult {
			return runtimetest.PullResult{Delay: 10 * time.Second, Progress: []sessions.Progress{{Message: "layer 1 of 2"}, {Message: "layer 2 of 2"}}, Err: errors.New("no such image")}
		})
		w.seed("chat", 1)
		w.boot()
		w.after(8 * time.Second)
		if r := w.service("chat").Routes[0]; r.Session != sessions.StatusPulling || !strings.Contains(r.Reason, "layer") {
			t.Errorf("%s: %s", r.Session, r.Reason)
		}
		w.after(3 * time.Second)
		if v := w.service("chat"); v.Failures != 1 || !strings.Contains(v.LastError, "no such image") {
			t.Errorf("%d failures, %q", v.Failures, v.LastError)
		}
	})
}

func TestDaemonRestartRefusesNobody(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(time.Minute)
		sick := w.service("chat").Routes[0]
		w.halt()
		w.setSick(sick.Address, "500 Internal Server Error")
		w.boot() // before the first probe can have passed
		w.after(10 * time.Millisecond)
		if up := w.wantUp("chat", 1); up[0] == sick.ID {
			t.Error("the first probe that fails takes a route out that is only remembered as healthy")
		}
		w.halt()
		w.setSick(sick.Address, "")
		w.boot()
		w.wantUp("chat", 2)
	})
}

func TestDaemonRestartForgivesNothing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.seed("chat", 2)
		w.boot()
		w.after(2 * time.Minute)
		sick := w.service("chat").Routes[0]
		w.setSick(sick.Address, "500 Internal Server Error")
		w.after(10 * time.Second)
		w.wantUp("chat", 1)
		w.halt()
		w.boot()
		if up := w.wantUp("chat", 1); up[0] == sick.ID {
			t.Error("a restart sends requests to a route that was unhealthy")
		}
		w.after(55 * time.Second) // with what it had before, longer than the policy bears
		if slices.ContainsFunc(w.service("chat").Routes, func(r sessions.RouteView) bool { return r.ID == sick.ID && r.Status == sessions.RouteUnhealthy }) {
			t.Error("a restart begins the time anew that an unhealthy route is borne")
		}
	})
}

func TestImpatienceCutsTheGrace(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{IgnoreTerm: true} })
		w.seed("chat", 1)
		w.boot()
		w.after(time.Minute)
		id := w.wantUp("chat", 1)[0]
		if err := w.m.TerminateSession(t.Context(), "default", id, "owner", false); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		if err := w.m.TerminateSession(t.Context(), "default", id, "owner", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if slices.Contains(w.runtime.Running(), id) {
			t.Error("it still runs")
		}
	})
}
