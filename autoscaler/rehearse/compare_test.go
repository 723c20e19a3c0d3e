package rehearse

import (
	"context"
	"fmt"
	"testing"
	"text/tabwriter"

	"github.com/palisade-run/palisade/autoscaler"
)

// targets are what the curves are drawn from: from more than twice the routes that are needed to fewer than are.
var targets = []float64{0.7, 0.85, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.25, 7.5, 7.75, 8, 8.5, 9, 9.5, 10, 11, 12, 14}

// draw plays one of the shipped traces by each formula with each target.
func draw(ctx context.Context, kind Kind) (ours Curve, references []Curve, err error) {
	tr, err := Shipped(kind)
	if err != nil {
		return Curve{}, nil, err
	}
	s := DefaultSetup()
	policy := func(each float64) *autoscaler.Policy { p := target(each); return p }
	if ours, err = Draw(ctx, targets, func(ctx context.Context, each float64) (*Result, error) { return Run(ctx, tr, policy(each), s) }); err != nil {
		return Curve{}, nil, err
	}
	for _, ref := range References() {
		c, err := Draw(ctx, targets, func(ctx context.Context, each float64) (*Result, error) { return Refer(ctx, tr, policy(each), s, ref) })
		if err != nil {
			return Curve{}, nil, err
		}
		references = append(references, c)
	}
	return ours, references, nil
}

// TestComparison prints every dot of the references' curves beside ours: go test -run Comparison -v.
func TestComparison(t *testing.T) {
	w := tabwriter.NewWriter(t.Output(), 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintln(w, "trace\tformula\ttarget\tGPU-hours\tp95 wait\tours, same hours\tours, same wait\t")
	for _, kind := range []Kind{Steady, Spiky, Diurnal} {
		ours, references, err := draw(t.Context(), kind)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range ours.Dots {
			fmt.Fprintf(w, "%s\t%s\t%.2f\t%.1f\t%s\t\t\t\n", kind, ours.Formula, d.Target, d.GPUHours, d.Wait)
		}
		for _, c := range references {
			for _, d := range c.Dots {
				hours, _ := ours.HoursAt(d.Wait)
				wait := ours.WaitAt(d.GPUHours)
				mark := ""
				if wait > d.Wait || hours == 0 || hours > d.GPUHours {
					mark = "loses"
				}
				fmt.Fprintf(w, "%s\t%s\t%.2f\t%.1f\t%s\t%s\t%.1f\t%s\n", kind, c.Formula, d.Target, d.GPUHours, d.Wait, wait, hours, mark)
			}
		}
	}
}
