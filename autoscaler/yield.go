package autoscaler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

const (
	// leastResidency is for how long a route keeps its place at least, however soon it loads.
	leastResidency = time.Minute
	// yieldMargin is how much less a service in use must be worth than who wants its place. Of two that are worth about the
	// same the one that is there stays: swapping them would cost a load and change nothing.
	yieldMargin = 0.5
)

// Worth is what a route's place is worth to a service: the requests a minute that it would have to load a model for
// again, times the seconds that takes, per GiB that is held for it.
type Worth struct {
	PerMinute float64       // requests that came of late, a minute, refused ones too: the mean of some minutes
	Replicas  int           // routes that share them; of a service at zero the one that it wants counts
	LoadTime  time.Duration // of one route; 0: not known, and counted as 30 s
	GiB       float64       // memory of devices that one route holds; 0: not known, and counted as 1
}

// unknownLoad is what a load that was never measured is taken for.
const unknownLoad = 30 * time.Second

// Value is a route's worth, in request seconds a minute and GiB.
func (w Worth) Value() float64 {
	return max(w.PerMinute, 0) / float64(max(w.Replicas, 1)) * w.loads().Seconds() / w.gib()
}

func (w Worth) loads() time.Duration {
	if w.LoadTime <= 0 {
		return unknownLoad
	}
	return w.LoadTime
}

func (w Worth) gib() float64 {
	if w.GiB > 0 {
		return w.GiB
	}
	return 1
}

// String has every number of the value.
func (w Worth) String() string {
	return fmt.Sprintf("%s (%s requests a minute on %s, %s to load, %s GiB)",
		number(w.Value()), number(w.PerMinute), routes(max(w.Replicas, 1)), span(w.loads()), number(w.gib()))
}

// residency is for how long a route keeps its place.
func (w Worth) residency() time.Duration { return max(leastResidency, 2*w.LoadTime) }

// Claimant is a service one of whose routes waits for a place.
type Claimant struct {
	ID       string
	Service  string // its name, which is its own within its project alone
	Project  string
	Priority int
	Why      string // why its route waits, as the pool says it
	Worth    Worth
}

// Candidate is a service that may give up routes for it.
type Candidate struct {
	ID        string
	Service   string // its name
	Project   string
	Priority  int
	Worth     Worth  // Replicas: those it has
	Min       int    // never fewer, by its bounds now
	Frees     int    // so many of its routes have to go to make place; 0: all of them would not
	Fixed     string // why its number is not the autoscaler's to change: "paused by USER", "it has no autoscaling"; "" it is
	Starting  int
	Leaving   int
	InFlight  int
	Held      int
	NewestAt  time.Time // when its newest route became ready
	RequestAt time.Time // when a request was last there; zero: not known
}

// Standoff is who gives way to a claimant, and how each candidate was judged, as people of one project may know it: services
// of others have no names, for a project that one has no part in is not there.
type Standoff struct {
	Claimant  string    `json:"claimant"`
	Value     float64   `json:"value"`                // of the claimant
	ServiceID string    `json:"service_id,omitempty"` // who gives way; "" nobody
	Service   string    `json:"service,omitempty"`    // as it is called among the losers
	Routes    int       `json:"routes,omitempty"`     // how many routes it gives up
	Reason    string    `json:"reason"`               // one sentence
	Losers    []Verdict `json:"losers"`               // every candidate, in the order of the names
}

// Verdict is how a candidate was judged.
type Verdict struct {
	Service string  `json:"service"`
	Value   float64 `json:"value"`
	Yields  bool    `json:"yields,omitempty"` // it would give way; of those that would, Standoff.Service does
	Idle    bool    `json:"idle,omitempty"`   // without a request for its residency
	Why     string  `json:"why"`              // one sentence
}

// contest is a claim with all candidates, judged.
type contest struct {
	claimant Claimant
	judged   []judged // by name
	best     *judged  // who gives way; nil: nobody
}

type judged struct {
	*Candidate
	verdict Verdict
}

// weigh says who of the candidates gives way to a claimant, if any. In order:
//
//  1. Who cannot: its number is fixed, it would make no place, or it would have fewer routes than it must.
//  2. Who will not: its priority is higher; a route starts or leaves; its newest route has not had its residency, which is
//     a minute or twice its load, whichever is more.
//  3. An idle one, without a request for as long as that, gives way; one of lower priority too. One that is in use gives
//     way only where its routes are worth less than half of what the claimant's is.
//  4. Of several: the lowest priority, then the idle ones, then the least worth in all, then the name.
//
// Residency bounds how often a place changes hands at all; the margin keeps two that are worth about the same from taking
// turns. Requests that wait do not count: they grow on whichever side has lost, and would turn the scales each time.
func weigh(c Claimant, among []Candidate, now time.Time) *contest {
	out := &contest{claimant: c}
	for i := range among {
		if o := &among[i]; o.ID != c.ID {
			out.judged = append(out.judged, judged{o, judgeCandidate(&c, o, now)})
		}
	}
	slices.SortFunc(out.judged, func(a, b judged) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), cmp.Compare(a.Project, b.Project), cmp.Compare(a.ID, b.ID))
	})
	for i := range out.judged {
		if o := &out.judged[i]; o.verdict.Yields && (out.best == nil || o.before(out.best)) {
			out.best = o
		}
	}
	return out
}

// someoneElses is who a service of another project is.
const someoneElses = "a service of another project"

// told is the contest for people of a project, the claimant's or that of who gives way. What keeps the claimant waiting is its
// own project's to know, too.
func (c *contest) told(project string) Standoff {
	claimant, waits := c.claimant.Service, " ("+c.claimant.Why+")"
	if c.claimant.Project != project {
		claimant, waits = someoneElses, ""
	}
	out := Standoff{Claimant: claimant, Value: c.claimant.Worth.Value()}
	others := 0
	for i := range c.judged {
		o := &c.judged[i]
		v := o.verdict
		if o.Project != project {
			others++
			v.Service = fmt.Sprintf("service %d of another project", others)
			if o.Fixed != "" && o.Fixed != noAutoscaling { // by whom
				v.Why = "paused"
			}
		}
		out.Losers = append(out.Losers, v)
		if o == c.best {
			out.ServiceID, out.Service, out.Routes = o.ID, v.Service, o.Frees
			out.Reason = fmt.Sprintf("%s gives up %s for %s%s, worth %s: %s", v.Service, routes(o.Frees), claimant, waits, c.claimant.Worth, v.Why)
		}
	}
	if c.best == nil {
		out.Reason = fmt.Sprintf("%s waits%s, worth %s: nobody gives way", claimant, waits, c.claimant.Worth)
	}
	return out
}

func judgeCandidate(c *Claimant, o *Candidate, now time.Time) Verdict {
	value := o.Worth.Value()
	v := Verdict{Service: o.Service, Value: value}
	stays := o.Worth.residency()
	ready, quiet := now.Sub(o.NewestAt), now.Sub(o.RequestAt)
	// 1. Who cannot.
	switch {
	case o.Fixed != "":
		v.Why = o.Fixed
	case o.Frees <= 0 || o.Frees > o.Worth.Replicas:
		v.Why = "its routes would not make place"
	case o.Worth.Replicas-o.Frees < o.Min:
		v.Why = fmt.Sprintf("it has %s, is to have at least %d, and %d would have to go", routes(o.Worth.Replicas), o.Min, o.Frees)
	// 2. Who will not.
	case o.Priority > c.Priority:
		v.Why = "its priority is higher: " + strconv.Itoa(o.Priority) + " over " + strconv.Itoa(c.Priority)
	case o.Starting > 0:
		v.Why = starts(o.Starting)
	case o.Leaving > 0:
		v.Why = "a route of it leaves already"
	case o.NewestAt.IsZero() || ready < stays:
		v.Why = fmt.Sprintf("its newest route was ready %s ago, and keeps its place for %s", span(max(ready, 0)), span(stays))
	// 3. Who does.
	case o.InFlight == 0 && o.Held == 0 && !o.RequestAt.IsZero() && quiet >= stays:
		v.Yields, v.Idle, v.Why = true, true, "idle for "+span(quiet)
	case o.Priority < c.Priority:
		v.Yields, v.Why = true, "its priority is lower: "+strconv.Itoa(o.Priority)+" under "+strconv.Itoa(c.Priority)
	case value < yieldMargin*c.Worth.Value():
		v.Yields, v.Why = true, "worth "+o.Worth.String()+", less than half"
	default:
		v.Why = "in use, and worth " + o.Worth.String() + ", half of the claimant's or more"
	}
	return v
}

// before orders those that would give way.
func (o *judged) before(other *judged) bool {
	if o.Priority != other.Priority {
		return o.Priority < other.Priority
	}
	if o.verdict.Idle != other.verdict.Idle {
		return o.verdict.Idle
	}
	a, b := o.Worth.Value()*float64(o.Frees), other.Worth.Value()*float64(other.Frees)
	return a < b // of two that are worth the same the first by name
}
