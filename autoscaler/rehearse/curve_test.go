package rehearse

import (
	"context"
	"testing"
)

// dot is one rehearsal on a curve: what it cost, and how long was waited.
type dot struct {
	Target   float64
	GPUHours float64
	Wait     Seconds // the 95th of 100
}

// curve is what a formula makes of one trace with several targets: no dot on it is worse in both than another. It goes from
// few GPU-hours to many.
type curve struct {
	Formula string
	Dots    []dot
}

// drawn plays a trace with each of the targets, as many at a time as there are processors.
func drawn(ctx context.Context, targets []float64, run func(ctx context.Context, target float64) (*Result, error)) (curve, error) {
	results := make([]*Result, len(targets))
	err := each(ctx, len(targets), func(i int) (err error) {
		results[i], err = run(ctx, targets[i])
		return err
	})
	if err != nil {
		return curve{}, err
	}
	var c curve
	for _, i := range pareto(results) {
		c.Formula = results[i].Formula
		c.Dots = append(c.Dots, dot{targets[i], results[i].GPUHours, results[i].Wait.P95})
	}
	return c, nil
}

// waitAt is the wait at so many GPU-hours, between two dots on the line that joins them. With fewer than the curve has
// anywhere it is Never; with more, that of its last dot.
func (c curve) waitAt(hours float64) Seconds {
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

// hoursAt is how many GPU-hours it takes that nobody of 95 in 100 waits for longer. ok is false where the curve does not
// come so low.
func (c curve) hoursAt(wait Seconds) (hours float64, ok bool) {
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

func TestCurves(t *testing.T) {
	c := curve{Dots: []dot{{GPUHours: 10, Wait: Never}, {GPUHours: 20, Wait: 8}, {GPUHours: 30, Wait: 4}, {GPUHours: 40, Wait: 0}}}
	for hours, want := range map[float64]Seconds{5: Never, 10: Never, 15: Never, 20: 8, 25: 6, 35: 2, 40: 0, 50: 0} {
		if got := c.waitAt(hours); got != want {
			t.Errorf("wait at %v GPU-hours: %s, want %s", hours, got, want)
		}
	}
	for wait, want := range map[Seconds]float64{9: 20, 8: 20, 6: 25, 0: 40} {
		if got, ok := c.hoursAt(wait); !ok || got != want {
			t.Errorf("GPU-hours for %s: %v, want %v", wait, got, want)
		}
	}
	if _, ok := (curve{Dots: c.Dots[:3]}).hoursAt(1); ok {
		t.Error("a curve that does not come so low says that it does")
	}
	if (curve{}).waitAt(1) != Never {
		t.Error("a curve without dots says something")
	}
}
