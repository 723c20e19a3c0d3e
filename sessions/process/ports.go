package process

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
)

// checkPorts refuses a session that wants a port of the box which another session, or another program,
// has.
func (r *Runtime) checkPorts(ctx context.Context, spec sessions.Spec) error {
	var ports []int
	for _, p := range spec.Processes {
		if p.Port > 0 {
			ports = append(ports, p.Port)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	hint := "Without network namespaces all sessions share the box's ports: give it another port, or run the appliance as root."
	if spec.Cluster.OnHost() {
		hint = "Containers of one session that are on several boxes share the boxes' ports: end the other program, or have cluster.session_network say vxlan."
	}
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return err
	}
	for _, e := range entries {
		rec, found, _ := readJSON[record](r.dir(e.Name()), fileRecord)
		if !found || !rec.Shared || e.Name() == spec.ID {
			continue
		}
		if _, over, err := r.settle(e.Name()); over || err != nil {
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
