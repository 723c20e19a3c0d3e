package trace

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/router/record"
)

var quiet = slog.New(slog.DiscardHandler)

func window(t *testing.T, r *Recorder, id string, since time.Time) []Request {
	t.Helper()
	out, err := r.Window(t.Context(), id, since)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatCameIsKept(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := NewRecorder(dir, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		r.Add("svc-1", start.Add(2*time.Millisecond), 100, 10)
		r.Add("svc-1", start.Add(time.Millisecond), 1<<40, -3) // ended later, came earlier
		r.Add("svc-2", start, 7, 7)
		r.Add("../../etc", start, 7, 7)
		time.Sleep(1100 * time.Millisecond)
		synctest.Wait()
		at := start.UnixMilli()
		want := []Request{{at + 1, 1<<32 - 1, 0}, {at + 2, 100, 10}}
		if got := window(t, r, "svc-1", start); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if got := window(t, r, "svc-1", start.Add(2*time.Millisecond)); len(got) != 1 {
			t.Errorf("since a moment later: %v", got)
		}
		r.Add("svc-1", time.Now(), 1, 1)
		cancel()
		run.Wait()
		// Another one goes on where this one was, with what it wrote last.
		again := NewRecorder(dir, quiet)
		if got := window(t, again, "svc-1", start); len(got) != 3 {
			t.Errorf("after a restart: %v", got)
		}
		if got := window(t, again, "svc-3", start); len(got) != 0 {
			t.Errorf("of a service that nothing came to: %v", got)
		}
		if _, err := again.Window(t.Context(), "../svc-1", start); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("of no service: %v", err)
		}
	})
	if entries, _ := os.ReadDir(dir); len(entries) != 2 {
		t.Errorf("directories: %v", entries)
	}
}

func TestWhatIsOldGoes(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := NewRecorder(dir, quiet)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { r.Run(ctx) })
		r.Add("svc-old", start, 1, 1)
		for range 60 {
			r.Add("svc-1", time.Now(), 1, 1)
			time.Sleep(time.Hour)
		}
		synctest.Wait()
		got := window(t, r, "svc-1", start)
		if n := len(got); n < 48 || n > 50 {
			t.Errorf("%d requests, one an hour, are kept for 48 hours", n)
		}
		if _, err := os.Stat(filepath.Join(dir, "svc-old")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("what nothing came to for 48 hours is there: %v", err)
		}
		r.mu.Lock()
		if len(r.series) != 0 {
			t.Errorf("%d files are open, though nothing comes", len(r.series))
		}
		r.mu.Unlock()
		cancel()
		run.Wait()
	})
}

func TestTooManyGo(t *testing.T) {
	dir := t.TempDir()
	r := NewRecorder(dir, quiet)
	now := time.Now()
	if err := os.Mkdir(filepath.Join(dir, "svc-1"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range int64(40) {
		name := filepath.Join(dir, "svc-1", segmentName(now.UnixMilli()-1000+i))
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(name, headSize+segmentMost*recordSize); err != nil {
			t.Fatal(err)
		}
	}
	r.Add("svc-1", now, 1, 1)
	r.flush(now)
	all, err := r.segments("svc-1")
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, s := range all {
		total += s.records
	}
	if last := all[len(all)-1]; last.base != now.UnixMilli() || last.records != 1 {
		t.Errorf("the newest is %+v", last)
	}
	if total > Most || total < Most-2*segmentMost {
		t.Errorf("%d requests are kept in %d segments", total, len(all))
	}
}

func TestATornSegmentCostsItsTailAlone(t *testing.T) {
	base := int64(1_700_000_000_000)
	whole := appendHead(nil, base)
	for i := range 5 {
		whole = appendRecord(whole, base, Request{base + int64(i) - 2, uint32(i), uint32(i)})
	}
	read := func(b []byte) (n, bad int) {
		bad, err := readSegment(bytes.NewReader(b), func(Request) { n++ })
		if err != nil {
			t.Fatal(err)
		}
		return n, bad
	}
	for cut := range whole {
		n, _ := read(whole[:cut])
		if want := max(cut-headSize, 0) / recordSize; n != want {
			t.Fatalf("cut at %d: %d records, want %d", cut, n, want)
		}
	}
	for i := headSize; i < len(whole); i++ {
		rotten := bytes.Clone(whole)
		rotten[i] ^= 0x10
		if n, bad := read(rotten); n != 4 || bad != 1 {
			t.Fatalf("byte %d is wrong: %d records, %d bad", i, n, bad)
		}
	}
	if n, bad := read(append(bytes.Clone(whole), make([]byte, 64)...)); n != 5 || bad != 4 {
		t.Errorf("a tail of zeros: %d records, %d bad", n, bad)
	}
	if _, err := readSegment(strings.NewReader("GIF89a, and so on and on"), func(Request) {}); !errors.Is(err, errForeign) {
		t.Errorf("a file of somebody else's: %v", err)
	}
}

func TestWhatCannotBeWrittenIsNotWaitedFor(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	r := NewRecorder(dir, slog.New(slog.NewTextHandler(&log, nil)))
	now := time.Now()
	for range bufferMost + 10 {
		r.Add("svc-1", now, 1, 1)
	}
	r.flush(now)
	r.Add("svc-1", now, 1, 1)
	r.flush(now.Add(time.Second))
	if text := log.String(); strings.Count(text, "level=WARN") != 1 || !strings.Contains(text, "10 requests came faster") {
		t.Errorf("log: %s", text)
	}
	if len(r.waiting) != 0 || cap(r.waiting) != bufferMost {
		t.Errorf("%d wait, of %d", len(r.waiting), cap(r.waiting))
	}
}

func TestWhichRequestsAreDemand(t *testing.T) {
	for _, c := range []struct {
		name string
		of   record.Record
		want []Request
	}{
		{"answered", record.Record{ServiceID: "svc-1", Status: 200, Usage: record.Usage{Prompt: 5, Completion: 6}}, []Request{{Prompt: 5, Output: 6}}},
		{"the client went", record.Record{ServiceID: "svc-1", Status: 499, Usage: record.Usage{Prompt: 5, Completion: 1}}, []Request{{Prompt: 5, Output: 1}}},
		{"no route took it", record.Record{ServiceID: "svc-1", Status: 503, Code: "routes_busy"}, []Request{{}}},
		{"from an identical request", record.Record{ServiceID: "svc-1", Status: 200, Repeated: true, Usage: record.Usage{Prompt: 5}}, nil},
		{"no model's", record.Record{ServiceID: "svc-1", Status: 200}, nil},
		{"over a limit", record.Record{ServiceID: "svc-1", Status: 429, Code: "rate_limit_exceeded"}, nil},
		{"no service's", record.Record{Status: 404, Usage: record.Usage{Prompt: 5}}, nil},
	} {
		r := NewRecorder(t.TempDir(), quiet)
		c.of.Start = time.Now()
		r.Write(&c.of)
		r.flush(time.Now())
		got := window(t, r, "svc-1", time.UnixMilli(0))
		for i := range got {
			got[i].At -= c.of.Start.UnixMilli()
		}
		if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAddMakesNoGarbage(t *testing.T) {
	r := NewRecorder(t.TempDir(), quiet)
	now := time.Now()
	r.Add("svc-1", now, 1, 1)
	if n := testing.AllocsPerRun(1000, func() { r.Add("svc-1", now, 1, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestManyAtOnce is for the race detector: requests of several goroutines, one that writes, one that reads.
func TestManyAtOnce(t *testing.T) {
	r := NewRecorder(t.TempDir(), quiet)
	ctx, cancel := context.WithCancel(t.Context())
	var run, add sync.WaitGroup
	run.Go(func() { r.Run(ctx) })
	for range 4 {
		add.Go(func() {
			for i := range 2000 {
				r.Add("svc-1", time.Now(), int64(i), 1)
			}
		})
	}
	for range 20 {
		window(t, r, "svc-1", time.Time{})
	}
	add.Wait()
	cancel()
	run.Wait()
	if n := len(window(t, r, "svc-1", time.Time{})); n != 8000 {
		t.Errorf("%d of 8000 requests", n)
	}
}

func FuzzSegment(f *testing.F) {
	whole := appendHead(nil, 1_700_000_000_000)
	for i := range 3 {
		whole = appendRecord(whole, 1_700_000_000_000, Request{1_700_000_000_000 + int64(i), 1, 2})
	}
	f.Add(whole)
	f.Add(whole[:40])
	f.Add([]byte(magic))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		bad, err := readSegment(bytes.NewReader(b), func(Request) { n++ })
		if err != nil && !errors.Is(err, errForeign) {
			t.Fatal(err)
		}
		if (n+bad)*recordSize > len(b)+recordSize {
			t.Fatalf("%d records and %d bad ones of %d bytes", n, bad, len(b))
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	r := NewRecorder(b.TempDir(), quiet)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var run sync.WaitGroup
	run.Go(func() { r.Run(ctx) })
	now := time.Now()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Add("svc-1", now, 100, 100)
		}
	})
	cancel()
	run.Wait()
}
