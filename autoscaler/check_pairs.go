package autoscaler

import (
	"fmt"
	"math"
	"time"
)

// checkPairs finds rules that contradict each other, and names both.
func (p *Policy) checkPairs(found *Problems) {
	schedules := make([]*schedule, len(p.Rules))
	for i := range p.Rules {
		if p.Rules[i].Kind == KindSchedule {
			schedules[i], _ = readSchedule(&p.Rules[i]) // it was read before: see Rule.check
		}
	}
	for i := range p.Rules {
		for k := range i {
			a, b := &p.Rules[k], &p.Rules[i]
			switch {
			case schedules[i] != nil && schedules[k] != nil:
				windowsContradict(found, place(i), [2]*Rule{a, b}, [2]*schedule{schedules[k], schedules[i]})
			case a.Metric != b.Metric || a.Kind == KindSchedule || b.Kind == KindSchedule:
			case a.Kind == KindTarget && b.Kind == KindTarget:
				if (a.Target != b.Target || a.Auto != b.Auto) && same(a.MinReplicas, b.MinReplicas) && same(a.MaxReplicas, b.MaxReplicas) {
					found.add(place(i)+".target", "keep one of them, or give each bounds of its own", "%s wants %s at %s per route, and %s wants it at %s: the higher never counts",
						a.called(k), a.Metric, a.targetWord(), b.called(i), b.targetWord())
				}
			case a.Auto || b.Auto: // where it lies is not known yet
			default:
				stepsContradict(found, place(i), [2]*Rule{a, b}, [2]string{a.called(k), b.called(i)})
			}
		}
	}
}

// targetWord is a target as people write it.
func (r *Rule) targetWord() string {
	if r.Auto {
		return "auto"
	}
	return number(r.Target)
}

// called is how a problem names a rule.
func (r *Rule) called(i int) string {
	if r.Name != "" {
		return fmt.Sprintf("%q", r.Name)
	}
	if r.ID != "" {
		return r.ID
	}
	return place(i)
}

func same(a, b *int) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// stretch is a stretch of values in which a rule wants more routes, or fewer. Ends that are Inf are open.
type stretch struct {
	from, to         float64
	withFrom, withTo bool
	up               bool
}

// stretches are where a rule fires.
func (r *Rule) stretches() []stretch {
	inf := math.Inf(1)
	if r.Kind == KindTarget {
		return []stretch{{r.Target, inf, false, false, true}, {-inf, r.Target, false, false, false}}
	}
	var out []stretch
	if r.MaxThreshold != nil {
		out = append(out, stretch{*r.MaxThreshold, inf, false, false, true})
	}
	if r.MinThreshold != nil {
		out = append(out, stretch{-inf, *r.MinThreshold, false, false, false})
	}
	if r.Threshold == nil {
		return out
	}
	up := r.StepSize > 0
	switch t := *r.Threshold; r.Comparator {
	case LessThan:
		out = append(out, stretch{-inf, t, false, false, up})
	case LessThanOrEqual:
		out = append(out, stretch{-inf, t, false, true, up})
	case GreaterThan:
		out = append(out, stretch{t, inf, false, false, up})
	case GreaterThanOrEqual:
		out = append(out, stretch{t, inf, true, false, up})
	}
	return out
}

// common is what two stretches have in common; false: nothing.
func (s stretch) common(o stretch) (string, bool) {
	if o.from > s.from || o.from == s.from && !o.withFrom {
		s.from, s.withFrom = o.from, o.withFrom
	}
	if o.to < s.to || o.to == s.to && !o.withTo {
		s.to, s.withTo = o.to, o.withTo
	}
	switch {
	case s.from > s.to, s.from == s.to && !(s.withFrom && s.withTo):
		return "", false
	case s.from == s.to:
		return "at " + number(s.from), true
	case math.IsInf(s.from, -1) && math.IsInf(s.to, 1):
		return "always", true
	case math.IsInf(s.from, -1):
		return "under " + number(s.to), true
	case math.IsInf(s.to, 1):
		return "over " + number(s.from), true
	}
	return "between " + number(s.from) + " and " + number(s.to), true
}

// stepsContradict finds values at which one rule wants more routes and the other fewer.
func stepsContradict(found *Problems, at string, rules [2]*Rule, names [2]string) {
	if rules[0].Metric.Source == SourcePrometheus && rules[0].Kind != rules[1].Kind {
		return // a step looks at the query's figure, a target at a route's part of it
	}
	for _, a := range rules[0].stretches() {
		for _, b := range rules[1].stretches() {
			where, overlap := a.common(b)
			if a.up == b.up || !overlap {
				continue
			}
			more, fewer := names[0], names[1]
			if b.up {
				more, fewer = fewer, more
			}
			found.add(at+".threshold", "move a threshold, so that the two do not overlap, or remove one of them",
				"contradicts another rule: with %s %s, %s wants more routes and %s fewer", rules[0].Metric, where, more, fewer)
			return
		}
	}
}

// How far windows are held against each other: as many starts of each, and as many years. What comes by the day or the
// week has shown all that it does by then.
const (
	startsTried = 400
	yearsTried  = 5
)

// windowsContradict finds a moment at which both windows are open and one wants more routes than the other lets be.
func windowsContradict(found *Problems, at string, rules [2]*Rule, schedules [2]*schedule) {
	for n := range 2 {
		low, high := rules[n], rules[1-n]
		if low.MinReplicas == nil || high.MaxReplicas == nil || *low.MinReplicas <= *high.MaxReplicas {
			continue
		}
		if when, both := overlap(schedules[0], schedules[1]); both {
			found.add(at+".start", "move a window, or change its bounds", "contradicts another rule: at %s both %s (at least %d) and %s (at most %d) are open",
				when.Format("2006-01-02 15:04 MST"), quoted(low), *low.MinReplicas, quoted(high), *high.MaxReplicas)
		}
		return
	}
}

func quoted(r *Rule) string { return fmt.Sprintf("%q", r.Title()) }

// overlap is the first moment found at which both are open: windows that have one in common have one at which one starts.
func overlap(a, b *schedule) (time.Time, bool) {
	begin := reference()
	end := begin.AddDate(yearsTried, 0, 0)
	for _, pair := range [2][2]*schedule{{a, b}, {b, a}} {
		t, other := begin, Window{Until: begin}
		for range startsTried {
			if t = pair[0].start.Next(t); t.IsZero() || t.After(end) {
				break
			}
			if !t.Before(other.Until) { // a rare window is far to look for: once is enough
				if other = pair[1].at(t, ""); other.Until.IsZero() {
					other.Until = end.AddDate(1, 0, 0)
				}
			}
			if other.Open && pair[0].at(t, "").Open {
				return t, true
			}
		}
	}
	return time.Time{}, false
}
