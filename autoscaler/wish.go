package autoscaler

import (
	"strconv"
	"time"
)

// sampleSpan is over how long a step rule's value is the mean of the samples, so that one odd sample fires nothing.
const sampleSpan = 10 * time.Second

// most bounds what arithmetic may wish before it is clamped.
const most = 1 << 20

// key is what memory knows a rule by: its id, or its place where it has none, as in a file that is rehearsed.
func (r *Rule) key(i int) string {
	if r.ID != "" {
		return r.ID
	}
	return "#" + strconv.Itoa(i+1)
}

// Title is what people call a rule: its name, else its metric or its window.
func (r *Rule) Title() string {
	switch {
	case r.Name != "":
		return r.Name
	case r.Kind == KindSchedule:
		return "window " + r.Start + " to " + r.End
	}
	return r.Metric.String()
}

// wishes asks every rule.
func (j *judge) wishes() {
	j.d.Wishes = make([]Wish, 0, len(j.p.Rules)+2)
	for i := range j.p.Rules {
		r := &j.p.Rules[i]
		w := Wish{Rule: r.key(i), Name: r.Title(), Want: j.in.Replicas}
		switch r.Kind {
		case KindStep:
			j.stepWish(r, &w)
		case KindTarget:
			j.targetWish(r, &w)
		case KindSchedule:
			j.scheduleWish(r, &w)
		default:
			w.Silent, w.Why = true, "unknown kind of rule"
		}
		j.wish(w)
	}
	if j.schedules > 0 && j.schedules == len(j.p.Rules) {
		// Windows alone are a plan: outside of them it is the policy's least that is wanted. A service that goes to zero when
		// idle keeps one until then.
		want := j.low
		if j.p.IdleAfter > 0 && j.in.Replicas > 0 {
			want = max(want, 1)
		}
		j.wish(Wish{Rule: RuleBounds, Name: RuleBounds, Want: want, Why: "at least " + strconv.Itoa(want) + j.windowName()})
	}
}

// scheduleWish says how a window stands: it sets bounds and wishes nothing.
func (j *judge) scheduleWish(r *Rule, w *Wish) {
	win := j.memory.Windows[w.Rule]
	w.Silent = true
	switch {
	case win.Open && win.Until.IsZero():
		w.Why = "open: " + boundsOf(r)
	case win.Open:
		w.Why = "open until " + clock(win.Until, j.now) + ": " + boundsOf(r)
	case win.Until.IsZero():
		w.Why = "closed"
	default:
		w.Why = "closed until " + clock(win.Until, j.now)
	}
}

// windowName says which windows the bounds come from: ", by NAME until 18:00"; "" where none is open.
func (j *judge) windowName() string {
	if j.schedules == 0 {
		return ""
	}
	for i := range j.p.Rules {
		r := &j.p.Rules[i]
		if win := j.memory.Windows[r.key(i)]; r.Kind == KindSchedule && win.Open {
			if win.Until.IsZero() {
				return ", by " + r.Title()
			}
			return ", by " + r.Title() + " until " + clock(win.Until, j.now)
		}
	}
	return ""
}

// stepWish is Backend.AI's rule: a step where a metric crosses a threshold.
func (j *judge) stepWish(r *Rule, w *Wish) {
	value, ok := j.value(r.Metric, sampleSpan, w)
	if !ok {
		return
	}
	step, why := r.step(value)
	if step == 0 {
		// Its number is right as it is, which is a wish too: another rule's wish for fewer may be too few for it only where it
		// would fire up, and then it does.
		w.Silent, w.Why = true, why
		return
	}
	w.Why = why
	if left := j.cooling(r, w.Rule); left != "" {
		w.Silent, w.Why = true, why+", but "+left
		return
	}
	w.Want = r.bound(j.in.Replicas + min(max(step, -most), most))
	if (step > 0 && w.Want <= j.in.Replicas) || (step < 0 && w.Want >= j.in.Replicas) {
		w.Silent, w.Want, w.Why = true, j.in.Replicas, why+", but "+boundsOf(r)
	}
}

// step is by how many routes a value asks to change, and the sentence.
func (r *Rule) step(value float64) (step int, why string) {
	v := number(value) + " " + phrase(r.Metric)
	if r.Comparator == "" {
		size := max(r.StepSize, -r.StepSize)
		switch {
		case r.MaxThreshold != nil && value > *r.MaxThreshold:
			return size, v + " per route is over " + number(*r.MaxThreshold)
		case r.MinThreshold != nil && value < *r.MinThreshold:
			return -size, v + " per route is under " + number(*r.MinThreshold)
		case r.MinThreshold != nil && r.MaxThreshold != nil:
			return 0, v + " per route is from " + number(*r.MinThreshold) + " to " + number(*r.MaxThreshold)
		}
		return 0, v + " per route is within the threshold"
	}
	if r.Threshold == nil {
		return 0, "it has no threshold"
	}
	t := *r.Threshold
	var fires bool
	var sign string
	switch r.Comparator {
	case LessThan:
		fires, sign = value < t, "<"
	case LessThanOrEqual:
		fires, sign = value <= t, "<="
	case GreaterThan:
		fires, sign = value > t, ">"
	case GreaterThanOrEqual:
		fires, sign = value >= t, ">="
	default:
		return 0, "unknown comparator"
	}
	if !fires {
		return 0, v + " per route is not " + sign + " " + number(t)
	}
	return r.StepSize, v + " per route " + sign + " " + number(t)
}

// cooling says why a rule that fired does not fire again yet; "" where it may. What it asked for must be ready first.
func (j *judge) cooling(r *Rule, key string) string {
	fired, ok := j.memory.Fired[key]
	if !ok {
		return ""
	}
	from := fired
	for i := range j.in.Routes {
		switch route := &j.in.Routes[i]; route.State {
		case RouteStarting:
			if j.in.Full == "" && !j.startedLong {
				return "what it asked for is not ready yet"
			}
		case RouteReady:
			from = later(from, route.ReadyAt)
		case RouteUnhealthy, RouteLeaving:
		}
	}
	if left := r.Cooldown - j.now.Sub(from); left > 0 {
		j.next(left)
		return "it cools down for " + span(left)
	}
	return ""
}

// bound clamps a wish to a rule's own bounds.
func (r *Rule) bound(n int) int {
	if r.MinReplicas != nil {
		n = max(n, *r.MinReplicas)
	}
	if r.MaxReplicas != nil {
		n = min(n, *r.MaxReplicas)
	}
	return min(max(n, 0), most)
}

// value is a metric's mean per route; ok is false, with the wish told so, where it told nothing.
func (j *judge) value(m Metric, window time.Duration, w *Wish) (float64, bool) {
	mean, _, ok := j.mean(m, window, w)
	if !ok {
		return 0, false
	}
	v := mean.Each()
	if mean.Of == 0 && m.Source != SourcePrometheus && totals(m) {
		v /= float64(max(j.ready, 1))
	}
	w.Value = &v
	return v, true
}

// mean is a metric's mean over a window, of the time that is known. Where the window holds none but the newest sample is not
// old, it is that one.
func (j *judge) mean(m Metric, window time.Duration, w *Wish) (mean Sample, covered time.Duration, ok bool) {
	s := j.series(m)
	window = j.known(window)
	if mean, covered, ok = s.Mean(j.now, window); ok {
		return mean, covered, true
	}
	last, had := s.Last()
	switch age := j.now.Sub(last.At); {
	case !had:
		w.Why = "no data"
	case last.At.Before(j.in.Known):
		w.Why = "no data since the start"
	case age < 0:
		w.Why = "no data: the newest is of a time to come"
	case age <= stale:
		return last, 0, true
	default:
		w.Why = "no data for " + span(age)
	}
	w.Silent = true
	return Sample{}, 0, false
}
