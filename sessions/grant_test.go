package sessions_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// TestSessionsAreToldWhatTheyHold: devices, variables and mounts of the grant, the engine's bound on its memory, the
// cores near to the devices, and the claim itself as a label.
func TestSessionsAreToldWhatTheyHold(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node = eight()
		w.node.NUMA = []accel.NUMA{{ID: 0, CPUs: []int{0, 1, 2, 3}, Memory: 256 << 30}, {ID: 1, CPUs: []int{4, 5, 6, 7}, Memory: 256 << 30}}
		w.grant = func(c accel.Claim) (accel.Grant, error) {
			return accel.Grant{
				CDI: []string{"nvidia.com/gpu=" + c.Shares[0].Device}, Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": c.Shares[0].Device},
				Mounts: map[string]string{"/run/mps": "/run/mps"},
			}, nil
		}
		w.seed("half", 1)
		w.asks("half", map[string]string{"cuda.shares": "0.5", "cpu": "2"})
		launch := &w.store.revisions["svc-half"][0].Launch
		launch.Variant = "vllm"
		launch.Processes = []variants.Process{{Name: "half", Argv: []string{"vllm", "serve", "/models"}, Port: 8000}}
		w.boot()
		w.after(time.Minute)
		started := w.runtime.Started()
		if len(started) != 1 {
			t.Fatalf("%d were started", len(started))
		}
		spec := started[0]
		device := w.ledger.Claims()[0].Shares[0].Device
		if !slices.Equal(spec.Devices, []string{"nvidia.com/gpu=" + device}) || spec.Env["NVIDIA_VISIBLE_DEVICES"] != device {
			t.Errorf("devices %v, %s", spec.Devices, spec.Env["NVIDIA_VISIBLE_DEVICES"])
		}
		if !slices.Contains(spec.Mounts, sessions.Mount{Source: "/run/mps", Target: "/run/mps"}) {
			t.Errorf("mounts: %v", spec.Mounts)
		}
		if argv := strings.Join(spec.Processes[0].Argv, " "); !strings.Contains(argv, "--gpu-memory-utilization") || !strings.Contains(argv, "0.5") {
			t.Errorf("the engine is started as %q", argv)
		}
		if spec.Limits.CPUs != "0-3" || spec.Limits.MilliCPU != 2000 {
			t.Errorf("limits: %+v", spec.Limits)
		}
		if label := spec.Labels[sessions.LabelClaim]; !strings.Contains(label, device) {
			t.Errorf("its label is %q", label)
		}
		if first := w.store.revisions["svc-half"][0].Launch.Processes[0].Argv; len(first) != 3 {
			t.Errorf("the revision was changed: %q", first)
		}
	})
}
