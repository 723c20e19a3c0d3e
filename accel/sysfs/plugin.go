package sysfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/palisade-run/palisade/accel"
)

// Options of Open. The zero value is right for a box.
type Options struct {
	Root string   // "" is /
	CDI  []string // directories of CDI specifications; nil: etc/cdi and var/run/cdi below Root
}

// Plugin speaks for all devices that the kernel's files tell of.
type Plugin struct {
	tree  tree
	specs []string
	known atomic.Pointer[map[string]unit]
}

// Open cannot fail: a box without devices, and one without sysfs, has none.
func Open(o Options) *Plugin {
	if o.Root == "" {
		o.Root = "/"
	}
	if o.CDI == nil {
		o.CDI = []string{filepath.Join(o.Root, "etc/cdi"), filepath.Join(o.Root, "var/run/cdi")}
	}
	p := &Plugin{tree: tree{os.DirFS(o.Root)}, specs: o.CDI}
	p.known.Store(&map[string]unit{})
	return p
}

// Name is "sysfs".
func (p *Plugin) Name() string { return "sysfs" }

// Devices lists what is there, kind by kind. A device that was listed before and is gone is listed with its fault.
func (p *Plugin) Devices(ctx context.Context) ([]accel.Device, error) {
	specified := p.specified()
	units := radeons(p.tree, specified)
	buses := p.tree.buses()
	for _, k := range kinds {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("looking for devices: %w", context.Cause(ctx))
		}
		units = append(units, k.find(p.tree, buses, specified)...)
	}
	known := make(map[string]unit, len(units))
	for _, u := range units {
		known[u.ID] = u
	}
	for _, was := range *p.known.Load() {
		if _, here := known[was.ID]; !here && was.PCI != "" {
			was.Fault = "fell off the bus: the kernel does not list it any more"
			units, known[was.ID] = append(units, was), was
		}
	}
	p.known.Store(&known)
	devices := make([]accel.Device, len(units))
	for i, u := range units {
		devices[i] = u.Device
	}
	slices.SortStableFunc(devices, func(a, b accel.Device) int {
		if bySlot := strings.Compare(string(a.Slot), string(b.Slot)); bySlot != 0 {
			return bySlot
		}
		return a.Index - b.Index
	})
	return devices, nil
}

// Sample reads the files of each of the devices.
func (p *Plugin) Sample(ctx context.Context, devices []accel.Device) ([]accel.Sample, error) {
	known := *p.known.Load()
	samples := make([]accel.Sample, 0, len(devices))
	for _, d := range devices {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("reading devices: %w", context.Cause(ctx))
		}
		s := accel.Sample{Device: d.ID, Utilization: -1, MemoryUsed: -1, Temperature: -1, Power: -1, Fault: "it is not listed any more"}
		if u, is := known[d.ID]; is {
			s = u.read(p.tree, u)
		}
		s.At = time.Now()
		samples = append(samples, s)
	}
	return samples, nil
}

// Grant says what a session is given for its devices: a name of CDI where a specification has one, else its device files,
// and the variables that the vendors' libraries read.
func (p *Plugin) Grant(shares []accel.Share) (accel.Grant, error) {
	known := *p.known.Load()
	grant := accel.Grant{Env: map[string]string{}, Enforced: true} // only whole devices are to be had
	lists := map[string][]string{}
	radeons := 0
	for _, share := range shares {
		u, is := known[share.Device]
		if !is {
			return accel.Grant{}, fmt.Errorf("granting %s: no such device is listed", share.Device)
		}
		switch {
		case u.cdi != "":
			grant.CDI = append(grant.CDI, u.cdi)
		default:
			for _, node := range u.nodes {
				if !slices.Contains(grant.Nodes, node) {
					grant.Nodes = append(grant.Nodes, node)
				}
			}
		}
		for _, variable := range u.env {
			if u.item != "" {
				lists[variable] = append(lists[variable], u.item)
			}
		}
		if u.Family == "rocm" {
			radeons++
		}
	}
	for variable, items := range lists {
		grant.Env[variable] = strings.Join(items, ",")
	}
	// HIP numbers what ROCm has left visible: all of it is the session's.
	if visible := lists["ROCR_VISIBLE_DEVICES"]; len(visible) > 0 && len(visible) == radeons {
		numbers := make([]string, radeons)
		for i := range numbers {
			numbers[i] = strconv.Itoa(i)
		}
		grant.Env["HIP_VISIBLE_DEVICES"] = strings.Join(numbers, ",")
	} else {
		delete(grant.Env, "ROCR_VISIBLE_DEVICES") // some of the cards have no name that it takes: it would hide them
	}
	return grant, nil
}

// specified lists the names in the box's specifications, sorted. One that cannot be read is as none.
func (p *Plugin) specified() []string {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(p.specs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil
	}
	return cache.ListDevices()
}
