package autoscaler

import (
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// weighed is what somebody of the claimant's project is told.
func weighed(c Claimant, among []Candidate, now time.Time) Standoff {
	return weigh(c, among, now).told(c.Project)
}

// TestWeigh: who gives way, and why not.
func TestWeigh(t *testing.T) {
	t.Parallel()
	load := 30 * time.Second
	claimant := Claimant{ID: "chat", Service: "chat", Project: "lab", Why: "no device has 20 GiB free", Worth: Worth{PerMinute: 30, LoadTime: load, GiB: 10}}
	old := func(name string, edit func(*Candidate)) Candidate {
		c := Candidate{
			ID: name, Service: name, Project: "lab", Worth: Worth{PerMinute: 30, Replicas: 1, LoadTime: load, GiB: 10}, Frees: 1,
			NewestAt: noon.Add(-time.Hour), RequestAt: noon,
		}
		if edit != nil {
			edit(&c)
		}
		return c
	}
	for _, c := range []struct {
		name  string
		among []Candidate
		want  string
		says  string
	}{
		{"nobody there", nil, "", "chat waits (no device has 20 GiB free), worth 90 (30 requests a minute on 1 route, 30s to load, 10 GiB): nobody gives way"},
		{"worth as much", []Candidate{old("a", nil)}, "", "in use, and worth 90"},
		{"itself", []Candidate{old("chat", func(c *Candidate) { c.RequestAt = noon.Add(-time.Hour) })}, "", ""},
		{"of the same name in another project", []Candidate{
			old("a", nil),
			old("other", func(c *Candidate) { c.Service, c.Project, c.RequestAt = "chat", "shop", noon.Add(-time.Hour) }),
		}, "service 1 of another project", "service 1 of another project gives up 1 route for chat (no device has 20 GiB free), worth 90 (30 requests a minute on 1 route, 30s to load, 10 GiB): idle for 1h"},
		{"two of one name", []Candidate{
			old("other", func(c *Candidate) { c.Service, c.Project, c.Worth.PerMinute = "a", "shop", 14 }),
			old("a", func(c *Candidate) { c.RequestAt = noon.Add(-time.Hour) }),
		}, "a", "10 GiB): idle for 1h"},
		{"idle", []Candidate{old("a", func(c *Candidate) { c.RequestAt = noon.Add(-time.Minute) })}, "a", "idle for 1m"},
		{"not idle for its load", []Candidate{old("a", func(c *Candidate) {
			c.RequestAt, c.Worth.LoadTime = noon.Add(-time.Minute), time.Hour
			c.NewestAt = noon.Add(-9 * time.Hour)
		})}, "", "in use"},
		{"idle, but held", []Candidate{old("a", func(c *Candidate) { c.RequestAt, c.Held = noon.Add(-time.Hour), 1 })}, "", "in use"},
		{"worth less", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute = 14 })}, "a", "worth 42 (14 requests a minute on 1 route, 30s to load, 10 GiB), less than half"},
		{"worth half", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute = 15 })}, "", "half of the claimant's or more"},
		{"large and seldom used", []Candidate{old("a", func(c *Candidate) { c.Worth.GiB = 80 })}, "a", "less than half"},
		{"one of many routes", []Candidate{old("a", func(c *Candidate) { c.Worth.Replicas = 4 })}, "a", "less than half"},
		{"slow to load", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute, c.Worth.LoadTime = 14, 5*time.Minute })}, "", "in use"},
		{"young", []Candidate{old("a", func(c *Candidate) { c.RequestAt, c.NewestAt = time.Time{}, noon.Add(-59*time.Second) })}, "", "its newest route was ready 59s ago, and keeps its place for 1m"},
		{"starting", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute, c.Starting = 0, 1 })}, "", "1 route starts"},
		{"at its least", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute, c.Min = 0, 1 })}, "", "is to have at least 1"},
		{"no place", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute, c.Frees = 0, 0 })}, "", "its routes would not make place"},
		{"fixed", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute, c.Fixed = 0, "paused by anna" })}, "", "paused by anna"},
		{"higher priority", []Candidate{old("a", func(c *Candidate) { c.RequestAt, c.Priority = noon.Add(-time.Hour), 1 })}, "", "its priority is higher: 1 over 0"},
		{"lower priority", []Candidate{old("a", func(c *Candidate) { c.Worth.PerMinute, c.Priority = 900, -1 })}, "a", "its priority is lower: -1 under 0"},
		{"the idle one", []Candidate{
			old("a", func(c *Candidate) { c.Worth.PerMinute = 1 }),
			old("b", func(c *Candidate) { c.RequestAt = noon.Add(-time.Hour) }),
		}, "b", "idle for 1h"},
		{"the lowest first", []Candidate{
			old("a", func(c *Candidate) { c.RequestAt = noon.Add(-time.Hour) }),
			old("b", func(c *Candidate) { c.Priority = -1 }),
		}, "b", "priority is lower"},
		{"the least worth in all", []Candidate{
			old("a", func(c *Candidate) { c.Worth.PerMinute, c.Worth.Replicas, c.Frees = 8, 2, 2 }),
			old("b", func(c *Candidate) { c.Worth.PerMinute = 6 }),
		}, "b", "less than half"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out := weighed(claimant, c.among, noon)
			said := out.Reason
			for _, v := range out.Losers {
				said += "; " + v.Why
			}
			if out.Service != c.want || !strings.Contains(said, c.says) {
				t.Errorf("%q: %s", out.Service, said)
			}
		})
	}
}

// TestProjectsKeepTheirNames: who asks and who gives way are told of each other, and nothing of what is the other's.
func TestProjectsKeepTheirNames(t *testing.T) {
	t.Parallel()
	idle := Candidate{ID: "svc-2", Service: "whisper", Project: "shop", Worth: Worth{Replicas: 1}, Frees: 1, NewestAt: noon.Add(-time.Hour), RequestAt: noon.Add(-time.Hour)}
	still := Candidate{ID: "svc-3", Service: "secret", Project: "bank", Fixed: "paused by anna", Worth: Worth{Replicas: 1}}
	claim := Claimant{ID: "svc-1", Service: "chat", Project: "lab", Why: "fits when train has ended", Worth: Worth{PerMinute: 30, LoadTime: time.Minute, GiB: 10}}
	all := weigh(claim, []Candidate{idle, still}, noon)
	for project, want := range map[string]Standoff{
		"lab": {
			Claimant: "chat", Value: 180, ServiceID: "svc-2", Service: "service 2 of another project", Routes: 1,
			Reason: "service 2 of another project gives up 1 route for chat (fits when train has ended), worth 180 (30 requests a minute on 1 route, 1m to load, 10 GiB): idle for 1h",
			Losers: []Verdict{{Service: "service 1 of another project", Why: "paused"}, {Service: "service 2 of another project", Yields: true, Idle: true, Why: "idle for 1h"}},
		},
		"shop": {
			Claimant: "a service of another project", Value: 180, ServiceID: "svc-2", Service: "whisper", Routes: 1,
			Reason: "whisper gives up 1 route for a service of another project, worth 180 (30 requests a minute on 1 route, 1m to load, 10 GiB): idle for 1h",
			Losers: []Verdict{{Service: "service 1 of another project", Why: "paused"}, {Service: "whisper", Yields: true, Idle: true, Why: "idle for 1h"}},
		},
	} {
		if diff := cmp.Diff(want, all.told(project)); diff != "" {
			t.Errorf("%s:\n%s", project, diff)
		}
	}
}

// arena is one place that several models want. Each that has no place and a request claims it; what weigh says is done.
type arena struct {
	chance *rand.Rand
	now    time.Time
	load   time.Duration
	holder int
	since  time.Time // when the holder's route was ready
	rates  []float64 // mean of five minutes, a minute
	asked  []time.Time
	swaps  int
}

func (a *arena) play(models int, length time.Duration, demand func(model int, at time.Duration) float64) {
	a.now, a.rates, a.asked = noon, make([]float64, models), make([]time.Time, models)
	a.since = noon.Add(a.load)
	for at := time.Duration(0); at < length; at += time.Second {
		a.now = noon.Add(at)
		waits := make([]bool, models)
		for m := range models {
			came := 0.0
			for p := demand(m, at) / 60; p > 0; p-- {
				if a.chance.Float64() < p {
					came++
				}
			}
			if came > 0 {
				a.asked[m], waits[m] = a.now, true
			}
			a.rates[m] += (60*came - a.rates[m]) * (1 - math.Exp(-1.0/300))
		}
		for m := range models {
			if at%(5*time.Second) == 0 && m != a.holder && !a.asked[m].IsZero() && a.now.Sub(a.asked[m]) < time.Minute && !a.now.Before(a.since) {
				a.claim(m)
			}
		}
	}
}

// claim has a model ask for the place.
func (a *arena) claim(m int) {
	worth := func(m, replicas int) Worth {
		return Worth{PerMinute: a.rates[m], Replicas: replicas, LoadTime: a.load, GiB: 10}
	}
	out := weighed(Claimant{ID: strconv.Itoa(m), Service: strconv.Itoa(m), Worth: worth(m, 0)}, []Candidate{{
		ID: strconv.Itoa(a.holder), Service: strconv.Itoa(a.holder), Worth: worth(a.holder, 1), Frees: 1, NewestAt: a.since, RequestAt: a.asked[a.holder],
	}}, a.now)
	if out.Service == "" {
		return
	}
	a.holder, a.since = m, a.now.Add(a.load)
	a.swaps++
}

// TestNoTurns: models that want one place do not take turns evicting each other, whatever comes: a place is kept for its
// residency, and who is worth about the same does not get it.
func TestNoTurns(t *testing.T) {
	t.Parallel()
	const hours = 3 * time.Hour
	for _, c := range []struct {
		name   string
		demand func(model int, at time.Duration) float64
		most   func(models int, load time.Duration) int
	}{
		{"the same all the time", func(int, time.Duration) float64 { return 60 }, func(int, time.Duration) int { return 0 }},
		{"one after the other, each request", func(m int, at time.Duration) float64 {
			if int(at/(10*time.Second))%3 == m {
				return 60
			}
			return 0
		}, func(int, time.Duration) int { return 0 }},
		{"in turns of half a minute", func(m int, at time.Duration) float64 {
			if int(at/(30*time.Second))%2 == m%2 {
				return 120
			}
			return 0
		}, func(int, time.Duration) int { return 0 }},
		{"in turns of half an hour", func(m int, at time.Duration) float64 {
			if int(at/(30*time.Minute))%2 == m%2 {
				return 120
			}
			return 0
		}, func(models int, _ time.Duration) int { return 6 * (models - 1) }}, // once or twice a turn, as demand does
		{"one is worth far more", func(m int, _ time.Duration) float64 { return []float64{5, 300, 5}[m] }, func(int, time.Duration) int { return 1 }},
		{"seldom", func(int, time.Duration) float64 { return 0.2 }, func(_ int, load time.Duration) int {
			return int(hours / (max(leastResidency, 2*load) + load)) // no rule could keep an idle place for one of them
		}},
	} {
		for models := 2; models <= 3; models++ {
			for _, load := range []time.Duration{5 * time.Second, 90 * time.Second, 10 * time.Minute} {
				a := &arena{chance: rand.New(rand.NewPCG(7, uint64(models))), load: load}
				a.play(models, hours, c.demand)
				if most := c.most(models, load); a.swaps > most {
					t.Errorf("%s: %d models that load in %s: the place changed hands %d times in %s, more than %d", c.name, models, load, a.swaps, hours, most)
				}
			}
		}
	}
}

// TestPriority: whatever the numbers, nobody yields to one of lower priority, and the choice does not depend on the order.
func TestPriority(t *testing.T) {
	t.Parallel()
	chance := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		c := Claimant{ID: "x", Service: "x", Priority: chance.IntN(3), Worth: Worth{PerMinute: chance.Float64() * 100, LoadTime: time.Minute, GiB: 10}}
		var among []Candidate
		for i := range chance.IntN(6) {
			among = append(among, Candidate{
				ID: strconv.Itoa(i), Service: strconv.Itoa(i), Priority: chance.IntN(3), Frees: chance.IntN(3), Min: chance.IntN(2),
				Worth:    Worth{PerMinute: chance.Float64() * 100, Replicas: chance.IntN(4), LoadTime: time.Minute, GiB: 1 + 50*chance.Float64()},
				NewestAt: noon.Add(-time.Duration(chance.IntN(600)) * time.Second), RequestAt: noon.Add(-time.Duration(chance.IntN(600)) * time.Second),
			})
		}
		out := weighed(c, among, noon)
		for _, o := range among {
			if o.Service == out.Service && (o.Priority > c.Priority || o.Worth.Replicas-out.Routes < o.Min || out.Routes <= 0) {
				t.Fatalf("%+v gives way to %+v", o, c)
			}
		}
		chance.Shuffle(len(among), func(i, k int) { among[i], among[k] = among[k], among[i] })
		if again := weighed(c, among, noon); again.Service != out.Service || again.Reason != out.Reason {
			t.Fatalf("%s\n%s", out.Reason, again.Reason)
		}
	}
}
