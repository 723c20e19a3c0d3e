package rehearse

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/autoscaler"
)

// target is a policy that keeps so many requests on each route.
func target(each float64) *autoscaler.Policy {
	p := &autoscaler.Policy{Min: 1, Max: 50, Rules: []autoscaler.Rule{{Kind: autoscaler.KindTarget, Metric: router("concurrency"), Target: each}}}
	p.Fill()
	return p
}

// fixed is a formula that never changes anything.
type fixed struct{}

func (fixed) name() string                   { return "fixed" }
func (fixed) every() time.Duration           { return tick }
func (fixed) wantsTimes() bool               { return true }
func (fixed) notes() []string                { return nil }
func (fixed) sample(*second)                 {}
func (fixed) decide(x *player) (int, string) { return x.replicas, "" }

func at(seconds float64, prompt, output int32) Request {
	return Request{At: time.Duration(seconds * float64(time.Second)), Prompt: prompt, Output: output}
}

// one is a setup where a token of an answer takes 0.1 s, and one of a prompt 10 ms.
func one(capacity int) Setup {
	return Setup{Capacity: capacity, TokensPerSecond: 10, PromptPerSecond: 100, GPUs: 1, Begin: 1, MaxHeld: 2, HoldTimeout: 5 * time.Second}
}

func TestTheModelOfARoute(t *testing.T) {
	shared := one(2)
	shared.Knee = 1
	for _, c := range []struct {
		name     string
		setup    Setup
		requests []Request
		wait     []float64 // of those that were taken, sorted
		ttft     []float64
		done     int
		refused  int
		timedOut int
	}{
		{"one: prompt, then answer", one(1), []Request{at(0, 100, 20)}, []float64{0}, []float64{1}, 1, 0, 0},
		{"the second waits for the first", one(1), []Request{at(0, 0, 20), at(0.5, 0, 10)}, []float64{0, 1.5}, []float64{0, 1.5}, 2, 0, 0},
		{"two at a time", one(2), []Request{at(0, 0, 20), at(0.5, 0, 10)}, []float64{0, 0}, []float64{0, 0}, 2, 0, 0},
		{"beyond the knee each goes at half the speed", shared, []Request{at(0, 100, 10), at(0, 100, 10)}, []float64{0, 0}, []float64{2, 2}, 2, 0, 0},
		{"who comes later is slower from then on", shared, []Request{at(0, 100, 100), at(1, 100, 10)}, []float64{0, 0}, []float64{1, 2}, 2, 0, 0},
		{"in order, no more than max_held, no longer than hold_timeout", one(1),
			[]Request{at(0, 0, 59), at(1, 0, 10), at(1.5, 0, 10), at(1.6, 0, 1)}, []float64{0, 4.9}, []float64{0, 4.9}, 2, 1, 1},
		{"of whom nothing is known takes what the others do", one(1), []Request{at(0, 100, 10), at(0, 0, 0), at(0.5, 200, 20)}, []float64{0, 2, 4.5}, []float64{1, 3.5, 6.5}, 3, 0, 0},
		{"nothing is nothing", one(1), []Request{at(0, 0, 0), at(0, 0, 0)}, []float64{0, 0}, []float64{0, 0}, 2, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := &autoscaler.Policy{Min: 1, Max: 1}
			x := playerOf(t, &Trace{Name: "t", Start: Monday(), Requests: c.requests}, p, c.setup, fixed{})
			if err := x.play(t.Context()); err != nil {
				t.Fatal(err)
			}
			waits, firsts := x.waits, x.firsts
			x.finish()
			near(t, "wait", waits, c.wait)
			near(t, "first token", firsts, c.ttft)
			if r := x.result; r.Done != c.done || r.Refused != c.refused || r.TimedOut != c.timedOut {
				t.Errorf("done %d, refused %d, timed out %d", r.Done, r.Refused, r.TimedOut)
			}
		})
	}
}

func playerOf(t *testing.T, tr *Trace, p *autoscaler.Policy, s Setup, f formula) *player {
	t.Helper()
	x, err := newPlayer(tr, p, s, f)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func near(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i, v := range got {
		if math.Abs(float64(v)-want[i]) > 1e-5 {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

// TestLaws plays traces, setups and policies that chance makes.
func TestLaws(t *testing.T) {
	chance := rand.New(rand.NewPCG(7, 7))
	for i := range 60 {
		kind := Kinds()[chance.IntN(4)]
		tr, err := Generate(Recipe{Kind: kind, Requests: 1 + chance.IntN(1500), Length: time.Duration(1+chance.IntN(15)) * time.Minute, Seed: uint64(i)})
		if err != nil {
			t.Fatal(err)
		}
		s := DefaultSetup()
		s.Capacity, s.LoadTime, s.LoadSpread = chance.IntN(20), time.Duration(chance.IntN(200))*time.Second, chance.Float64()
		s.Knee = max(1, chance.IntN(20))
		s.Pool, s.Begin, s.MaxHeld = chance.IntN(6), chance.IntN(4), chance.IntN(100)
		s.HoldTimeout, s.Seed, s.GPUs = time.Duration(chance.IntN(100))*time.Second, uint64(i), 2
		p := target(0.5 + 10*chance.Float64())
		p.Min, p.Max = chance.IntN(2), 1+chance.IntN(12)
		p.ScaleDownDelay = time.Duration(2+chance.IntN(200)) * time.Second
		if chance.IntN(2) == 0 {
			p.IdleAfter = time.Duration(10+chance.IntN(300)) * time.Second
		}
		for _, f := range []func() formula{
			func() formula { return newOurs(p, tr.Start) }, func() formula { return newKPA(p, 4) }, func() formula { return newHPA(p, 4) },
		} {
			a, err := play(t.Context(), tr, p, s, f())
			if err != nil {
				t.Fatal(err)
			}
			// Every request comes to exactly one end.
			if a.Done+a.Refused+a.TimedOut+a.Unfinished != a.Requests || a.Unfinished != 0 {
				t.Fatalf("%d: %s: of %d requests %d done, %d refused, %d timed out, %d unfinished", i, a.Formula, a.Requests, a.Done, a.Refused, a.TimedOut, a.Unfinished)
			}
			// What it cost is what the routes lived.
			hours := 0.0
			for _, l := range a.Lives {
				if l.Ended < l.Placed {
					t.Fatalf("%d: a route ended before it began: %v", i, l)
				}
				hours += 2 * (l.Ended - l.Placed).Hours()
			}
			if math.Abs(hours-a.GPUHours) > 1e-6 {
				t.Fatalf("%d: %v GPU-hours, the routes lived %v", i, a.GPUHours, hours)
			}
			// Never more at a time than there is place for, nor outside the bounds.
			if s.Pool > 0 && most(a.Lives) > s.Pool {
				t.Fatalf("%d: %d routes at a time in a pool of %d", i, most(a.Lives), s.Pool)
			}
			for _, step := range a.Steps {
				if step.Replicas > p.Max || step.Replicas < p.Min {
					t.Fatalf("%d: %s: %+v, bounds %d to %d", i, a.Formula, step, p.Min, p.Max)
				}
			}
			// The same again is the same.
			b, err := play(t.Context(), tr, p, s, f())
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(a, b) {
				t.Fatalf("%d: not the same twice:\n%s", i, cmp.Diff(a, b))
			}
		}
	}
}

// most is how many routes there were at a time. One that takes a place at the moment at which another leaves it comes after.
func most(lives []Life) (n int) {
	for _, at := range lives {
		alive := 0
		for _, l := range lives {
			if l.Placed <= at.Placed && at.Placed < l.Ended {
				alive++
			}
		}
		n = max(n, alive)
	}
	return n
}

func TestFromZero(t *testing.T) {
	p := target(4)
	p.Min, p.IdleAfter = 0, time.Minute
	s := DefaultSetup()
	s.Begin, s.LoadTime, s.HoldTimeout = 0, 20*time.Second, time.Minute
	tr := &Trace{Name: "t", Start: Monday(), Requests: []Request{at(100, 10, 10), at(100.5, 10, 10), at(400, 10, 10)}}
	r, err := Run(t.Context(), tr, p, s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Done != 3 || r.Held != 3 || r.Loads != 2 || r.Wait.Most != 20 {
		t.Errorf("done %d, held %d, loads %d, longest wait %v: each of two starts is waited for", r.Done, r.Held, r.Loads, r.Wait.Most)
	}
	if r.Steps[0].At != 100 || r.Steps[0].Replicas != 1 || r.Steps[1].Replicas != 0 {
		t.Errorf("steps %+v", r.Steps)
	}
}

func TestWhatIsNotKnownIsSaid(t *testing.T) {
	p := &autoscaler.Policy{Min: 1, Max: 4, Rules: []autoscaler.Rule{{
		Kind: autoscaler.KindStep, Metric: autoscaler.Metric{Source: autoscaler.SourceKernel, Name: "cuda_util"},
		Comparator: autoscaler.GreaterThan, Threshold: new(80.0), StepSize: 1,
	}}}
	p.Fill()
	r, err := Run(t.Context(), &Trace{Name: "t", Start: Monday(), Requests: []Request{at(0, 1, 1)}}, p, DefaultSetup())
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"kernel:cuda_util is not known in a rehearsal: the rule that looks at it is silent"}; !reflect.DeepEqual(r.Notes, want) {
		t.Errorf("notes %q", r.Notes)
	}
}

func TestSetupSaysAllThatIsWrong(t *testing.T) {
	s := DefaultSetup()
	s.Capacity, s.TokensPerSecond, s.LoadTime, s.LoadSpread = -1, math.NaN(), -time.Second, 2
	_, err := Run(t.Context(), &Trace{Requests: []Request{{}}}, target(1), s)
	for _, field := range []string{"route_capacity -1", "tokens_per_second NaN", "load_time -1s", "load_spread 2"} {
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%v does not say %s", err, field)
		}
	}
}

// BenchmarkDay is a day of a million requests, by rules with a target, a step and a schedule.
func BenchmarkDay(b *testing.B) {
	tr, err := Generate(Recipe{Kind: Diurnal, Requests: 1_000_000, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	p := target(6)
	p.Rules = append(p.Rules,
		autoscaler.Rule{Kind: autoscaler.KindStep, Metric: router("ttft_p95"), Comparator: autoscaler.GreaterThan, Threshold: new(5.0), StepSize: 1},
		autoscaler.Rule{Kind: autoscaler.KindSchedule, Start: "0 8 * * 1-5", End: "0 18 * * 1-5", Zone: "Asia/Seoul", MinReplicas: new(2)})
	p.Fill()
	b.ReportAllocs()
	for b.Loop() {
		r, err := Run(b.Context(), tr, p, DefaultSetup())
		if err != nil {
			b.Fatal(err)
		}
		if r.Done == 0 {
			b.Fatal("nothing was done")
		}
	}
}
