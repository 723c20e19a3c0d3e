package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/signals"
)

// engineAt starts llama-server and waits until it serves. Stop ends it.
func engineAt(t *testing.T, model string, more ...string) (addr string, stop func()) {
	t.Helper()
	addr = freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(have.engine, "llama-server"), append([]string{
		"--model", model, "--host", "127.0.0.1", "--port", port, "--ctx-size", "8192", "--parallel", "2", "--threads", "1", "--threads-batch", "1",
	}, more...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(syscall.SIGKILL)
		_ = cmd.Wait()
	})
	t.Cleanup(stop)
	if err := eventually(soon, func() error {
		resp, err := http.Get("http://" + addr + "/health")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return addr, stop
}

// ask has one answer after the other, each to its end, until ctx ends: the engine goes on counting a request as deferred
// whose client went while it was.
func ask(ctx context.Context, addr string) {
	for ctx.Err() == nil {
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+addr+"/v1/completions", strings.NewReader(`{"prompt":"Go on.","max_tokens":200}`))
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// TestARealEnginesSignals: what llama-server says of itself under load is read as it is, and why there is nothing is said.
func TestARealEnginesSignals(t *testing.T) {
	model := filepath.Join(t.TempDir(), "forever.gguf")
	if _, err := output("/", have.mkhello, "-o", model, "-mode", "forever"); err != nil {
		t.Fatal(err)
	}
	told, stop := engineAt(t, model, "--metrics")
	untold, _ := engineAt(t, model)

	c := signals.New(signals.Config{Interval: 200 * time.Millisecond}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	var done sync.WaitGroup
	done.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		done.Wait()
	})
	metric := func(name string) autoscaler.Metric {
		return autoscaler.Metric{Source: autoscaler.SourceEngine, Name: name}
	}
	running, waiting, tokens, raw := metric(signals.Running), metric(signals.Waiting), metric(signals.TokensPerSecond), metric("llamacpp_requests_deferred")
	wanted := []autoscaler.Metric{running, waiting, tokens, raw, metric("llamacpp:requests_running")}
	c.Set([]signals.Service{
		{ID: "told", Wanted: wanted, Routes: []signals.Route{{ID: "ses-1", URL: "http://" + told + "/metrics", Ready: true}}},
		{ID: "untold", Wanted: wanted, Routes: []signals.Route{{ID: "ses-2", URL: "http://" + untold + "/metrics", Ready: true}}},
	})
	says := func(service string, want map[autoscaler.Metric]float64) error {
		for m, v := range want {
			last, ok := c.Of(service).Series(m).Last()
			if !ok || last.Total != v || last.Of != 1 || time.Since(last.At) > 3*time.Second {
				return fmt.Errorf("%s is %+v, %t, not %v", m, last, ok, v)
			}
		}
		return nil
	}

	load, over := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 5 { // two are computed, three wait
		clients.Go(func() { ask(load, told) })
	}
	if err := eventually(soon, func() error {
		if err := says("told", map[autoscaler.Metric]float64{running: 2, waiting: 3, raw: 3}); err != nil {
			return err
		}
		if last, ok := c.Of("told").Series(tokens).Last(); !ok || last.Total <= 0 {
			return fmt.Errorf("tokens a second are %+v, %t", last, ok)
		}
		return nil
	}); err != nil {
		t.Errorf("%v; %+v", err, c.Status("told"))
	}
	over()
	clients.Wait()
	if err := eventually(soon, func() error {
		return says("told", map[autoscaler.Metric]float64{running: 0, waiting: 0, raw: 0})
	}); err != nil {
		t.Errorf("after the load: %v", err)
	}

	for service, want := range map[string]string{
		"told":   "route ses-1: it has no such metric; it has llamacpp:requests_",
		"untold": "route ses-2: it answered 501: ",
	} {
		if st := c.Status(service); st[4].Value != nil || !strings.HasPrefix(st[4].Missing, want) {
			t.Errorf("%s: %+v", service, st[4])
		}
	}
	stop()
	if err := eventually(soon, func() error {
		if st := c.Status("told"); st[0].Missing != "route ses-1: it refuses connections" {
			return errors.New(st[0].Missing)
		}
		return nil
	}); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
