package autoscaler

import "time"

const (
	// spareDown is how much of a route's target must be to spare after a route goes. Without a margin chance alone would
	// let a route go that has to be loaded again a minute later.
	spareDown = 0.4
	// leastGrowth is by what part demand must have grown in each of two windows to be expected to go on growing.
	leastGrowth = 0.1
)

// aim is a rule of KindTarget with what was not said filled in, while it wishes.
type aim struct {
	*Rule
	key           string
	stable, short time.Duration
	panicAt       float64
}

func (r *Rule) aim(key string) aim {
	a := aim{r, key, r.StableWindow, r.PanicWindow, r.PanicAt}
	if a.stable <= 0 {
		a.stable = DefaultStableWindow
	}
	if a.short <= 0 {
		a.short = DefaultPanicWindow
	}
	if !(a.panicAt > 1) {
		a.panicAt = DefaultPanicAt
	}
	return a
}

// targetWish is as many routes as keep a metric of each at a target. In order:
//
//  1. Demand is the mean of the stable window, and what it will have grown by when a route that starts now is ready.
//     Where requests wait, it is the stream of those that come, and what waits is counted apart: see flow.
//  2. Where the short window has more than PanicAt times what the ready routes are to carry, it is a panic: its wish
//     counts at once, and nothing goes until a stable window after that was last so.
//  3. Fewer than there are only where those that stay would have something to spare, and where at least half of the
//     stable window is known.
func (j *judge) targetWish(r *Rule, w *Wish) {
	a := r.aim(w.Rule)
	mean, covered, ok := j.mean(r.Metric, a.stable, w)
	switch {
	case !ok:
		return
	case !(r.Target > 0) && r.Auto:
		w.Silent, w.Why = true, "it was not measured yet how many one route takes: palisade calibrate"
		return
	case !(r.Target > 0):
		w.Silent, w.Why = true, "it has no target"
		return
	case j.in.Replicas == 0 && j.in.Held == 0 && r.Metric.Source == SourceRouter:
		// What the window still holds was answered before the service went to zero.
		w.Want, w.Why = 0, "nothing is held"
		return
	}
	// 1. Demand.
	demand := j.demand(r.Metric, mean)
	each := demand / float64(max(j.ready, 1))
	w.Value = &each
	more, says := j.growth(a, demand)
	w.Want, w.Why = j.fitting(demand+more, r), a.sentence(demand, says)
	spare := j.fitting(demand+more+spareDown*r.Target, r)
	f, waits := j.flow(a, a.stable)
	if waits {
		w.Want, w.Why = f.wish(j, a), a.sentence(f.demand(), f.sentence())
		spare = w.Want
	} else {
		w.Want, w.Why = j.careful(a, w.Want, w.Why)
	}
	// 2. Panic.
	if now, _, seen := j.mean(r.Metric, a.short, &Wish{}); seen {
		j.panicWish(a, w, j.demand(r.Metric, now))
	}
	// 3. Fewer.
	if n := j.in.Replicas; w.Want < n {
		if least := min(a.stable/2, a.stable-speaks); covered < least {
			w.Silent, w.Want = true, n
			w.Why += ", but known for " + span(covered) + " only"
		} else if spare > w.Want {
			w.Want = min(spare, n)
			w.Why += ", " + number(spareDown) + " of a route to spare"
		}
	}
	w.Want = r.bound(w.Want)
}

// sentence is "37 in flight, target 8 per route".
func (a aim) sentence(demand float64, more string) string {
	return number(demand) + " " + phrase(a.Metric) + more + ", target " + number(a.Target) + " per route"
}

// demand is what all routes together are asked for.
func (j *judge) demand(m Metric, v Sample) float64 {
	if v.Of == 0 && totals(m) {
		return v.Total
	}
	return v.Each() * float64(j.ready)
}

// fitting is how many routes carry a demand. One that there is stays for what may come: IdleAfter takes the last.
func (j *judge) fitting(demand float64, r *Rule) int {
	return max(ceil(demand/r.Target), min(j.in.Replicas, 1))
}

// growth is by how much demand will be more when a route that starts now is ready. It is expected to go on growing where it
// did in each of two windows, and then as in the one with less, but to no more than double.
func (j *judge) growth(a aim, demand float64) (more float64, says string) {
	load := j.in.LoadTime
	if load <= 0 || !totals(a.Metric) || demand <= 0 || j.known(Depth) < 3*a.stable {
		return 0, ""
	}
	s := j.series(a.Metric)
	before, _, ok1 := s.Mean(j.now.Add(-a.stable), a.stable)
	first, _, ok2 := s.Mean(j.now.Add(-2*a.stable), a.stable)
	if !ok1 || !ok2 {
		return 0, ""
	}
	middle := j.demand(a.Metric, before)
	rise := min(demand-middle, middle-j.demand(a.Metric, first))
	if rise < leastGrowth*demand {
		return 0, ""
	}
	more = min(rise*load.Seconds()/a.stable.Seconds(), demand)
	return more, " and " + number(more) + " more in " + span(load)
}

// panicWish looks at the short window.
func (j *judge) panicWish(a aim, w *Wish, demand float64) {
	p, on := j.memory.Panics[a.key]
	if on && j.now.After(p.Until) {
		j.memory.Panics = without(j.memory.Panics, a.key)
		p, on = Panic{}, false
	}
	if j.ready > 0 && demand >= a.panicAt*float64(j.ready)*a.Target {
		if !on {
			p, on = Panic{Since: j.now}, true
		}
		// The longer it lasts, the more is known of how much comes: not the highest of many short looks counts.
		wish, why := j.fitting(demand, a.Rule), a.sentence(demand, "")
		if f, ok := j.flow(a, min(j.now.Sub(p.Since)+a.short, a.stable)); ok {
			wish, why = f.wish(j, a), a.sentence(f.demand(), f.sentence())
		} else {
			wish, why = j.careful(a, wish, why)
		}
		if wish >= w.Want {
			w.Want, w.Why = wish, why
		}
		p.Until, p.Most = j.now.Add(a.stable), max(p.Most, wish)
		j.memory.Panics = with(j.memory.Panics, a.key, p)
	}
	if on {
		j.panics = true
		w.Why += ", panic since " + p.Since.Format(time.TimeOnly)
	}
}

// careful bounds a wish where requests wait and too few have ended to tell how long one takes, as just after a start from
// zero: a heap that one route may take away in seconds is no reason to start twenty.
func (j *judge) careful(a aim, wish int, why string) (int, string) {
	most := max(2*j.ready, j.in.Replicas)
	if waits, had := j.series(queued()).Last(); a.Metric != concurrency() || !had || waits.Total < 1 || wish <= most {
		return wish, why
	}
	return most, why + ", no more than twice the ready ones until it is known how long requests take"
}
