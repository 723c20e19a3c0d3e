package sessions_test

import (
	"slices"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// lawful is the table of what may follow what, as people are told it in docs/sessions.md.
var lawful = map[sessions.Status][]sessions.Status{
	"PENDING":     {"SCHEDULED", "ERROR", "CANCELLED"},
	"SCHEDULED":   {"PREPARING", "ERROR", "CANCELLED"},
	"PREPARING":   {"PULLING", "PREPARED", "PENDING", "ERROR", "CANCELLED"},
	"PULLING":     {"PREPARED", "PENDING", "ERROR", "CANCELLED"},
	"PREPARED":    {"CREATING", "ERROR", "CANCELLED"},
	"CREATING":    {"RUNNING", "PENDING", "ERROR", "CANCELLED"},
	"RUNNING":     {"RESTARTING", "PREEMPTED", "TERMINATING", "TERMINATED", "ERROR"},
	"RESTARTING":  {"RUNNING", "TERMINATING", "TERMINATED", "ERROR"},
	"PREEMPTED":   {"PENDING", "TERMINATED"},
	"TERMINATING": {"TERMINATED", "ERROR"},
	"ERROR":       {"TERMINATING", "TERMINATED"},
	"TERMINATED":  {},
	"CANCELLED":   {},
}

var signals = []sessions.SignalKind{
	sessions.SignalPlaced, sessions.SignalPrepare, sessions.SignalPull, sessions.SignalPrepared, sessions.SignalCreate,
	sessions.SignalStarted, sessions.SignalEnded, sessions.SignalStop, sessions.SignalStopped, sessions.SignalFail,
	sessions.SignalGiveUp, sessions.SignalRestart, sessions.SignalPreempt, sessions.SignalTimeout,
}

func TestStepFollowsTheTable(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	in := &sessions.Instance{PID: 7, StartedAt: now}
	for from, may := range lawful {
		var reached []sessions.Status
		for _, kind := range signals {
			before := sessions.Session{ID: "ses-1", Status: from, Reason: "before"}
			after, err := sessions.Step(before, sessions.Signal{Kind: kind, Reason: "because", Instance: in}, now)
			if err != nil {
				if after.Status != from || after.Reason != "before" {
					t.Errorf("%s refused %s but changed to %s", from, kind, after.Status)
				}
				continue
			}
			if after.Reason != "because" {
				t.Errorf("%s --%s--> %s keeps the old reason", from, kind, after.Status)
			}
			if !slices.Contains(may, after.Status) {
				t.Errorf("%s --%s--> %s is not lawful", from, kind, after.Status)
			}
			reached = append(reached, after.Status)
		}
		for _, to := range may {
			if !slices.Contains(reached, to) {
				t.Errorf("no signal leads from %s to %s", from, to)
			}
		}
		if terminal := len(may) == 0; terminal != from.Terminal() || terminal != (sessions.NextAction(from) == sessions.ActionNone) {
			t.Errorf("%s: terminal is %v, its action is %q", from, from.Terminal(), sessions.NextAction(from))
		}
	}
}

func TestStepResults(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	running := sessions.Session{ID: "ses-1", Status: sessions.StatusRunning, PID: 7, Address: "10.0.0.2:8000", Result: sessions.ResultUndefined}
	ended := func(reason sessions.ExitReason) sessions.Signal {
		return sessions.Signal{Kind: sessions.SignalEnded, Exit: &sessions.Exit{Reason: reason}}
	}
	for reason, want := range map[sessions.ExitReason]sessions.Result{
		sessions.ExitCompleted: sessions.ResultSuccess, sessions.ExitFailed: sessions.ResultFailure,
		sessions.ExitOutOfMemory: sessions.ResultFailure, sessions.ExitStopped: sessions.ResultUndefined,
	} {
		after, err := sessions.Step(running, ended(reason), now)
		if err != nil {
			t.Fatal(err)
		}
		if after.Result != want || after.PID != 0 || after.Address != "" || !after.EndedAt.Equal(now) {
			t.Errorf("%s: %+v, want result %s and nothing left of the instance", reason, after, want)
		}
	}
	failed, err := sessions.Step(running, sessions.Signal{Kind: sessions.SignalFail, Reason: "broken"}, now)
	if err != nil {
		t.Fatal(err)
	}
	if failed, err = sessions.Step(failed, sessions.Signal{Kind: sessions.SignalStopped, Exit: &sessions.Exit{Reason: sessions.ExitStopped}}, now); err != nil || failed.Result != sessions.ResultFailure {
		t.Errorf("what failed must stay failed after the clean-up: %v %v", failed.Result, err)
	}
}
