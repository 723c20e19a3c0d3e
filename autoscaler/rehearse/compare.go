package rehearse

import (
	"cmp"
	"context"
	"fmt"

	"github.com/palisade-run/palisade/autoscaler"
)

// Reference is a public formula that a rehearsal can be compared with.
type Reference string

// The references.
const (
	HPA Reference = "hpa" // Kubernetes' horizontal pod autoscaler
	KPA Reference = "kpa" // Knative's pod autoscaler
)

// References lists them.
func References() []Reference { return []Reference{HPA, KPA} }

// Refer plays a trace by a reference, within the policy's bounds. Its target is the policy's on concurrency; where it has
// none, what a route takes at once (of which Knative's formula uses 0.7, and so does the other one then).
func Refer(ctx context.Context, t *Trace, p *autoscaler.Policy, s Setup, ref Reference) (*Result, error) {
	target, said := 0.0, false
	for i := range p.Rules {
		if r := &p.Rules[i]; r.Kind == autoscaler.KindTarget && r.Metric == router("concurrency") {
			target, said = r.Target, true
			break
		}
	}
	if !said {
		target = float64(cmp.Or(s.Capacity, s.Knee))
	}
	switch ref {
	case KPA:
		return play(ctx, t, p, s, newKPA(p, target))
	case HPA:
		if !said {
			target *= kpaUtilisation
		}
		return play(ctx, t, p, s, newHPA(p, target))
	}
	return nil, fmt.Errorf("%w: %q is no reference; there are %v", ErrSetup, ref, References())
}
