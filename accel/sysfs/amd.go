package sysfs

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/accel"
)

const (
	amdVendor = "1002"
	drm       = "sys/class/drm"
	kfd       = "sys/class/kfd/kfd"
	// leastVRAM tells cards from the graphics inside processors, which have some of the box's own memory.
	leastVRAM = 4 << 30
)

// radeons lists AMD's cards that ROCm can compute on: those of the amdgpu driver, where the box has /dev/kfd.
func radeons(t tree, specified []string) []unit {
	if len(t.files("/dev/kfd")) == 0 {
		return nil
	}
	var units []unit
	for _, name := range t.names(drm) {
		entry := path.Join(drm, name)
		if numberOf(name, "card") < 0 || strings.Contains(name, "-") { // card0-DP-1 is a connector
			continue
		}
		device := entry + "/device"
		memory := t.number(device + "/mem_info_vram_total")
		if strings.TrimPrefix(t.text(device+"/vendor"), "0x") != amdVendor || memory < leastVRAM {
			continue
		}
		u := unit{entry: entry, device: device, env: []string{"ROCR_VISIBLE_DEVICES"}, read: radeon}
		address := t.uevent(device, "PCI_SLOT_NAME")
		u.Device = accel.Device{
			ID: address, Family: "rocm", Slot: "rocm.device", Name: amdName(t, device), Memory: memory,
			NUMA: t.memoryNode(address), PCI: address, Architecture: amdArchitecture(t, device),
		}
		if unique := t.text(device + "/unique_id"); unique != "" && strings.Trim(unique, "0x") != "" {
			u.ID = "GPU-" + strings.TrimPrefix(unique, "0x")
			u.item = u.ID // ROCm takes it wherever it is seen from; a number means other cards inside a session
		}
		if u.ID == "" {
			u.ID = name
		}
		for _, node := range t.names(device + "/drm") {
			if numberOf(node, "renderD") >= 0 || numberOf(node, "card") >= 0 && !strings.Contains(node, "-") {
				u.nodes = append(u.nodes, t.files("/dev/dri/"+node)...)
			}
		}
		units = append(units, u)
	}
	// ROCm numbers cards as the kernel does: by PCI address. Names of drm entries sort card10 before card2.
	slices.SortStableFunc(units, func(a, b unit) int { return strings.Compare(a.PCI, b.PCI) })
	for i := range units {
		u := &units[i]
		u.Index = i
		u.cdi = named(specified, "amd.com", *u)
		switch {
		case u.cdi == "" && len(u.nodes) == 0:
			u.Fault = "the box has no device file for it below /dev/dri"
		default:
			u.Fault = amdFault(t, u.device)
		}
		u.nodes = append(u.nodes, "/dev/kfd")
	}
	return units
}

func amdName(t tree, device string) string {
	if name := t.text(device + "/product_name"); name != "" {
		return name
	}
	return "AMD GPU " + strings.TrimPrefix(t.text(device+"/device"), "0x")
}

// radeon reads how a card is.
func radeon(t tree, u unit) accel.Sample {
	s := accel.Sample{Device: u.ID, Utilization: -1, MemoryUsed: t.number(u.device + "/mem_info_vram_used"), Temperature: -1, Power: -1}
	if t.text(u.device+"/vendor") == "" {
		s.Fault = "fell off the bus"
		return s
	}
	if busy := t.number(u.device + "/gpu_busy_percent"); busy >= 0 {
		s.Utilization = min(float64(busy)/100, 1)
	}
	s.Temperature, s.Power = t.hwmon(u.device)
	s.Processes = amdProcesses(t, u.device)
	s.Fault = amdFault(t, u.device)
	return s
}

// amdFault reads the count of uncorrectable errors of the card's memory.
func amdFault(t tree, device string) string {
	for line := range strings.Lines(t.text(device + "/ras/umc_err_count")) {
		if count, found := strings.CutPrefix(strings.TrimSpace(line), "ue: "); found && count != "0" {
			return fmt.Sprintf("%s uncorrectable memory errors since the driver was loaded; reset the GPU or reboot", count)
		}
	}
	return ""
}

// amdProcesses lists who computes on a card, as the kernel's compute driver tells it. nil where it does not.
func amdProcesses(t tree, device string) []accel.ProcessUse {
	id := int64(-1)
	for _, name := range t.names(device + "/drm") {
		if minor := numberOf(name, "renderD"); minor >= 0 {
			id = kfdNumber(t, minor)
		}
	}
	if id <= 0 {
		return nil
	}
	uses := []accel.ProcessUse{}
	for _, name := range t.names(kfd + "/proc") {
		pid, err := strconv.Atoi(name)
		memory := t.number(fmt.Sprintf("%s/proc/%s/vram_%d", kfd, name, id))
		if err == nil && memory > 0 {
			uses = append(uses, accel.ProcessUse{PID: pid, Memory: memory})
		}
	}
	slices.SortFunc(uses, func(a, b accel.ProcessUse) int { return a.PID - b.PID })
	return uses
}

// kfdNumber is what the compute driver calls the card with a render node.
func kfdNumber(t tree, minor int) int64 {
	for _, name := range t.names(kfd + "/topology/nodes") {
		node := path.Join(kfd, "topology/nodes", name)
		for line := range strings.Lines(t.text(node + "/properties")) {
			if strings.TrimSpace(line) == fmt.Sprintf("drm_render_minor %d", minor) {
				return t.number(node + "/gpu_id")
			}
		}
	}
	return -1
}

// amdArchitecture is what programs for a card are built for. The compute driver writes 90402 for gfx942.
func amdArchitecture(t tree, device string) string {
	for _, name := range t.names(device + "/drm") {
		minor := numberOf(name, "renderD")
		if minor < 0 {
			continue
		}
		if version := kfdProperty(t, minor, "gfx_target_version"); version > 0 {
			return fmt.Sprintf("gfx%d%x%x", version/10000, version/100%100, version%100)
		}
	}
	return ""
}

// kfdProperty is what the compute driver says of the card with a render node; -1 where it does not.
func kfdProperty(t tree, minor int, property string) int64 {
	for _, name := range t.names(kfd + "/topology/nodes") {
		text, found := t.text(path.Join(kfd, "topology/nodes", name, "properties")), false
		value := int64(-1)
		for line := range strings.Lines(text) {
			key, written, _ := strings.Cut(strings.TrimSpace(line), " ")
			found = found || key == "drm_render_minor" && written == strconv.Itoa(minor)
			if n, err := strconv.ParseInt(written, 10, 64); key == property && err == nil {
				value = n
			}
		}
		if found {
			return value
		}
	}
	return -1
}
