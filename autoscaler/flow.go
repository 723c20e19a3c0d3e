package autoscaler

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// The router's metrics by which a target of concurrency tells what waits from what comes.
func concurrency() Metric { return Metric{SourceRouter, "concurrency"} }
func queued() Metric      { return Metric{SourceRouter, "queued"} }
func arrivals() Metric    { return Metric{SourceRouter, "requests_per_second"} }

// Metrics lists what Decide looks at for a policy: the metrics of its rules, and those of the router that go with them.
func (p *Policy) Metrics() []Metric {
	var out []Metric
	for i := range p.Rules {
		r := &p.Rules[i]
		switch {
		case r.Kind == KindSchedule:
			continue
		case r.Kind == KindTarget && r.Metric == concurrency():
			out = append(out, r.Metric, queued(), arrivals())
		default:
			out = append(out, r.Metric)
		}
	}
	slices.SortFunc(out, func(a, b Metric) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Name, b.Name))
	})
	return slices.Compact(out)
}

const (
	// drainLoads is in how many load times what waits is to be gone once new routes are there; drainTime where none is known.
	drainLoads = 2
	drainTime  = time.Minute
	// leastEnded is from how many ended requests on it is known how long one takes.
	leastEnded = 8
	// fewWait is how many may wait, in the mean of a window, before they are counted apart.
	fewWait = 0.5
)

// flow is how requests come and go while some of them wait. What waits is a heap and not a stream: as many routes as would
// hold all of it would be far too many by the time that they are ready. So the two are counted apart.
type flow struct {
	rate    float64 // requests that come, a second
	service float64 // seconds that one is in flight, its waiting left out: by Little's law
	waiting float64 // requests that wait now
	each    float64 // requests that a ready route was seen to take at once; its target at least
}

// flow looks at a window. ok is false where nobody waits, or where too little is known to tell.
func (j *judge) flow(a aim, window time.Duration) (f flow, ok bool) {
	if j.ready == 0 || a.Metric != concurrency() {
		return f, false
	}
	waits := j.series(queued())
	newestWaits, had := waits.Last()
	if !had || j.now.Sub(newestWaits.At) > stale {
		return f, false
	}
	if of, _, _ := waits.Mean(j.now, j.known(a.stable)); of.Total < fewWait && newestWaits.Total < 1 {
		return f, false
	}
	come, there := j.series(arrivals()), j.series(concurrency())
	rate, _, ok := come.Mean(j.now, j.known(window))
	if !ok {
		return f, false
	}
	// How long a request takes changes slowly: all that is known tells it best.
	all := j.known(Depth)
	came, spoken, ok1 := come.Mean(j.now, all)
	was, _, ok2 := there.Mean(j.now, all)
	waited, _, ok3 := waits.Mean(j.now, all)
	newest, ok4 := there.Last()
	oldest, ok5 := there.First(j.now, all)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return f, false
	}
	ended := came.Total*spoken.Seconds() - (newest.Total - oldest.Total)
	worked := (was.Total - waited.Total) * spoken.Seconds()
	if ended < leastEnded || worked <= 0 {
		return f, false
	}
	return flow{
		rate: rate.Total, service: worked / ended, waiting: newestWaits.Total,
		each: max(a.Target, (newest.Total-newestWaits.Total)/float64(j.ready)),
	}, true
}

// demand is what would be in flight if nobody had to wait.
func (f flow) demand() float64 { return f.rate * f.service }

// wish is as many routes as the stream needs, and those that take away in good time what will wait when they are ready.
func (f flow) wish(j *judge, a aim) int {
	left, within := j.in.LoadTime, drainLoads*j.in.LoadTime
	if within <= 0 {
		within = drainTime
	}
	for i := range j.in.Routes {
		if r := &j.in.Routes[i]; r.State == RouteStarting {
			left = min(left, max(j.in.LoadTime-j.now.Sub(r.Since), 0))
		}
	}
	grows := f.rate - float64(j.ready)*f.each/f.service
	heap := max(f.waiting+grows*left.Seconds(), 0)
	return max(ceil(f.demand()/a.Target+heap*f.service/(f.each*within.Seconds())), 1)
}

// sentence is " if none waited (6.7 a second, 8.1s each), 162 waiting".
func (f flow) sentence() string {
	return " if none waited (" + number(f.rate) + " a second, " + number(f.service) + "s each), " + number(f.waiting) + " waiting"
}

func (j *judge) series(m Metric) *Series {
	if j.in.Signals == nil {
		return nil
	}
	return j.in.Signals.Series(m)
}

// known is how much of a window is known.
func (j *judge) known(window time.Duration) time.Duration {
	if j.in.Known.IsZero() {
		return window
	}
	return min(window, j.now.Sub(j.in.Known))
}

// ceil rounds up what arithmetic wishes, from 0 to most.
func ceil(v float64) int {
	v = math.Ceil(v - 1e-9)
	if !(v < most) {
		return most
	}
	return int(max(v, 0))
}
