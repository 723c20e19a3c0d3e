package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/sessions"
)

// Room on the disk below which the owner is warned, and below which things go wrong soon.
const (
	diskLow      = 5 << 30
	diskCritical = 512 << 20
)

// doctor looks at the box from within the running daemon.
func (d *daemon) doctor(ctx context.Context) []api.Check {
	checks := []api.Check{
		{Name: "appliance", Status: api.CheckOK, Detail: d.whereItAnswers()},
		d.checkStore(ctx), checkDisk(d.Config.Data),
		{Name: "runtime", Status: api.CheckOK, Detail: d.runtime.name + ": " + d.runtime.why}, d.checkShells(), d.checkApps(),
	}
	checks = append(checks, d.checkTally()...)
	checks = append(checks, d.checkSeat()...)
	checks = append(checks, d.checkHistory(ctx)...)
	checks = append(checks, d.checkBackups(ctx)...)
	checks = append(checks, d.pool.checks...)
	checks = append(checks, d.checkDevices()...)
	checks = append(checks, d.runtime.diagnose(ctx)...)
	return append(checks, d.checkServices())
}

// whereItAnswers names the box too, where there are several: what is asked of any of them, the one that decides answers.
func (d *daemon) whereItAnswers() string {
	words := fmt.Sprintf("%s answers at %s", d.Version.Version, d.gateway)
	switch {
	case d.seat == nil:
		return words
	case d.turn != nil:
		return words + "; this is box " + d.seat.name() + ", which decides"
	}
	return words + "; this is box " + d.seat.name()
}

func (d *daemon) checkStore(ctx context.Context) api.Check {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	check := api.Check{Name: "database", Status: api.CheckOK, Detail: d.store.DSN()}
	if err := d.store.Ping(ctx); err != nil {
		check.Status, check.Detail = api.CheckFailed, err.Error()
		if h, ok := errors.AsType[*store.Error](err); ok {
			check.Hint = h.Hint()
		}
	}
	return check
}

func checkDisk(dir string) api.Check {
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err != nil {
		return api.Check{Name: "disk", Status: api.CheckFailed, Detail: fmt.Sprintf("%s: %v", dir, err)}
	}
	return diskCheck(int64(fs.Bavail)*fs.Bsize, dir)
}

// diskCheck judges free bytes below dir.
func diskCheck(free int64, dir string) api.Check {
	check := api.Check{Name: "disk", Status: api.CheckOK, Detail: bytesize.Format(free) + " free in " + dir}
	switch {
	case free < diskCritical:
		check.Status, check.Hint = api.CheckFailed, "make room: nothing new can be recorded when the disk is full"
	case free < diskLow:
		check.Status, check.Hint = api.CheckWarning, "make room soon: logs and uploads lie here"
	}
	return check
}

// checkDevices tells of devices that need somebody.
func (d *daemon) checkDevices() []api.Check {
	var checks []api.Check
	all := 0
	for _, status := range d.pool.ledger.Status() {
		for _, device := range status.State.Node().Devices {
			all++
			if h := status.Health[device.ID]; h.State != accel.HealthOK {
				checks = append(checks, api.Check{
					Name: fmt.Sprintf("device %s:%d", device.Family, device.Index), Status: api.CheckWarning,
					Detail: fmt.Sprintf("%s: %s", h.State, h.Reason), Hint: "palisade device info " + device.ID,
				})
			}
		}
	}
	found := api.Check{Name: "devices", Status: api.CheckOK, Detail: fmt.Sprintf("%d found", all)}
	if all == 0 {
		found.Detail = "no accelerator was found"
	}
	return append([]api.Check{found}, checks...)
}

// checkServices tells of services that need their owner.
func (d *daemon) checkServices() api.Check {
	check := api.Check{Name: "services", Status: api.CheckOK}
	all := d.manager.Services("")
	ill := 0
	for _, s := range all {
		if s.Status == sessions.ServiceUnhealthy || s.Status == sessions.ServiceDegraded {
			ill++
			check.Status = api.CheckWarning
			check.Hint = fmt.Sprintf("palisade service info %s: %s", s.Name, s.Sentence)
		}
	}
	check.Detail = fmt.Sprintf("%d of %d need no attention", len(all)-ill, len(all))
	return check
}
