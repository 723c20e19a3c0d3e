package store_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/router/usage"
)

var _ usage.Store = (*store.Store)(nil)

// midnight is of a day in Seoul, 15:00 UTC of the day before.
var midnight = time.Date(2026, 3, 9, 15, 0, 0, 0, time.UTC)

// usageRows are some of three days, of several tokens, services and models.
func usageRows(random *rand.Rand) []usage.Row {
	rows := map[string]usage.Row{}
	for range 400 {
		r := usage.Row{
			Hour: midnight.Add(time.Duration(random.IntN(72)) * time.Hour),
			Key: usage.Key{Token: fmt.Sprint("tok-", random.IntN(3)), Project: "red", ServiceID: "svc-1", Service: "chat",
				Model: fmt.Sprint("m", random.IntN(2))},
			Class: usage.Class(random.IntN(7)),
			Sums:  usage.Sums{Requests: 1, Prompt: random.Int64N(1e9), Completion: 2, Cached: 3, Estimated: 4, Streams: 5, First: 6, Took: 1e12},
		}
		if random.IntN(2) == 0 {
			r.Project, r.ServiceID, r.Service = "default", "svc-2", "embed"
		}
		rows[fmt.Sprint(r.Hour, r.Key, r.Class)] = r
	}
	var out []usage.Row
	for _, r := range rows {
		out = append(out, r)
	}
	return out
}

// What a database sums up is what one gets from summing up all rows one by one.
func TestUsageIsSummedUp(t *testing.T) {
	seoul, err := time.LoadLocation("Asia/Seoul")
	must(t, err)
	newYork, err := time.LoadLocation("America/New_York") // its clocks went forward on the 8th
	must(t, err)
	rows := usageRows(rand.New(rand.NewPCG(1, 2)))
	eachStore(t, func(t *testing.T, s *store.Store) {
		for i, part := range slices.Collect(slices.Chunk(rows, 150)) {
			must(t, s.AddUsage(t.Context(), usage.Batch{Writer: "w", Number: int64(i + 1), At: at, Rows: part}))
		}
		for _, q := range []usage.Query{
			{},
			{By: []usage.Dimension{usage.ByToken, usage.ByDay}, Zone: seoul},
			{By: []usage.Dimension{usage.ByDay}, Zone: newYork, From: midnight.Add(-7 * 24 * time.Hour)},
			{By: []usage.Dimension{usage.ByMonth, usage.ByProject}},
			{By: []usage.Dimension{usage.ByHour, usage.ByStatus}, Zone: newYork},
			{By: []usage.Dimension{usage.ByModel, usage.ByService}, From: midnight.Add(5 * time.Hour), To: midnight.Add(30 * time.Hour)},
			{By: []usage.Dimension{usage.ByDay}, Tokens: []string{"tok-0", "tok-2", "tok-9"}, Service: "chat", Model: "m1"},
			{By: []usage.Dimension{usage.ByService}, Service: "svc-2", Project: "default"},
			{Project: "none"},
		} {
			var chosen []usage.Row
			for _, r := range rows {
				if !r.Hour.Before(q.From) && (q.To.IsZero() || r.Hour.Before(q.To)) && (q.Project == "" || q.Project == r.Project) &&
					(q.Service == "" || q.Service == r.Service || q.Service == r.ServiceID) && (q.Model == "" || q.Model == r.Model) &&
					(q.Tokens == nil || slices.Contains(q.Tokens, r.Token)) {
					chosen = append(chosen, r)
				}
			}
			got, err := s.Usage(t.Context(), q)
			must(t, err)
			if d := cmp.Diff(usage.Fold(chosen, &q), usage.Fold(got, &q), cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) })); d != "" {
				t.Errorf("%+v (-want +got):\n%s", q, d)
			}
		}
	})
}

func TestUsageIsAddedOnce(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		rows := []usage.Row{{Hour: midnight, Key: usage.Key{Token: "tok-1", Model: awkward}, Class: usage.Class2xx, Sums: usage.Sums{Requests: 1, Prompt: 10}}}
		batch := func(writer string, number int64) {
			must(t, s.AddUsage(t.Context(), usage.Batch{Writer: writer, Number: number, At: at, Rows: rows}))
		}
		for _, number := range []int64{1, 1, 2, 1, 2} { // the answers to some were lost
			batch("one", number)
		}
		batch("two", 1)
		must(t, s.AddUsage(t.Context(), usage.Batch{Writer: "three", Number: 1, At: at.AddDate(1, 0, 0)})) // forgets the others
		got, err := s.Usage(t.Context(), usage.Query{By: []usage.Dimension{usage.ByModel, usage.ByHour}})
		must(t, err)
		want := []usage.Row{{Hour: midnight, Key: usage.Key{Model: awkward}, Class: usage.Class2xx, Sums: usage.Sums{Requests: 3, Prompt: 30}}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("rows (-want +got):\n%s", d)
		}
		tokens, projects, err := usage.Spent(t.Context(), s, midnight.Add(59*time.Minute))
		must(t, err)
		if d := cmp.Diff([]map[string]int64{{"tok-1": 30}, {"": 30}}, []map[string]int64{tokens, projects}); d != "" {
			t.Errorf("spent (-want +got):\n%s", d)
		}
	})
}

// Several daemons add to the same rows at once, and some of them do not wait for the end.
func TestUsageOfSeveralWriters(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		const writers, flushes, tokens = 4, 25, 30
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				random := rand.New(rand.NewPCG(uint64(w), 3))
				m := usage.NewMeter(s, time.Now, slog.New(slog.DiscardHandler))
				for range flushes {
					for i := range tokens {
						m.Add(&usage.Key{Token: fmt.Sprint("tok-", i), ServiceID: "svc-1", Service: "chat"}, &usage.Sample{At: midnight, Status: 200, Prompt: 1})
					}
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(3000))*time.Microsecond)
					if err := m.Flush(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
						t.Error(err)
					}
					cancel()
				}
				if err := m.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		got, err := s.Usage(t.Context(), usage.Query{})
		must(t, err)
		if len(got) != 1 || got[0].Requests != writers*flushes*tokens {
			t.Errorf("%+v, want %d requests", got, writers*flushes*tokens)
		}
	})
}

func BenchmarkAddUsage(b *testing.B) {
	for name, fresh := range databases {
		b.Run(name, func(b *testing.B) {
			s := open(b, fresh(b))
			rows := make([]usage.Row, 100)
			for i := range rows {
				rows[i] = usage.Row{Hour: midnight, Key: usage.Key{Token: fmt.Sprint("tok-", i), ServiceID: "svc-1"}, Sums: usage.Sums{Requests: 1}}
			}
			number := int64(0)
			for b.Loop() {
				number++
				if err := s.AddUsage(b.Context(), usage.Batch{Writer: "w", Number: number, At: at, Rows: rows}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
