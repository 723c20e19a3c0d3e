package autoscaler

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// world is a service that does what Decide says: routes start, become ready, leave. Its load is made up by chance.
type world struct {
	chance *rand.Rand
	policy *Policy
	series map[Metric]*Series
	in     Input
	now    time.Time
	load   time.Duration
	made   int
	mute   bool // no signal tells anything
	still  bool // the load stays as it is
	flight float64
}

func (w *world) Series(m Metric) *Series { return w.series[m] }

var begin = time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)

func newWorld(seed uint64, p *Policy) *world {
	w := &world{chance: rand.New(rand.NewPCG(seed, 1)), policy: p, series: map[Metric]*Series{}, now: begin}
	w.load = time.Duration(w.chance.IntN(120)) * time.Second
	w.in = Input{Policy: p, Signals: w, Known: begin, Replicas: w.chance.IntN(4)}
	for range w.in.Replicas {
		w.start()
		w.in.Routes[len(w.in.Routes)-1].State = RouteReady
		w.in.Routes[len(w.in.Routes)-1].ReadyAt = begin
	}
	return w
}

func (w *world) start() {
	w.made++
	w.in.Routes = append(w.in.Routes, Route{ID: "r" + strconv.Itoa(w.made), State: RouteStarting, Since: w.now})
}

// tick lets two seconds pass: load changes, routes go on.
func (w *world) tick() {
	w.now = w.now.Add(2 * time.Second)
	live := w.in.Routes[:0]
	for _, r := range w.in.Routes {
		switch {
		case r.State == RouteStarting && w.now.Sub(r.Since) >= w.load:
			r.State, r.Since, r.ReadyAt = RouteReady, w.now, w.now
		case r.State == RouteLeaving && w.now.Sub(r.Since) >= 6*time.Second:
			continue
		}
		live = append(live, r)
	}
	w.in.Routes = live
	switch at := w.chance.IntN(60); {
	case w.still:
	case at == 0:
		w.flight = 0
	case at == 1:
		w.flight = float64(w.chance.IntN(100))
	case at == 2:
		w.flight *= 2
	}
	w.flight = min(w.flight, 1000)
	w.in.Held = 0
	if w.in.Replicas == 0 {
		w.in.Held = int(w.flight)
	}
	if w.flight > 0 {
		w.in.Busy = w.now
	}
	if !w.mute {
		for i := range w.policy.Rules {
			m := w.policy.Rules[i].Metric
			if w.series[m] == nil {
				w.series[m] = &Series{}
			}
			w.series[m].Add(Sample{At: w.now, Total: w.flight})
		}
	}
}

// apply does what a decision says.
func (w *world) apply(d Decision) {
	w.in.Memory = d.Memory
	for n := w.in.Replicas; n < d.Replicas; n++ {
		w.start()
	}
	for n := w.in.Replicas; n > d.Replicas; n-- {
		for i := len(w.in.Routes) - 1; i >= 0; i-- {
			if w.in.Routes[i].State != RouteLeaving {
				w.in.Routes[i].State, w.in.Routes[i].Since = RouteLeaving, w.now
				break
			}
		}
	}
	w.in.Replicas = d.Replicas
}

func (w *world) count(s RouteState) (n int) {
	for _, r := range w.in.Routes {
		if r.State == s {
			n++
		}
	}
	return n
}

func pick[T any](c *rand.Rand, of ...T) T { return of[c.IntN(len(of))] }

// chancePolicy is a good policy made up by chance.
func chancePolicy(t *testing.T, seed uint64) *Policy {
	t.Helper()
	for c := rand.New(rand.NewPCG(seed, 2)); ; {
		p := Policy{Min: c.IntN(3), Max: 1 + c.IntN(12), ScaleDownDelay: pick(c, 4*time.Second, 30*time.Second, 2*time.Minute)}
		if p.Min == 0 && c.IntN(2) == 0 {
			p.IdleAfter = pick(c, 10*time.Second, time.Minute, 5*time.Minute)
		}
		for i := range c.IntN(4) {
			m := Metric{SourceRouter, pick(c, "concurrency", "queued", "requests_per_second", "ttft_p95", "kv")}
			if m.Name == "kv" {
				m = Metric{SourceEngine, "kv_cache_usage_perc"}
			}
			r := Rule{ID: fmt.Sprintf("rul-%d", i), Kind: pick(c, KindStep, KindTarget, KindSchedule)}
			switch r.Kind {
			case KindStep:
				r.Metric, r.StepSize, r.Cooldown = m, 1+c.IntN(3), pick(c, 2*time.Second, time.Minute)
				r.MinThreshold, r.MaxThreshold = new(float64(c.IntN(4))), new(float64(4+c.IntN(20)))
			case KindTarget:
				r.Metric, r.Target = m, 1+float64(c.IntN(100))/10
			case KindSchedule:
				r.Start, r.End = fmt.Sprintf("%d 12 * * *", c.IntN(60)), fmt.Sprintf("%d 12 * * *", c.IntN(60))
				low := c.IntN(4)
				r.MinReplicas, r.MaxReplicas = &low, new(low+c.IntN(8))
			}
			p.Rules = append(p.Rules, r)
		}
		p.Fill()
		if p.Check() == nil && p.On() {
			return &p
		}
	}
}

const worlds, ticks = 60, 600

// TestLaws plays services of all sorts for half an hour each, and holds every decision against what must always hold.
func TestLaws(t *testing.T) {
	t.Parallel()
	for seed := range uint64(worlds) {
		p := chancePolicy(t, seed)
		w := newWorld(seed, p)
		lastDown := time.Time{}
		for tick := range ticks {
			w.tick()
			if w.chance.IntN(300) == 0 {
				w.in.Full = pick(w.chance, "", "no device is free")
			}
			look, before := tick%20 == 0, ""
			if look {
				before = kept(t, &w.in)
			}
			d := Decide(&w.in, w.now)
			if again := Decide(&w.in, w.now); !reflect.DeepEqual(d, again) {
				t.Fatalf("world %d, tick %d: the same input decided differently:\n%+v\n%+v", seed, tick, d, again)
			}
			if look && before != kept(t, &w.in) {
				t.Fatalf("world %d, tick %d: the input was changed:\n%s\n%s", seed, tick, before, kept(t, &w.in))
			}
			w.lawful(t, fmt.Sprintf("world %d, tick %d", seed, tick), d, &lastDown)
			w.apply(d)
		}
	}
}

// lawful holds one decision against the laws.
func (w *world) lawful(t *testing.T, at string, d Decision, lastDown *time.Time) {
	t.Helper()
	low, high := w.bounds()
	if d.Replicas < low || d.Replicas > high {
		t.Fatalf("%s: %d is out of %d to %d: %s", at, d.Replicas, low, high, d.Reason)
	}
	owner := d.Rule == RuleBounds
	if d.Replicas > d.Was && !owner && !d.Panic && w.count(RouteStarting) > 0 {
		t.Fatalf("%s: up while a route starts: %s", at, d.Reason)
	}
	if d.Replicas > d.Was && !owner && d.Was > 0 && w.in.Full != "" {
		t.Fatalf("%s: up in a full pool: %s", at, d.Reason)
	}
	if d.Replicas < d.Was && !owner && d.Rule != RuleIdle {
		if !lastDown.IsZero() && w.now.Sub(*lastDown) < w.policy.ScaleDownDelay {
			t.Fatalf("%s: down again after %s: %s", at, w.now.Sub(*lastDown), d.Reason)
		}
		*lastDown = w.now
		if w.count(RouteStarting) > 0 && w.in.Full == "" {
			t.Fatalf("%s: down while a route starts: %s", at, d.Reason)
		}
		if d.Replicas == 0 && w.in.Busy.Equal(w.now) {
			t.Fatalf("%s: the last route goes while it is in use: %s", at, d.Reason)
		}
	}
	if d.Replicas != d.Was && d.Rule == "" {
		t.Fatalf("%s: moved by nobody: %s", at, d.Reason)
	}
	if d.Reason == "" || len(d.Wishes) < len(w.policy.Rules) {
		t.Fatalf("%s: not explained: %+v", at, d)
	}
}

// bounds are those that hold now, worked out without a memory.
func (w *world) bounds() (low, high int) {
	j := judge{in: &Input{Policy: w.policy}, p: w.policy, now: w.now}
	j.bounds()
	return j.low, j.high
}

// kept is all of an input, to see whether it changed.
func kept(t *testing.T, in *Input) string {
	t.Helper()
	out, err := json.Marshal(struct {
		Policy *Policy
		Routes []Route
		Memory Memory
		Rest   [5]any
	}{in.Policy, in.Routes, in.Memory, [5]any{in.Replicas, in.Held, in.Busy, in.Known, in.Full}})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// TestNoData: without a signal only the owner's bounds, requests that wait and idleness move the number.
func TestNoData(t *testing.T) {
	t.Parallel()
	for seed := range uint64(worlds) {
		p := chancePolicy(t, seed)
		w := newWorld(seed, p)
		w.mute = true
		for tick := range ticks {
			w.tick()
			d := Decide(&w.in, w.now)
			switch d.Rule {
			case "", RuleBounds, RuleHeld, RuleIdle:
			default:
				t.Fatalf("world %d, tick %d: moved without data: %s", seed, tick, d.Reason)
			}
			w.apply(d)
		}
	}
}

// TestFixedPoint: a service whose load stays the same comes to a number that stays the same.
func TestFixedPoint(t *testing.T) {
	t.Parallel()
	for seed := range uint64(worlds) {
		p := chancePolicy(t, seed)
		for i := range p.Rules {
			if p.Rules[i].Kind == KindStep || p.Rules[i].Metric.Name == "ttft_p95" {
				p = nil // a step may always lead from one side of its thresholds to the other: that is its owner's choice
				break
			}
			if p.Rules[i].Kind == KindSchedule {
				p.Rules[i].Start, p.Rules[i].End = "0 0 1 1 *", "0 0 2 1 *"
			}
		}
		if p == nil {
			continue
		}
		w := newWorld(seed, p)
		w.flight, w.still = pick(w.chance, 0.0, 0, 3, 17), true
		moved := 0
		for tick := range 4 * ticks {
			w.tick()
			d := Decide(&w.in, w.now)
			if d.Replicas != d.Was && tick > 2*ticks {
				if moved++; moved > 1 {
					t.Fatalf("world %d, tick %d: still moves: %s, %+v", seed, tick, d.Reason, d.Wishes)
				}
			}
			w.apply(d)
		}
	}
}

// TestClockBack: a decision for an earlier moment changes nothing, and the next ones go on.
func TestClockBack(t *testing.T) {
	t.Parallel()
	for seed := range uint64(worlds) {
		p := chancePolicy(t, seed)
		w := newWorld(seed, p)
		for range ticks {
			w.tick()
			if w.chance.IntN(10) == 0 && !w.in.Memory.Last.IsZero() {
				d := Decide(&w.in, w.in.Memory.Last.Add(-time.Duration(1+w.chance.Int64N(int64(400*24*time.Hour)))))
				if d.Replicas != w.in.Replicas || d.Rule != "" {
					t.Fatalf("world %d: %s", seed, d.Reason)
				}
				if w.chance.IntN(2) == 0 {
					w.in.Memory = d.Memory
				}
			}
			w.apply(Decide(&w.in, w.now))
		}
	}
}

// TestClockStays: one that went back for good, by a year, does not stop a service from being scaled.
func TestClockStays(t *testing.T) {
	t.Parallel()
	p := &Policy{Min: 1, Max: 8, Rules: []Rule{{ID: "a", Kind: KindTarget, Metric: Metric{SourceRouter, "concurrency"}, Target: 4}}}
	p.Fill()
	w := newWorld(1, p)
	w.load = 0
	for range 100 {
		w.tick()
		w.flight = 3
		w.apply(Decide(&w.in, w.now))
	}
	w.now = w.now.AddDate(-1, 0, 0)
	w.in.Known = w.now
	for range 100 {
		w.tick()
		w.flight = 30
		w.apply(Decide(&w.in, w.now))
	}
	if w.in.Replicas != 8 {
		t.Fatalf("%d routes", w.in.Replicas)
	}
}
