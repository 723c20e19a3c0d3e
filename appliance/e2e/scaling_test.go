package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sleeper is a service that goes to zero when nobody asks. It returns a token for it.
func (b *box) sleeper(name string, flags ...string) (token string) {
	b.t.Helper()
	b.folder(name, strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	b.run(append([]string{"service", "create", "host", name, "1", "--name", name, "--wait"}, flags...)...)
	return b.run("service", "generate-token", name, "--duration", "1h", "-q")
}

// asleep waits until the service is at zero and nothing of it runs.
func (b *box) asleep(name string) {
	b.t.Helper()
	if err := eventually(soon, func() error {
		if v := b.service(name); v.Status != "IDLE" || len(v.Routes) > 0 {
			return fmt.Errorf("%s: %s, %d routes", v.Status, v.Sentence, len(v.Routes))
		}
		return nil
	}); err != nil {
		b.t.Fatalf("it does not go to zero: %v\n%s", err, b.run("service", "autoscale", name))
	}
}

// complete asks the endpoint, and returns the status and the whole answer.
func (b *box) complete(ctx context.Context, token, path, body string) (int, http.Header, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.url+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, "", err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, "", err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(answer), err
}

// started is how many sessions of a service there ever were.
func (b *box) started(name string) int {
	b.t.Helper()
	var events []struct{ Kind string }
	b.into(&events, "service", "events", name, "--limit", "500")
	n := 0
	for _, e := range events {
		if e.Kind == "started" {
			n++
		}
	}
	return n
}

type decisionView struct {
	Was, Replicas int
	Rule, Reason  string
	Wishes        []struct{ Rule, Why string }
}

func (b *box) decisions(name string) []decisionView {
	b.t.Helper()
	var events []struct {
		Kind     string
		Decision *decisionView
	}
	b.into(&events, "service", "events", name, "--kind", "autoscaled", "--limit", "500")
	var all []decisionView
	for _, e := range events {
		if e.Decision != nil {
			all = append(all, *e.Decision)
		}
	}
	return all
}

// TestScaleToZeroAndBack: a service sleeps, two hundred requests wake it at once, one route answers them all, and it
// sleeps again; also across a restart and a crash of the daemon.
func TestScaleToZeroAndBack(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.sleeper("steady", "--autoscale", "0..4", "--idle-after", "2s")
	b.asleep("steady")
	var models struct{ Data []struct{ ID string } }
	b.list(token, &models)
	if len(models.Data) != 1 || models.Data[0].ID != "steady" {
		t.Errorf("at zero /v1/models has %+v", models)
	}
	before := b.started("steady")
	var all sync.WaitGroup
	var failed atomic.Int64
	for range 200 {
		all.Go(func() {
			status, _, answer, err := b.complete(t.Context(), token, "/v1/chat/completions", question)
			if err != nil || status != http.StatusOK || !strings.Contains(answer, "my voice") {
				failed.Add(1)
				t.Errorf("%d %v: %s", status, err, answer)
			}
		})
	}
	all.Wait()
	if n := b.started("steady") - before; n != 1 || failed.Load() != 0 {
		t.Errorf("%d sessions were started for 200 requests, and %d failed", n, failed.Load())
	}
	// What came is there to be rehearsed.
	file := filepath.Join(t.TempDir(), "came.csv")
	if err := eventually(soon, func() error {
		b.run("service", "record", "steady", "-o", file)
		text, err := os.ReadFile(file)
		if lines := strings.Count(string(text), "\n"); err != nil || lines < 201 {
			return fmt.Errorf("%d lines, %w", lines, err)
		}
		return nil
	}); err != nil {
		t.Errorf("recorded: %v", err)
	}
	why := b.decisions("steady")
	if len(why) == 0 || why[0].Was != 0 || why[0].Replicas != 1 || why[0].Rule != "held" {
		t.Errorf("decided: %+v", why)
	}

	b.kill()
	b.start() // holds, and then goes on
	b.asleep("steady")
	if status, _, answer, err := b.complete(t.Context(), token, "/v1/chat/completions", question); err != nil || status != http.StatusOK {
		t.Errorf("woken after a crash of the daemon: %d %v %s", status, err, answer)
	}
	b.asleep("steady")
	b.restart()
	if status, _, answer, err := b.complete(t.Context(), token, "/v1/chat/completions", question); err != nil || status != http.StatusOK {
		t.Errorf("woken after a restart of the daemon: %d %v %s", status, err, answer)
	}
}

func (b *box) list(token string, into any) {
	b.t.Helper()
	req, err := http.NewRequest(http.MethodGet, b.url+"/v1/models", nil)
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		b.t.Fatal(err)
	}
}

// TestAStartThatFailsIsToldToThoseWhoWait: not a time-out after minutes, but what the engine said.
func TestAStartThatFailsIsToldToThoseWhoWait(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.sleeper("steady", "--autoscale", "0..1", "--idle-after", "2s")
	b.asleep("steady")
	b.rewrite("steady", strings.NewReplacer("llama-server", "llama-server-of-yesterday"))
	b.run("service", "update", "steady", "--reload")
	var all sync.WaitGroup
	for range 5 {
		all.Go(func() {
			status, head, answer, err := b.complete(t.Context(), token, "/v1/chat/completions", question)
			if err != nil || status != http.StatusServiceUnavailable || !strings.Contains(answer, "start_failed") || !strings.Contains(answer, "llama-server-of-yesterday") {
				t.Errorf("%d %v: %s", status, err, answer)
			}
			if after, err := strconv.Atoi(head.Get("Retry-After")); err != nil || after < 1 || after > 60 {
				t.Errorf("Retry-After: %q", head.Get("Retry-After"))
			}
		})
	}
	all.Wait()
}

// TestAPersonsNumberStands until the rules are edited, or somebody says that they count again.
func TestAPersonsNumberStands(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.sleeper("steady", "--autoscale", "0..2", "--idle-after", "2s")
	b.run("service", "scale", "steady", "0")
	if status, _, answer, err := b.complete(t.Context(), token, "/v1/chat/completions", question); err != nil || status != http.StatusServiceUnavailable || !strings.Contains(answer, "scaled_to_zero") {
		t.Errorf("at a person's zero: %d %v %s", status, err, answer)
	}
	if out := b.run("service", "autoscale", "steady"); !strings.Contains(out, "paused by") {
		t.Errorf("it is not said who paused it:\n%s", out)
	}
	b.run("service", "autoscale", "steady", "--resume")
	if status, _, answer, err := b.complete(t.Context(), token, "/v1/chat/completions", question); err != nil || status != http.StatusOK {
		t.Errorf("after it was resumed: %d %v %s", status, err, answer)
	}
	b.fails(1, []string{"min"}, "service", "autoscale", "steady", "--min", "5", "--max", "2")
	b.fails(2, []string{"concurrency"}, "service", "autoscale", "steady", "--target", "concurency=3")
}

// TestTargetTracking: load makes more routes, and each decision says why.
func TestTargetTracking(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.sleeper("steady", "--autoscale", "1..3", "--target", "concurrency=2", "--scale-down-delay", "1s")
	load, stop := context.WithCancel(t.Context())
	defer stop()
	var all sync.WaitGroup
	for range 16 { // on a busy machine clients are themselves busy for most of the time
		all.Go(func() {
			for load.Err() == nil {
				status, _, answer, err := b.complete(load, token, "/v1/chat/completions", question)
				if load.Err() == nil && (err != nil || status != http.StatusOK) {
					t.Errorf("under load: %d %v %s", status, err, answer)
				}
			}
		})
	}
	if err := eventually(60*time.Second, func() error {
		if v := b.service("steady"); v.Replicas != 3 || v.Status != "HEALTHY" {
			return fmt.Errorf("%d wanted, %s", v.Replicas, v.Status)
		}
		return nil
	}); err != nil {
		t.Fatalf("%v\n%s", err, b.run("service", "autoscale", "steady"))
	}
	stop()
	all.Wait()
	why := b.decisions("steady")
	if len(why) == 0 || !strings.Contains(why[len(why)-1].Reason, "in flight") {
		t.Errorf("decided: %+v", why)
	}
	if err := eventually(120*time.Second, func() error {
		if v := b.service("steady"); v.Replicas != 1 {
			return fmt.Errorf("%d wanted", v.Replicas)
		}
		return nil
	}); err != nil {
		t.Errorf("nobody asks any more: %v\n%s", err, b.run("service", "events", "steady", "--kind", "autoscaled", "--explain"))
	}
}

// BenchmarkColdStart is how much the appliance adds, from the first request at zero to its first token, to the engine's own
// time to readiness, started by hand in the same run.
func BenchmarkColdStart(b *testing.B) {
	box := newBox(b)
	box.start()
	dir := box.helloFolder()
	box.run("service", "create", "host", "hello", "1", "--name", "hello", "--wait", "--public", "--autoscale", "0..1", "--idle-after", "1s")
	var own, cold time.Duration
	for range b.N {
		box.asleep("hello")
		own += bareEngine(b, dir+"/hello.gguf")
		begun := time.Now()
		if err := firstToken(box.url, "hello"); err != nil {
			b.Fatal(err)
		}
		cold += time.Since(begun)
	}
	milliseconds(b, own, "ms-engine")
	milliseconds(b, cold, "ms-zero-to-token")
	milliseconds(b, cold-own, "ms-added")
	b.ReportMetric(0, "ns/op")
}

// firstToken returns with the first event of a stream.
func firstToken(url, model string) error {
	resp, err := http.Post(url+"/v1/chat/completions", "application/json",
		strings.NewReader(`{"model":"`+model+`","stream":true,"max_tokens":1,"messages":[{"role":"user","content":"Who are you?"}]}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	_, err = resp.Body.Read(make([]byte, 1))
	return err
}
