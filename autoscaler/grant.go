package autoscaler

import "time"

// up grants a wish for more.
func (j *judge) up(best *Wish, want int) {
	j.memory.Excess = time.Time{}
	why := best.Why + j.clamped(best.Want)
	switch {
	case j.in.Full != "":
		j.stay("wishes %d (%s), but the pool is full: %s", want, why, j.in.Full)
	case j.in.Replicas > 0 && j.ready == 0:
		j.stay("wishes %d (%s), but none of its %s is ready", want, why, routes(j.in.Replicas))
	case j.missing() > 0 && j.starting > 0 && !j.panics:
		j.stay("wishes %d (%s), but %s already", want, why, starts(j.starting))
	case j.missing() > 0 && !j.panics:
		j.stay("wishes %d (%s), but %d of its %s are there", want, why, j.in.Replicas-j.missing(), routes(j.in.Replicas))
	default:
		j.move(want, best.Rule, why)
		j.d.Panic = j.panics
	}
}

// missing is how many of the routes that are wanted have not come up: they start, or are about to, or starts fail and the
// next one is not due. A route that starts in another one's stead, as when a new revision is rolled out, is none of them.
func (j *judge) missing() int { return max(j.in.Replicas-j.ready-j.unhealthy, 0) }

// down grants a wish for fewer, slowly.
func (j *judge) down(best *Wish, want int) {
	r, delay := j.in.Replicas, j.p.ScaleDownDelay
	if delay <= 0 {
		delay = DefaultScaleDownDelay
	}
	why := best.Why + j.clamped(best.Want)
	if j.starting > 0 && !j.startedLong && j.in.Full == "" {
		j.memory.Excess = time.Time{}
		j.stay("wishes %d (%s), but %s", want, why, starts(j.starting))
		return
	}
	if j.memory.Excess.IsZero() {
		j.memory.Excess = j.now
	}
	if j.panics {
		j.stay("wishes %d (%s), but nothing goes in a panic", want, why)
		return
	}
	since := later(j.memory.Excess, j.memory.In)
	if left := delay - j.now.Sub(since); left > 0 {
		j.next(left)
		j.stay("wishes %d (%s), in %s if it stays so", want, why, span(left))
		return
	}
	if j.leaving > 0 {
		j.stay("wishes %d (%s), but a route still leaves", want, why)
		return
	}
	to := max(want, r-j.stepDown(best, r-want), j.low)
	if to == 0 {
		if left, busy := j.quiet(delay); left > 0 {
			j.stay("the last route stays: %s", busy)
			return
		}
	}
	j.move(to, best.Rule, why)
}

// stepDown is how many routes go in one step: as many as a step rule says; else half of what is too many, so that what a
// spike called is gone in a few steps and not in as many as there are routes.
func (j *judge) stepDown(best *Wish, excess int) int {
	for i := range j.p.Rules {
		if r := &j.p.Rules[i]; r.Kind == KindStep && r.key(i) == best.Rule {
			return max(r.StepSize, -r.StepSize, 1)
		}
	}
	return max(excess/2, 1)
}
