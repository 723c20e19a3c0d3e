package containerd

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"

	"github.com/palisade-run/palisade/sessions"
)

// swapIsCounted reports whether a limit of memory can hold for swap too.
func swapIsCounted(mode cgroups.CGMode) bool {
	if mode == cgroups.Unified {
		return true // runc leaves out what the kernel does not have
	}
	_, err := os.Stat("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes")
	return err == nil
}

// withResources sets the limits; the same words for both versions of cgroups.
func withResources(l sessions.Limits, swap bool) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		res := s.Linux.Resources
		if l.Memory > 0 {
			res.Memory = &specs.LinuxMemory{Limit: &l.Memory}
			if swap {
				res.Memory.Swap = &l.Memory
			}
		}
		if l.MilliCPU > 0 || l.CPUs != "" {
			res.CPU = &specs.LinuxCPU{Cpus: l.CPUs}
		}
		if l.MilliCPU > 0 {
			period, quota := uint64(100_000), max(1000, l.MilliCPU*100) // µs
			res.CPU.Period, res.CPU.Quota = &period, &quota
		}
		if l.Pids > 0 {
			limit := l.Pids + ownThreads
			res.Pids = &specs.LinuxPids{Limit: &limit}
		}
		return nil
	}
}

// sortByDepth puts each mount before those within it.
func sortByDepth(mounts []specs.Mount) {
	slices.SortStableFunc(mounts, func(x, y specs.Mount) int {
		return cmp.Compare(strings.Count(filepath.Clean(x.Destination), "/"), strings.Count(filepath.Clean(y.Destination), "/"))
	})
}

// withDevices gives the session its devices: by the names of the Container Device Interface, whose files
// on the box say what belongs to each, or by path, a directory with all that is in it.
func withDevices(devices []string) ([]oci.SpecOpts, error) {
	var opts []oci.SpecOpts
	var named []string
	for _, d := range devices {
		switch {
		case filepath.IsAbs(d):
			if _, err := os.Stat(d); err != nil {
				return nil, fmt.Errorf("device %s: it does not exist on this box", d)
			}
			opts = append(opts, oci.WithDevices(d, d, "rw"))
		case parser.IsQualifiedName(d):
			named = append(named, d)
		default:
			return nil, fmt.Errorf("device %q: neither the path of a device file nor a name like nvidia.com/gpu=0: %w", d, sessions.ErrInvalid)
		}
	}
	if len(named) > 0 {
		opts = append(opts, withNamedDevices(named))
	}
	return opts, nil
}

func withNamedDevices(named []string) oci.SpecOpts {
	return func(_ context.Context, _ oci.Client, _ *containers.Container, s *oci.Spec) error {
		cache, err := cdi.NewCache(cdi.WithAutoRefresh(false))
		if err != nil {
			return fmt.Errorf("reading the box's CDI files: %w", err)
		}
		unknown, err := cache.InjectDevices(s, named...)
		if len(unknown) > 0 {
			return &Error{
				Err:  fmt.Errorf("this box describes no device %s in %s", strings.Join(unknown, ", "), strings.Join(cache.GetSpecDirectories(), " or ")),
				What: "let the vendor's tool describe them; for NVIDIA: nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml",
			}
		}
		if err != nil {
			return fmt.Errorf("giving the session its devices: %w", err)
		}
		return nil
	}
}
