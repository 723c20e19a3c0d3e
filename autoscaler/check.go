package autoscaler

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a policy.
type Problem struct {
	Field string // "rules[2].threshold"
	Text  string
	Hint  string // what to do
}

func (p Problem) String() string { return p.Field + ": " + p.Text }

// Problems are all that is wrong with a policy. It is an ErrInvalid.
type Problems []Problem

func (p Problems) Error() string {
	all := make([]string, len(p))
	for i := range p {
		all[i] = p[i].String()
	}
	return strings.Join(all, "; ")
}

// Unwrap gives the kind.
func (p Problems) Unwrap() error { return ErrInvalid }

// Hint says what to do: of each problem, with its field where there are several.
func (p Problems) Hint() string {
	if len(p) == 1 {
		return p[0].Hint
	}
	var all []string
	for i := range p {
		if p[i].Hint != "" {
			all = append(all, p[i].Field+": "+p[i].Hint)
		}
	}
	return strings.Join(all, "; ")
}

func (p *Problems) add(field, hint, format string, args ...any) {
	*p = append(*p, Problem{field, fmt.Sprintf(format, args...), hint})
}

// Limits of a policy.
const (
	mostReplicas  = 1000 // as many as a service may have: a wish for more could not be granted
	mostRules     = 64
	mostSchedules = 16
	longest       = 30 * 24 * time.Hour
)

// Check looks for everything that is wrong with a policy, after Fill. The error is of type Problems, each with the place
// as it is written in JSON.
func (p *Policy) Check() error {
	var found Problems
	p.checkBounds(&found)
	p.checkTimes(&found)
	p.checkNames(&found)
	for i := range p.Rules {
		r := &p.Rules[i]
		r.check(&found, place(i))
		p.checkReach(&found, r, place(i))
	}
	// Rules are held against each other only where each makes sense by itself: else every slip is told twice.
	if len(found) == 0 {
		p.checkPairs(&found)
	}
	if len(found) == 0 {
		return nil
	}
	return found
}

func place(i int) string { return "rules[" + strconv.Itoa(i) + "]" }

func (p *Policy) checkBounds(found *Problems) {
	for _, b := range [...]struct {
		field string
		n     int
	}{{"min_replicas", p.Min}, {"max_replicas", p.Max}} {
		if b.n < 0 || b.n > mostReplicas {
			found.add(b.field, "from 0 to "+strconv.Itoa(mostReplicas), "is %d", b.n)
		}
	}
	if p.Min > p.Max {
		found.add("min_replicas", "raise max_replicas or lower min_replicas", "%d is over max_replicas, %d", p.Min, p.Max)
	}
}

func (p *Policy) checkTimes(found *Problems) {
	if d := p.ScaleDownDelay; d < time.Second || d > longest {
		found.add("scale_down_delay", "from 1s to 720h; 2m is usual", "is %s", d)
	}
	switch d := p.IdleAfter; {
	case d == 0:
	case d < time.Second || d > longest:
		found.add("idle_after", "from 1s to 720h; leave it out for a service that never goes to zero", "is %s", d)
	case p.Min > 0 && !slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.MinReplicas != nil && *r.MinReplicas == 0 && r.Kind == KindSchedule }):
		found.add("idle_after", "set min_replicas to 0, or leave idle_after out", "the service never goes to zero: min_replicas is %d", p.Min)
	}
}

// checkNames looks at what tells rules apart.
func (p *Policy) checkNames(found *Problems) {
	if n := len(p.Rules); n > mostRules {
		found.add("rules", "remove some", "there are %d, more than %d", n, mostRules)
	}
	schedules := 0
	for i := range p.Rules {
		r := &p.Rules[i]
		if r.Kind == KindSchedule {
			schedules++
		}
		if utf8.RuneCountInString(r.Name) > 64 {
			found.add(place(i)+".name", "64 letters are the most", "is too long")
		}
		for k := range i {
			if r.ID != "" && r.ID == p.Rules[k].ID {
				found.add(place(i)+".id", "leave it out: it is given one", "is that of %s too", place(k))
			}
			if r.Name != "" && r.Name == p.Rules[k].Name {
				found.add(place(i)+".name", "each rule needs a name of its own, or none", "%q is the name of %s too", r.Name, place(k))
			}
		}
	}
	if schedules > mostSchedules {
		found.add("rules", "one cron expression can name several days and hours", "there are %d windows, more than %d", schedules, mostSchedules)
	}
}

// checkReach looks whether a rule's own bounds leave it anything within the policy's.
func (p *Policy) checkReach(found *Problems, r *Rule, at string) {
	low, high := r.MinReplicas, r.MaxReplicas
	if low != nil && high != nil && *low > *high {
		return // told
	}
	if r.Kind == KindSchedule {
		switch {
		case low != nil && high == nil && *low > p.Max:
			found.add(at+".min_replicas", "give the window a max_replicas too", "%d is over the service's max_replicas, %d", *low, p.Max)
		case high != nil && low == nil && *high < p.Min:
			found.add(at+".max_replicas", "give the window a min_replicas too", "%d is under the service's min_replicas, %d", *high, p.Min)
		}
		return
	}
	if slices.ContainsFunc(p.Rules, func(r Rule) bool { return r.Kind == KindSchedule }) {
		return // the service's bounds are others at times
	}
	if low != nil && *low > p.Max {
		found.add(at+".min_replicas", "raise the service's max_replicas", "%d is over the service's max_replicas, %d: it is never reached", *low, p.Max)
	}
	if high != nil && *high < p.Min {
		found.add(at+".max_replicas", "lower the service's min_replicas", "%d is under the service's min_replicas, %d: it never counts", *high, p.Min)
	}
}
