//go:build !race

// Some two hundred rehearsals take minutes under the race detector, and share nothing: what runs them side by side is
// looked at by the tests of sweeps.

package rehearse

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"text/tabwriter"
)

// targetsOf are those of the references, from three routes where one would do to none to spare (what a route takes is 8), and
// as many of ours as it takes to know our own curve over the same hours. Where nothing comes in spikes, nobody waits from a
// target of 7 down: what is below costs more, and is on no curve.
func targetsOf(kind Kind) (theirs, ours []float64) {
	theirs = []float64{7, 7.5, 8, 8.5, 9, 9.5, 10}
	ours = []float64{6, 6.5, 7, 7.25, 7.5, 7.75, 8, 8.5, 9, 10, 11}
	if kind == Spiky {
		theirs = append([]float64{3, 4, 5, 6}, theirs...)
		ours = append([]float64{2.5, 2.75, 3, 3.5, 4, 4.5, 5, 5.5}, ours...)
	}
	return theirs, ours
}

// draw plays one of the shipped traces by each formula with each target.
func draw(ctx context.Context, kind Kind) (mine curve, references []curve, err error) {
	tr, err := Shipped(kind)
	if err != nil {
		return curve{}, nil, err
	}
	s := DefaultSetup()
	theirs, ours := targetsOf(kind)
	mine, err = drawn(ctx, ours, func(ctx context.Context, each float64) (*Result, error) { return Run(ctx, tr, target(each), s) })
	if err != nil {
		return curve{}, nil, err
	}
	for _, ref := range References() {
		c, err := drawn(ctx, theirs, func(ctx context.Context, each float64) (*Result, error) { return Refer(ctx, tr, target(each), s, ref) })
		if err != nil {
			return curve{}, nil, err
		}
		references = append(references, c)
	}
	return mine, references, nil
}

// TestComparison: on each of the three traces, of what the references do at any of their targets, ours has a shorter p95
// wait in the same GPU-hours, and takes fewer GPU-hours for the same p95 wait. It prints the table of docs/autoscaling.md:
// go test -run Comparison -v.
func TestComparison(t *testing.T) {
	w := tabwriter.NewWriter(t.Output(), 0, 0, 1, ' ', 0)
	defer w.Flush()
	fmt.Fprintln(w, "| trace\t| formula\t| target\t| GPU-hours\t| p95 wait\t| ours in the same GPU-hours\t| GPU-hours of ours for the same wait\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, kind := range []Kind{Steady, Spiky, Diurnal} {
		mine, references, err := draw(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range references {
			for _, d := range c.Dots {
				wait := mine.waitAt(d.GPUHours)
				hours, ok := mine.hoursAt(d.Wait)
				fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %.1f\t| %s\t| %s\t| %.1f (%+.0f %%)\t|\n",
					kind, c.Formula, strconv.FormatFloat(d.Target, 'f', -1, 64), d.GPUHours, d.Wait, wait, hours, 100*(hours/d.GPUHours-1))
				if wait > d.Wait || wait == d.Wait && d.Wait > 0 {
					t.Errorf("%s: in the %.1f GPU-hours of %s with target %v, ours waits %s, not less than %s", kind, d.GPUHours, c.Formula, d.Target, wait, d.Wait)
				}
				if !ok || hours >= d.GPUHours {
					t.Errorf("%s: for the wait of %s with target %v, %s, ours takes %.1f GPU-hours, not fewer than %.1f", kind, c.Formula, d.Target, d.Wait, hours, d.GPUHours)
				}
			}
		}
	}
}
