package rehearse

import (
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"

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

// Dot is one rehearsal on a curve: what it cost, and how long was waited.
type Dot struct {
	Target   float64
	GPUHours float64
	Wait     Seconds // the 95th of 100
}

// Curve is what a formula makes of one trace with several targets: no dot on it is worse in both than another. It goes from
// few GPU-hours to many.
type Curve struct {
	Formula string
	Dots    []Dot
}

// Draw plays a trace with each of the targets, as many at a time as there are processors.
func Draw(ctx context.Context, targets []float64, run func(ctx context.Context, target float64) (*Result, error)) (Curve, error) {
	results := make([]*Result, len(targets))
	err := each(ctx, len(targets), func(i int) (err error) {
		results[i], err = run(ctx, targets[i])
		return err
	})
	if err != nil {
		return Curve{}, err
	}
	var c Curve
	for _, i := range pareto(results) {
		c.Formula = results[i].Formula
		c.Dots = append(c.Dots, Dot{targets[i], results[i].GPUHours, results[i].Wait.P95})
	}
	return c, nil
}

// WaitAt is the wait at so many GPU-hours, between two dots on the line that joins them. With fewer than the curve has
// anywhere it is Never; with more, that of its last dot.
func (c Curve) WaitAt(hours float64) Seconds {
	if len(c.Dots) == 0 || hours < c.Dots[0].GPUHours {
		return Never
	}
	for i := 1; i < len(c.Dots); i++ {
		a, b := c.Dots[i-1], c.Dots[i]
		switch {
		case hours >= b.GPUHours:
		case a.Wait == Never:
			return Never
		default:
			return a.Wait + (b.Wait-a.Wait)*Seconds((hours-a.GPUHours)/(b.GPUHours-a.GPUHours))
		}
	}
	return c.Dots[len(c.Dots)-1].Wait
}

// HoursAt is how many GPU-hours it takes that nobody of 95 in 100 waits for longer. ok is false where the curve does not
// come so low.
func (c Curve) HoursAt(wait Seconds) (hours float64, ok bool) {
	for i, b := range c.Dots {
		if b.Wait > wait {
			continue
		}
		if i == 0 || c.Dots[i-1].Wait == Never {
			return b.GPUHours, true
		}
		a := c.Dots[i-1]
		return a.GPUHours + (b.GPUHours-a.GPUHours)*float64((a.Wait-wait)/(a.Wait-b.Wait)), true
	}
	return 0, false
}

// pareto are the results that none is better than: cheaper, or with a shorter wait, and in the other no worse. By cost.
func pareto(all []*Result) []int {
	order := make([]int, len(all))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(all[a].GPUHours, all[b].GPUHours), cmp.Compare(all[a].Wait.P95, all[b].Wait.P95))
	})
	var front []int
	for _, i := range order {
		if n := len(front); n == 0 || all[i].Wait.P95 < all[front[n-1]].Wait.P95 {
			front = append(front, i)
		}
	}
	return front
}

// each calls do for 0 to n-1, on as many goroutines as there are processors, until one fails.
func each(ctx context.Context, n int, do func(i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	work := make(chan int)
	var all sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			for i := range work {
				if ctx.Err() != nil {
					continue
				}
				if err := do(i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	all.Wait()
	return context.Cause(ctx)
}
