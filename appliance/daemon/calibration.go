package daemon

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/autoscaler/calibrate"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// measuring is the appliance as calibrations see it.
type measuring struct{ d *daemon }

var _ calibrate.World = measuring{}

// openCalibrations reads what was measured, and lets those know who go by it.
func (d *daemon) openCalibrations(ctx context.Context) (err error) {
	d.measures, err = calibrate.NewKeeper(ctx, calibrate.Around{
		World: measuring{d}, Store: d.store, Client: calibrate.NewClient(), Log: d.Log.With("room", "calibrate"),
	})
	return err
}

// Target implements calibrate.World: of the routes of the revision that is wanted, the one that has been healthy longest.
func (m measuring) Target(ctx context.Context, id string) (calibrate.Target, error) {
	all := m.d.manager.Services("")
	at := slices.IndexFunc(all, func(v sessions.ServiceView) bool { return v.ID == id && v.Lifecycle == sessions.LifecycleActive })
	if at < 0 {
		return calibrate.Target{}, fmt.Errorf("service %s: %w", id, calibrate.ErrNotFound)
	}
	v := &all[at]
	var route *sessions.RouteView
	for i := range v.Routes {
		r := &v.Routes[i]
		if r.Status == sessions.RouteHealthy && r.Revision == v.Revision && r.Address != "" && (route == nil || r.HealthyAt.Before(route.HealthyAt)) {
			route = r
		}
	}
	if route == nil {
		return calibrate.Target{}, noRoute(v)
	}
	t := calibrate.Target{
		ServiceID: v.ID, Service: v.Name, Project: v.Project, Revision: v.Revision, Image: v.Recipe.Image, Folder: v.Recipe.Folder, Variant: v.Recipe.Variant,
		Route: route.ID, URL: "http://" + route.Address, Model: m.d.scaling.modelOf(v.ID, v.Name), Weights: m.weights(ctx, v.Recipe.Folder),
	}
	t.Load, _ = m.d.manager.LoadTime(v.ID)
	t.Device, t.Claimed = devicesOf(m.d.pool.ledger.Status(), route.ID)
	return t, nil
}

// noRoute says why nothing of a service can be measured, and what to do.
func noRoute(v *sessions.ServiceView) error {
	err := fmt.Errorf("service %s has no healthy route: %s: %w", v.Name, v.Sentence, calibrate.ErrNotReady)
	if v.Replicas == 0 {
		return hinted{fmt.Errorf("service %s has no route: it is at zero: %w", v.Name, calibrate.ErrNotReady), "start one first: palisade service scale " + v.Name + " 1"}
	}
	return hinted{err, "see what it waits for: palisade service info " + v.Name}
}

// Asked implements calibrate.World. What calibrations themselves ask goes past the router.
func (m measuring) Asked(id string) int {
	n := m.d.traffic.held()[id]
	for _, route := range m.d.scaling.routesOf(id) {
		n += m.d.traffic.InFlight(route)
	}
	return n
}

// memoryTimeout bounds a look at a session's memory.
const memoryTimeout = 2 * time.Second

// Memory implements calibrate.World.
func (m measuring) Memory(ctx context.Context, route string) (device, box int64) {
	for _, n := range m.d.pool.ledger.Status() {
		for i := range n.Claims {
			if n.Claims[i].Session != route {
				continue
			}
			for _, bytes := range n.Claims[i].Used {
				device += bytes
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, memoryTimeout)
	defer cancel()
	if stats, err := m.d.runtime.Stats(ctx, route); err == nil && stats.Memory > 0 {
		box = stats.Memory
	}
	return device, box
}

// devicesOf names the devices that a session holds, as "2 x NVIDIA H200", and says how many bytes of them.
func devicesOf(nodes []accel.Status, session string) (name string, claimed int64) {
	names := map[string]int{}
	for i := range nodes {
		node := &nodes[i]
		for _, c := range node.Claims {
			if c.Session != session {
				continue
			}
			for _, share := range c.Shares {
				claimed += share.Memory
				for _, dev := range node.State.Node().Devices {
					if dev.ID == share.Device {
						names[dev.Name]++
					}
				}
			}
		}
	}
	var parts []string
	for _, one := range slices.Sorted(maps.Keys(names)) {
		if n := names[one]; n > 1 {
			one = fmt.Sprintf("%d x %s", n, one)
		}
		parts = append(parts, one)
	}
	return strings.Join(parts, " + "), claimed
}

// How far one looks for the files of a model.
const (
	weightsDepth = 3
	weightsFiles = 10_000
)

// weights is how many bytes the files of a model in a folder have; 0 where there are none. Where a model is there in several
// forms, the largest counts: one of them is loaded.
func (m measuring) weights(ctx context.Context, ref string) (most int64) {
	name, sub := folders.SplitRef(ref)
	if name == "" {
		return 0
	}
	f, err := m.d.folders.Find(ctx, "", name)
	if err != nil {
		return 0 // it is a figure that can be done without
	}
	sums, left := map[string]int64{}, weightsFiles
	var look func(dir string, depth int)
	look = func(dir string, depth int) {
		entries, err := m.d.folders.Entries(f, dir)
		if err != nil {
			return
		}
		for _, e := range entries {
			switch left--; {
			case left < 0:
				return
			case e.Dir && !e.Link && depth > 1:
				look(path.Join(dir, e.Name), depth-1)
			case !e.Dir:
				sums[strings.ToLower(path.Ext(e.Name))] += e.Size
			}
		}
	}
	look(sub, weightsDepth)
	for _, form := range []string{".safetensors", ".gguf", ".bin", ".pt", ".pth", ".onnx", ".engine", ".plan", ".npz", ".nemo"} {
		most = max(most, sums[form])
	}
	return most
}

// modelOf is what a service's engine calls its model.
func (s *scaling) modelOf(id, name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		if v.ID == id && len(v.Aliases) > 0 {
			return v.Aliases[0]
		}
	}
	return name
}

// routesOf are the routes of a service that may have requests.
func (s *scaling) routesOf(id string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.services {
		if v.ID != id {
			continue
		}
		for _, r := range v.Routes {
			ids = append(ids, r.ID)
		}
	}
	return ids
}
