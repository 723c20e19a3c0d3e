package autoscaler

import (
	"fmt"
	"time"
)

// Names of what wishes without being a rule of the owner's.
const (
	RuleHeld   = "held"   // requests wait at zero
	RuleIdle   = "idle"   // nobody has asked for IdleAfter
	RuleBounds = "bounds" // the least and most that the owner wants
	RuleYield  = "yield"  // a service that is worth more takes the place
)

// longStart is for how long a start keeps others from going, unless it is known to take longer.
const longStart = 10 * time.Minute

// Decide says how many routes a service should have now, and why. It is a function of its arguments, and changes
// nothing of them:
//
//  1. A clock that went back changes nothing; what is remembered of a time to come is forgotten.
//  2. Where the policy scales nothing, or a person's number stands, it stays.
//  3. The bounds are the policy's, or those of the windows that are open. Nothing leaves them, and a number outside them
//     is brought back at once.
//  4. Every rule wishes, or says why it does not: no data is no wish.
//  5. Yield: one route less for a service that is worth more, never below the bounds.
//  6. Zero: the first request that waits starts one route, whatever else is wished. Without a request for IdleAfter all
//     routes go.
//  7. The highest wish wins. Where nobody wishes, the number stays.
//  8. Up at once, but one scale-out at a time unless in panic, and not while the pool has no place.
//  9. Down one step, after there have been too many for ScaleDownDelay without a break, and again after as long; never
//     while a route starts or leaves, or in panic. A step is half of what is too many, at least one route.
func Decide(in *Input, now time.Time) Decision {
	j := judge{in: in, p: in.Policy, now: now, memory: in.Memory}
	j.d = Decision{At: now, Was: in.Replicas, Replicas: in.Replicas}
	j.decide()
	j.d.Memory = j.memory
	return j.d
}

// judge is one decision while it is made.
type judge struct {
	in     *Input
	p      *Policy
	now    time.Time
	memory Memory
	d      Decision

	ready, starting, leaving int
	startedLong              bool // of the starting ones, none can be expected any more
	low, high                int
	panics                   bool // of any rule
	schedules                int  // rules that are no reason but bounds
}

func (j *judge) decide() {
	// 1. The clock.
	if now := j.now; now.Before(j.memory.Last) {
		j.stay("the clock went back %s: nothing changes", span(j.memory.Last.Sub(now)))
		j.rewind()
		return
	}
	j.memory.Last = j.now
	// 2. Off, or a person's.
	switch {
	case j.in.PausedBy != "":
		j.stay("paused by %s: edit the rules, or resume, to go on", j.in.PausedBy)
		j.memory.Excess = time.Time{}
		return
	case !j.p.On():
		j.stay("no rule scales it")
		j.memory.Excess = time.Time{}
		return
	}
	j.count()
	// 3. Bounds.
	j.bounds()
	if r := j.in.Replicas; r < j.low || r > j.high {
		j.outside()
		return
	}
	// 4. Wishes.
	j.wishes()
	// 5. Yield.
	if j.yields() {
		return
	}
	// 6. Zero.
	if j.wakes() || j.idles() {
		return
	}
	// 7. The highest wish.
	best, others := j.best()
	if best == nil {
		j.memory.Excess = time.Time{}
		j.stay("%s", others)
		return
	}
	want := min(max(best.Want, j.low), j.high)
	switch r := j.in.Replicas; {
	case want > r:
		j.up(best, want)
	case want < r:
		j.down(best, want)
	default:
		j.memory.Excess = time.Time{}
		j.stay("%s%s", best.Why, j.clamped(best.Want))
	}
}

// stay leaves the number as it is.
func (j *judge) stay(format string, args ...any) {
	j.d.Reason = fmt.Sprintf("%d: ", j.d.Replicas) + fmt.Sprintf(format, args...)
}

// move changes the number.
func (j *judge) move(to int, rule, why string) {
	j.d.Replicas, j.d.Rule = to, rule
	j.d.Reason = fmt.Sprintf("%d -> %d: %s", j.d.Was, to, why)
	if to > j.d.Was {
		j.memory.Out, j.memory.Excess = j.now, time.Time{}
	} else {
		j.memory.In = j.now
	}
	if rule != "" {
		j.memory.Fired = with(j.memory.Fired, rule, j.now)
	}
}

// rewind makes the memory one of a clock that shows now.
func (j *judge) rewind() {
	m := &j.memory
	m.Last, m.Excess = j.now, time.Time{}
	m.Out, m.In = earlier(m.Out, j.now), earlier(m.In, j.now)
	for rule, at := range j.in.Memory.Fired {
		if at.After(j.now) {
			m.Fired = with(m.Fired, rule, j.now)
		}
	}
	for rule, p := range j.in.Memory.Panics {
		if p.Since.After(j.now) {
			m.Panics = without(m.Panics, rule)
		}
	}
}

// count sorts the routes by state.
func (j *judge) count() {
	patience := max(longStart, 3*j.in.LoadTime)
	newest := time.Time{}
	for i := range j.in.Routes {
		switch r := &j.in.Routes[i]; r.State {
		case RouteReady:
			j.ready++
		case RouteStarting:
			j.starting++
			newest = later(newest, r.Since)
		case RouteLeaving:
			j.leaving++
		case RouteUnhealthy:
		}
	}
	j.startedLong = j.starting > 0 && j.now.Sub(newest) > patience
}

// bounds finds the least and most that the owner wants now.
func (j *judge) bounds() {
	low, high, haveLow, haveHigh := j.p.Min, j.p.Max, false, false
	for i := range j.p.Rules {
		r := &j.p.Rules[i]
		if r.Kind != KindSchedule {
			continue
		}
		j.schedules++
		key := r.key(i)
		w, fresh := window(r, j.memory.Windows[key], j.now)
		if fresh {
			j.memory.Windows = with(j.memory.Windows, key, w)
		}
		if !w.Until.IsZero() && (j.d.Next.IsZero() || w.Until.Before(j.d.Next)) {
			j.d.Next = w.Until
		}
		if !w.Open {
			continue
		}
		if r.MinReplicas != nil && (!haveLow || *r.MinReplicas > low) {
			low, haveLow = *r.MinReplicas, true
		}
		if r.MaxReplicas != nil && (!haveHigh || *r.MaxReplicas > high) {
			high, haveHigh = *r.MaxReplicas, true
		}
	}
	j.high = max(high, 0)
	j.low = min(max(low, 0), j.high)
}

// outside brings a number back into the bounds: that is the owner's word, and waits for nothing.
func (j *judge) outside() {
	j.wishes()
	j.memory.Excess = time.Time{}
	to := min(max(j.in.Replicas, j.low), j.high)
	why := fmt.Sprintf("at least %d", j.low)
	if to < j.in.Replicas {
		why = fmt.Sprintf("at most %d", j.high)
	}
	j.move(to, "", why+j.windowName())
	j.d.Rule = RuleBounds
}

// yields gives one route to a service that is worth more.
func (j *judge) yields() bool {
	y := j.in.Yields
	if y == nil {
		return false
	}
	switch r := j.in.Replicas; {
	case r <= j.low:
		j.stay("%s asks for a place, but there are to be at least %d", y.For, j.low)
	case j.leaving > 0:
		j.stay("%s asks for a place: a route leaves already", y.For)
	default:
		j.memory.Excess = time.Time{}
		j.move(r-1, "", fmt.Sprintf("yields to %s: %s", y.For, y.Reason))
		j.d.Rule = RuleYield
	}
	return true
}

// wakes starts the first route for those that wait. reports whether that settles it.
func (j *judge) wakes() bool {
	r := j.in.Replicas
	if r > 0 || j.in.Held <= 0 {
		return false
	}
	why := requests(j.in.Held) + " held"
	if j.high == 0 {
		j.wish(Wish{Rule: RuleHeld, Name: RuleHeld, Want: 0, Why: why + ", but there are to be at most 0 routes" + j.windowName()})
		j.stay("%s, but there are to be at most 0 routes%s", why, j.windowName())
		return true
	}
	j.wish(Wish{Rule: RuleHeld, Name: RuleHeld, Want: 1, Why: why})
	j.move(1, "", why)
	j.d.Rule = RuleHeld
	return true
}

// idles sends all routes away where nobody has asked for long enough. reports whether that settles it.
func (j *judge) idles() bool {
	r, after := j.in.Replicas, j.p.IdleAfter
	if after <= 0 || r == 0 {
		return false
	}
	if j.low > 0 {
		j.wish(Wish{Rule: RuleIdle, Name: RuleIdle, Want: j.low, Silent: true, Why: fmt.Sprintf("there are to be at least %d", j.low)})
		return false
	}
	left, why := j.quiet(after)
	if left > 0 {
		j.wish(Wish{Rule: RuleIdle, Name: RuleIdle, Want: r, Silent: true, Why: why})
		j.next(left)
		return false
	}
	for i := range j.d.Wishes {
		if w := &j.d.Wishes[i]; !w.Silent && w.Want > r {
			j.wish(Wish{Rule: RuleIdle, Name: RuleIdle, Want: r, Silent: true, Why: "another rule wishes more routes"})
			return false
		}
	}
	j.wish(Wish{Rule: RuleIdle, Name: RuleIdle, Want: 0, Why: why})
	j.memory.Excess = time.Time{}
	j.move(0, "", why)
	j.d.Rule = RuleIdle
	return true
}

// quiet tells for how long it must still be quiet until it has been for a time, and why.
func (j *judge) quiet(after time.Duration) (left time.Duration, why string) {
	switch busy := j.in.Busy; {
	case busy.IsZero():
		return after, "it is not known when the last request was there"
	case j.in.Held > 0:
		return after, requests(j.in.Held) + " held"
	case j.starting > 0 && !j.startedLong:
		return after, "a route starts"
	case j.leaving > 0:
		return after, "a route leaves"
	case j.in.Known.IsZero() || j.now.Sub(j.in.Known) < after:
		return after - max(j.now.Sub(j.in.Known), 0), "requests are counted for less than " + span(after)
	case j.now.Sub(busy) < after:
		return after - max(j.now.Sub(busy), 0), fmt.Sprintf("a request was there %s ago, idle after %s", span(max(j.now.Sub(busy), 0)), span(after))
	}
	for i := range j.in.Routes {
		r := &j.in.Routes[i]
		if r.State != RouteReady && r.State != RouteUnhealthy {
			continue
		}
		if r.InFlight > 0 {
			return after, requests(r.InFlight) + " in flight"
		}
		if age := j.now.Sub(r.ReadyAt); age < after {
			return after - max(age, 0), fmt.Sprintf("a route has been ready for %s only", span(max(age, 0)))
		}
	}
	return 0, "no request for " + span(j.now.Sub(j.in.Busy))
}

// best is the highest wish; nil with what they said where nobody wishes.
func (j *judge) best() (best *Wish, others string) {
	for i := range j.d.Wishes {
		w := &j.d.Wishes[i]
		if !w.Silent && (best == nil || w.Want > best.Want) {
			best = w
		}
	}
	if best != nil {
		return best, ""
	}
	for i := range j.d.Wishes {
		w := &j.d.Wishes[i]
		if others != "" {
			others += "; "
		}
		others += w.Name + ": " + w.Why
	}
	if others == "" {
		others = "nothing wishes another number"
	}
	return nil, others
}

// up grants a wish for more.
func (j *judge) up(best *Wish, want int) {
	j.memory.Excess = time.Time{}
	why := best.Why + j.clamped(best.Want)
	switch {
	case j.in.Full != "":
		j.stay("wishes %d (%s), but the pool is full: %s", want, why, j.in.Full)
	case j.in.Replicas > 0 && j.ready == 0:
		j.stay("wishes %d (%s), but none of its %s is ready", want, why, routes(j.in.Replicas))
	case j.starting > 0 && !j.panics:
		j.stay("wishes %d (%s), but %s already", want, why, starts(j.starting))
	default:
		j.move(want, best.Rule, why)
		j.d.Panic = j.panics
	}
}

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

func (j *judge) wish(w Wish) { j.d.Wishes = append(j.d.Wishes, w) }

// next asks to be looked at again after a time.
func (j *judge) next(after time.Duration) {
	if at := j.now.Add(after); j.d.Next.IsZero() || at.Before(j.d.Next) {
		j.d.Next = at
	}
}
