package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// TestFirstLight is the main job: a model folder answers at an OpenAI endpoint, from two routes in turn.
func TestFirstLight(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.serve("voices", "recite", 2)
	routes := b.routes("voices")
	if len(routes) != 2 || routes[0].Status != "HEALTHY" || routes[1].Status != "HEALTHY" {
		t.Fatalf("routes: %+v", routes)
	}

	t.Run("the Go client streams from both routes in turn", func(t *testing.T) {
		client := b.client(token)
		var heard []string
		for range 8 {
			text, err := say(t.Context(), client, "voices", 50, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(text, "and this is my voice.") {
				t.Fatalf("it says %q", text)
			}
			heard = append(heard, speaker(text))
		}
		for i, id := range heard[2:] {
			if id != heard[i] || id == heard[i+1] {
				t.Fatalf("not in turn: %v", heard)
			}
		}
		for _, id := range heard[:2] {
			if !slices.ContainsFunc(routes, func(r routeView) bool { return r.ID == id }) {
				t.Errorf("%s answers and is no route", id)
			}
		}
	})

	t.Run("the Node client streams from both routes in turn", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "node", "testdata/stream.mjs", "voices", "6")
		cmd.Env = append(cmd.Environ(), "BASE="+b.url+"/v1", "KEY="+token, "OPENAI="+have.openai)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v\n%s%s", err, out, stderr.String())
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		if len(lines) != 7 || lines[0] != "models: voices" {
			t.Fatalf("%q", lines)
		}
		for i := 3; i < len(lines); i++ {
			if speaker(lines[i]) == "" || speaker(lines[i]) != speaker(lines[i-2]) || speaker(lines[i]) == speaker(lines[i-1]) {
				t.Fatalf("not in turn: %q", lines[1:])
			}
		}
	})

	t.Run("tokens", func(t *testing.T) {
		for _, tt := range []struct {
			name, token string
			status      int
		}{
			{"none", "", 401}, {"malformed", "x", 401}, {"unknown", "pal-" + strings.Repeat("a", 43), 401}, {"good", token, 200},
		} {
			status, body := b.post(t, "/v1/chat/completions", tt.token, strings.NewReader(`{"model":"voices","messages":[{"role":"user","content":"hi"}],"max_tokens":4}`))
			if status != tt.status {
				t.Errorf("%s token: %d %v, want %d", tt.name, status, body, tt.status)
			}
			if e, _ := body["error"].(map[string]any); status == 401 && (e["message"] == nil || e["type"] == nil || e["code"] == nil) {
				t.Errorf("%s token: not OpenAI's shape: %v", tt.name, body)
			}
		}
		b.run("service", "revoke-token", "voices", b.run("service", "tokens", "voices", "-q"))
		if _, err := say(t.Context(), b.client(token), "voices", 4, nil); !isStatus(err, 401) {
			t.Errorf("a revoked token: %v", err)
		}
	})
}

func isStatus(err error, status int) bool {
	e, ok := errors.AsType[*openai.Error](err)
	return ok && e.StatusCode == status
}

func isCode(err error, code string) bool {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return e.Code == code
	}
	// A stream whose head had come, though no token of it: the error is an event then.
	e, ok := errors.AsType[*ssestream.StreamError](err)
	return ok && strings.Contains(e.Message, `"`+code+`"`)
}

// TestBodies sends what clients should not.
func TestBodies(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.serve("voices", "recite", 1)
	for _, tt := range []struct {
		name, body   string
		status       int
		code, within string
	}{
		{"no JSON", "hello", 400, "", "JSON"},
		{"cut off", `{"model":"voi`, 400, "", ""},
		{"no model", `{"messages":[]}`, 400, "", "model"},
		{"unknown model", `{"model":"nobody","messages":[]}`, 404, "model_not_found", "nobody"},
		{"model behind 50 MB", `{"pad":"` + strings.Repeat("x", 50<<20) + `","messages":[{"role":"user","content":"hi"}],"max_tokens":1,"model":"voices"}`, 200, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, answer := b.post(t, "/v1/chat/completions", token, strings.NewReader(tt.body))
			text := fmt.Sprint(answer)
			if status != tt.status || tt.code != "" && !strings.Contains(text, tt.code) || !strings.Contains(text, tt.within) {
				t.Errorf("%d %s, want %d with %q", status, text[:min(len(text), 300)], tt.status, tt.code+tt.within)
			}
		})
	}
}

// TestRouteKilledUnderLoad kills an engine while eight streams run: no request that had not begun fails,
// the route is replaced, and the service's status says so.
func TestRouteKilledUnderLoad(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.serve("voices", "forever", 2)
	victim := b.routes("voices")[0]

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	var began, broken, finished atomic.Int64
	var mu sync.Mutex
	var refused []error
	stop := make(chan struct{})
	running := make(chan struct{}, 1024)
	var streams sync.WaitGroup
	for range 8 {
		streams.Go(func() {
			client := b.client(token)
			for {
				select {
				case <-stop:
					return
				default:
				}
				tokens := 0
				// So long that each route has some under way at any moment.
				_, err := say(ctx, client, "voices", 400, func() {
					if tokens++; tokens == 1 {
						began.Add(1)
						select {
						case running <- struct{}{}:
						default:
						}
					}
				})
				switch {
				case err == nil:
					finished.Add(1)
				case tokens > 0, isCode(err, "engine_failed"): // the engine had read it
					broken.Add(1)
				default:
					mu.Lock()
					refused = append(refused, err)
					mu.Unlock()
				}
			}
		})
	}
	for range 16 {
		<-running
	}
	if victim.PID <= 1 {
		t.Fatalf("the route's process is %d", victim.PID)
	}
	// It dies with requests in it: where clients read slowly, it may have answered all that they have begun.
	if err := syscall.Kill(victim.PID, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	err := eventually(soon, func() error {
		for _, r := range b.service("voices").Routes {
			if r.ID == victim.ID && r.InFlight > 0 {
				return nil
			}
		}
		return errors.New("nobody asks the route")
	})
	if err := errors.Join(err, syscall.Kill(victim.PID, syscall.SIGKILL)); err != nil {
		t.Fatal(err)
	}
	sawDegraded := false
	err = eventually(60*time.Second, func() error {
		v := b.service("voices")
		sawDegraded = sawDegraded || v.Status == "DEGRADED"
		if !sawDegraded {
			return fmt.Errorf("not DEGRADED yet: %s", v.Status)
		}
		if v.Status != "HEALTHY" {
			return fmt.Errorf("%s: %s", v.Status, v.Sentence)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	for range 16 { // both serve again
		<-running
	}
	close(stop)
	streams.Wait()
	t.Logf("streams: %d began, %d finished, %d broken in the middle, %d refused", began.Load(), finished.Load(), broken.Load(), len(refused))
	for _, err := range refused {
		t.Errorf("a request that had not begun failed: %v", err)
	}
	if broken.Load() == 0 {
		t.Error("no stream was broken: the route was not under load when it was killed")
	}
	for _, r := range b.routes("voices") {
		if r.ID == victim.ID && r.Status == "HEALTHY" {
			t.Error("the killed route is still there")
		}
	}
}

// TestDaemonKilled kills the daemon while both routes run: the same processes serve again at once.
func TestDaemonKilled(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.serve("voices", "recite", 2)
	before := pids(b.routes("voices"))
	b.kill()
	if err := noneLeft(b.dir); err == nil {
		t.Fatal("the sessions went with the daemon")
	}
	again := time.Now()
	b.start()
	if err := eventually(soon, func() error {
		_, err := say(t.Context(), b.client(token), "voices", 50, nil)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Logf("served again %s after the start of the daemon", time.Since(again).Round(time.Millisecond))
	if err := eventually(soon, func() error {
		if v := b.service("voices"); v.Status != "HEALTHY" {
			return errors.New(v.Sentence)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if after := pids(b.routes("voices")); !slices.Equal(before, after) {
		t.Errorf("pids were %v and are %v", before, after)
	}
	if v := b.service("voices"); v.Replicas != 2 || v.Failures != 0 {
		t.Errorf("%+v", v)
	}
}

func pids(routes []routeView) []int {
	var out []int
	for _, r := range routes {
		out = append(out, r.PID)
	}
	slices.Sort(out)
	return out
}
