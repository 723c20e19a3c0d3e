package sessions

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/variants"
)

// resolve checks a recipe against what is on the box and works out what it runs. What is returned has
// folders' ids where the recipe named them, and every default filled in.
func (m *Manager) resolve(ctx context.Context, who folders.Who, serviceName string, r Recipe) (resolved, error) {
	fail := func(err error) (resolved, error) { return resolved{}, err }
	if strings.TrimSpace(r.Image) == "" {
		return fail(fmt.Errorf("%w: no image is named; on the process runtime it is %q", ErrInvalid, "host"))
	}
	if c, ok := m.Runtime.(ImageChecker); ok {
		if err := c.CheckImage(r.Image); err != nil {
			return fail(fmt.Errorf("%w: %w", ErrInvalid, err))
		}
	}
	if r.Variant == "" {
		r.Variant = variants.Custom
	}
	if r.MountDestination == "" {
		r.MountDestination = variants.DefaultMount
	}
	if r.ClusterSize < 2 {
		r.ClusterSize, r.ClusterMode = min(r.ClusterSize, 0), ""
	}
	demand, err := demandOf(Service{}, r)
	if err == nil {
		err = everFits(m.Ledger.Pool(), demand, m.Queueing.Options)
	}
	if err == nil && r.ClusterSize != 0 {
		err = m.checkContainers(r.ClusterSize, r.ClusterMode, r.Image, Waiting{Slots: demand.Slots, Selector: demand.Selector, Engine: true})
	}
	if err != nil {
		return fail(m.overBoxes(err, r, demand))
	}
	if r.Mounts, err = m.reachMounts(ctx, who, r.Mounts); err != nil {
		return fail(err)
	}
	req := variants.Request{Variant: r.Variant, ServiceName: serviceName, Env: r.Env, Mount: r.MountDestination, Nodes: r.ClusterSize, Devices: devices(demand.Slots)}
	var problems catalog.Problems
	if r.Folder != "" {
		named, sub := folders.SplitRef(r.Folder)
		folder, err := m.Folders.Reach(ctx, who, named, folders.ReadOnly)
		if err != nil {
			return fail(folderError(r.Folder, err))
		}
		r.Folder = folders.JoinRef(folder.ID, sub)
		if folder, err = m.seen(ctx, folder); err != nil {
			return fail(err)
		}
		root, err := folder.OpenDirectory(sub)
		if err != nil {
			return fail(fmt.Errorf("%w: %w", ErrInvalid, err))
		}
		defer root.Close()
		req.Files = root.FS()
		if problems, err = m.readDefinition(root, r.DefinitionPath, &req); err != nil {
			return fail(err)
		}
	}
	launch, more := m.Variants.Resolve(req)
	problems = append(problems, more...)
	if err := problems.Err(); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrInvalid, err))
	}
	if launch.FixedPort() && r.ClusterMode == ClusterMultiNode {
		w := Waiting{Slots: demand.Slots, Selector: demand.Selector, Engine: true, Apart: true, Others: make([]string, r.ClusterSize-1)}
		if err := m.checkOver(w); err != nil {
			return fail(err)
		}
	}
	res := resolved{recipe: r, launch: launch, warnings: problems.Warnings()}
	res.fits, more, err = m.checkFit(req.Files, res, demand)
	if err != nil {
		return fail(err)
	}
	res.warnings = append(res.warnings, more...)
	return res, nil
}

// reachMounts is mounts with the ids of folders that may be mounted so.
func (m *Manager) reachMounts(ctx context.Context, who folders.Who, mounts []FolderMount) ([]FolderMount, error) {
	mounts = slices.Clone(mounts)
	for i, mount := range mounts {
		named, sub := folders.SplitRef(mount.Folder)
		folder, err := m.Folders.Reach(ctx, who, named, folders.ReadOnly)
		if err == nil && !folder.Away { // of another box's, that one says so when it starts
			_, err = folder.Directory(sub)
		}
		if err != nil {
			return nil, folderError(mount.Folder, err)
		}
		if err := checkTarget(mount.Target); err != nil {
			return nil, err
		}
		mounts[i].Folder = folders.JoinRef(folder.ID, sub)
	}
	return mounts, nil
}

// resolved is a recipe that can run, and how.
type resolved struct {
	recipe   Recipe
	launch   variants.LaunchSpec
	warnings catalog.Problems
	fits     string // whether its model does, in one sentence; "": that cannot be told
}

// readDefinition puts the folder's definition into req, for a variant that reads one, and returns what
// is to be said about it.
func (m *Manager) readDefinition(root *os.Root, explicit string, req *variants.Request) (catalog.Problems, error) {
	if v, ok := m.Variants.Lookup(req.Variant); !ok || !v.ReadsDefinition {
		return nil, nil
	}
	name, src, err := catalog.FindDefinition(root, explicit)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	definition, problems := catalog.ParseDefinition(name, src)
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	req.Definition = definition
	return problems, nil
}

func folderError(ref string, err error) error {
	if errors.Is(err, folders.ErrNotFound) {
		return fmt.Errorf("folder %q: %w; `palisade folder list` shows those that are there", ref, ErrNotFound)
	}
	return fmt.Errorf("folder %q: %w", ref, err)
}

func checkTarget(target string) error {
	if err := folders.CheckTarget(target); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
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
	l := Limits{MilliCPU: int64(slots[accel.SlotCPU]), Memory: int64(slots[accel.SlotMem]), Shm: defaultShm}
	for name, value := range r.ResourceOpts {
		switch {
		case name == OptMemoryCheck && (value == "on" || value == "off"):
			continue
		case name == OptMemoryCheck:
			return Limits{}, fmt.Errorf("%w: resource option %s is on or off, not %q", ErrInvalid, name, value)
		case name != "shmem":
			return Limits{}, fmt.Errorf("%w: resource option %q is not known; shmem and %s are", ErrInvalid, name, OptMemoryCheck)
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
func (m *Manager) mountsOf(ctx context.Context, who folders.Who, r Recipe, modelMount string) ([]Mount, error) {
	var mounts []Mount
	add := func(ref, target string, readOnly bool) error {
		named, sub := folders.SplitRef(ref)
		folder, err := m.Folders.Reach(ctx, who, named, folders.ReadOnly)
		if err != nil {
			return folderError(named, err)
		}
		if info, err := os.Stat(folder.Path); !folder.Away && (err != nil || !info.IsDir()) {
			return fmt.Errorf("folder %s: its directory %s is not there any more; put it back, or update the service with another folder", folder.Name, folder.Path)
		}
		// Never more than they were given, whatever they ask for.
		mount := Mount{Source: folder.Path, Target: target, ReadOnly: readOnly || !folder.Permission.Allows(folders.ReadWrite)}
		if folder.Home != "" {
			mount.Folder = MountedFolder{ID: folder.ID, Name: folder.Name, Sub: sub, Home: folder.Home, Sealed: folder.Sealed}
		}
		switch {
		case sub == "":
		case folder.Away:
			mount.Within, mount.Source = folder.Path, filepath.Join(folder.Path, sub)
		default:
			mount.Within = folder.Path
			if mount.Source, err = folder.Directory(sub); err != nil {
				return fmt.Errorf("%w: %w", ErrInvalid, err)
			}
		}
		mounts = append(mounts, mount)
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
