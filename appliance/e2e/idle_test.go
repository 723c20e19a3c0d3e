package e2e_test

import (
	"strings"
	"testing"
)

// TestIdle: a shell that nobody uses is ended with its reason, and what it held is counted; one in which somebody works is
// not, nor is a job.
func TestIdle(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process"}
	b.start()
	b.run("session", "create", "host", "--name", "busy", "--idle-timeout", "12s", "--wait")
	working := make(chan struct{})
	go func() {
		defer close(working)
		b.cli("session", "exec", "busy", "--", "sleep", "1000") // until the daemon is killed
	}()
	b.run("session", "create", "host", "--name", "left", "-r", "cpu=2", "--idle-timeout", "12s", "--wait")
	if info := b.run("session", "info", "left"); !strings.Contains(info, "will be ended") || !strings.Contains(info, "nobody has used it for 12s") {
		t.Errorf("session info:\n%s", info)
	}
	b.run("session", "create", "host", "--name", "short", "--max-lifetime", "8s", "--wait")
	b.run("session", "create", "host", "--name", "job", "-c", "exec sleep 1000")
	b.fails(1, []string{"only interactive sessions"}, "session", "create", "host", "-c", "true", "--idle-timeout", "5s")
	left := b.becomes("left", "TERMINATED")
	if !strings.Contains(left.Reason, "ended by the idle check: nobody has used it for 12s") {
		t.Errorf("%+v", left)
	}
	if v := b.person("busy"); v.Status != "RUNNING" { // it was used for as long as the other was not, and longer
		t.Errorf("%+v", v)
	}
	b.kill() // what it held is counted by the next daemon too
	b.start()
	if v := b.becomes("short", "TERMINATED"); !strings.Contains(v.Reason, "lifetime of 8s") {
		t.Errorf("%+v", v)
	}
	<-working // its line went with the daemon
	if v := b.becomes("job", "RUNNING"); v.PID == 0 {
		t.Errorf("%+v", v)
	}
	var u struct {
		Groups []struct {
			SessionName string  `json:"session_name"`
			Held        float64 `json:"held_seconds"`
			Cores       float64 `json:"core_seconds"`
		}
	}
	b.into(&u, "usage", "--sessions", "--by", "session")
	seen := 0
	for _, g := range u.Groups {
		if g.SessionName == "left" {
			seen++
			if g.Held < 12 || g.Cores < 2*g.Held-0.01 || g.Cores > 2*g.Held+0.01 {
				t.Errorf("%+v", g)
			}
		}
	}
	if seen != 1 || len(u.Groups) != 4 {
		t.Errorf("%+v", u)
	}
}
