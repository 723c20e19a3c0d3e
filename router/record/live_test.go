package record_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/router/record"
)

// running is a Live with one service of two routes, that reads itself off.
func running(t *testing.T) (*record.Live, *record.LiveService) {
	t.Helper()
	l := record.NewLive(time.Now())
	ctx, cancel := context.WithCancel(t.Context())
	var loop sync.WaitGroup
	loop.Go(func() { l.Run(ctx) })
	t.Cleanup(func() { cancel(); loop.Wait() })
	l.Set(time.Now(), []record.LiveRow{{ID: "svc-1", Name: "qwen", Project: "default", Routes: []string{"a", "b"}}})
	return l, l.Of("svc-1")
}

// one is one request of the length and the tokens.
func one(s *record.LiveService, r *record.LiveRoute, did record.Record) {
	s.Begin()
	r.Begin()
	if did.First > 0 {
		r.First(did.First)
	}
	s.End(r, &did)
}

func figures(t *testing.T, l *record.Live) record.ServiceFigures {
	t.Helper()
	f, ok := l.Service(time.Now(), "svc-1")
	if !ok {
		t.Fatal("no such service")
	}
	return f
}

// near tells whether a rate is right to the second by which a window may be longer.
func near(got, want, by float64) bool { return got >= want-by && got <= want+by }

func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		time.Sleep(300 * time.Millisecond) // not at the same moments as the looks
		for range 120 {                    // two minutes of 10 a second, one of them a failure
			for i := range 10 {
				did := record.Record{Status: 200, First: 50 * time.Millisecond, Took: 200 * time.Millisecond, Usage: record.Usage{Prompt: 100, Cached: 40, Completion: 30}}
				route := "a"
				if i == 9 {
					did, route = record.Record{Status: 502, Fault: "broken", Took: time.Second}, "b"
				}
				one(s, s.Route(route), did)
			}
			time.Sleep(time.Second)
		}
		f := figures(t, l)
		for name, w := range map[string]record.Figures{"short": f.Short, "long": f.Long} {
			if !near(w.Rate, 10, .35) || !near(w.ErrorRate, 1, .04) || !near(w.Tokens, 270, 9) || !near(w.PromptTokens, 900, 30) || !near(w.CachedTokens, 360, 12) {
				t.Errorf("%s: %+v", name, w)
			}
			if q := w.First; q.P50 < 49*time.Millisecond || q.P50 > 52*time.Millisecond {
				t.Errorf("%s: first bytes %+v", name, q)
			}
			if q := w.Took; q.P50 < 195*time.Millisecond || q.P50 > 207*time.Millisecond || q.P95 < 970*time.Millisecond || q.P99 > 1040*time.Millisecond {
				t.Errorf("%s: took %+v", name, q)
			}
		}
		if a, b := f.Routes[0], f.Routes[1]; !near(a.Short.Rate, 9, .3) || !near(b.Short.Rate, 1, .05) || a.Short.Errors != 0 || b.Short.Requests != b.Short.Errors || b.Short.First.Count != 0 {
			t.Errorf("%+v", f.Routes)
		}
		if f.Name != "qwen" || f.Short.Window < 10*time.Second || f.Short.Window > 11*time.Second || f.Long.Window < time.Minute || f.Long.Window > 61*time.Second {
			t.Errorf("%s: %s, %s", f.Name, f.Short.Window, f.Long.Window)
		}
		time.Sleep(11 * time.Second)
		if f := figures(t, l); f.Short.Rate != 0 || f.Short.Took.Count != 0 || f.Long.Requests < 480 || f.Long.Requests > 520 {
			t.Errorf("11 s later: %+v", f)
		}
		time.Sleep(time.Minute)
		if f := figures(t, l); f.Long.Requests != 0 || f.Long.Tokens != 0 || f.Long.Took.Count != 0 {
			t.Errorf("a minute later: %+v", f)
		}
	})
}

// TestYoung: what was begun three seconds ago is told over three seconds, and what came this very second counts.
func TestYoung(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		time.Sleep(2900 * time.Millisecond)
		for range 29 {
			one(s, s.Route("a"), record.Record{Status: 200, Took: time.Millisecond})
		}
		f := figures(t, l)
		if f.Short.Requests != 29 || !near(f.Short.Rate, 10, .01) || f.Short.Took.Count != 29 || f.Routes[0].Short.Requests != 29 {
			t.Errorf("%+v", f)
		}
		if f.Short.Rate != f.Long.Rate {
			t.Errorf("%v in the short window, %v in the long one", f.Short.Rate, f.Long.Rate)
		}
	})
}

// TestStreams: an answer that goes on is seen while it does.
func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		r := s.Route("a")
		time.Sleep(300 * time.Millisecond) // not at the same moments as the looks
		s.Begin()
		s.Waits(1)
		if f := figures(t, l); f.InFlight != 1 || f.Waiting != 1 || f.Routes[0].InFlight != 0 {
			t.Errorf("waiting: %+v", f)
		}
		s.Waits(-1)
		s.Route("b").Begin()
		s.Route("b").Leave()
		r.Begin()
		r.First(70 * time.Millisecond)
		told := int64(0)
		for range 20 {
			r.Tokens(50)
			told += 50
			time.Sleep(time.Second)
		}
		f := figures(t, l)
		if f.InFlight != 1 || f.Waiting != 0 || f.Routes[0].InFlight != 1 || f.Routes[1].InFlight != 0 || !near(f.Short.Tokens, 50, 2.5) || f.Long.First.Count != 1 || f.Long.Took.Count != 0 {
			t.Errorf("streaming: %+v", f)
		}
		if f.Long.Errors != 1 || f.Routes[1].Long.Errors != 1 {
			t.Errorf("the route that was left is not blamed: %+v", f)
		}
		s.End(r, &record.Record{Status: 200, Took: 20 * time.Second, Told: told, Usage: record.Usage{Completion: 900, Prompt: 10}})
		f = figures(t, l)
		if got := f.Long.Tokens * f.Long.Window.Seconds(); !near(got, 900, 1) || f.InFlight != 0 || f.Routes[0].InFlight != 0 || f.Long.Took.Count != 1 {
			t.Errorf("ended with %v tokens: %+v", got, f)
		}
	})
}

// TestWhatIsNoAnswersTime: a client that goes and a connection that is passed on say nothing about how long answers take.
func TestWhatIsNoAnswersTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		one(s, s.Route("a"), record.Record{Status: 499, Aborted: true, Took: time.Hour})
		one(s, s.Route("a"), record.Record{Status: 101, Kind: "upgrade", Took: time.Hour})
		s.Begin()
		s.End(nil, &record.Record{Status: 503, Code: "no_route", Took: time.Minute})
		if f := figures(t, l); f.Short.Took.Count != 0 || f.Short.Ended != 3 || f.Short.Aborted != 1 || f.Short.Errors != 1 || f.InFlight != 0 || f.Routes[0].Short.Ended != 2 {
			t.Errorf("%+v", f)
		}
	})
}

// TestRoutesComeAndGo: what a route did counts for its service after it has gone; one that ends its answers is seen.
func TestRoutesComeAndGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		a := s.Route("a")
		for range 7 {
			one(s, a, record.Record{Status: 200, Took: time.Second})
		}
		s.Begin()
		a.Begin()
		time.Sleep(3 * time.Second)
		l.Set(time.Now(), []record.LiveRow{{ID: "svc-1", Name: "renamed", Routes: []string{"c"}}})
		if l.Of("svc-1") != s || s.Route("c") == nil {
			t.Error("what stays was made anew")
		}
		f := figures(t, l)
		if len(f.Routes) != 2 || f.Routes[0].ID != "a" || !f.Routes[0].Gone || f.Routes[0].InFlight != 1 || f.Routes[1].Gone || f.Long.Took.Count != 7 || f.Name != "renamed" {
			t.Errorf("%+v", f)
		}
		time.Sleep(2 * time.Minute)
		s.End(a, &record.Record{Status: 200, Took: time.Second})
		if f := figures(t, l); len(f.Routes) != 1 || f.InFlight != 0 || f.Long.Took.Count != 1 {
			t.Errorf("%+v", f)
		}
		time.Sleep(2 * time.Minute)
		if f := figures(t, l); f.Long.Took.Count != 0 || s.Route("a") != nil {
			t.Errorf("%+v", f)
		}
		l.Set(time.Now(), nil)
		if _, ok := l.Service(time.Now(), "svc-1"); ok || len(l.Snapshot(time.Now())) != 0 || l.Of("svc-1") != nil {
			t.Error("the service is still there")
		}
		one(s, a, record.Record{Status: 200}) // what is under way may end
	})
}

// TestNobody: without live figures, or for what is in no table, calls do nothing.
func TestNobody(t *testing.T) {
	var l *record.Live
	s := l.Of("x")
	one(s, s.Route("a"), record.Record{First: 1})
	s.Waits(1)
	s.Route("a").Leave()
	s.Route("a").Tokens(3)
}

// TestQuantiles: whatever times there are, what is told of them is right to 3 %, or to a step of the least times.
func TestQuantiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(20) {
			rng := rand.New(rand.NewPCG(seed, 1))
			l := record.NewLive(time.Now())
			l.Set(time.Now(), []record.LiveRow{{ID: "svc-1", Routes: []string{"a"}}})
			s := l.Of("svc-1")
			var times []time.Duration
			for range 1 + rng.IntN(5000) {
				d := time.Duration(rng.Int64N(1 << (10 + rng.IntN(31))))
				times = append(times, d)
				one(s, s.Route("a"), record.Record{Took: d})
			}
			slices.Sort(times)
			got := figures(t, l).Short.Took
			for part, q := range map[float64]time.Duration{.5: got.P50, .95: got.P95, .99: got.P99} {
				i := int(part * float64(len(times)))
				least, most := times[max(i-2, 0)], times[min(i+2, len(times)-1)]
				if float64(q) < float64(least)*.93-70e3 || float64(q) > float64(most)*1.07+70e3 {
					t.Errorf("seed %d: %v of %d is %s, told as %s", seed, part, len(times), times[min(i, len(times)-1)], q)
				}
			}
		}
	})
}

// TestBesideEachOther: requests, looks and new tables at the same time lose no count.
func TestBesideEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := running(t)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for i := range 500 {
					one(s, s.Route("a"), record.Record{Status: 200, First: time.Millisecond, Took: time.Duration(i) * time.Millisecond, Usage: record.Usage{Completion: 2}})
					time.Sleep(time.Millisecond)
				}
			})
		}
		all.Go(func() {
			for range 200 {
				l.Set(time.Now(), []record.LiveRow{{ID: "svc-1", Routes: []string{"a"}}})
				if f := figures(t, l); f.Short.Ended > f.Short.Requests || f.InFlight < 0 {
					t.Errorf("%+v", f)
				}
				time.Sleep(time.Millisecond)
			}
		})
		all.Wait()
		if f := figures(t, l); f.Long.Requests != 2000 || f.Long.Ended != 2000 || f.Long.Took.Count != 2000 || f.Long.First.Count != 2000 || f.InFlight != 0 {
			t.Errorf("%+v", f)
		}
	})
}

// BenchmarkLive is what one request costs, from its begin to its end.
func BenchmarkLive(b *testing.B) {
	l := record.NewLive(time.Now())
	l.Set(time.Now(), []record.LiveRow{{ID: "svc-1", Routes: []string{"a"}}})
	s := l.Of("svc-1")
	r := s.Route("a")
	did := &record.Record{Status: 200, Took: 300 * time.Millisecond, Usage: record.Usage{Prompt: 500, Completion: 200}}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			s.Begin()
			r.Begin()
			r.First(80 * time.Millisecond)
			s.End(r, did)
		}
	})
}

func BenchmarkSnapshotOfAThousand(b *testing.B) {
	l := record.NewLive(time.Now())
	var rows []record.LiveRow
	for i := range 1000 {
		rows = append(rows, record.LiveRow{ID: string(rune('a'+i%26)) + time.Duration(i).String(), Routes: []string{"a", "b", "c"}})
	}
	l.Set(time.Now(), rows)
	for b.Loop() {
		l.Snapshot(time.Now())
	}
}
