package e2e_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3/option"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// kept is what an owner sees of what is kept, where the database must make no difference.
func (b *box) kept() map[string]any {
	b.t.Helper()
	out := map[string]any{}
	for _, words := range [][]string{
		{"service", "list"}, {"service", "revisions", "steady"}, {"service", "tokens", "steady"}, {"user", "list"}, {"project", "list"}, {"folder", "list"},
		{"usage", "--by", "token,model,day"}, {"audit", "list", "--all", "-n", "1000"}, {"key", "list"},
	} {
		var v any
		text := b.run(append(words, "-o", "json")...)
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			b.t.Fatalf("%v: %v", words, err)
		}
		out[strings.Join(words, " ")] = v
	}
	return out
}

// steady leaves out what changes by itself.
func steady(path cmp.Path) bool {
	if at, ok := path.Last().(cmp.MapIndex); ok {
		return slices.Contains([]string{"load", "last_used", "last_login", "last_seen", "events", "updated_at", "to", "routes", "sentence", "status_since", "first_ms", "metrics"}, at.Key().String())
	}
	return false
}

// counts waits until so many requests are counted, in all processes.
func (b *box) counts(want int64) {
	b.t.Helper()
	if err := eventually(soon, func() error {
		if requests, _ := b.counted(); requests != want {
			return fmt.Errorf("%d requests are counted, want %d", requests, want)
		}
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
}

// TestDatabaseMove takes an appliance with a service that runs to PostgreSQL and back, over moves that are killed: what it
// keeps is the same, the route is the same process, and the audit's chain holds.
func TestDatabaseMove(t *testing.T) {
	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	b := newBox(t)
	b.start()
	token := b.steadyService(1)
	b.run("user", "create", "ann")
	b.run("project", "create", "lab")
	ask := func() {
		t.Helper()
		if _, err := say(t.Context(), b.client(token), "steady", 5, nil); err != nil {
			t.Error(err)
		}
	}
	ask()
	b.counts(1)
	// What is in memory is more exact than what is kept.
	b.stop()
	b.start()
	before, route := b.kept(), pids(b.routes("steady"))
	dsn := server.OverTCP(t, server.Database(t), pgtest.Password)
	b.fails(1, []string{"the appliance runs", "hint: stop it first"}, "database", "move", "--to", dsn)
	b.stop()

	// Killed wherever it is.
	for _, after := range []time.Duration{60 * time.Millisecond, 250 * time.Millisecond, 400 * time.Millisecond} {
		cmd := exec.Command(b.program, "database", "move", "--to", dsn)
		cmd.Env = b.env
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	}
	said, stderr, code := b.cli("database", "move", "--to", dsn)
	if code != 0 && !strings.Contains(stderr, "uses "+strings.Replace(dsn, pgtest.Password, "xxxxx", 1)+" already") {
		t.Fatal(stderr)
	}
	if strings.Contains(said+stderr, ":"+pgtest.Password+"@") {
		t.Errorf("the password is shown: %s%s", said, stderr)
	}
	b.start()
	if status := b.run("database", "status"); !strings.Contains(status, fmt.Sprintf("process %d on", b.daemon.Process.Pid)) {
		t.Error(status)
	}
	same := func(when string) {
		t.Helper()
		if d := cmp.Diff(before, b.kept(), cmp.FilterPath(steady, cmp.Ignore())); d != "" {
			t.Errorf("%s (-before +after):\n%s", when, d)
		}
		if now := pids(b.routes("steady")); !slices.Equal(now, route) {
			t.Errorf("%s the route is %v, was %v", when, now, route)
		}
		b.run("audit", "verify")
	}
	same("in PostgreSQL")
	ask()

	// A second one is told whose it is, and a successor takes it over under load.
	second := newBox(t)
	second.settings = []string{"--database", dsn}
	if err := second.launch(); err == nil || !strings.Contains(second.log.String(), fmt.Sprintf("another palisade works on this database: process %d on", b.daemon.Process.Pid)) {
		t.Errorf("%v: %s", err, tail(second.log, 5))
	}
	second.daemon = nil // there is nothing of it to clean up
	d := b.newDemand(token)
	d.each("OpenAI's client", d.spoken(option.WithMaxRetries(0)))
	old := b.daemon.Process.Pid
	b.restart()
	d.end()
	if b.daemon.Process.Pid == old {
		t.Error("it is the same process")
	}

	b.run("project", "create", "den")
	b.counts(2 + d.asked.Load())
	b.stop()
	b.start()
	before = b.kept()
	b.stop()
	b.run("database", "move", "--to", "sqlite")
	b.start()
	if status := b.run("database", "status", "-q"); strings.TrimSpace(status) != "sqlite:"+b.dir+"/palisade.db" {
		t.Error(status)
	}
	same("back again")
	ask()
	b.run("service", "scale", "steady", "0")
	if err := eventually(soon, func() error {
		if len(b.routes("steady")) > 0 {
			return errors.New("routes are left")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
