package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
	"github.com/palisade-run/palisade/variants"
)

// job is a request for a batch session.
func job(name string, change ...func(*sessions.SessionRequest)) sessions.SessionRequest {
	req := sessions.SessionRequest{
		Name: name, Project: "default", CreatedBy: "ada", Type: sessions.TypeBatch, Image: "host", Task: sessions.Task{Command: "train"},
		Launch: variants.LaunchSpec{Processes: []variants.Process{{Name: "main", Argv: []string{"train"}}}},
	}
	for _, c := range change {
		c(&req)
	}
	return req
}

func (w *world) create(reqs ...sessions.SessionRequest) sessions.Session {
	w.t.Helper()
	made, err := w.m.CreateSessions(w.t.Context(), reqs)
	if err != nil {
		w.t.Fatal(err)
	}
	synctest.Wait()
	return made[0]
}

// person is a person's session as it is now, in a status that is wanted.
func (w *world) person(id string, want sessions.Status) sessions.Session {
	w.t.Helper()
	s, err := w.m.Session("default", id)
	if err != nil {
		w.t.Fatal(err)
	}
	if s.Status != want {
		w.t.Fatalf("%s is %s (%s), want %s", s.Name, s.Status, s.Reason, want)
	}
	return s
}

func (w *world) exit(id string, reason sessions.ExitReason, code int) {
	w.t.Helper()
	w.runtime.Exit(id, sessions.Exit{Reason: reason, Code: code, Message: "Its process ended.", FinishedAt: time.Now()})
	synctest.Wait()
}

func TestBatchOutcomes(t *testing.T) {
	for reason, want := range map[sessions.ExitReason]struct {
		code    int
		result  sessions.Result
		outcome sessions.Outcome
	}{
		sessions.ExitCompleted:   {0, sessions.ResultSuccess, sessions.OutcomeFinished},
		sessions.ExitFailed:      {3, sessions.ResultFailure, sessions.OutcomeFailed},
		sessions.ExitOutOfMemory: {137, sessions.ResultFailure, sessions.OutcomeFailed},
		sessions.ExitUnknown:     {-1, sessions.ResultFailure, sessions.OutcomeFailed},
	} {
		t.Run(string(reason), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.boot()
				defer func() { w.halt() }()
				s := w.create(job("fit"))
				w.person(s.ID, sessions.StatusRunning)
				w.exit(s.ID, reason, want.code)
				got := w.person(s.ID, sessions.StatusTerminated)
				if got.Result != want.result || got.Task.Outcome != want.outcome || got.Exit == nil || got.Exit.Code != want.code {
					t.Errorf("%s %s %+v", got.Result, got.Task.Outcome, got.Exit)
				}
				w.halt()
				w.boot()
				if again := w.person(s.ID, sessions.StatusTerminated); again.Task.Outcome != want.outcome {
					t.Errorf("after a restart: %+v", again.Task)
				}
			})
		})
	}
}

// TestTimeout: it counts from the start of the run, whoever watches.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("fit", func(r *sessions.SessionRequest) { r.Task.Timeout = time.Minute }))
		w.after(40 * time.Second)
		w.person(s.ID, sessions.StatusRunning)
		w.halt()
		w.boot()
		w.person(s.ID, sessions.StatusRunning)
		w.after(21 * time.Second)
		got := w.person(s.ID, sessions.StatusTerminated)
		if got.Result != sessions.ResultFailure || got.Task.Outcome != sessions.OutcomeTimeout || got.Exit == nil || got.Exit.Code != -2 ||
			!strings.Contains(got.Exit.Message, "timeout of 1m0s") {
			t.Errorf("%s %s %+v", got.Result, got.Task.Outcome, got.Exit)
		}
	})
}

func TestEndedByItsOwnerIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{IgnoreTerm: true} })
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("fit"))
		if err := w.m.TerminateSession(t.Context(), "default", "fit", "ada", false); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		if got := w.person(s.ID, sessions.StatusTerminated); got.Result != sessions.ResultUndefined || got.Task.Outcome != "" {
			t.Errorf("%s %s %+v", got.Result, got.Task.Outcome, got.Exit)
		}
	})
}

func TestDependencies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		first := w.create(job("first"))
		after := func(r *sessions.SessionRequest) { r.DependsOn = []string{"first"} }
		second := w.create(job("second", after))
		if got := w.person(second.ID, sessions.StatusPending); len(got.Waits) != 1 || got.Waits[0].Predicate != sessions.PredicateDependencies {
			t.Errorf("%+v", got.Waits)
		}
		w.halt()
		w.boot()
		w.exit(first.ID, sessions.ExitCompleted, 0)
		w.person(second.ID, sessions.StatusRunning)
		w.exit(second.ID, sessions.ExitFailed, 1)
		third := w.create(job("third", func(r *sessions.SessionRequest) { r.DependsOn = []string{second.ID} }))
		w.after(8 * 24 * time.Hour) // what it waits for is not forgotten
		if got := w.person(third.ID, sessions.StatusPending); !strings.Contains(got.Reason, "second, which has failed") {
			t.Errorf("%s", got.Reason)
		}
		if _, err := w.m.Session("default", first.ID); !errors.Is(err, sessions.ErrNotFound) {
			t.Errorf("what nobody needs is kept after a week: %v", err)
		}
	})
}

func TestStartsAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("late", func(r *sessions.SessionRequest) { r.StartsAt = time.Now().Add(time.Hour) }))
		w.after(59 * time.Minute)
		w.person(s.ID, sessions.StatusPending)
		w.after(time.Minute)
		w.person(s.ID, sessions.StatusRunning)
	})
}

// TestRetries: a run that failed is followed by another, after a while, across a restart of the daemon too.
func TestRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("fit", func(r *sessions.SessionRequest) { r.Task.Retries = 2 }))
		w.exit(s.ID, sessions.ExitFailed, 9)
		if got := w.person(s.ID, sessions.StatusRestarting); !strings.Contains(got.Reason, "run 1 of 3 failed, the next one is in 1s") {
			t.Errorf("%s", got.Reason)
		}
		w.halt()
		w.boot()
		w.after(time.Second)
		w.person(s.ID, sessions.StatusRunning)
		w.exit(s.ID, sessions.ExitOutOfMemory, 137)
		w.after(2 * time.Second)
		w.person(s.ID, sessions.StatusRunning)
		started := w.runtime.Started()
		if n := started[len(started)-1].Env["PALISADE_RESTART_COUNT"]; n != "2" {
			t.Errorf("restart count %q", n)
		}
		w.exit(s.ID, sessions.ExitFailed, 7)
		if got := w.person(s.ID, sessions.StatusTerminated); got.Exit.Code != 7 || got.Task.Failures != 2 || got.Task.Outcome != sessions.OutcomeFailed {
			t.Errorf("%+v %+v", got.Exit, got.Task)
		}
	})
}

// TestRestart: the id, the place and the name stay; the process is another.
func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node = &accel.Node{Name: "box", CPU: 4, Memory: 1 << 30}
		w.boot()
		defer func() { w.halt() }()
		shell := w.create(job("shell", func(r *sessions.SessionRequest) { r.Type, r.Task.Command = sessions.TypeInteractive, "" }))
		before := w.person(shell.ID, sessions.StatusRunning)
		w.after(time.Hour)
		if err := w.m.RestartSession(t.Context(), "default", "shell", "ada"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Second)
		after := w.person(shell.ID, sessions.StatusRunning)
		if after.PID == before.PID || after.StartedAt.Equal(before.StartedAt) || after.Task.Restarts != 1 || after.Exit != nil {
			t.Errorf("%+v", after)
		}
		if _, holds := w.ledger.Claim(shell.ID); !holds {
			t.Error("it has lost its place")
		}
	})
}

// TestCrashWhileStartingAgain ends the daemon's writes after every one of a restart; the next daemon goes on with it, or
// with what ran before, and nothing runs twice.
func TestCrashWhileStartingAgain(t *testing.T) {
	for n := 1; n <= 4; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.boot()
				defer func() { w.halt() }()
				s := w.create(job("fit", func(r *sessions.SessionRequest) { r.Task.Retries = 1 }))
				w.store.failFrom(n)
				w.exit(s.ID, sessions.ExitFailed, 1)
				w.after(1500 * time.Millisecond)
				w.halt()
				w.store.failFrom(0)
				w.boot()
				w.after(10 * time.Second)
				w.person(s.ID, sessions.StatusRunning)
				if got := w.runtime.Running(); !slices.Equal(got, []string{s.ID}) {
					t.Errorf("running: %v", got)
				}
			})
		})
	}
}

// TestGivesWayAndGoesOn: a preemptible session gives its device to a service and gets it back, under the same id.
func TestGivesWayAndGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node = eight()
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("fit", func(r *sessions.SessionRequest) {
			r.Preemptible, r.Resources = true, map[string]string{"cuda.device": "8"}
		}))
		w.person(s.ID, sessions.StatusRunning)
		priority := 50
		_, err := w.m.CreateService(t.Context(), sessions.ServiceRequest{
			Name: "chat", Project: "default", CreatedBy: "ada", Replicas: 1, Priority: &priority,
			Recipe: sessions.Recipe{Image: "host", Variant: "vllm", Folder: "model", Resources: map[string]string{"cuda.device": "8"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Second)
		w.person(s.ID, sessions.StatusPending)
		w.wantUp("chat", 1)
		if err := w.m.DestroyService(t.Context(), "default", "chat", "ada"); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		got := w.person(s.ID, sessions.StatusRunning)
		started := w.runtime.Started()
		if n := started[len(started)-1].Env["PALISADE_RESTART_COUNT"]; n != "1" || got.Task.Restarts != 1 {
			t.Errorf("restart count %q, %+v", n, got.Task)
		}
	})
}

func TestCreateRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		w.create(job("taken"))
		if _, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job("free"), job("taken")}); !errors.Is(err, sessions.ErrExists) {
			t.Errorf("%v", err)
		}
		if n := len(w.m.Sessions("default", sessions.SessionFilter{})); n != 1 {
			t.Errorf("%d sessions", n)
		}
		problems := w.m.CheckSession(t.Context(), job("-", func(r *sessions.SessionRequest) {
			r.Image, r.Resources, r.DependsOn = "", map[string]string{"cpu": "many"}, []string{"nobody"}
			r.Mounts = []sessions.FolderMount{{Folder: "nothing", Target: "/etc"}}
			r.Priority = new(101)
		}))
		fields := map[string]bool{}
		for _, p := range problems {
			fields[p.Field] = true
		}
		want := []string{"depends_on", "image", "mounts[0].folder", "mounts[0].target", "name", "priority", "resources"}
		if got := slices.Sorted(maps.Keys(fields)); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if err := os.MkdirAll(filepath.Join(w.dir, "runs/7"), 0o755); err != nil {
			t.Fatal(err)
		}
		part := w.create(job("part", func(r *sessions.SessionRequest) {
			r.Mounts = []sessions.FolderMount{{Folder: "model/runs/7", Target: "/out", ReadOnly: true}}
		}))
		mount := sessions.Mount{Source: w.dir + "/runs/7", Target: "/out", ReadOnly: true, Within: w.dir}
		if len(part.Mounts) != 1 || part.Mounts[0] != mount {
			t.Errorf("%+v", part.Mounts)
		}
		shared := w.create(job("shared", func(r *sessions.SessionRequest) {
			r.Project, r.Mounts = "guests", []sessions.FolderMount{{Folder: "model", Target: "/in"}}
		}))
		if len(shared.Mounts) != 1 || !shared.Mounts[0].ReadOnly {
			t.Errorf("shared read-only, mounted %+v", shared.Mounts)
		}
		// A name is free again when its session has ended.
		if err := w.m.TerminateSession(t.Context(), "default", "taken", "ada", true); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.create(job("taken"))
	})
}

func TestUpdateSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("one"))
		w.create(job("two"))
		if _, err := w.m.UpdateSession(t.Context(), "default", "one", sessions.SessionUpdate{Name: new("two")}); !errors.Is(err, sessions.ErrExists) {
			t.Errorf("%v", err)
		}
		got, err := w.m.UpdateSession(t.Context(), "default", "one", sessions.SessionUpdate{Name: new("three"), Priority: new(70)})
		if err != nil || got.Name != "three" || got.Demand.Priority != 70 {
			t.Errorf("%+v %v", got, err)
		}
		w.halt()
		w.boot()
		if got := w.person(s.ID, sessions.StatusRunning); got.Name != "three" || got.Demand.Priority != 70 {
			t.Errorf("after a restart: %+v", got)
		}
	})
}

// TestArray: no more of it run at once than may, and each goes on when another has ended.
func TestArray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		var all []sessions.SessionRequest
		for i := range 5 {
			all = append(all, job(fmt.Sprintf("fit-%d", i), func(r *sessions.SessionRequest) {
				r.Task.Array = &sessions.Array{ID: "arr-1", Index: i, Limit: 2}
			}))
		}
		w.create(all...)
		for range 5 {
			running := w.runtime.Running()
			if len(running) > 2 || len(running) == 0 {
				t.Fatalf("%d run", len(running))
			}
			w.exit(running[0], sessions.ExitCompleted, 0)
		}
		for _, s := range w.m.Sessions("default", sessions.SessionFilter{}) {
			w.person(s.ID, sessions.StatusTerminated)
		}
	})
}

// TestEndedBetweenRuns: who waits for the next run of a job can end it, and its device goes to others.
func TestEndedBetweenRuns(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.boot()
		s := w.create(job("fit", func(r *sessions.SessionRequest) {
			r.Task.Retries, r.Resources = 5, map[string]string{"cuda.device": "8"}
		}))
		w.exit(s.ID, sessions.ExitFailed, 1)
		w.person(s.ID, sessions.StatusRestarting)
		w.wantLedger()
		w.halt()
		w.boot() // it keeps its place
		w.person(s.ID, sessions.StatusRestarting)
		w.wantLedger()
		if err := w.m.TerminateSession(t.Context(), "default", "fit", "ada", false); err != nil {
			t.Fatal(err)
		}
		w.after(100 * time.Millisecond)
		w.person(s.ID, sessions.StatusTerminated)
		if n := w.free("cuda.device"); n != 800 {
			t.Errorf("%d of 800 free", n)
		}
	})
}

// TestGivesWayBetweenRuns: a job that waits for its next run does not keep a service waiting.
func TestGivesWayBetweenRuns(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.serve("chat", map[string]string{"cuda.device": "1"})
		w.boot()
		w.wantUp("chat", 1)
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 0, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		s := w.create(job("fit", func(r *sessions.SessionRequest) {
			r.Task.Retries, r.Task.Failures, r.Preemptible, r.Resources = 20, 10, true, map[string]string{"cuda.device": "8"}
		}))
		w.person(s.ID, sessions.StatusRunning)
		w.exit(s.ID, sessions.ExitFailed, 1)
		w.person(s.ID, sessions.StatusRestarting)
		if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 1, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(5 * time.Second) // the next run would be in a minute
		w.wantUp("chat", 1)
		w.person(s.ID, sessions.StatusPending)
		w.wantLedger()
	})
}

// TestDoneBeforeItWasAsked: a job that had ended when it was to give way is not run again.
func TestDoneBeforeItWasAsked(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		// Its end is not seen by Wait before Stop is called: the runtime tells both at once.
		w.runtime.Behave(func(s sessions.Spec) runtimetest.Behaviour {
			if s.Labels[sessions.LabelService] != "" {
				return runtimetest.Behaviour{}
			}
			return runtimetest.Behaviour{TermExit: &sessions.Exit{Reason: sessions.ExitCompleted, Message: "It has ended by itself."}}
		})
		w.boot()
		s := w.create(job("fit", func(r *sessions.SessionRequest) {
			r.Preemptible, r.Resources = true, map[string]string{"cuda.device": "8"}
		}))
		w.halt()
		w.serve("chat", map[string]string{"cuda.device": "1"})
		w.boot()
		w.after(time.Minute)
		if got := w.person(s.ID, sessions.StatusTerminated); got.Result != sessions.ResultSuccess || got.Task.Outcome != sessions.OutcomeFinished {
			t.Errorf("%+v", got)
		}
		w.wantUp("chat", 1)
	})
}

// TestArrayIsRecordedAsAWhole: where it cannot be written, nothing of it is there, now or after a restart.
func TestArrayIsRecordedAsAWhole(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.boot()
		w.store.failFrom(1)
		if _, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job("fit-1"), job("fit-2")}); err == nil {
			t.Error("it was recorded on a full disk")
		}
		w.store.failFrom(0)
		w.halt()
		w.boot()
		if n := len(w.m.Sessions("", sessions.SessionFilter{})); n != 0 {
			t.Errorf("%d sessions are there", n)
		}
		w.create(job("fit-1"), job("fit-2"))
		history, err := w.m.Transitions(t.Context(), "default", "fit-2")
		if err != nil || len(history) < 2 || history[0].To != sessions.StatusPending || history[0].From != "" {
			t.Errorf("%+v %v", history, err)
		}
	})
}

// TestDependsOnAnArrayByItsName: of several arrays of one name the newest counts, and none of a session of the name that ended before.
func TestDependsOnAnArrayByItsName(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.boot()
		of := func(array string, i int) sessions.SessionRequest {
			return job(fmt.Sprintf("fit-%d", i), func(r *sessions.SessionRequest) {
				r.Task.Array, r.Resources = &sessions.Array{ID: array, Index: i}, map[string]string{"cpu": "2.5"}
			})
		}
		w.create(job("fit")) // a first try, alone
		for _, id := range w.runtime.Running() {
			w.exit(id, sessions.ExitCompleted, 0)
		}
		w.after(time.Second)
		w.create(of("arr-old", 1), of("arr-old", 2))
		for _, id := range w.runtime.Running() {
			w.exit(id, sessions.ExitFailed, 1)
		}
		w.after(time.Second)
		w.create(of("arr-new", 1), of("arr-new", 2))
		last := w.create(job("report", func(r *sessions.SessionRequest) { r.DependsOn = []string{"fit"} }))
		for _, id := range w.runtime.Running() {
			w.person(last.ID, sessions.StatusPending)
			w.exit(id, sessions.ExitCompleted, 0)
		}
		w.person(last.ID, sessions.StatusRunning)
		started := w.runtime.Started()
		if n := started[1].Env["OMP_NUM_THREADS"]; n != "2" {
			t.Errorf("libraries in a session with 2.5 cores are to start %q threads", n)
		}
		if n, set := started[len(started)-1].Env["OMP_NUM_THREADS"]; set {
			t.Errorf("libraries in a session that may use all cores are to start %q threads", n)
		}
	})
}

// TestDependsOnAnArray: all of it must have ended well.
func TestDependsOnAnArray(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.boot()
		of := func(i int) sessions.SessionRequest {
			return job(fmt.Sprintf("fit-%d", i), func(r *sessions.SessionRequest) { r.Task.Array = &sessions.Array{ID: "arr-1", Index: i} })
		}
		w.create(of(1), of(2))
		last := w.create(job("report", func(r *sessions.SessionRequest) { r.DependsOn = []string{"arr-1"} }))
		for _, id := range w.runtime.Running() {
			w.person(last.ID, sessions.StatusPending)
			w.exit(id, sessions.ExitCompleted, 0)
		}
		w.person(last.ID, sessions.StatusRunning)
	})
}

// TestCrashWhileItGivesWay ends a daemon's writes after every one of a preemption. The next daemon comes to the same: the
// service has the device, the job waits, goes on afterwards, and is done once.
func TestCrashWhileItGivesWay(t *testing.T) {
	for n := 1; n <= 12; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				w.boot()
				s := w.create(job("fit", func(r *sessions.SessionRequest) {
					r.Preemptible, r.Resources = true, map[string]string{"cuda.device": "8"}
				}))
				w.person(s.ID, sessions.StatusRunning)
				w.halt()
				w.serve("chat", map[string]string{"cuda.device": "1"})
				w.store.failFrom(n)
				w.boot()
				w.after(time.Minute)
				w.halt()
				w.store.failFrom(0)
				w.boot()
				w.after(time.Minute)
				w.wantUp("chat", 1)
				w.person(s.ID, sessions.StatusPending)
				w.wantLedger()
				if _, err := w.m.ScaleService(t.Context(), "default", "chat", sessions.Scale{To: 0, By: "ada"}); err != nil {
					t.Fatal(err)
				}
				w.after(time.Minute)
				w.person(s.ID, sessions.StatusRunning)
				w.wantLedger()
				if got := w.runtime.Running(); !slices.Equal(got, []string{s.ID}) {
					t.Errorf("running: %v", got)
				}
				w.exit(s.ID, sessions.ExitCompleted, 0)
				if got := w.person(s.ID, sessions.StatusTerminated); got.Task.Outcome != sessions.OutcomeFinished {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

// TestCrashWhileItIsMade ends a daemon's writes after every one of a job's way to its start: whatever was recorded runs
// after the restart, once.
func TestCrashWhileItIsMade(t *testing.T) {
	for n := 2; n <= 8; n++ {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				w.boot()
				w.store.failFrom(n)
				s := w.create(job("fit", func(r *sessions.SessionRequest) { r.Resources = map[string]string{"cuda.device": "8"} }))
				w.after(time.Second)
				w.halt()
				w.store.failFrom(0)
				w.boot()
				w.after(time.Second)
				w.person(s.ID, sessions.StatusRunning)
				w.wantLedger()
				if got := w.runtime.Running(); !slices.Equal(got, []string{s.ID}) {
					t.Errorf("running: %v", got)
				}
			})
		})
	}
}

// TestNamesAreUsedAgain: a name means the session that lives, else the newest that had it.
func TestNamesAreUsedAgain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.boot()
		var last sessions.Session
		for range 5 {
			last = w.create(job("fit"))
			if got := w.person("fit", sessions.StatusRunning); got.ID != last.ID {
				t.Errorf("%s is another than the live one, %s", got.ID, last.ID)
			}
			w.exit(last.ID, sessions.ExitCompleted, 0)
			w.after(time.Second)
		}
		for range 10 {
			if got := w.person("fit", sessions.StatusTerminated); got.ID != last.ID {
				t.Fatalf("%s is not the newest, %s", got.ID, last.ID)
			}
		}
	})
}

// preparing is a runtime whose start answers while something else prepares what will answer.
type preparing struct {
	*runtimetest.Fake
	asked func()
}

func (p *preparing) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	in, err := p.Fake.Start(ctx, spec)
	in.PID = 1
	return in, err
}

func (p *preparing) Inspect(ctx context.Context, id string) (sessions.Instance, error) {
	p.asked()
	return p.Fake.Inspect(ctx, id)
}

// TestTheProcessThatAnswers: nobody sees a route that is healthy with the process that has prepared it.
func TestTheProcessThatAnswers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		asked := 0
		w.wrap = func(sessions.Runtime) sessions.Runtime {
			return &preparing{w.runtime, func() {
				asked++
				if v := w.service("chat"); v.HealthyRoutes != 0 {
					t.Error("it is healthy before it is known who answers")
				}
			}}
		}
		w.seed("chat", 1)
		w.boot()
		w.after(time.Second)
		w.wantStatus("chat", sessions.ServiceHealthy)
		s := w.service("chat").Routes[0]
		if in, err := w.runtime.Inspect(t.Context(), s.ID); err != nil || s.PID != in.PID || asked == 0 {
			t.Errorf("%d, and it is %d: %v", s.PID, in.PID, err)
		}
	})
}
