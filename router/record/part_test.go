package record_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/router/record"
)

// oneRow is a table with one service of two routes.
var oneRow = []record.LiveRow{{ID: "svc-1", Name: "qwen", Project: "default", Routes: []string{"a", "b"}}}

// far is a box that tells another one what it does.
type far struct {
	name string
	live *record.Live
	*record.Teller
}

func newFar(name string) far {
	l := record.NewLive(time.Now())
	l.Set(time.Now(), oneRow)
	return far{name, l, record.NewTeller(l)}
}

// tell brings a part there as it would be over the network, and has it known that it arrived, or not.
func (f far) tell(t *testing.T, to *record.Live, answered bool) {
	t.Helper()
	p := f.Next(time.Now(), "leader", 500*time.Millisecond)
	if p == nil {
		return
	}
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var read record.Part
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	to.Hear(time.Now(), f.name, &read)
	if answered {
		f.Arrived()
	}
}

// TestPartsAddUp: whatever requests come to whichever box, the one that hears of all has the figures of one that had them all
// itself, though answers are lost.
func TestPartsAddUp(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			leads, mine := running(t)
			all, every := running(t)
			boxes := []far{newFar("two"), newFar("three")}
			for _, b := range boxes {
				b.tell(t, leads, true)
			}
			time.Sleep(300 * time.Millisecond)
			for range 30 {
				for range 200 {
					s := mine
					if at := rng.IntN(3); at < 2 {
						s = boxes[at].live.Of("svc-1")
					}
					did := record.Record{
						Status: 200, Took: time.Duration(rng.Int64N(int64(3 * time.Second))), Aborted: rng.IntN(20) == 0,
						Usage: record.Usage{Prompt: rng.Int64N(100), Cached: rng.Int64N(10), Completion: rng.Int64N(50)},
					}
					if rng.IntN(3) > 0 {
						did.First = did.Took / 3
					}
					if rng.IntN(10) == 0 {
						did.Status = 503
					}
					route := []string{"a", "b", ""}[rng.IntN(3)]
					for _, to := range []*record.LiveService{s, every} {
						if route == "" {
							to.Begin()
							to.End(nil, &did)
							continue
						}
						one(to, to.Route(route), did)
					}
				}
				time.Sleep(500 * time.Millisecond)
				for _, b := range boxes {
					b.tell(t, leads, rng.IntN(3) > 0)
				}
			}
			time.Sleep(time.Second)
			for _, b := range boxes { // what was cut last, and what came after
				b.tell(t, leads, true)
				time.Sleep(500 * time.Millisecond)
				b.tell(t, leads, true)
			}
			got, want := figures(t, leads), figures(t, all)
			if diff := cmp.Diff(want.Long, got.Long); diff != "" {
				t.Errorf("seed %d (-of one box +of three):\n%s", seed, diff)
			}
			if diff := cmp.Diff(want.Routes[0].Long, got.Routes[0].Long); diff != "" {
				t.Errorf("seed %d, of a route (-of one box +of three):\n%s", seed, diff)
			}
		})
	}
}

// TestUnderWayElsewhere: what other boxes have in flight counts for as long as they say so, and no longer.
func TestUnderWayElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leads, mine := running(t)
		b := newFar("two")
		b.tell(t, leads, true)
		s := b.live.Of("svc-1")
		s.Begin()
		s.Begin()
		s.Waits(1)
		s.Route("a").Begin()
		mine.Begin()
		check := func(what string, flying, waiting, route int) {
			t.Helper()
			f := figures(t, leads)
			if f.InFlight != flying || f.Waiting != waiting || f.Routes[0].InFlight != route {
				t.Errorf("%s: %d in flight, %d wait, %d at the route; want %d, %d, %d", what, f.InFlight, f.Waiting, f.Routes[0].InFlight, flying, waiting, route)
			}
		}
		check("nothing is told", 1, 0, 0)
		for range 10 {
			time.Sleep(500 * time.Millisecond)
			b.tell(t, leads, true)
		}
		check("it goes on", 3, 1, 1)
		s.Waits(-1)
		s.End(s.Route("a"), &record.Record{Status: 200, Took: time.Second})
		time.Sleep(500 * time.Millisecond)
		b.tell(t, leads, true)
		check("one has ended", 2, 0, 0)
		time.Sleep(5 * time.Second) // and the box is silent
		check("it is silent", 1, 0, 0)
		if m := leads.Latest()["svc-1"]; m.At.IsZero() || m.Rate == 0 {
			t.Errorf("the chart has %+v", m)
		}
	})
}

// TestWhatIsTold: parts as they are cut, and to whom.
func TestWhatIsTold(t *testing.T) {
	requests := func(s *record.LiveService, n int) {
		for range n {
			one(s, s.Route("a"), record.Record{Status: 200, Took: time.Second})
		}
	}
	told := func(p *record.Part) string {
		if p == nil {
			return "nothing"
		}
		if len(p.Services) == 0 {
			return fmt.Sprintf("%d: no service", p.Number)
		}
		return fmt.Sprintf("%d: %d", p.Number, p.Services[0].Begun)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newFar("two")
		s := b.live.Of("svc-1")
		step := func(what, to string, n int, wait time.Duration, want string) {
			t.Helper()
			requests(s, n)
			time.Sleep(wait)
			if got := told(b.Next(time.Now(), to, 500*time.Millisecond)); got != want {
				t.Errorf("%s: told %s, want %s", what, got, want)
			}
		}
		step("of before it is told of nobody", "one", 5, 0, "nothing")
		step("nothing is new", "one", 0, time.Second, "nothing")
		step("a part", "one", 3, time.Second, "1: 3")
		step("it may not have arrived", "one", 4, time.Second, "1: 3")
		b.Arrived()
		step("what came meanwhile", "one", 1, time.Second, "2: 5")
		b.Arrived()
		step("too soon", "one", 1, 100*time.Millisecond, "nothing")
		step("another one leads, who has other figures", "three", 1, time.Second, "nothing")
		step("it is told of now", "three", 2, time.Second, "3: 2")
		b.Arrived()
		step("nobody was told for long", "three", 9, 10*time.Second, "nothing")
		step("that is of then", "three", 1, time.Second, "4: 1")
		step("that, too, where it did not arrive", "three", 1, 10*time.Second, "nothing")
	})
}

// TestHeardOfWhatIsNotHere: services that are in no table are left out, and of routes in none only the route is lost. What makes
// no sense does no harm.
func TestHeardOfWhatIsNotHere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leads, _ := running(t)
		leads.Hear(time.Now(), "two", &record.Part{Of: "x", Number: 1, Services: []record.ServicePart{
			{ID: "gone", InFlight: 3},
			{ID: "svc-1", Counts: record.Counts{Begun: 2}, Routes: []record.RoutePart{
				{ID: "new", InFlight: 1, Counts: record.Counts{Begun: 2, Ended: 2, Took: [][2]uint32{{3, 2}, {1 << 20, 9}}}},
			}},
		}})
		f := figures(t, leads)
		if f.Short.Requests != 2 || f.Short.Ended != 2 || f.Short.Took.Count != 2 || len(f.Routes) != 2 || f.InFlight != 0 {
			t.Errorf("%+v", f)
		}
	})
}

// TestPartsAreBounded: what many services did finds its place in several parts, and none of it is lost.
func TestPartsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 20_000
		var rows []record.LiveRow
		for i := range n {
			rows = append(rows, record.LiveRow{ID: fmt.Sprint("svc-", i), Routes: []string{fmt.Sprint("r-", i)}})
		}
		l, leads := record.NewLive(time.Now()), record.NewLive(time.Now())
		l.Set(time.Now(), rows)
		leads.Set(time.Now(), rows)
		b := far{"two", l, record.NewTeller(l)}
		b.tell(t, leads, true)
		for _, r := range rows {
			s := l.Of(r.ID)
			one(s, s.Route(r.Routes[0]), record.Record{Status: 200, Took: time.Second})
		}
		for i := range 100 {
			time.Sleep(500 * time.Millisecond)
			p := b.Next(time.Now(), "leader", 500*time.Millisecond)
			if p == nil {
				if i < 2 {
					t.Errorf("all was told at once")
				}
				break
			}
			if len(p.Services) > n/2 {
				t.Errorf("%d services in one part", len(p.Services))
			}
			b.tell(t, leads, true)
		}
		requests := int64(0)
		for _, f := range leads.Snapshot(time.Now()) {
			requests += f.Long.Requests
		}
		if requests != n {
			t.Errorf("%d of %d requests were told", requests, n)
		}
	})
}
