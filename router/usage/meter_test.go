package usage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/router/usage"
)

var start = time.Date(2026, 3, 9, 23, 30, 0, 0, time.UTC)

// memory is a store in memory that fails when told to.
type memory struct {
	mu      sync.Mutex
	rows    map[rowKey]usage.Sums
	last    map[string]int64
	batches int
	largest int
	fail    func() (before, after error) // before: nothing was kept; after: it was, and nobody heard of it
}

type rowKey struct {
	hour  int64
	key   usage.Key
	class usage.Class
}

func (m *memory) AddUsage(_ context.Context, b usage.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var before, after error
	if m.fail != nil {
		before, after = m.fail()
	}
	if before != nil {
		return before
	}
	if m.rows == nil {
		m.rows, m.last = map[rowKey]usage.Sums{}, map[string]int64{}
	}
	if b.Number > m.last[b.Writer] {
		m.last[b.Writer] = b.Number
		m.batches++
		m.largest = max(m.largest, len(b.Rows))
		for _, r := range b.Rows {
			k := rowKey{r.Hour.Unix(), r.Key, r.Class}
			sums := m.rows[k]
			sums.Add(&r.Sums)
			m.rows[k] = sums
		}
	}
	return after
}

func (m *memory) Usage(_ context.Context, q usage.Query) ([]usage.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []usage.Row
	for k, sums := range m.rows {
		at := time.Unix(k.hour, 0).UTC()
		if !at.Before(q.From) && (q.To.IsZero() || at.Before(q.To)) {
			out = append(out, usage.Row{Hour: at, Key: k.key, Class: k.class, Sums: sums})
		}
	}
	return out, nil
}

func (m *memory) total() usage.Sums {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum usage.Sums
	for _, u := range m.rows {
		sum.Add(&u)
	}
	return sum
}

func newMeter(s usage.Store) *usage.Meter {
	return usage.NewMeter(s, func() time.Time { return start }, slog.New(slog.DiscardHandler))
}

var chat = usage.Key{Token: "tok-1", Project: "default", ServiceID: "svc-1", Service: "chat", Model: "chat"}

func TestRowsAreSumsByHourKeyAndClass(t *testing.T) {
	store := &memory{}
	m := newMeter(store)
	other := chat
	other.Model = "chat-lora"
	for _, add := range []struct {
		k usage.Key
		s usage.Sample
	}{
		{chat, usage.Sample{At: start, Status: 200, Prompt: 10, Completion: 5, Cached: 4, First: time.Millisecond, Took: time.Second}},
		{chat, usage.Sample{At: start.Add(time.Minute), Status: 200, Prompt: 1, Completion: 2, Cached: 7, Estimated: true, Took: time.Second}},
		{chat, usage.Sample{At: start.Add(time.Hour), Status: 200, Prompt: 1}},
		{chat, usage.Sample{At: start, Status: 200, Cut: true, Completion: 3}},
		{chat, usage.Sample{At: start, Status: 200, Cut: true, Aborted: true}},
		{other, usage.Sample{At: start, Status: 429}},
		{other, usage.Sample{At: start, Status: 0, Prompt: -5, Completion: 1 << 62, Took: -1}},
	} {
		m.Add(&add.k, &add.s)
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	hour := start.Truncate(time.Hour).Unix()
	want := map[rowKey]usage.Sums{
		{hour, chat, usage.Class2xx}:        {Requests: 2, Prompt: 11, Completion: 7, Cached: 5, Estimated: 2, Streams: 1, First: 1000, Took: 2e6},
		{hour + 3600, chat, usage.Class2xx}: {Requests: 1, Prompt: 1},
		{hour, chat, usage.ClassCut}:        {Requests: 1, Completion: 3},
		{hour, chat, usage.ClassAborted}:    {Requests: 1},
		{hour, other, usage.Class4xx}:       {Requests: 1},
		{hour, other, usage.Class1xx}:       {Requests: 1, Completion: 1 << 32},
	}
	if d := cmp.Diff(want, store.rows); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

// The store fails before and after it has kept a batch, by chance, while requests are added and flushes come from all
// sides: each request is in the sums once.
func TestEachRequestCountsOnce(t *testing.T) {
	for seed := range uint64(8) {
		random := rand.New(rand.NewPCG(seed, 1))
		store := &memory{}
		store.fail = func() (before, after error) {
			switch random.IntN(4) {
			case 0:
				return errors.New("down"), nil
			case 1:
				return nil, errors.New("the answer was lost")
			}
			return nil, nil
		}
		m := newMeter(store)
		var adders, flushers sync.WaitGroup
		done := make(chan struct{})
		const many, each = 4, 2000
		for g := range many {
			adders.Go(func() {
				for i := range each {
					k := chat
					k.Token = fmt.Sprint("tok-", (g+i)%7)
					m.Add(&k, &usage.Sample{At: start.Add(time.Duration(i) * time.Second), Status: 200, Prompt: 3, Completion: 2})
				}
			})
		}
		for range 2 {
			flushers.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
						_ = m.Flush(t.Context())
					}
				}
			})
		}
		adders.Wait()
		close(done)
		flushers.Wait()
		store.fail = nil
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := usage.Sums{Requests: many * each, Prompt: 3 * many * each, Completion: 2 * many * each}
		if d := cmp.Diff(want, store.total()); d != "" {
			t.Fatalf("seed %d: sums (-want +got):\n%s", seed, d)
		}
	}
}

func TestAddKeepsNothingOfItsArguments(t *testing.T) {
	store := &memory{}
	m := newMeter(store)
	m.Add(&chat, &usage.Sample{At: start, Status: 200})
	k := usage.Key{Token: strings.Clone("tok-1"), Project: "default", ServiceID: "svc-1", Service: "chat", Model: "chat"}
	s := usage.Sample{At: start, Status: 200, Prompt: 1, Completion: 1}
	if n := testing.AllocsPerRun(1000, func() { m.Add(&k, &s) }); n > 0.1 { // a shard that sees the key for the first time keeps a copy
		t.Errorf("%v allocations to count a request of a known key", n)
	}
}

// Clients may name any model where the address says which service they mean.
func TestManyModelsAndTokensAreKeptCoarser(t *testing.T) {
	store := &memory{}
	m := newMeter(store)
	const many = 200_000
	for i := range many {
		k := chat
		k.Token, k.Model = fmt.Sprint("tok-", i), fmt.Sprint("m", i)
		m.Add(&k, &usage.Sample{At: start, Status: 200, Prompt: 1})
	}
	long := chat
	for _, name := range []string{strings.Repeat("ü", 5000), "a\xff", "a\xfe", "a\x00"} {
		long.Model = name
		m.Add(&long, &usage.Sample{At: start, Status: 200, Prompt: 1})
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := store.total().Requests; got != many+4 {
		t.Errorf("%d of %d requests are counted", got, many+4)
	}
	models := map[string]bool{}
	for k := range store.rows {
		models[k.key.Model] = true
		if len(k.key.Model) > 200 {
			t.Errorf("a model's name of %d bytes is kept", len(k.key.Model))
		}
		if strings.ContainsAny(k.key.Model, "\x00\uFFFD") || !utf8.ValidString(k.key.Model) {
			t.Errorf("a model's name is %q", k.key.Model)
		}
	}
	if len(models) > 1001 || !models[usage.Other] {
		t.Errorf("%d models are told apart; %q among them: %v", len(models), usage.Other, models[usage.Other])
	}
	if store.largest > 1<<17 {
		t.Errorf("a batch has %d rows", store.largest)
	}
}

func TestRunFlushesEachSecondAndHoldsWhatCannotBeKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var down atomic.Bool
		down.Store(true)
		var tries atomic.Int64
		store := &memory{fail: func() (before, after error) {
			if tries.Add(1); down.Load() {
				return errors.New("disk full"), nil
			}
			return nil, nil
		}}
		var log strings.Builder
		m := usage.NewMeter(store, time.Now, slog.New(slog.NewTextHandler(&log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { m.Run(ctx) })

		add := func() { m.Add(&chat, &usage.Sample{At: time.Now(), Status: 200, Prompt: 1}) }
		for range 600 {
			add()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if n := tries.Load(); n < 15 || n > 40 {
			t.Errorf("a store that fails is tried %d times in 10 minutes", n)
		}
		down.Store(false)
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if got := store.total().Requests; got != 600 {
			t.Errorf("%d of 600 requests are kept when the store is back", got)
		}
		add()
		time.Sleep(1001 * time.Millisecond)
		synctest.Wait()
		if got := store.total().Requests; got != 601 {
			t.Errorf("%d of 601 requests are kept a second later", got)
		}
		cancel()
		run.Wait()
		if n := strings.Count(log.String(), "\n"); n != 2 {
			t.Errorf("%d lines of log, want one when it fails and one when it is back:\n%s", n, log.String())
		}
		add()
		if err := m.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := store.total().Requests; got != 602 {
			t.Errorf("%d of 602 requests are kept after the last flush", got)
		}
	})
}

func TestFlushWaitsNoLongerThanItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := make(chan struct{})
		store := &memory{fail: func() (before, after error) { <-hang; return nil, nil }}
		m := newMeter(store)
		m.Add(&chat, &usage.Sample{At: start, Status: 200})
		var first sync.WaitGroup
		first.Go(func() { _ = m.Flush(t.Context()) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a flush beside one that hangs: %v", err)
		}
		m.Add(&chat, &usage.Sample{At: start, Status: 200}) // never waits
		close(hang)
		first.Wait()
	})
}

func BenchmarkAdd(b *testing.B) {
	m := newMeter(&memory{})
	k := chat
	s := usage.Sample{At: time.Now(), Status: 200, Prompt: 812, Completion: 90, Took: time.Second, First: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		m.Add(&k, &s)
	}
}

func BenchmarkAddParallel(b *testing.B) {
	m := newMeter(&memory{})
	s := usage.Sample{At: time.Now(), Status: 200, Prompt: 812, Completion: 90, Took: time.Second, First: time.Millisecond}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		k := chat
		for pb.Next() {
			m.Add(&k, &s)
		}
	})
}

func BenchmarkAddOf1000Tokens(b *testing.B) {
	m := newMeter(&memory{})
	s := usage.Sample{At: time.Now(), Status: 200, Prompt: 812, Completion: 90, Took: time.Second}
	keys := make([]usage.Key, 1000)
	for i := range keys {
		keys[i] = chat
		keys[i].Token = fmt.Sprintf("tok-%012d", i)
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		m.Add(&keys[i%len(keys)], &s)
		i++
	}
}
