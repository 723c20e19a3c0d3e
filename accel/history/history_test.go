package history

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var gpu = []accel.Device{{ID: "GPU-a"}}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// say records one sample.
func say(t testing.TB, s *Store, at time.Time, utilization float64) {
	t.Helper()
	err := s.Record("box", gpu, []accel.Sample{{Device: "GPU-a", At: at, Utilization: utilization, MemoryUsed: 1 << 30, Temperature: 50, Power: -1}})
	if err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, s *Store, from, to time.Time, step time.Duration) []Point {
	t.Helper()
	p, _, err := s.Read("box", "GPU-a", from, to, step)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func point(at time.Time, samples int, mean, most float64) Point {
	return Point{
		At: at, Samples: samples, Utilization: Value{mean, most}, Memory: Value{1 << 30, 1 << 30},
		Power: Value{-1, -1}, Temperature: Value{50, 50},
	}
}

func TestADayIsKeptAndReadBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for i := range 2 * 5760 { // two days, with the jitter that tickers have
		at := noon.Add(time.Duration(i)*Every + time.Duration(i%7-3)*400*time.Millisecond)
		say(t, s, at, 0.5)
	}
	end := noon.Add(48 * time.Hour)
	all := read(t, open(t, dir), noon, end, Every) // after a restart
	if len(all) < 5758 || len(all) > 5761 {
		t.Errorf("%d points of a day", len(all))
	}
	for i, p := range all {
		if i > 0 && p.At.Sub(all[i-1].At) > 2*Every {
			t.Fatalf("a gap from %s to %s", all[i-1].At, p.At)
		}
		if p.At.Before(end.Add(-Span)) || p.At.After(end) {
			t.Fatalf("%s is not of the day", p.At)
		}
	}
	if got := read(t, s, end.Add(-time.Hour), end, 5*time.Minute); len(got) < 12 || len(got) > 13 || got[3].Samples < 18 || got[3].Samples > 22 {
		t.Errorf("%d points of an hour", len(got))
	}
	info, err := os.Stat(s.file("box", "GPU-a"))
	if err != nil || info.Size() != int64(fileSize) || fileSize > 370<<10 {
		t.Errorf("%v, %v", info.Size(), err)
	}
}

func TestPointsSumUp(t *testing.T) {
	s := open(t, t.TempDir())
	for i, u := range []float64{0.1, 0.2, 0.9, 0.4, -1, 0.6} {
		say(t, s, noon.Add(time.Duration(i)*Every), u)
	}
	say(t, s, noon.Add(5*time.Minute), 1) // after a gap
	got := read(t, s, noon, noon.Add(time.Hour), time.Minute)
	want := []Point{point(noon, 4, 0.4, 0.9), point(noon.Add(time.Minute), 2, 0.6, 0.6), point(noon.Add(5*time.Minute), 1, 1, 1)}
	if diff := cmp.Diff(want, got, about()); diff != "" {
		t.Error(diff)
	}
	got, step, err := s.Read("box", "GPU-a", noon.Add(Every), noon.Add(2*Every), time.Second)
	if diff := cmp.Diff([]Point{point(noon.Add(Every), 1, 0.2, 0.2), point(noon.Add(2*Every), 1, 0.9, 0.9)}, got, about()); diff != "" || step != Every || err != nil {
		t.Error(diff, step, err)
	}
	if got := read(t, s, noon.Add(time.Hour), noon, time.Minute); len(got) != 0 {
		t.Errorf("from after to: %v", got)
	}
}

// about compares what was kept with fewer digits, and times wherever they are.
func about() cmp.Options {
	return cmp.Options{
		cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-6*max(1, math.Abs(a)) }),
		cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
	}
}

func TestAClockThatIsSetBack(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 240 { // an hour, by a clock that is an hour ahead
		say(t, s, noon.Add(time.Hour+time.Duration(i)*Every), 0.9)
	}
	for i := range 120 { // it is set right
		say(t, s, noon.Add(30*time.Minute+time.Duration(i)*Every), 0.1)
	}
	now := noon.Add(time.Hour)
	got := read(t, s, noon, now, time.Hour)
	if len(got) != 2 || got[0].Utilization.Max > 0.11 || got[1].Samples != 1 {
		t.Errorf("what was not yet is shown: %+v", got)
	}
	for i := range 480 { // the hours that were written too early are lived through
		say(t, s, now.Add(time.Duration(i)*Every), 0.1)
	}
	for _, p := range read(t, s, noon, now.Add(2*time.Hour), Every) {
		if p.Utilization.Max > 0.11 {
			t.Fatalf("%+v", p)
		}
	}
}

func TestATornRecordIsDropped(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range 4 {
		say(t, s, noon.Add(time.Duration(i)*Every), 0.5)
	}
	f, err := os.OpenFile(s.file("box", "GPU-a"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	torn := record{at: noon.Add(Every + Span), memory: 7}.encode()[:19]
	if _, err := f.WriteAt(torn, int64(headSize+place(noon.Add(Every))*recordSize)); err != nil {
		t.Fatal(err)
	}
	if got := read(t, s, noon, noon.Add(time.Hour), Every); len(got) != 3 {
		t.Errorf("%+v", got)
	}
}

func TestAFileThatIsNotWholeIsMadeAnew(t *testing.T) {
	for name, content := range map[string][]byte{
		"empty": {}, "cut": head("box", "GPU-a")[:100], "another's": append(head("box", "GPU-b"), make([]byte, fileSize-headSize)...), "rubbish": bytes.Repeat([]byte("x"), 9000),
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			if err := os.WriteFile(s.file("box", "GPU-a"), content, 0o600); err != nil {
				t.Fatal(err)
			}
			if got := read(t, s, noon, noon.Add(time.Hour), Every); len(got) != 0 {
				t.Errorf("%+v", got)
			}
			say(t, s, noon, 0.5)
			if got := read(t, s, noon, noon.Add(time.Hour), Every); len(got) != 1 {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestWhatIsNotKept(t *testing.T) {
	s := open(t, t.TempDir())
	err := s.Record("box", gpu, []accel.Sample{
		{Device: "GPU-z", At: noon, Utilization: 1},
		{Device: "GPU-a", At: noon, Utilization: -1, MemoryUsed: -1, Temperature: -1, Power: -1, Fault: "lost"},
	})
	if entries, _ := os.ReadDir(s.dir); err != nil || len(entries) != 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if got, _, err := s.Read("box", "GPU-a", noon, noon, 0); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	// The same identity on another node is another device.
	say(t, s, noon, 0.5)
	if got, _, err := s.Read("other", "GPU-a", noon, noon, 0); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDevicesThatAreGoneAreForgotten(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	say(t, s, noon, 0.5)
	other := filepath.Join(dir, "notes.txt")
	unfinished := filepath.Join(dir, "x.ring.new")
	for _, name := range []string{other, unfinished} {
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-Forget - time.Hour)
	age := func(at time.Time) {
		for _, name := range []string{s.file("box", "GPU-a"), other} {
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	age(long.Add(2 * time.Hour))
	if s = open(t, dir); len(s.names) != 1 {
		t.Errorf("%v", s.names)
	}
	age(long)
	if s = open(t, dir); len(s.names) != 0 {
		t.Errorf("%v", s.names)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "notes.txt" {
		t.Errorf("%v, %v", entries, err)
	}
	say(t, s, noon, 0.5) // and it may come back
}

func TestADirectoryThatIsFull(t *testing.T) {
	s := open(t, t.TempDir())
	for i := range mostOf {
		s.names[string(rune(i))] = true
	}
	err := s.Record("box", gpu, []accel.Sample{{Device: "GPU-a", At: noon, Utilization: 1}})
	if !errors.Is(err, ErrFull) {
		t.Errorf("%v", err)
	}
}

func TestADirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(filepath.Join(file, "below")); err == nil {
		t.Error("it opened")
	}
}

func TestReadersBesideTheWriter(t *testing.T) {
	s := open(t, t.TempDir())
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				for _, p := range read(t, s, noon, noon.Add(Span), Every) {
					if p.Utilization.Mean < 0.49 || p.Utilization.Mean > 0.51 {
						t.Errorf("%+v", p)
						return
					}
				}
			}
		})
	}
	for i := range 300 {
		say(t, s, noon.Add(time.Duration(i%40)*Every), 0.5)
	}
	close(done)
	readers.Wait()
}

func FuzzRecords(f *testing.F) {
	good := make([]byte, fileSize)
	copy(good, head("box", "GPU-a"))
	for i := range 10 {
		at := noon.Add(time.Duration(i) * Every)
		copy(good[headSize+place(at)*recordSize:], record{at: at, memory: 1, utilization: 0.5}.encode())
	}
	f.Add(good[headSize+place(noon)*recordSize:][:20*recordSize], int64(0), int64(60))
	f.Add([]byte{}, int64(-1), int64(0))
	f.Add(bytes.Repeat([]byte{0xff}, 64), int64(1<<62), int64(1))
	f.Fuzz(func(t *testing.T, body []byte, offset, step int64) {
		file := append(head("box", "GPU-a"), body...)
		for i := headSize; i+recordSize <= len(file); i += recordSize { // let some through the check sum
			r, at := file[i:i+recordSize], (i-headSize)/recordSize
			if r[0]%2 == 0 {
				millis := int64(binary.LittleEndian.Uint64(r)) / (width.Milliseconds() * int64(places)) * width.Milliseconds() * int64(places)
				copy(r, record{
					at: time.UnixMilli(millis + int64(at)*width.Milliseconds()), memory: int64(binary.LittleEndian.Uint64(r[8:])),
					utilization: float64(math.Float32frombits(binary.LittleEndian.Uint32(r[16:]))), power: float64(r[20]), temperature: -1,
				}.encode())
			}
		}
		from := noon.Add(time.Duration(offset))
		all := records(file, from, from.Add(Span))
		for _, r := range all {
			if r.at.Before(from) || r.at.After(from.Add(Span)) {
				t.Errorf("%s is not asked for", r.at)
			}
		}
		n, samples := len(all), 0
		last := time.Time{}
		for i, p := range points(all, max(time.Duration(step), Every)) {
			samples += p.Samples
			if i > 0 && p.At.Before(last) || p.Samples < 1 {
				t.Errorf("%+v after %s", p, last)
			}
			for _, v := range []Value{p.Utilization, p.Memory, p.Power, p.Temperature} {
				if math.IsNaN(v.Mean) || v.Mean > v.Max*(1+1e-9)+1e-9 || v.Mean < -1 {
					t.Errorf("%+v", v)
				}
			}
			last = p.At
		}
		if samples != n {
			t.Errorf("%d of %d records", samples, n)
		}
	})
}

func BenchmarkRecordEightDevices(b *testing.B) {
	s := open(b, b.TempDir())
	var devices []accel.Device
	var samples []accel.Sample
	for _, id := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		devices = append(devices, accel.Device{ID: id})
		samples = append(samples, accel.Sample{Device: id, Utilization: 0.5})
	}
	at := noon
	for b.Loop() {
		at = at.Add(Every)
		for i := range samples {
			samples[i].At = at
		}
		if err := s.Record("box", devices, samples); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadADay(b *testing.B) {
	s := open(b, b.TempDir())
	for i := range 5760 {
		say(b, s, noon.Add(time.Duration(i)*Every), 0.5)
	}
	for b.Loop() {
		if got := read(b, s, noon, noon.Add(Span), time.Minute); len(got) < 1440 {
			b.Fatal(len(got))
		}
	}
}
