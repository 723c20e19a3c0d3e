package daemon

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/install"
	"github.com/palisade-run/palisade/catalog/plan"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// planning looks at what there is to install on. It implements admin.Planning.
type planning struct {
	pool     *pool
	runtime  *runtimeChoice
	manager  *sessions.Manager
	variants *variants.Table
	recipes  admin.Recipes
	data     string // directory on the disk that keeps models
	measured func() []calibrate.Calibration
	installs *install.Manager // nil until it is open
}

// pooled reports whether an engine takes all of a device that it is given, for its pool of caches: what it was seen to take says
// nothing of what it needs.
func (p *planning) pooled(engine string) bool {
	v, known := p.variants.Lookup(engine)
	return known && v.Sizing != nil && v.Sizing.Fraction != nil
}

// reserve is what of the disk no model takes: the store and the logs must be written whatever happens.
const reserve = 1 << 30

// Box implements admin.Planning.
func (p *planning) Box(ctx context.Context, project, name string) (plan.Box, error) {
	service := ""
	if there, err := p.manager.Service(project, name); name != "" && err == nil {
		service = there.ID
	}
	holders := make(map[string]plan.Holder)
	services, own := make(map[string]string), make(map[string]bool)
	for _, v := range p.manager.Services("") {
		services[v.ID] = v.Name
	}
	for _, s := range p.manager.Sessions("", sessions.SessionFilter{}) {
		holders[s.ID] = plan.Holder{Name: holderName(&s, project, services), MayMove: s.Demand.Preemptible}
		own[s.ID] = service != "" && s.ServiceID == service
	}
	_, used := p.pool.busy.use()
	b := boxOf(p.pool.ledger.Status(), p.pool.node, holders, own, used)
	b.Platform, b.Processes, b.Containers = runtime.GOARCH, p.runtime.process != nil, p.runtime.containerd != nil
	b.Programs = programs(p.variants, b.Processes)
	b.Measured.Load = loadSpeed(p.measured())
	if p.installs != nil {
		b.Here, b.Measured.Download = p.installs.Here(), downloadSpeed(p.installs.Downloads())
		b.Measured.Calibrations = calibrations(p.measured(), p.installs.Models(""), p.pooled)
	}
	b.Disk = plan.Disk{Free: -1, Reserve: reserve}
	var disk unix.Statfs_t
	if err := unix.Statfs(p.data, &disk); err == nil {
		b.Disk.Free = int64(disk.Bavail) * disk.Bsize
	}
	if p.runtime.containerd == nil {
		return b, nil
	}
	images, err := p.runtime.containerd.Images(ctx)
	if err != nil {
		return b, fmt.Errorf("looking which images are here: %w", err)
	}
	for _, i := range images {
		b.Images = append(b.Images, i.Name)
	}
	return b, nil
}

// holderName is what a plan calls a session that holds a part of the box: by its service, by name, by id. What is in another
// project than the plan's is not for everybody who may see that to know.
func holderName(s *sessions.Session, project string, services map[string]string) string {
	switch name := services[s.ServiceID]; {
	case s.Project != project:
		return "somebody of another project"
	case name != "":
		return "service " + name
	}
	return "session " + cmp.Or(s.Name, s.ID)
}

// downloadSpeed is what past downloads say of the next.
func downloadSpeed(rate float64, of int) plan.Speed {
	switch of {
	case 0:
		return plan.Speed{}
	case 1:
		return plan.Speed{Rate: rate, From: "the last download"}
	}
	return plan.Speed{Rate: rate, From: fmt.Sprintf("the last %d downloads", of)}
}

// programs are the runtimes whose program is found on this box. One that is a module of some other program cannot be looked for.
// What a model definition starts is its own business.
func programs(table *variants.Table, processes bool) map[string]bool {
	found := make(map[string]bool)
	if !processes {
		return found
	}
	for _, v := range table.All() {
		if v.ReadsDefinition {
			found[v.Name] = true
		}
		if len(v.Command) == 0 || slices.Contains([]string{"python", "python3", "sh", "bash", "env"}, filepath.Base(v.Command[0])) {
			continue
		}
		if _, err := exec.LookPath(v.Command[0]); err == nil {
			found[v.Name] = true
		}
	}
	return found
}

// boxOf is what the ledger knows, in the words of plans. What sessions that are own have counts as free. used is what of the
// box's memory is in use, by whomever; -1 where that cannot be told. Slices of devices are left out: recipes ask for whole devices
// or for parts of them.
func boxOf(nodes []accel.Status, here string, holders map[string]plan.Holder, own map[string]bool, used int64) plan.Box {
	var b plan.Box
	for _, s := range nodes {
		n := s.State.Node()
		if n.Name == here {
			b.Host = hostOf(s, own, used)
		}
		for i, d := range n.Devices {
			if d.Slot != accel.Slot(d.Family+".device") {
				continue
			}
			b.Devices = append(b.Devices, deviceOf(s, i, len(nodes) > 1, holders, own))
		}
	}
	return b
}

func hostOf(s accel.Status, own map[string]bool, used int64) plan.Host {
	n := s.State.Node()
	memory, cpu := int64(s.State.FreeMemory()), float64(s.State.FreeCPU())
	for _, claim := range s.Claims {
		if own[claim.Session] && claim.State != accel.ClaimLeaving {
			memory, cpu = memory+int64(claim.Slots[accel.SlotMem]), cpu+float64(claim.Slots[accel.SlotCPU])
			used -= min(max(0, used), int64(claim.Slots[accel.SlotMem]))
		}
	}
	h := plan.Host{Total: int64(n.Memory), Free: max(0, memory), Cores: float64(n.CPU) / 1000, FreeCores: max(0, cpu/1000)}
	if used >= 0 {
		h.Free = max(0, min(h.Free, h.Total-used))
	}
	return h
}

func deviceOf(s accel.Status, at int, several bool, holders map[string]plan.Holder, own map[string]bool) plan.Device {
	n := s.State.Node()
	d := n.Devices[at]
	out := plan.Device{
		ID: d.ID, Name: d.Name, Kind: d.Family, Architecture: d.Architecture, Total: d.Memory,
		Free: d.Memory / 100 * int64(s.State.DeviceFree(at)),
	}
	if several {
		out.Node = n.Name
	}
	if health := s.Health[d.ID]; health.State != "" && health.State != accel.HealthOK {
		out.Trouble = cmp.Or(health.Reason, string(health.State))
	}
	idle := true
	for _, claim := range s.Claims {
		for _, share := range claim.Holds() {
			if share.Device != d.ID {
				continue
			}
			idle = false
			bytes := d.Memory / 100 * int64(share.Amount)
			if own[claim.Session] {
				out.Free = min(out.Total, out.Free+bytes)
				continue
			}
			h, known := holders[claim.Session]
			if !known {
				h.Name = "session " + claim.Session
			}
			if claim.State == accel.ClaimLeaving { // it has ended: what it has is free in a moment
				h.MayMove = true
			}
			h.Bytes = bytes
			out.Holders = append(out.Holders, h)
		}
	}
	if sample, said := s.Samples[d.ID]; said && idle && sample.MemoryUsed > 0 { // the driver's own
		out.Free = max(0, min(out.Free, d.Memory-sample.MemoryUsed))
	}
	return out
}
