package autoscaler

import (
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"
	"time"
)

// scene is an Input under hand.
type scene struct {
	Input
	series map[Metric]*Series
}

func (s *scene) Series(m Metric) *Series { return s.series[m] }

var noon = time.Date(2026, time.March, 2, 12, 3, 5, 0, time.UTC)

// stage has routes that are ready for an hour, and a policy.
func stage(ready int, p Policy) *scene {
	p.Fill()
	s := &scene{Input: Input{Policy: &p, Replicas: ready, Known: noon.Add(-time.Hour), Busy: noon}, series: map[Metric]*Series{}}
	s.Signals = s
	s.routes(ready, RouteReady, noon.Add(-time.Hour))
	return s
}

func (s *scene) routes(n int, state RouteState, since time.Time) {
	for range n {
		r := Route{State: state, Since: since}
		if state == RouteReady {
			r.ReadyAt = since
		}
		s.Routes = append(s.Routes, r)
	}
}

// tell has a metric say the same each second for a time until noon.
func (s *scene) tell(m Metric, total float64, of int, since time.Duration) {
	if s.series[m] == nil {
		s.series[m] = &Series{}
	}
	for at := noon.Add(-since); !at.After(noon); at = at.Add(time.Second) {
		s.series[m].Add(Sample{At: at, Total: total, Of: of})
	}
}

func target8(edit ...func(*Policy)) Policy {
	p := Policy{Min: 1, Max: 10, Rules: []Rule{{ID: "rul-t", Kind: KindTarget, Metric: concurrency(), Target: 8}}}
	for _, e := range edit {
		e(&p)
	}
	return p
}

func steps(c Comparator, threshold float64, size int, edit ...func(*Policy)) Policy {
	r := step(queued(), c, threshold, size)
	r.ID = "rul-s"
	p := Policy{Min: 1, Max: 3, Rules: []Rule{r}}
	for _, e := range edit {
		e(&p)
	}
	return p
}

// TestDecide: one decision each, with its sentence.
func TestDecide(t *testing.T) {
	t.Parallel()
	minute := time.Minute
	for _, c := range []struct {
		name string
		in   func() *scene
		want int
		rule string
		says string
	}{
		{"target up", func() *scene { s := stage(2, target8()); s.tell(concurrency(), 20, 0, 2*minute); return s }, 3, "rul-t", "2 -> 3: 20 in flight, target 8 per route"},
		{"panic", func() *scene {
			s := stage(2, target8())
			s.tell(concurrency(), 37, 0, 2*minute)
			return s
		}, 5, "rul-t", "2 -> 5: 37 in flight, target 8 per route, panic since 12:03:05"},
		{"clamped", func() *scene {
			s := stage(2, target8(func(p *Policy) { p.Max = 4 }))
			s.tell(concurrency(), 37, 0, 2*minute)
			return s
		}, 4, "rul-t", "2 -> 4: 37 in flight, target 8 per route, panic since 12:03:05, wishes 5, at most 4"},
		{"off", func() *scene { return stage(2, Policy{Min: 1, Max: 4}) }, 2, "", "2: no rule scales it"},
		{"paused", func() *scene {
			s := stage(2, target8())
			s.PausedBy = "anna"
			s.tell(concurrency(), 90, 0, minute)
			return s
		}, 2, "", "2: paused by anna"},
		{"no data", func() *scene { return stage(2, target8()) }, 2, "", "2: router:concurrency: no data"},
		{"old data", func() *scene {
			s := stage(2, target8())
			s.tell(concurrency(), 90, 0, 10*time.Second)
			for i := range s.series[concurrency()].ring {
				s.series[concurrency()].ring[i].at -= int64(5 * minute)
			}
			return s
		}, 2, "", "2: router:concurrency: no data for 5m"},
		{"data of the time before", func() *scene {
			s := stage(2, target8())
			s.tell(concurrency(), 90, 0, minute)
			s.Known = noon.Add(time.Nanosecond)
			return s
		}, 2, "", "no data since the start"},
		{"little data holds", func() *scene { s := stage(4, target8()); s.tell(concurrency(), 1, 0, 20*time.Second); return s }, 4, "", "4: router:concurrency: 1 in flight, target 8 per route, but known for 20s only"},
		{"little data lifts", func() *scene { s := stage(2, target8()); s.tell(concurrency(), 20, 0, 7*time.Second); return s }, 3, "rul-t", "2 -> 3"},
		{"one at a time", func() *scene {
			s := stage(2, target8())
			s.Replicas = 3
			s.routes(1, RouteStarting, noon.Add(-minute))
			s.tell(concurrency(), 30, 0, 2*minute)
			return s
		}, 3, "", "3: wishes 4 (30 in flight, target 8 per route), but 1 route starts already"},
		{"full", func() *scene {
			s := stage(2, target8())
			s.Full = "no device has 20 GiB free"
			s.tell(concurrency(), 90, 0, 2*minute)
			return s
		}, 2, "", "but the pool is full: no device has 20 GiB free"},
		{"down waits", func() *scene { s := stage(4, target8()); s.tell(concurrency(), 4, 0, 2*minute); return s }, 4, "", "4: wishes 1 (4 in flight, target 8 per route), in 2m if it stays so"},
		{"down", func() *scene {
			s := stage(4, target8())
			s.tell(concurrency(), 12, 0, 2*minute)
			s.Memory.Excess = noon.Add(-2 * minute)
			return s
		}, 3, "rul-t", "4 -> 3: 12 in flight, target 8 per route"},
		{"half of many", func() *scene {
			s := stage(9, target8())
			s.tell(concurrency(), 4, 0, 2*minute)
			s.Memory.Excess = noon.Add(-2 * minute)
			return s
		}, 5, "rul-t", "9 -> 5"},
		{"down again too soon", func() *scene {
			s := stage(4, target8())
			s.tell(concurrency(), 4, 0, 2*minute)
			s.Memory.Excess, s.Memory.In = noon.Add(-time.Hour), noon.Add(-minute)
			return s
		}, 4, "", "in 1m if it stays so"},
		{"not while one starts", func() *scene {
			s := stage(3, target8())
			s.Replicas = 4
			s.routes(1, RouteStarting, noon)
			s.tell(concurrency(), 4, 0, 2*minute)
			s.Memory.Excess = noon.Add(-time.Hour)
			return s
		}, 4, "", "but 1 route starts"},
		{"not while one leaves", func() *scene {
			s := stage(3, target8())
			s.routes(1, RouteLeaving, noon)
			s.tell(concurrency(), 4, 0, 2*minute)
			s.Memory.Excess = noon.Add(-time.Hour)
			return s
		}, 3, "", "but a route still leaves"},
		{"some to spare", func() *scene {
			s := stage(3, target8())
			s.tell(concurrency(), 15, 0, 2*minute)
			s.Memory.Excess = noon.Add(-time.Hour)
			return s
		}, 3, "", "3: 15 in flight, target 8 per route, 0.4 of a route to spare"},
		{"clamped step is not dropped", func() *scene { s := stage(2, steps(GreaterThan, 4, 2)); s.tell(queued(), 20, 0, minute); return s }, 3, "rul-s", "2 -> 3: 10 waiting per route > 4, wishes 4, at most 3"},
		{"step down", func() *scene {
			s := stage(3, steps(LessThanOrEqual, 1, -1))
			s.tell(queued(), 3, 0, minute)
			s.Memory.Excess = noon.Add(-time.Hour)
			return s
		}, 2, "rul-s", "3 -> 2: 1 waiting per route <= 1"},
		{"at the threshold", func() *scene { s := stage(2, steps(GreaterThan, 4, 1)); s.tell(queued(), 8, 0, minute); return s }, 2, "", "4 waiting per route is not > 4"},
		{"at the threshold or over", func() *scene {
			s := stage(2, steps(GreaterThanOrEqual, 4, 1))
			s.tell(queued(), 8, 0, minute)
			return s
		}, 3, "rul-s", "4 waiting per route >= 4"},
		{"cools down", func() *scene {
			s := stage(2, steps(GreaterThan, 4, 1))
			s.tell(queued(), 20, 0, minute)
			s.Memory.Fired = map[string]time.Time{"rul-s": noon.Add(-2 * minute)}
			s.Routes[1].ReadyAt = noon.Add(-20 * time.Second)
			return s
		}, 2, "", "10 waiting per route > 4, but it cools down for 40s"},
		{"what it asked for starts", func() *scene {
			s := stage(2, steps(GreaterThan, 4, 1))
			s.tell(queued(), 20, 0, minute)
			s.Memory.Fired = map[string]time.Time{"rul-s": noon.Add(-time.Hour)}
			s.Routes[1].State = RouteStarting
			s.Routes[1].Since = noon.Add(-minute)
			return s
		}, 2, "", "what it asked for is not ready yet"},
		{"wakes", func() *scene { s := stage(0, target8(func(p *Policy) { p.Min = 0 })); s.Held = 200; return s }, 1, RuleHeld, "0 -> 1: 200 requests held"},
		{"wakes but once", func() *scene {
			s := stage(0, target8(func(p *Policy) { p.Min = 0 }))
			s.Replicas, s.Held = 1, 200
			s.routes(1, RouteStarting, noon.Add(-10*time.Second))
			s.tell(concurrency(), 200, 0, minute)
			return s
		}, 1, "", "but none of its 1 route is ready"},
		{"stays at zero", func() *scene {
			s := stage(0, target8(func(p *Policy) { p.Min, p.IdleAfter = 0, 10*time.Second }))
			s.tell(concurrency(), 3, 0, minute)
			return s
		}, 0, "", "0: nothing is held"},
		{"to zero", func() *scene {
			s := stage(3, target8(func(p *Policy) { p.Min, p.IdleAfter = 0, 10*minute }))
			s.Busy = noon.Add(-10 * minute)
			s.tell(concurrency(), 0, 0, minute)
			return s
		}, 0, RuleIdle, "3 -> 0: no request for 10m"},
		{"idle not known", func() *scene {
			s := stage(3, target8(func(p *Policy) { p.Min, p.IdleAfter = 0, 10*minute }))
			s.Busy = time.Time{}
			return s
		}, 3, "", "idle: it is not known when the last request was there"},
		{"young routes are not idle", func() *scene {
			s := stage(1, Policy{Max: 3, IdleAfter: 10 * minute})
			s.Busy, s.Routes[0].ReadyAt = noon.Add(-time.Hour), noon.Add(-minute)
			return s
		}, 1, "", "a route has been ready for 1m only"},
		{"after a restart nothing is idle", func() *scene {
			s := stage(1, Policy{Max: 3, IdleAfter: 10 * minute})
			s.Busy, s.Known = noon.Add(-time.Hour), noon.Add(-minute)
			return s
		}, 1, "", "requests are counted for less than 10m"},
		{"yields", func() *scene {
			s := stage(2, target8())
			s.Yields = &Yield{For: "chat", Reason: "idle for 5m"}
			s.tell(concurrency(), 30, 0, minute)
			return s
		}, 1, RuleYield, "2 -> 1: yields to chat: idle for 5m"},
		{"yields no further", func() *scene { s := stage(1, target8()); s.Yields = &Yield{For: "chat"}; return s }, 1, "", "1: chat asks for a place, but there are to be at least 1"},
		{"min raised", func() *scene { return stage(1, target8(func(p *Policy) { p.Min = 4 })) }, 4, RuleBounds, "1 -> 4: at least 4"},
		{"max lowered", func() *scene { return stage(9, target8(func(p *Policy) { p.Max = 4 })) }, 4, RuleBounds, "9 -> 4: at most 4"},
		{"window", func() *scene {
			return stage(1, Policy{Min: 0, Max: 1, Rules: []Rule{hours("office", "0 8 * * *", "0 18 * * *", 2, 4)}})
		}, 2, RuleBounds, "1 -> 2: at least 2, by office until 18:00 UTC"},
		{"after the window", func() *scene {
			s := stage(2, Policy{Min: 1, Max: 4, Rules: []Rule{hours("night", "0 20 * * *", "0 6 * * *", 2, 4)}})
			s.Memory.Excess = noon.Add(-2 * minute)
			return s
		}, 1, RuleBounds, "2 -> 1: at least 1"},
		{"nothing in the night", func() *scene {
			s := stage(0, Policy{Min: 1, Max: 4, Rules: []Rule{hours("noon", "0 12 * * *", "0 13 * * *", 0, 0)}})
			s.Held = 3
			return s
		}, 0, "", "0: 3 requests held, but there are to be at most 0 routes, by noon until 13:00 UTC"},
		{"a heap is no stream", func() *scene {
			s := stage(4, target8(func(p *Policy) { p.Max = 40 }))
			s.LoadTime = 90 * time.Second
			s.tell(concurrency(), 432, 0, 5*minute)
			s.tell(queued(), 400, 0, 5*minute)
			s.tell(arrivals(), 4, 0, 5*minute)
			return s
		}, 7, "rul-t", "4 -> 7: 32 in flight if none waited (4 a second, 8s each), 400 waiting, target 8 per route, panic since 12:03:05"},
		{"an engine's mean counts for all", func() *scene {
			p := target8()
			p.Rules[0].Metric, p.Rules[0].Target = Metric{SourceEngine, "kv_usage"}, 0.5
			s := stage(4, p)
			s.tell(p.Rules[0].Metric, 2.4, 3, 2*minute) // three of four told it
			return s
		}, 7, "rul-t", "4 -> 7: 3.2 of the KV cache in use"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := c.in()
			d := Decide(&s.Input, noon)
			if d.Replicas != c.want || d.Rule != c.rule || !strings.Contains(d.Reason, c.says) {
				t.Errorf("%d by %q: %s\nnot %d by %q: %s\n%+v", d.Replicas, d.Rule, d.Reason, c.want, c.rule, c.says, d.Wishes)
			}
		})
	}
}

// TestForgets: what is remembered of a rule that is no more goes, and the map that was given stays.
func TestForgets(t *testing.T) {
	t.Parallel()
	s := stage(2, target8())
	s.Memory.Fired = map[string]time.Time{"rul-gone": noon, "rul-t": noon.Add(-time.Hour)}
	s.Memory.Panics = map[string]Panic{"rul-gone": {Until: noon.Add(time.Hour)}}
	d := Decide(&s.Input, noon)
	if len(d.Memory.Fired) != 1 || d.Memory.Panics != nil || len(s.Memory.Fired) != 2 || len(s.Memory.Panics) != 1 {
		t.Errorf("%+v of %+v", d.Memory, s.Memory)
	}
}

// TestGrowth: what grows is looked at as far ahead as a start takes.
func TestGrowth(t *testing.T) {
	t.Parallel()
	s := stage(2, target8())
	s.series[concurrency()] = &Series{}
	for i := range 300 {
		s.series[concurrency()].Add(Sample{At: noon.Add(time.Duration(i-299) * time.Second), Total: float64(i) / 20})
	}
	if d := Decide(&s.Input, noon); d.Replicas != 2 {
		t.Error(d.Reason)
	}
	s.LoadTime = 2 * time.Minute
	if d := Decide(&s.Input, noon); d.Replicas != 3 || d.Reason != "2 -> 3: 13.5 in flight and 6 more in 2m, target 8 per route" {
		t.Error(d.Reason)
	}
}

// FuzzDecide: no policy that Check lets through, nor one that it does not, makes a decision panic or leave the bounds.
func FuzzDecide(f *testing.F) {
	for _, p := range []Policy{good(), target8(), steps(LessThan, 3, -2), {Min: 3, Max: 1, IdleAfter: -1}} {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint64(1), 12.5, uint8(3))
	}
	f.Fuzz(func(t *testing.T, text []byte, seed uint64, value float64, routes uint8) {
		var p Policy
		if json.Unmarshal(text, &p) != nil || len(p.Rules) > 20 {
			return
		}
		p.Fill()
		err := p.Check()
		if found, is := errors.AsType[Problems](err); err != nil && (!is || len(found) == 0) {
			t.Fatalf("%v", err)
		}
		w := newWorld(seed, &p)
		w.flight = min(math.Abs(value), 1e6)
		for i := range min(int(routes), 20) {
			w.in.Routes = append(w.in.Routes, Route{State: []RouteState{RouteReady, RouteStarting, RouteUnhealthy, RouteLeaving}[i%4]})
		}
		for range 30 {
			w.tick()
			d := Decide(&w.in, w.now)
			low, high := w.bounds()
			if p.On() && (d.Replicas < low || d.Replicas > high) {
				t.Fatalf("%d is out of %d to %d: %s", d.Replicas, low, high, d.Reason)
			}
			if d.Replicas > 5000 {
				return // an unchecked policy may want any number; this world would keep them all
			}
			w.apply(d)
		}
	})
}
