package daemon

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/install"
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

// calibrations is what models were seen to take here, newest first: those that an install has brought, of which it is known what
// they were.
func calibrations(all []calibrate.Calibration, models []install.Model, pooled func(engine string) bool) []plan.Calibration {
	type key struct{ service, folder string }
	of := map[key]*install.Revision{}
	for i := range models {
		for j := range models[i].Revisions {
			r := &models[i].Revisions[j]
			of[key{models[i].Service, r.Folder}] = r
		}
	}
	all = slices.Clone(all)
	slices.SortFunc(all, func(a, b calibrate.Calibration) int { return b.At.Compare(a.At) })
	var out []plan.Calibration
	for i := range all {
		c := &all[i]
		r := of[key{c.ServiceID, c.Folder}]
		if r == nil || c.ServiceID == "" {
			continue
		}
		seen := plan.Calibration{
			Recipe: r.Recipe.Name, Variant: r.Choice.Variant, Devices: 1, Context: r.Choice.Context, Concurrency: r.Choice.Concurrency, Load: c.Load,
		}
		// Of the box's own memory it is not counted what is a file's that is mapped, as weights are: only devices say all.
		if c.Device != "" {
			seen.Memory, seen.Device = c.DeviceMemory, c.Device
			if n, name, found := strings.Cut(c.Device, " x "); found {
				if count, err := strconv.Atoi(n); err == nil {
					seen.Devices, seen.Device = count, name
				}
			}
		}
		if pooled(r.Choice.Runtime) {
			seen.Memory = 0
		}
		out = append(out, seen)
	}
	return out
}
