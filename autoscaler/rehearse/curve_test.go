package rehearse

import "testing"

func TestCurves(t *testing.T) {
	c := Curve{Dots: []Dot{{GPUHours: 10, Wait: Never}, {GPUHours: 20, Wait: 8}, {GPUHours: 30, Wait: 4}, {GPUHours: 40, Wait: 0}}}
	for hours, want := range map[float64]Seconds{5: Never, 10: Never, 15: Never, 20: 8, 25: 6, 35: 2, 40: 0, 50: 0} {
		if got := c.WaitAt(hours); got != want {
			t.Errorf("wait at %v GPU-hours: %s, want %s", hours, got, want)
		}
	}
	for wait, want := range map[Seconds]float64{9: 20, 8: 20, 6: 25, 0: 40} {
		if got, ok := c.HoursAt(wait); !ok || got != want {
			t.Errorf("GPU-hours for %s: %v, want %v", wait, got, want)
		}
	}
	if _, ok := (Curve{Dots: c.Dots[:3]}).HoursAt(1); ok {
		t.Error("a curve that does not come so low says that it does")
	}
	if (Curve{}).WaitAt(1) != Never {
		t.Error("a curve without dots says something")
	}
}
