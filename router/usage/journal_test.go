package usage_test

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/router/usage"
)

// journals are the paths of those in dir.
func journals(t testing.TB, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*"+usage.JournalSuffix))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// killed brings to the store what is in the journals of dir as a process after one that was killed does. They stay.
func killed(t testing.TB, dir string, store *memory) {
	t.Helper()
	for _, path := range journals(t, dir) {
		batches, err := usage.Recover(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range batches {
			if err := store.AddUsage(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// kept makes a meter with a journal.
func kept(t testing.TB, s usage.Store) (m *usage.Meter, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "usage")
	m = newMeter(s)
	if err := m.Keep(dir); err != nil {
		t.Fatal(err)
	}
	return m, dir
}

// Whenever the process is killed, and whatever the store did until then, each request is counted once.
func TestAKilledMeterLosesNothing(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		store := &memory{}
		if seed%4 > 0 {
			store.fail = func() (before, after error) {
				switch random.IntN(4) {
				case 0:
					return errors.New("away"), nil
				case 1:
					return nil, errors.New("the answer was lost")
				}
				return nil, nil
			}
		}
		m, dir := kept(t, store)
		want := map[rowKey]usage.Sums{}
		for range random.IntN(30) {
			for range random.IntN(20) {
				k := usage.Key{Token: fmt.Sprint("tok-", random.IntN(3)), Project: "p", ServiceID: "svc", Service: "chat", Model: "m"}
				s := usage.Sample{At: start.Add(time.Duration(random.IntN(3)) * time.Hour), Status: 200, Prompt: random.Int64N(100), Completion: 3, First: time.Millisecond, Took: time.Second}
				m.Add(&k, &s)
				at := rowKey{s.At.Truncate(time.Hour).Unix(), k, usage.Class2xx}
				sums := want[at]
				sums.Add(&usage.Sums{Requests: 1, Prompt: s.Prompt, Completion: 3, Streams: 1, First: 1000, Took: 1e6})
				want[at] = sums
			}
			if random.IntN(3) > 0 {
				_ = m.Flush(t.Context())
			}
		}
		store.fail = nil
		killed(t, dir, store)
		killed(t, dir, store) // who brings it may be killed, too
		if store.rows == nil {
			store.rows = map[rowKey]usage.Sums{}
		}
		if diff := cmp.Diff(want, store.rows); diff != "" {
			t.Fatalf("seed %d:\n%s", seed, diff)
		}
	}
}

// While a store is away for long, what waits for it is beside the journal, whose areas have room for what comes.
func TestAJournalOfAStoreThatIsAway(t *testing.T) {
	away := errors.New("away")
	store := &memory{fail: func() (before, after error) { return away, nil }}
	m, dir := kept(t, store)
	count := 0
	for range 20 {
		for i := range 300 {
			k := chat
			k.Token = fmt.Sprint("tok-", i)
			m.Add(&k, &usage.Sample{At: start, Status: 200, Prompt: 1})
			count++
		}
		if err := m.Flush(t.Context()); !errors.Is(err, away) {
			t.Fatal(err)
		}
	}
	m.Add(&chat, &usage.Sample{At: start, Status: 200, Prompt: 1})
	store.fail = nil
	killed(t, dir, store)
	if got := store.total().Requests; got != int64(count)+1 {
		t.Errorf("of %d requests %d are there", count+1, got)
	}
	// It was not killed after all: nothing is counted twice.
	if err := errors.Join(m.Flush(t.Context()), m.Flush(t.Context()), m.Close()); err != nil {
		t.Fatal(err)
	}
	if got := store.total().Requests; got != int64(count)+1 {
		t.Errorf("of %d requests %d are there after the end", count+1, got)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
}

// What has no room in a journal is counted all the same, and brought to the store at once.
func TestAJournalThatIsFull(t *testing.T) {
	store := &memory{}
	m := usage.NewMeter(store, time.Now, slog.New(slog.DiscardHandler))
	dir := t.TempDir()
	if err := m.Keep(dir); err != nil {
		t.Fatal(err)
	}
	const many = 20_000
	for i := range many {
		k := chat
		k.Token, k.Model = fmt.Sprint("tok-", i), strings.Repeat("ü", i%300)+"\xff"
		m.Add(&k, &usage.Sample{At: start, Status: 200, Prompt: 1})
	}
	if err := errors.Join(m.Flush(t.Context()), m.Close()); err != nil {
		t.Fatal(err)
	}
	if got := store.total().Requests; got != many {
		t.Errorf("of %d requests %d are there", many, got)
	}
	if paths := journals(t, dir); len(paths) > 0 {
		t.Errorf("left are %v", paths)
	}
}

// Requests are counted while others are brought to the store.
func TestAJournalOfManyAtOnce(t *testing.T) {
	store := &memory{}
	m, dir := kept(t, store)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5000 {
				m.Add(&chat, &usage.Sample{At: start, Status: 200, Prompt: 1})
			}
		})
	}
	for range 50 {
		if err := m.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	}
	all.Wait()
	killed(t, dir, store)
	if got := store.total().Requests; got != 20_000 {
		t.Errorf("of 20000 requests %d are there", got)
	}
}

// A file that is none, or that was damaged, is an error and nothing worse.
func FuzzRecover(f *testing.F) {
	m, dir := kept(f, &memory{fail: func() (before, after error) { return errors.New("away"), nil }})
	m.Add(&chat, &usage.Sample{At: start, Status: 200, Prompt: 1})
	_ = m.Flush(f.Context())
	m.Add(&chat, &usage.Sample{At: start, Status: 200, Prompt: 1})
	text, err := os.ReadFile(journals(f, dir)[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(0, uint64(0), 0)
	f.Add(4096+8, uint64(1<<60), 0)
	f.Add(4096+16, uint64(3), 0)
	f.Add(4096+16+8, uint64(1<<63), 0)
	f.Add(0, uint64(0), 5000)
	f.Fuzz(func(t *testing.T, at int, value uint64, length int) {
		broken := append([]byte(nil), text...)
		for i := range 8 {
			if at >= 0 && at+i < len(broken) {
				broken[at+i] = byte(value >> (8 * i))
			}
		}
		if length > 0 && length < len(broken) {
			broken = broken[:length]
		}
		path := filepath.Join(t.TempDir(), "x"+usage.JournalSuffix)
		if err := os.WriteFile(path, broken, 0o600); err != nil {
			t.Fatal(err)
		}
		batches, err := usage.Recover(path)
		if err == nil {
			for _, b := range batches {
				if len(b.Rows) == 0 {
					t.Errorf("a batch of nothing: %+v", b)
				}
			}
		}
	})
}

func BenchmarkAddWithJournal(b *testing.B) {
	m, _ := kept(b, &memory{})
	k := chat
	s := usage.Sample{At: time.Now(), Status: 200, Prompt: 812, Completion: 90, Took: time.Second, First: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Add(&k, &s)
	}
}

func BenchmarkAddParallelWithJournal(b *testing.B) {
	m, _ := kept(b, &memory{})
	s := usage.Sample{At: time.Now(), Status: 200, Prompt: 812, Completion: 90, Took: time.Second, First: time.Millisecond}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		k := chat
		for pb.Next() {
			m.Add(&k, &s)
		}
	})
}

// A disk that is full keeps nothing from a store that has room.
func TestAJournalOfADiskThatIsFull(t *testing.T) {
	away := errors.New("away")
	store := &memory{fail: func() (before, after error) { return away, nil }}
	m, dir := kept(t, store)
	add := func() { m.Add(&chat, &usage.Sample{At: start, Status: 200, Prompt: 1}) }
	add()
	if err := m.Flush(t.Context()); !errors.Is(err, away) {
		t.Fatal(err)
	}
	add()
	if err := os.Mkdir(journals(t, dir)[0]+".held.new", 0o700); err != nil { // nothing can be held from now on
		t.Fatal(err)
	}
	if err := m.Flush(t.Context()); !errors.Is(err, away) {
		t.Fatal(err)
	}
	add()
	store.fail = nil
	if err := m.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if got := store.total().Requests; got != 3 {
		t.Errorf("of 3 requests %d are there", got)
	}
	add()
	killed(t, dir, store)
	if got := store.total().Requests; got != 4 {
		t.Errorf("of 4 requests %d are there after a kill", got)
	}
	if err := errors.Join(m.Flush(t.Context()), m.Close()); err != nil {
		t.Fatal(err)
	}
	if got := store.total().Requests; got != 4 {
		t.Errorf("of 4 requests %d are there after the end", got)
	}
}
