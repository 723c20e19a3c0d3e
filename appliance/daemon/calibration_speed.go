package daemon

import (
	"fmt"
	"slices"

	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/plan"
)

// speedOf is how many of the newest measurements say how fast weights come up: disks and caches change.
const speedOf = 3

// loadSpeed is how fast weights come up on this box, as was measured: all bytes over all the time, so that small models, whose
// time goes elsewhere, count little. The zero Speed where nothing was measured.
func loadSpeed(all []calibrate.Calibration) plan.Speed {
	all = slices.DeleteFunc(slices.Clone(all), func(c calibrate.Calibration) bool { return c.LoadSpeed() == 0 })
	slices.SortFunc(all, func(a, b calibrate.Calibration) int { return b.At.Compare(a.At) })
	all = all[:min(len(all), speedOf)]
	var bytes, seconds float64
	for i := range all {
		bytes, seconds = bytes+float64(all[i].Weights), seconds+all[i].Load.Seconds()
	}
	switch len(all) {
	case 0:
		return plan.Speed{}
	case 1:
		return plan.Speed{Rate: bytes / seconds, From: "the start of " + all[0].Service + " that was measured"}
	}
	return plan.Speed{Rate: bytes / seconds, From: fmt.Sprintf("the starts of the last %d services that were measured", len(all))}
}
