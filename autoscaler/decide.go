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
	j.forget()
	j.d.Memory = j.memory
	j.d.Seen = Seen{
		Ready: j.ready, Starting: j.starting, Unhealthy: j.unhealthy, Leaving: j.leaving, Held: in.Held,
		Low: j.low, High: j.high, LoadTime: in.LoadTime, Full: in.Full, Excess: j.memory.Excess,
	}
	return j.d
}

// judge is one decision while it is made.
type judge struct {
	in     *Input
	p      *Policy
	now    time.Time
	memory Memory
	d      Decision

	ready, unhealthy, starting, leaving int
	startedLong                         bool // of the starting ones, none can be expected any more
	low, high                           int
	panics                              bool // of any rule
	schedules                           int  // rules that are no reason but bounds
}

func (j *judge) decide() {
	j.count()
	j.low, j.high = j.p.Min, j.p.Max
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
			j.unhealthy++
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
		j.move(max(r-max(y.Routes, 1), j.low), "", fmt.Sprintf("yields to %s: %s", y.For, y.Reason))
		j.d.Rule = RuleYield
	}
	return true
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

func (j *judge) wish(w Wish) { j.d.Wishes = append(j.d.Wishes, w) }

// next asks to be looked at again after a time.
func (j *judge) next(after time.Duration) {
	if at := j.now.Add(after); j.d.Next.IsZero() || at.Before(j.d.Next) {
		j.d.Next = at
	}
}
