package nvml

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tags.cncf.io/container-device-interface/pkg/cdi"

	"github.com/palisade-run/palisade/accel"
)

// slotShares is what a part of a device is asked for as; all other slots are whole devices or slices.
const slotShares accel.Slot = "cuda.shares"

// cdiKind is the kind that NVIDIA's toolkit writes into its specifications.
const cdiKind = "nvidia.com/gpu="

// found is a device with what is needed to hand it to a session.
type found struct {
	accel.Device
	cdi   []string // names that specifications may have for it, best first
	nodes []string // device files that are its own
}

// Sharing says how a session is held to its parts of devices.
type Sharing interface {
	// Grant adds to what a session is given. The shares are all of cuda.shares, in the order in which the
	// session sees their devices. Enforced says whether they are held to.
	Grant(shares []accel.Share) (accel.Grant, error)
}

// control are the device files that every program on NVIDIA's devices opens. Those that a box does not have are left out.
var control = []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools"}

// handOver says what a session is given for its shares.
//  1. The devices are named by UUID in both variables: numbers mean other devices inside a session than outside.
//  2. CDI, where a specification names every one of them: it brings the driver's libraries too.
//  3. Else device files, which the runtime makes visible: the image has to bring its libraries.
func handOver(shares []accel.Share, known map[string]found, cdiNames, files map[string]bool) (accel.Grant, error) {
	var uuids, names, nodes []string
	for _, share := range shares {
		device, is := known[share.Device]
		if !is {
			return accel.Grant{}, fmt.Errorf("granting %s: NVIDIA's driver lists no such device", share.Device)
		}
		if slices.Contains(uuids, share.Device) {
			continue
		}
		uuids = append(uuids, share.Device)
		nodes = append(nodes, device.nodes...)
		if i := slices.IndexFunc(device.cdi, func(name string) bool { return cdiNames[name] }); i >= 0 {
			names = append(names, device.cdi[i])
		}
	}
	list := strings.Join(uuids, ",")
	grant := accel.Grant{Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": list, "CUDA_VISIBLE_DEVICES": list}} // 1
	switch {
	case len(uuids) == 0:
		// An image made for GPUs sees all of them where it is not told to see none.
		grant.Env = map[string]string{"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": ""}
	case len(names) == len(uuids): // 2
		grant.CDI = names
	default: // 3
		for _, node := range append(slices.Clone(control), nodes...) {
			if files[node] && !slices.Contains(grant.Nodes, node) {
				grant.Nodes = append(grant.Nodes, node)
			}
		}
	}
	return grant, nil
}

// withShares adds what holds a session to its parts. Whole devices need nothing more.
func withShares(grant accel.Grant, shares []accel.Share, sharing Sharing) (accel.Grant, error) {
	parts := slices.DeleteFunc(slices.Clone(shares), func(s accel.Share) bool { return s.Slot != slotShares })
	grant.Enforced = len(parts) == 0
	if len(parts) == 0 || sharing == nil {
		return grant, nil
	}
	more, err := sharing.Grant(parts)
	if err != nil {
		return accel.Grant{}, fmt.Errorf("granting parts of devices: %w", err)
	}
	maps.Copy(grant.Env, more.Env)
	grant.Nodes = append(grant.Nodes, more.Nodes...)
	grant.Mounts, grant.Enforced = more.Mounts, more.Enforced
	return grant, nil
}

// specified lists the names that the specifications in dirs have. One that cannot be read is as none: device
// files are given instead.
func specified(dirs []string) map[string]bool {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil
	}
	names := map[string]bool{}
	for _, name := range cache.ListDevices() {
		names[name] = true
	}
	return names
}

// present tells which of NVIDIA's device files are there.
func present(dev fs.FS) map[string]bool {
	there := map[string]bool{}
	for _, pattern := range []string{"nvidia*", "nvidia-caps/nvidia-cap*"} {
		files, err := fs.Glob(dev, pattern)
		if err != nil {
			continue // only of a pattern that is none
		}
		for _, file := range files {
			there["/dev/"+file] = true
		}
	}
	return there
}

// whole is how a card that is not cut is handed over.
func (c card) whole(d accel.Device) found {
	f := found{Device: d, cdi: []string{cdiKind + c.uuid, cdiKind + strconv.Itoa(c.index)}}
	if c.minor >= 0 {
		f.nodes = []string{"/dev/nvidia" + strconv.Itoa(c.minor)}
	}
	return f
}

// part is how a slice of a card is handed over.
func (c card) part(d accel.Device, s slice, proc fs.FS) found {
	f := found{Device: d, cdi: []string{cdiKind + s.uuid, fmt.Sprintf("%s%d:%d", cdiKind, c.index, s.index)}}
	if c.minor >= 0 {
		f.nodes = append([]string{"/dev/nvidia" + strconv.Itoa(c.minor)}, capabilities(proc, c.minor, s)...)
	}
	return f
}
