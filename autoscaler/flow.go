package autoscaler

import (
	"math"
	"time"
)

// The router's metrics that a target of concurrency is judged by beside its own.
func routerMetric(name string) Metric { return Metric{SourceRouter, name} }

// Metrics lists what Decide looks at for a policy: the metrics of its rules, and those that go with them. Each once.
func (p *Policy) Metrics() []Metric {
	var out []Metric
	add := func(m Metric) {
		for _, had := range out {
			if had == m {
				return
			}
		}
		out = append(out, m)
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Kind == KindSchedule {
			continue
		}
		add(r.Metric)
		if r.Kind == KindTarget && r.Metric == routerMetric("concurrency") {
			add(routerMetric("queued"))
			add(routerMetric("requests_per_second"))
		}
	}
	return out
}

// drainTime is in how long what waits is to be gone once new routes are there, where no load time is known.
const drainTime = 30 * time.Second

// leastEnded is from how many ended requests on it is known how long one takes.
const leastEnded = 8

// flow is how requests come and go while some wait. What waits is a heap, not a stream: as many routes as would hold it all
// would be far too many by the time that they are ready, so heap and stream are counted apart.
type flow struct {
	rate    float64 // requests that come, a second
	service float64 // seconds that one is in flight, without its waiting: by Little's law
	waiting float64 // requests that wait now
	each    float64 // requests that a ready route was seen to take at once
}

// flow looks at a window. ok is false where nobody waits, or too little is known.
func (j *judge) flow(window time.Duration, target float64) (f flow, ok bool) {
	if j.ready == 0 {
		return f, false
	}
	queued := j.series(routerMetric("queued"))
	last, had := queued.Last()
	if !had || j.now.Sub(last.At) > stale {
		return f, false
	}
	if of, _, _ := queued.Mean(j.now, j.known(max(window, DefaultStableWindow))); of.Total < 0.5 && last.Total < 1 {
		return f, false
	}
	arrivals, flying := j.series(routerMetric("requests_per_second")), j.series(routerMetric("concurrency"))
	rate, _, ok := arrivals.Mean(j.now, j.known(window))
	if !ok {
		return f, false
	}
	// How long a request takes changes slowly: all that is known tells it best.
	all := j.known(Depth)
	came, span, ok1 := arrivals.Mean(j.now, all)
	there, _, ok2 := flying.Mean(j.now, all)
	waited, _, ok3 := queued.Mean(j.now, all)
	newest, ok4 := flying.Last()
	oldest, ok5 := flying.First(j.now, all)
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 {
		return f, false
	}
	seconds := span.Seconds()
	ended := came.Total*seconds - (newest.Total - oldest.Total)
	working := (there.Total - waited.Total) * seconds
	if ended < leastEnded || working <= 0 {
		return f, false
	}
	f = flow{rate: rate.Total, service: working / ended, waiting: last.Total}
	f.each = max(target, (newest.Total-last.Total)/float64(j.ready))
	return f, true
}

// demand is what is asked for at once, as if nobody had to wait, and how many routes more it takes until nobody has to.
func (f flow) demand() float64 { return f.rate * f.service }

func (f flow) drain(j *judge) float64 {
	load, within := j.in.LoadTime, max(j.in.LoadTime, drainTime)
	for i := range j.in.Routes {
		if r := &j.in.Routes[i]; r.State == RouteStarting {
			load = min(load, max(j.in.LoadTime-j.now.Sub(r.Since), 0))
		}
	}
	growth := f.rate - float64(j.ready)*f.each/f.service
	heap := max(f.waiting+growth*load.Seconds(), 0)
	return heap * f.service / (f.each * within.Seconds() * tuneDrain)
}

var tuneDrain = 1.0

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

func ceil(v float64) int {
	v = math.Ceil(v - 1e-9)
	if !(v < most) {
		return most
	}
	return int(max(v, 0))
}

func (f flow) say(j *judge) string {
	return ", " + number(f.waiting) + " wait, " + number(f.rate) + "/s x " + number(f.service) + "s"
}
