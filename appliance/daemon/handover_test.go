package daemon

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// pair is both ends of a line.
func pair(t *testing.T) (older *successor, newer *forerunner) {
	t.Helper()
	own, theirs, err := linePair()
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLine(theirs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.close(); l.close() })
	return &successor{line: own}, newForerunner(l)
}

func within(t *testing.T, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, errors.New("it did not come to it"))
	defer cancel()
	if err := waitFor(ctx, is); err != nil {
		t.Fatal(err)
	}
}

func TestTheLine(t *testing.T) {
	older, newer := pair(t)
	ctx := t.Context()
	for _, m := range []message{{Say: "something new"}, {Say: sayHello, Data: "/data"}, {Say: sayFlying, Flying: map[string]int{"r": 1}}, {Say: sayYours, Flying: map[string]int{"r": 2}, Waiting: map[string]int{"svc": 3}}} {
		if err := older.line.say(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := newer.await(ctx, newer.yours); err != nil || newer.hello.Data != "/data" || newer.flying("r") != 2 || newer.flying("other") != 0 {
		t.Errorf("%v, %+v, %d in flight", err, newer.hello, newer.flying("r"))
	}
	if n := newer.waiting()["svc"]; n != 3 {
		t.Errorf("%d wait there, want 3", n)
	}
	route := router.Route{ID: "r", Addr: "10.0.0.1:8000", Weight: 0.5, Draining: true}
	broken := outlook{Broken: "no memory", RetryAt: time.Now().UTC().Round(time.Second)}
	newer.follow(map[string]standing{"svc": {routes: []router.Route{route}}, "cold": {outlook: broken}})
	within(t, func() bool {
		m := <-older.line.heard
		got := m.stands()
		return m.Say == sayTable && m.Table["svc"][0] == route && len(m.Outlooks) == 1 && len(got) == 2 && got["cold"].outlook == broken
	})
	_ = newer.line.say(message{Say: sayFailed, Error: "no", Hint: "do"})
	if _, err := older.await(ctx, sayReady); err == nil || err.Error() != "no" || adviceOf(err) != "do" {
		t.Errorf("%v, hint %q", err, adviceOf(err))
	}
	// One that ends has nothing in flight, and says all that could be waited for.
	older.line.close()
	if err := newer.await(ctx, newer.goes); err != nil {
		t.Error(err)
	}
	within(t, func() bool { return newer.gone() && newer.flying("r") == 0 })
	if err := newer.stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestOneThatDoesNotGetReady(t *testing.T) {
	older, newer := pair(t)
	ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("too long"))
	defer cancel()
	if _, err := older.await(ctx, sayReady); err == nil || !strings.Contains(err.Error(), "too long") || adviceOf(err) == "" {
		t.Errorf("%v, hint %q", err, adviceOf(err))
	}
	newer.line.close()
	if _, err := older.await(t.Context(), sayReady); err == nil || adviceOf(err) == "" {
		t.Errorf("%v, hint %q", err, adviceOf(err))
	}
}

// old is an elder of a test: it answers n requests until idle, and is there until ends.
type old struct {
	n          int
	idle, ends time.Time
	stands     map[string]standing
}

func (o *old) flying(string) int {
	if time.Now().Before(o.idle) {
		return o.n
	}
	return 0
}

func (o *old) waiting() map[string]int           { return map[string]int{"svc": o.n} }
func (o *old) follow(stands map[string]standing) { o.stands = stands }
func (o *old) gone() bool                        { return !time.Now().Before(o.ends) }

// Who asks for a restart of an appliance that stops is told so at once: the stop waits for requests, and that is one.
func TestAStopWaitsForNoRestart(t *testing.T) {
	h := &house{restarts: make(chan restart), stopped: make(chan struct{})}
	over := make(chan struct{})
	go func() { defer close(over); h.noRestart() }()
	d := &daemon{house: h}
	if _, err := d.restart(t.Context(), "ada"); !errors.Is(err, sessions.ErrUnavailable) {
		t.Errorf("%v", err)
	}
	close(h.stopped)
	<-over
}

func TestEldersAreWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var e elders
		begun := time.Now()
		hour := begun.Add(time.Hour)
		a, b := &old{n: 2, idle: begun.Add(time.Second), ends: hour}, &old{n: 1, idle: hour, ends: begun.Add(2 * time.Second)}
		e.join(a)
		e.join(b)
		if n := e.flying("r"); n != 3 {
			t.Errorf("%d in flight, want 3", n)
		}
		if n := e.waiting()["svc"]; n != 3 {
			t.Errorf("%d wait, want 3", n)
		}
		if err := waitFor(t.Context(), func() bool { return e.flying("r") == 0 }); err != nil {
			t.Error(err)
		}
		if took := time.Since(begun); took < 2*time.Second || took > 2*time.Second+2*idleEvery {
			t.Errorf("it took %s", took)
		}
		e.follow(map[string]standing{"svc": {}})
		if a.stands == nil || b.stands != nil {
			t.Error("those who are there are told the table, and only they")
		}
		enough := errors.New("enough")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, enough)
		defer cancel()
		if err := waitFor(ctx, func() bool { return false }); !errors.Is(err, enough) {
			t.Error(err)
		}
	})
}

// The admin API waits while nobody has the store; how a restart ends it is told at once.
func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fresh := func() *pause {
			return &pause{admin: sign("admin"), front: sign("front"), over: make(chan struct{}), moved: make(chan struct{})}
		}
		p := fresh()
		if got := ask(p, api.Prefix+"/restart"); got.Body.String() != "admin" {
			t.Errorf("the restart itself: %q", got.Body)
		}
		time.AfterFunc(time.Second, func() { close(p.over) })
		if got := ask(p, api.Prefix+"/services"); got.Body.String() != "front" {
			t.Errorf("when this process goes on: %q", got.Body)
		}
		p = fresh()
		close(p.moved)
		if got := ask(p, api.Prefix+"/services"); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
			t.Errorf("when another process does: %d", got.Code)
		}
		p = fresh()
		begun := time.Now()
		if got := ask(p, "/"); got.Code != http.StatusServiceUnavailable || time.Since(begun) != pausePatience {
			t.Errorf("when it takes too long: %d after %s", got.Code, time.Since(begun))
		}
		ctx, gone := context.WithCancel(t.Context())
		gone()
		p.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil).WithContext(ctx))
	})
}

func TestCheckOfTheProgram(t *testing.T) {
	dir := t.TempDir()
	program := func(script string) []string {
		path := filepath.Join(dir, "program")
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
		return []string{path, "serve", "--x"}
	}
	for _, tt := range []struct{ name, script, want string }{
		{"good", `[ "$*" = "serve --x --check" ]`, ""},
		{"says why not", "echo 'palisade: the port is wrong' >&2; exit 1", "the port is wrong"},
		{"says nothing", "exit 7", "exit status 7"},
		{"says too much", "yes no | head -c 100000; exit 1", "no\nno"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			command := program(tt.script)
			err := check(t.Context(), command)
			if tt.want == "" {
				if err != nil || len(command) != 3 {
					t.Error(err, command)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || adviceOf(err) == "" || len(err.Error()) > 5000 {
				t.Errorf("%v, hint %q", err, adviceOf(err))
			}
		})
	}
	if err := check(t.Context(), []string{filepath.Join(dir, "none")}); err == nil || adviceOf(err) == "" {
		t.Error(err)
	}
}
