package rehearse

import (
	"slices"
	"time"
)

// Result is what a rehearsal came to. Every request is Done, Refused, TimedOut or Unfinished.
type Result struct {
	Formula    string  `json:"formula"`
	Requests   int     `json:"requests"`
	Done       int     `json:"done"`
	Refused    int     `json:"refused"`    // max_held waited already
	TimedOut   int     `json:"timed_out"`  // waited for hold_timeout
	Unfinished int     `json:"unfinished"` // in flight a day after the trace
	Held       int     `json:"held"`       // that had to wait; some of them timed out
	MostHeld   int     `json:"most_held"`  // at a time
	Wait       Spread  `json:"wait"`       // until a route took the request, of all that came: who was sent away waited forever
	TTFT       Spread  `json:"ttft"`       // until the first token of its answer, likewise
	GPUHours   float64 `json:"gpu_hours"`  // from a route's start, its loading included, to its end
	Actions    int     `json:"actions"`    // that the number of routes was changed
	Loads      int     `json:"loads"`      // routes that became ready
	MostRoutes int     `json:"most_routes"`

	Steps  []Step   `json:"steps"`           // the first MostSteps changes
	Notes  []string `json:"notes,omitempty"` // what the rehearsal could not do as it would be
	Points []Point  `json:"points"`          // what happened over time
	Lives  []Life   `json:"-"`               // of the first MostSteps routes
}

// Spread is quantiles, in seconds; Never where requests that were sent away are among them.
type Spread struct {
	Mean Seconds `json:"mean"` // of those that were taken alone
	P50  Seconds `json:"p50"`
	P95  Seconds `json:"p95"`
	P99  Seconds `json:"p99"`
	Most Seconds `json:"max"`
}

// Step is one change of the number of routes.
type Step struct {
	At       Seconds `json:"at"`
	Was      int     `json:"was"`
	Replicas int     `json:"replicas"`
	Reason   string  `json:"reason"`
}

// Life is that of one route, which held a place from Placed to Ended.
type Life struct {
	Placed, Ready, Ended time.Duration
}

// MostSteps bounds what is kept of a rehearsal.
const MostSteps = 10_000

func (r *Result) log(s Step) {
	r.Actions++
	if len(r.Steps) < MostSteps {
		r.Steps = append(r.Steps, s)
	}
}

func (r *Result) life(x *route, now time.Duration) {
	r.GPUHours += (now - x.placed).Hours()
	if len(r.Lives) < MostSteps {
		r.Lives = append(r.Lives, Life{x.placed, x.readyAt, now})
	}
}

// finish reads off what is left.
func (x *player) finish() {
	r := x.result
	x.count()
	for _, left := range x.routes {
		if left.placed != never {
			r.life(left, x.now)
		}
	}
	r.GPUHours *= x.setup.GPUs
	r.Unfinished = x.flying + x.line.n
	r.Wait = spread(x.waits, r.Requests)
	r.TTFT = spread(x.firsts, r.Requests)
	r.Points = x.plot.points()
	slices.SortFunc(r.Lives, func(a, b Life) int { return int(min(max(a.Placed-b.Placed, -1), 1)) })
}

// spread sorts what was measured; those of all that were not are beyond the end.
func spread(measured []float32, all int) Spread {
	slices.Sort(measured)
	at := func(part float64) Seconds {
		if i := int(part * float64(all)); i < len(measured) {
			return Seconds(measured[i])
		}
		return Never
	}
	s := Spread{P50: at(0.50), P95: at(0.95), P99: at(0.99), Most: Never}
	sum := 0.0
	for _, v := range measured {
		sum += float64(v)
	}
	if n := len(measured); n > 0 {
		s.Mean = Seconds(sum / float64(n))
		if n == all {
			s.Most = Seconds(measured[n-1])
		}
	}
	return s
}
