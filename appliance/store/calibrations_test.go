package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
)

// Of each service, revision and device the newest is kept, as a whole.
func TestCalibrations(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		one := filled[calibrate.Calibration]()
		one.At = at.UTC()
		var want []calibrate.Calibration
		for i, change := range []func(*calibrate.Calibration){
			func(*calibrate.Calibration) {},
			func(c *calibrate.Calibration) { c.Revision++ },
			func(c *calibrate.Calibration) { c.Device = "" },
			func(c *calibrate.Calibration) { c.ServiceID += "2" },
		} {
			c := one
			change(&c)
			c.At = one.At.Add(time.Duration(i) * time.Minute)
			c.Points = []calibrate.Point{{Concurrency: 99}}
			must(t, s.SaveCalibration(t.Context(), c))
			c.Points, c.At = one.Points, c.At.Add(time.Second)
			must(t, s.SaveCalibration(t.Context(), c))
			want = append(want, c)
		}
		got, err := s.Calibrations(t.Context())
		must(t, err)
		if d := cmp.Diff(want, got); d != "" {
			t.Error("(-want +got):\n", d)
		}
	})
}
