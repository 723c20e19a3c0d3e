package autoscaler

import (
	"fmt"
	"strings"
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

// Check looks for everything that is wrong with a policy, after Fill. The error is of type Problems.
func (p *Policy) Check() error {
	var found Problems
	if p.Min < 0 {
		found.add("min_replicas", "0 is the least", "is %d", p.Min)
	}
	if p.Min > p.Max {
		found.add("min_replicas", "raise max_replicas or lower min_replicas", "%d is over max_replicas, %d", p.Min, p.Max)
	}
	if len(found) == 0 {
		return nil
	}
	return found
}
