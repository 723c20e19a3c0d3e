package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestBriefly(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for message, want := range map[string]string{
		"":            "",
		"not found\n": "not found",
		"x: not found in PATH (/a:/b/c:/usr/local/bin); next try in 4s": "x: not found in PATH; next try in 4s",
		"ended. Log:\nwhy":  "ended. Log: why",
		"ended. Log:\na\nb": "ended. Log: ... b",
		long:                strings.Repeat("x", longestLine-3) + "...",
	} {
		if got := briefly(message); got != want {
			t.Errorf("briefly(%.20q) = %q, want %q", message, got, want)
		}
	}
}

// TestFailuresAreToldOnce: a person looks for the reason, and a log of many lines must not hide it.
func TestFailuresAreToldOnce(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	const last = "Its process ended with exit code 3. The last of its log:\nhello\x1b[2J\ncannot load"
	s := api.Service{
		Name: "demo", Status: "UNHEALTHY", Reason: "0 of 1 routes healthy; 1 start failed in a row, the last: " + last + "; next try in 4s",
		Failures: 1, LastError: last, NextRetry: new(now.Add(4 * time.Second)), CreatedAt: now,
	}
	var out bytes.Buffer
	a := &app{out: &sink{w: &out}, now: func() time.Time { return now }}
	a.printService(s)
	for _, line := range []string{
		"reason:      0 of 1 routes healthy; 1 start failed in a row; next try in 4s\n",
		"failures:    1 start in a row, next try in 4s\n",
		"last error:  Its process ended with exit code 3.\n",
		"\nThe end of the log of the last that failed:\n    hello[2J\n    cannot load\n",
	} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no line %q in:\n%s", line, &out)
		}
	}
	if n := strings.Count(out.String(), "cannot load"); n != 1 {
		t.Errorf("told %d times:\n%s", n, &out)
	}
}

// Why a session ended is said once, where its reason and its engine's end have the same words.
func TestAnEndIsSaidOnce(t *testing.T) {
	var out strings.Builder
	a := &app{out: &sink{w: &out}, now: time.Now}
	const why = "Its process ended with exit code 1. The last of its log: no such model"
	a.printSession(api.Session{ID: "ses-1", Reason: why, Exit: &api.Exit{Reason: "failed", Code: 1, Message: why}}, nil)
	if n := strings.Count(out.String(), why); n != 1 || !strings.Contains(out.String(), "failed, code 1\n") {
		t.Errorf("it is said %d times:\n%s", n, out.String())
	}
}

func TestStage(t *testing.T) {
	p := api.Policy{UnhealthyTTL: new(60.0), StartTimeout: new(1800.0), OnUnhealthy: new("replace")}
	for want, r := range map[string]api.Route{
		"healthy at 10.0.0.2:8000": {Status: "HEALTHY", Address: "10.0.0.2:8000"},
		"started, waiting for its first good probe (30m at most): connection refused": {
			Status: "PROVISIONING", SessionStatus: "RUNNING", Reason: "its process runs", Health: "starting: connection refused",
		},
		"unhealthy: 4 probes in a row failed: 500; replaced unless a probe passes within 1m0s": {
			Status: "UNHEALTHY", SessionStatus: "RUNNING", Reason: "its process runs", Health: "4 probes in a row failed: 500",
		},
		"failed to start: command x: not found": {ID: "ses-1", Status: "FAILED_TO_START", Reason: "starting ses-1: command x: not found"},
	} {
		if got := stage(r, p); got != want {
			t.Errorf("stage = %q, want %q", got, want)
		}
	}
	p.OnUnhealthy = new("hold")
	if got := stage(api.Route{Status: "UNHEALTHY", Health: "500"}, p); !strings.HasSuffix(got, "; kept for a person to look at") {
		t.Errorf("stage = %q", got)
	}
}

// TestLongWaitsAreNotSilent: a log of a wait shows that it goes on.
func TestLongWaitsAreNotSilent(t *testing.T) {
	var out bytes.Buffer
	begin := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	p := &progress{w: &out, begin: begin, spoke: begin}
	for i := range 70 {
		p.status(begin.Add(time.Duration(i)*time.Second), "demo  0/1 healthy")
	}
	if got, want := out.String(), "   30s  demo  0/1 healthy\n 1m00s  demo  0/1 healthy\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A route that starts says since when, and when it is expected.
func TestRouteThatStarts(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	a := &app{now: func() time.Time { return now }}
	asked, began, soon := now.Add(-20*time.Second), now.Add(-12*time.Second), now.Add(40*time.Second)
	for want, r := range map[string]api.Route{
		"asked for 20s ago: waits for 1 cuda.device: 0 of 4 free":        {Status: "PROVISIONING", SessionStatus: "PENDING", Reason: "waits for 1 cuda.device: 0 of 4 free", CreatedAt: asked},
		"starting for 12s, expected in 40s: connection refused":          {Status: "PROVISIONING", SessionStatus: "RUNNING", Health: "starting: connection refused", CreatedAt: asked, StartedAt: &began, ReadyAt: &soon},
		"starting for 12s, expected 20s ago: not probed yet":             {Status: "PROVISIONING", SessionStatus: "RUNNING", Health: "not probed yet", CreatedAt: asked, StartedAt: &began, ReadyAt: &asked},
		"asked for 20s ago, expected in 40s":                             {Status: "PROVISIONING", SessionStatus: "CREATING", CreatedAt: asked, ReadyAt: &soon},
		"passing: 200 OK":                                                {Status: "HEALTHY", SessionStatus: "RUNNING", Health: "passing: 200 OK", CreatedAt: asked, StartedAt: &began},
		"starting for 12s: 3 probes in a row failed: connection refused": {Status: "PROVISIONING", SessionStatus: "RUNNING", Health: "3 probes in a row failed: connection refused", CreatedAt: asked, StartedAt: &began},
	} {
		if got := a.routeState(r); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
