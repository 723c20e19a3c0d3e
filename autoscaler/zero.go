package autoscaler

import (
	"fmt"
	"time"
)

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
