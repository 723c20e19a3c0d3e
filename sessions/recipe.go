package sessions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/variants"
)

// DefaultMount is where a model folder is mounted unless the owner says otherwise.
const DefaultMount = "/models"

func (m *Manager) resolve(_ context.Context, _, _ string, r Recipe) (Recipe, variants.LaunchSpec, error) {
	return r, variants.LaunchSpec{}, ErrInvalid
}

func folderError(ref string, err error) error {
	if errors.Is(err, catalog.ErrNotFound) {
		return fmt.Errorf("folder %q: %w; `palisade folder list` shows those that are there", ref, ErrNotFound)
	}
	return fmt.Errorf("folder %q: %w", ref, err)
}

// systemTargets are directories of a session that a mount must not cover.
var systemTargets = []string{"/", "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr", "/var"}

func checkTarget(target string) error {
	clean := path.Clean(target)
	if !path.IsAbs(target) || clean != target {
		return fmt.Errorf("%w: mount target %q is not a plain absolute path", ErrInvalid, target)
	}
	for _, sys := range systemTargets {
		if clean == sys || (sys == "/proc" || sys == "/sys" || sys == "/dev") && strings.HasPrefix(clean, sys+"/") {
			return fmt.Errorf("%w: mount target %q would cover a system directory; use one such as /models or /home/work/data", ErrInvalid, target)
		}
	}
	return nil
}

// defaultShm is what /dev/shm gets where the recipe does not say. It adds to the memory limit.
const defaultShm = 64 << 20

// limitsOf turns a recipe's resources into a runtime's limits.
func limitsOf(r Recipe) (Limits, error) {
	slots, err := accel.ParseSlots(r.Resources)
	if err != nil {
		return Limits{}, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if devices := slots.Accelerators(); len(devices) > 0 {
		return Limits{}, fmt.Errorf("%w: %s is asked for, and this box has no accelerator that Palisade can hand out", ErrInvalid, devices[0])
	}
	l := Limits{MilliCPU: int64(slots[accel.SlotCPU]), Memory: int64(slots[accel.SlotMem]), Shm: defaultShm}
	for name, value := range r.ResourceOpts {
		if name != "shmem" {
			return Limits{}, fmt.Errorf("%w: resource option %q is not known; shmem is", ErrInvalid, name)
		}
		if l.Shm, err = accel.ParseSize(value); err != nil {
			return Limits{}, fmt.Errorf("%w: shmem: %w", ErrInvalid, err)
		}
	}
	if l.Memory > 0 {
		l.Memory += l.Shm
	}
	return l, nil
}

// mountsOf finds the directories of a recipe's folders as they are now.
func (m *Manager) mountsOf(ctx context.Context, project string, r Recipe, modelMount string) ([]Mount, error) {
	var mounts []Mount
	add := func(ref, target string, readOnly bool) error {
		folder, err := m.Folders.Find(ctx, project, ref)
		if err != nil {
			return folderError(ref, err)
		}
		if info, err := os.Stat(folder.Path); err != nil || !info.IsDir() {
			return fmt.Errorf("folder %s: its directory %s is not there any more; put it back, or update the service with another folder", folder.Name, folder.Path)
		}
		mounts = append(mounts, Mount{Source: folder.Path, Target: target, ReadOnly: readOnly})
		return nil
	}
	if r.Folder != "" {
		if err := add(r.Folder, modelMount, true); err != nil {
			return nil, err
		}
	}
	for _, f := range r.Mounts {
		if err := add(f.Folder, f.Target, f.ReadOnly); err != nil {
			return nil, err
		}
	}
	return mounts, nil
}
