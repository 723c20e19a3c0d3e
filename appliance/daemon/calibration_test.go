package daemon

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
)

// Weights come up as fast as the newest measurements say, the large ones above all.
func TestLoadSpeed(t *testing.T) {
	one := func(name string, minute int, weights int64, load time.Duration) calibrate.Calibration {
		return calibrate.Calibration{Service: name, At: time.Unix(int64(minute)*60, 0), Weights: weights, Load: load}
	}
	for _, c := range []struct {
		name string
		all  []calibrate.Calibration
		want float64
		from string
	}{
		{"nothing", nil, 0, ""},
		{"nothing is known of it", []calibrate.Calibration{one("a", 1, 0, time.Second), one("b", 1, 9, 0)}, 0, ""},
		{"one", []calibrate.Calibration{one("a", 1, 10e9, 5*time.Second)}, 2e9, "the start of a that was measured"},
		{"the newest three", []calibrate.Calibration{one("old", 1, 1e9, 1000*time.Second), one("a", 2, 30e9, 10*time.Second), one("c", 4, 1e6, 5*time.Second), one("b", 3, 29_999e6, 5*time.Second)}, 3e9, "the starts of the last 3 services that were measured"},
	} {
		if got := loadSpeed(c.all); got.Rate != c.want || got.From != c.from {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

func TestDevicesOfASession(t *testing.T) {
	if name, bytes := devicesOf([]accel.Status{{Claims: []accel.Entry{{Claim: accel.Claim{Session: "ses-1"}}}}}, "ses-1"); name != "" || bytes != 0 {
		t.Errorf("%q, %d", name, bytes)
	}
}
