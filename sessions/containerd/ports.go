package containerd

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
)

// checkPorts refuses a container without a network of its own that wants a port of the box which another such one, or another program,
// has: who asks there would be answered by that.
func (r *Runtime) checkPorts(ctx context.Context, spec sessions.Spec) error {
	const hint = "Containers of one session that are on several boxes share the boxes' ports: end the other program, or have cluster.session_network say vxlan."
	var ports []int
	for _, p := range spec.Processes {
		if p.Port > 0 {
			ports = append(ports, p.Port)
		}
	}
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() == spec.ID || r.known(e.Name()) != nil {
			continue
		}
		rec, err := r.record(e.Name())
		if err != nil || !rec.Spec.Cluster.OnHost() {
			continue
		}
		if in, err := r.instance(e.Name()); err != nil || !in.Running {
			continue
		}
		for _, p := range rec.Spec.Processes {
			if slices.Contains(ports, p.Port) {
				return &Error{Err: fmt.Errorf("port %d of this box is session %s's", p.Port, e.Name()), What: hint}
			}
		}
	}
	for _, port := range ports {
		if err := network.CheckPort(ctx, port); err != nil {
			return &Error{Err: err, What: hint}
		}
	}
	return nil
}
