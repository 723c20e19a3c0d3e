package autoscaler

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"
)

// One scale-out is in flight at a time: also while its route is not even asked for yet, or failed and is to be tried
// again. A route that takes another's place is none.
func TestOneScaleOutInFlight(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name            string
		ready, starting int
		wanted, want    int
		says            string
	}{
		{"a route starts", 4, 1, 5, 5, "1 route starts already"},
		{"asked for, and not begun", 4, 0, 5, 5, "4 of its 5 routes are there"},
		{"a revision is rolled out", 4, 1, 4, 6, "4 -> 6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := stage(c.ready, target8())
			s.routes(c.starting, RouteStarting, noon.Add(-time.Second))
			s.Replicas = c.wanted
			s.tell(concurrency(), 46, 0, 2*time.Minute)
			d := Decide(&s.Input, noon)
			if d.Replicas != c.want || !strings.Contains(d.Reason, c.says) {
				t.Errorf("%d, %q", d.Replicas, d.Reason)
			}
		})
	}
}

// An engine that says what no metric comes to leaves a decision that can be written down.
func TestBeyondAllMeasure(t *testing.T) {
	t.Parallel()
	waiting := Metric{SourceEngine, "waiting"}
	r := step(waiting, GreaterThan, 4, 1)
	r.ID = "rul-s"
	s := stage(2, Policy{Min: 1, Max: 3, Rules: []Rule{r}})
	s.tell(waiting, math.MaxFloat64, 2, time.Minute)
	d := Decide(&s.Input, noon)
	if _, err := json.Marshal(d); err != nil || d.Replicas != 2 {
		t.Errorf("%d: %s, %v", d.Replicas, d.Reason, err)
	}
}

// What waited at zero is a heap: the first route is not followed by as many as would hold all of it, before it is known
// how fast it goes away.
func TestAHeapAtZeroStartsNoHerd(t *testing.T) {
	t.Parallel()
	p := target8()
	p.Min, p.Max = 0, 50
	s := stage(1, p)
	s.Known = noon.Add(-time.Hour)
	for second, told := range [][3]float64{{0, 0, 0}, {200, 200, 200}, {200, 200, 0}, {200, 192, 0}} {
		for i, m := range []Metric{concurrency(), queued(), arrivals()} {
			if s.series[m] == nil {
				s.series[m] = &Series{}
			}
			s.series[m].Add(Sample{At: noon.Add(time.Duration(second-3) * time.Second), Total: told[i]})
		}
	}
	s.Held = 192
	d := Decide(&s.Input, noon)
	if d.Replicas > 2 || !strings.Contains(d.Reason, "until it is known how long requests take") {
		t.Errorf("%d: %s", d.Replicas, d.Reason)
	}
	if d.Seen.Ready != 1 || d.Seen.Held != 192 || d.Seen.Low != 0 || d.Seen.High != 50 {
		t.Errorf("seen: %+v", d.Seen)
	}
}
