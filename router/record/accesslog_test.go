package record_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/router/record"
)

// opened is an access log that runs; end ends it, after which all is written.
func opened(t *testing.T, c record.LogConfig, log *slog.Logger) (a *record.AccessLog, end func()) {
	t.Helper()
	a, err := record.OpenAccessLog(c, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { a.Run(ctx) })
	end = sync.OnceFunc(func() { cancel(); loop.Wait() })
	t.Cleanup(end)
	return a, end
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

func logTo(t *testing.T) record.LogConfig {
	c := record.DefaultLogConfig()
	c.Path = filepath.Join(t.TempDir(), "access.log")
	return c
}

// ids are those of all lines in files, in order; every line must be JSON.
func ids(t *testing.T, files ...string) (out []string) {
	t.Helper()
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var got struct {
				ID string `json:"id"`
			}
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			out = append(out, got.ID)
		}
	}
	return out
}

// TestEveryLine: what many write at the same time is all there, once.
func TestEveryLine(t *testing.T) {
	c := logTo(t)
	a, end := opened(t, c, silent())
	var all sync.WaitGroup
	for w := range 8 {
		all.Go(func() {
			for i := range 250 {
				a.Write(&record.Record{ID: fmt.Sprintf("%d-%d", w, i), Status: 200})
			}
		})
	}
	all.Wait()
	end()
	seen := map[string]int{}
	for _, id := range ids(t, c.Path) {
		seen[id]++
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s is told %d times", id, n)
		}
	}
	if len(seen) != 2000 {
		t.Errorf("%d requests are told", len(seen))
	}
	if info, err := os.Stat(c.Path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
}

func TestSampling(t *testing.T) {
	c := logTo(t)
	c.Sample, c.Slow = 0.25, 10*time.Second
	a, end := opened(t, c, silent())
	for i := range 4000 {
		a.Write(&record.Record{ID: fmt.Sprintf("ok-%d", i), Status: 200, Took: time.Second})
	}
	a.Write(&record.Record{ID: "failed", Status: 503})
	a.Write(&record.Record{ID: "cut", Status: 200, Fault: "cut"})
	a.Write(&record.Record{ID: "slow", Status: 200, Took: 10 * time.Second})
	end()
	got := ids(t, c.Path)
	text := strings.Join(got, " ") + " "
	for _, id := range []string{"failed", "cut", "slow"} {
		if !strings.Contains(text, id+" ") {
			t.Errorf("%s is left out", id)
		}
	}
	if len(got) < 800 || len(got) > 1200 {
		t.Errorf("%d of 4000", len(got))
	}
	lines, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(lines, []byte(`"sample":0.25}`)); n != len(got)-3 {
		t.Errorf("%d of %d lines say what they stand for", n, len(got)-3)
	}

	none := logTo(t)
	none.Sample, none.Slow = 0, 0
	a, end = opened(t, none, silent())
	a.Write(&record.Record{ID: "ok", Status: 404, Took: time.Hour})
	a.Write(&record.Record{ID: "failed", Status: 500})
	end()
	if got := ids(t, none.Path); len(got) != 1 || got[0] != "failed" {
		t.Error(got)
	}
}

// TestRotated: full files are kept, as many as were asked for, and no line is cut.
func TestRotated(t *testing.T) {
	c := logTo(t)
	c.MaxSize, c.Keep = 1000, 2
	for round := range 5 { // each Run writes all at once, at its end
		a, end := opened(t, c, silent())
		for i := range 20 {
			a.Write(&record.Record{ID: fmt.Sprintf("%d-%d", round, i), Status: 200})
		}
		end()
	}
	files, err := filepath.Glob(c.Path + "*")
	if err != nil || len(files) != 3 {
		t.Fatalf("%v %v", files, err)
	}
	if got := ids(t, c.Path+".2", c.Path+".1", c.Path); len(got) != 40 || got[0][0] != '3' || got[19][0] != '3' || got[20][0] != '4' || got[39][0] != '4' {
		t.Error(got)
	}
	c = logTo(t)
	c.MaxSize, c.Keep = 100, 0
	a, end := opened(t, c, silent())
	a.Write(&record.Record{ID: strings.Repeat("x", 200)})
	end()
	if info, err := os.Stat(c.Path); err != nil || info.Size() != 0 {
		t.Errorf("%v %v", info, err)
	}
}

// TestMovedAway: a file that somebody moves is left to him.
func TestMovedAway(t *testing.T) {
	c := logTo(t)
	a, end := opened(t, c, silent())
	a.Write(&record.Record{ID: "before"})
	waitFor(t, func() bool { text, err := os.ReadFile(c.Path); return err == nil && len(text) > 0 })
	if err := os.Rename(c.Path, c.Path+".mine"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, func() bool { _, err := os.Stat(c.Path); return err == nil })
	a.Write(&record.Record{ID: "after"})
	end()
	if got := ids(t, c.Path+".mine", c.Path); len(got) != 2 || got[0] != "before" || got[1] != "after" {
		t.Error(got)
	}
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline, look := time.NewTimer(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer deadline.Stop()
	defer look.Stop()
	for !ok() {
		select {
		case <-look.C:
		case <-deadline.C:
			t.Fatal("it does not come")
		}
	}
}

// TestHalfALine: what a crash has cut off does not spoil the next line.
func TestHalfALine(t *testing.T) {
	c := logTo(t)
	if err := os.WriteFile(c.Path, []byte("{\"id\":\"whole\"}\n{\"id\":\"ha"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, end := opened(t, c, silent())
	a.Write(&record.Record{ID: "next"})
	end()
	text, err := os.ReadFile(c.Path)
	if err != nil || !strings.Contains(string(text), "{\"id\":\"ha\n{\"time\"") {
		t.Errorf("%q %v", text, err)
	}
}

// TestPipeThatNobodyReads: requests go on, memory is bounded, the end does not hang, and what is lost is counted.
func TestPipeThatNobodyReads(t *testing.T) {
	c := logTo(t)
	if err := syscall.Mkfifo(c.Path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := record.OpenAccessLog(c, silent())
	if h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); !ok || !strings.Contains(h.Hint(), "nobody reads") {
		t.Errorf("%v", err)
	}
	reader, err := os.OpenFile(c.Path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var told bytes.Buffer
	a, end := opened(t, c, slog.New(slog.NewTextHandler(&told, nil)))
	const lines = 100_000
	did := &record.Record{ID: strings.Repeat("x", 200), Status: 200}
	for range lines {
		a.Write(did)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(a)
	end()
	counts := map[string]float64{}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		counts[f.GetName()] = f.GetMetric()[0].GetCounter().GetValue()
	}
	dropped, written := counts["palisade_access_log_dropped_total"], counts["palisade_access_log_lines_total"]
	if dropped == 0 || written+dropped != lines {
		t.Errorf("%v", counts)
	}
	text, _ := io.ReadAll(reader)
	// A pipe may take part of a line and then, in the rest of its last page, the newline that ends it: that line is lost.
	whole := 0
	for line := range bytes.Lines(text) {
		if json.Valid(line) {
			whole++
		}
	}
	if float64(whole) != written {
		t.Errorf("%d whole lines came, %v are told", whole, written)
	}
	if !strings.Contains(told.String(), "cannot be written") {
		t.Error(told.String())
	}
}

// TestPlacesThatCannotBe: the start says why, and what to do.
func TestPlacesThatCannotBe(t *testing.T) {
	dir := t.TempDir()
	for path, want := range map[string]string{
		filepath.Join(dir, "no", "access.log"): "make its directory first", dir: "name a file in that directory",
	} {
		c := record.DefaultLogConfig()
		c.Path = path
		_, err := record.OpenAccessLog(c, silent())
		if h, ok := errors.AsType[interface {
			error
			Hint() string
		}](err); !ok || h.Hint() != want {
			t.Errorf("%s: %v", path, err)
		}
	}
	var none *record.AccessLog
	none.Write(&record.Record{})
}

func BenchmarkAccessLog(b *testing.B) {
	c := record.DefaultLogConfig()
	c.Path = "/dev/null"
	a, err := record.OpenAccessLog(c, silent())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var loop sync.WaitGroup
	loop.Go(func() { a.Run(ctx) })
	defer func() { cancel(); loop.Wait() }()
	did := &record.Record{
		ID: "req-abcdefgh12345678", Start: time.Now(), Took: time.Second, First: time.Millisecond, Method: "POST", Path: "/v1/chat/completions", Kind: "chat",
		Client: "10.0.0.7:51234", ServiceID: "svc-0123456789ab", Service: "qwen", Project: "default", Model: "qwen3-32b", Route: "ses-abcdefghijkl",
		TokenID: "tok-abcdefghijkl", TokenName: "notebook", Status: 200, In: 1024, Out: 400, Usage: record.Usage{Prompt: 812, Completion: 230},
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			a.Write(did)
		}
	})
}
