package sessions_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// TestRetryKeepsItsPlaceAcrossADaemon: a run that failed while no daemon was there is followed by another at the same
// place, which nobody else was given.
func TestRetryKeepsItsPlaceAcrossADaemon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node = eight()
		w.boot()
		defer func() { w.halt() }()
		all := func(r *sessions.SessionRequest) { r.Resources = map[string]string{"cuda.device": "8"} }
		first := w.create(job("first", all, func(r *sessions.SessionRequest) { r.Task.Retries = 1 }))
		second := w.create(job("second", all))
		w.person(second.ID, sessions.StatusPending)
		w.halt()
		w.exit(first.ID, sessions.ExitFailed, 1)
		w.boot()
		w.after(5 * time.Second)
		w.person(first.ID, sessions.StatusRunning)
		w.person(second.ID, sessions.StatusPending)
		if _, holds := w.ledger.Claim(first.ID); !holds {
			t.Error("it runs without a place")
		}
	})
}

// TestDoneBeforeItsTimeout: a daemon that comes back after the timeout of a run that was done before tells how it ended.
func TestDoneBeforeItsTimeout(t *testing.T) {
	for i := range 20 { // the two are ready at the same moment
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.boot()
				defer func() { w.halt() }()
				s := w.create(job("fit", func(r *sessions.SessionRequest) { r.Task.Timeout = time.Hour }))
				w.halt()
				w.after(time.Minute)
				w.exit(s.ID, sessions.ExitCompleted, 0)
				w.after(2 * time.Hour)
				w.boot()
				w.after(time.Minute)
				if got := w.person(s.ID, sessions.StatusTerminated); got.Result != sessions.ResultSuccess || got.Task.Outcome != sessions.OutcomeFinished {
					t.Errorf("%s %s %+v", got.Result, got.Task.Outcome, got.Exit)
				}
			})
		})
	}
}

// TestDoneThoughNotWritten: a second run whose start was not written, and that is done when the next daemon comes, is not
// run a third time.
func TestDoneThoughNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("fit", func(r *sessions.SessionRequest) { r.Task.Retries = 1 }))
		w.exit(s.ID, sessions.ExitFailed, 1)
		w.person(s.ID, sessions.StatusRestarting)
		w.store.failFrom(1)
		w.after(5 * time.Second)
		w.person(s.ID, sessions.StatusRunning)
		w.halt()
		w.exit(s.ID, sessions.ExitCompleted, 0)
		w.store.failFrom(0)
		w.boot()
		w.after(time.Minute)
		if got := w.person(s.ID, sessions.StatusTerminated); got.Task.Outcome != sessions.OutcomeFinished {
			t.Errorf("%+v", got)
		}
		if n := len(w.runtime.Started()); n != 2 {
			t.Errorf("it ran %d times", n)
		}
	})
}

// TestFailsAsItGivesWay: a run that failed by itself while it was about to give way has its retries all the same.
func TestFailsAsItGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.node = eight()
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour {
			return runtimetest.Behaviour{TermExit: &sessions.Exit{Reason: sessions.ExitFailed, Code: 1}}
		})
		w.boot()
		defer func() { w.halt() }()
		s := w.create(job("fit", func(r *sessions.SessionRequest) {
			r.Preemptible, r.Task.Retries, r.Resources = true, 1, map[string]string{"cuda.device": "8"}
		}))
		w.person(s.ID, sessions.StatusRunning)
		if _, err := w.m.CreateService(t.Context(), sessions.ServiceRequest{
			Name: "chat", Project: "default", CreatedBy: "ada", Replicas: 1, Priority: new(50),
			Recipe: sessions.Recipe{Image: "host", Variant: "vllm", Folder: "model", Resources: map[string]string{"cuda.device": "8"}},
		}); err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Second)
		w.person(s.ID, sessions.StatusPending)
	})
}

// TestNotCreatedIsNotRunLater: what its owner was told could not be recorded is not run by the next daemon.
func TestNotCreatedIsNotRunLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.boot()
		defer func() { w.halt() }()
		w.store.set(false, true) // written, but an error is told
		if _, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job("one"), job("two")}); err == nil {
			t.Fatal("no error")
		}
		w.store.set(false, false)
		w.halt()
		w.boot()
		if all := w.m.Sessions("default", sessions.SessionFilter{}); len(all) > 0 {
			t.Errorf("%d sessions are there", len(all))
		}
	})
}

// TestResultsOfAnArrayAreThere: whoever waits for each of a large array finds how it ended.
func TestResultsOfAnArrayAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour { return runtimetest.Behaviour{ExitAfter: time.Second} })
		w.boot()
		defer func() { w.halt() }()
		before := w.create(job("before"))
		w.after(time.Minute)
		var all []sessions.SessionRequest
		for i := range 1000 {
			all = append(all, job(fmt.Sprintf("fit-%d", i)))
		}
		w.create(all...)
		w.after(2 * time.Minute)
		w.person(before.ID, sessions.StatusTerminated)
		w.after(2 * time.Hour)
		if n := len(w.m.Sessions("default", sessions.SessionFilter{})); n != 1000 {
			t.Errorf("%d are kept", n)
		}
	})
}
