//go:build cgo && linux

package nvml

import (
	"errors"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// cards lists what the library lists. One card that does not answer is no error.
func (d *driver) cards() ([]card, error) {
	count, err := call(d, "nvmlDeviceGetCount", d.lib.DeviceGetCount)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errGone, err)
	}
	d.handles = make(map[string]handle, count)
	all := make([]card, 0, count)
	for i := range count {
		c, err := d.card(i)
		if errors.Is(err, errGone) {
			return nil, err
		}
		if err != nil {
			c.fault = plainFault(err)
		}
		all = append(all, c)
	}
	for i := range all {
		d.near(&all[i], all)
	}
	return all, nil
}

// card describes the card at a position. What it returns beside an error is what could be told.
func (d *driver) card(index int) (card, error) {
	c := card{index: index, minor: -1}
	device, err := call(d, "nvmlDeviceGetHandleByIndex", func() (nvml.Device, nvml.Return) {
		return d.lib.DeviceGetHandleByIndex(index)
	})
	if err != nil {
		return c, err
	}
	uuid, err := call(d, "nvmlDeviceGetUUID", device.GetUUID)
	if err != nil {
		return c, err
	}
	c.uuid, d.handles[uuid] = uuid, handle{Device: device}
	var faults []error
	tell := func(err error) {
		if err != nil && !errors.Is(err, errUnsupported) {
			faults = append(faults, err)
		}
	}
	c.name, err = call(d, "nvmlDeviceGetName", device.GetName)
	tell(err)
	if minor, err := call(d, "nvmlDeviceGetMinorNumber", device.GetMinorNumber); err == nil {
		c.minor = minor
	} else {
		tell(err)
	}
	pci, err := call(d, "nvmlDeviceGetPciInfo", device.GetPciInfo)
	tell(err)
	if err == nil && pci.Bus|pci.Device|pci.Domain|pci.PciDeviceId != 0 {
		c.pci = address(pci)
	}
	memory, err := call(d, "nvmlDeviceGetMemoryInfo", device.GetMemoryInfo)
	tell(err)
	c.memory = int64(memory.Total)
	c.arch = d.architecture(device)
	h, err := d.health(device)
	tell(err)
	c.fault = h.fault()
	tell(d.slicesOf(&c, device))
	tell(d.wires(&c, device))
	d.register(c.uuid, device)
	return c, worst(faults)
}

// architecture is what programs for the card are built for. One that does not say is none the worse for it.
func (d *driver) architecture(device nvml.Device) string {
	type capability struct{ major, minor int }
	c, err := call(d, "nvmlDeviceGetCudaComputeCapability", func() (capability, nvml.Return) {
		major, minor, code := device.GetCudaComputeCapability()
		return capability{major, minor}, code
	})
	if err != nil || c.major <= 0 {
		return ""
	}
	return fmt.Sprintf("sm_%d%d", c.major, c.minor)
}

// worst picks the error to act on: that all is gone, that this card is, or the first.
func worst(errs []error) error {
	for _, kind := range []error{errGone, errFellOff} {
		for _, err := range errs {
			if errors.Is(err, kind) {
				return err
			}
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return errs[0]
}

// health reads a card's counts of memory errors; what it does not count is 0.
func (d *driver) health(device nvml.Device) (h health, err error) {
	h.uncorrected, err = call(d, "nvmlDeviceGetTotalEccErrors", func() (uint64, nvml.Return) {
		return device.GetTotalEccErrors(nvml.MEMORY_ERROR_TYPE_UNCORRECTED, nvml.VOLATILE_ECC)
	})
	if err != nil && !errors.Is(err, errUnsupported) {
		return h, err
	}
	h.remapFailed, err = call(d, "nvmlDeviceGetRemappedRows", func() (bool, nvml.Return) {
		_, _, _, failed, code := device.GetRemappedRows()
		return failed, code
	})
	return h, err
}

// wires counts a card's NVLinks by where they lead.
func (d *driver) wires(c *card, device nvml.Device) error {
	c.peers = map[string]int{}
	for link := range nvml.NVLINK_MAX_LINKS {
		state, err := call(d, "nvmlDeviceGetNvLinkState", func() (nvml.EnableState, nvml.Return) { return device.GetNvLinkState(link) })
		switch {
		case errors.Is(err, errUnsupported):
			return nil // there are no more
		case err != nil:
			return err
		case state != nvml.FEATURE_ENABLED:
			continue
		}
		kind, err := call(d, "nvmlDeviceGetNvLinkRemoteDeviceType", func() (nvml.IntNvLinkDeviceType, nvml.Return) {
			return device.GetNvLinkRemoteDeviceType(link)
		})
		if err == nil && kind == nvml.NVLINK_DEVICE_TYPE_SWITCH {
			c.switches++
			continue
		}
		remote, err := call(d, "nvmlDeviceGetNvLinkRemotePciInfo", func() (nvml.PciInfo, nvml.Return) {
			return device.GetNvLinkRemotePciInfo(link)
		})
		if err == nil {
			c.peers[address(remote)]++
		}
	}
	return nil
}

// near asks what lies between a card and the others.
func (d *driver) near(c *card, all []card) {
	c.levels = map[string]topology{}
	for _, other := range all {
		if c.uuid == "" || other.uuid == "" || other.uuid == c.uuid {
			continue
		}
		level, err := call(d, "nvmlDeviceGetTopologyCommonAncestor", func() (nvml.GpuTopologyLevel, nvml.Return) {
			return d.handles[c.uuid].GetTopologyCommonAncestor(d.handles[other.uuid].Device)
		})
		if err == nil {
			c.levels[other.uuid] = levelFrom(int(level))
		}
	}
}

// slicesOf lists the slices of a card in MIG mode.
func (d *driver) slicesOf(c *card, device nvml.Device) error {
	on, err := call(d, "nvmlDeviceGetMigMode", func() (bool, nvml.Return) {
		current, _, code := device.GetMigMode()
		return current == nvml.DEVICE_MIG_ENABLE, code
	})
	if err != nil || !on {
		return err
	}
	c.mig = true
	most, err := call(d, "nvmlDeviceGetMaxMigDeviceCount", device.GetMaxMigDeviceCount)
	if err != nil {
		return err
	}
	for i := range most {
		part, err := call(d, "nvmlDeviceGetMigDeviceHandleByIndex", func() (nvml.Device, nvml.Return) {
			return device.GetMigDeviceHandleByIndex(i)
		})
		if errors.Is(err, errNotFound) || errors.Is(err, errUnsupported) {
			continue // nothing is cut at this place
		}
		if err != nil {
			return err
		}
		s, err := d.slice(*c, part, device)
		if err != nil {
			return err
		}
		s.index = i
		c.slices = append(c.slices, s)
	}
	return nil
}

func (d *driver) slice(c card, part, parent nvml.Device) (slice, error) {
	s := slice{gi: -1, ci: -1}
	uuid, err := call(d, "nvmlDeviceGetUUID", part.GetUUID)
	if err != nil {
		return s, err
	}
	s.uuid, d.handles[uuid] = uuid, handle{Device: part, parent: parent}
	name, err := call(d, "nvmlDeviceGetName", part.GetName)
	if err != nil && !errors.Is(err, errUnsupported) {
		s.fault = plainFault(err)
	}
	cut, err := call(d, "nvmlDeviceGetAttributes", part.GetAttributes)
	if err != nil && !errors.Is(err, errUnsupported) {
		s.fault = plainFault(err)
	}
	s.memory = int64(cut.MemorySizeMB) << 20
	s.profile = profile(name, attributes{int(cut.GpuInstanceSliceCount), int(cut.ComputeInstanceSliceCount), s.memory}, c.memory)
	if gi, err := call(d, "nvmlDeviceGetGpuInstanceId", part.GetGpuInstanceId); err == nil {
		s.gi = gi
	}
	if ci, err := call(d, "nvmlDeviceGetComputeInstanceId", part.GetComputeInstanceId); err == nil {
		s.ci = ci
	}
	if s.profile == "" && s.fault == "" {
		s.fault = "the driver does not tell its profile"
	}
	return s, nil
}

// address is how sysfs writes a PCI address.
func address(p nvml.PciInfo) string {
	return fmt.Sprintf("%04x:%02x:%02x.0", p.Domain, p.Bus, p.Device)
}

// plainFault is what people read of an error of one device.
func plainFault(err error) string {
	if errors.Is(err, errFellOff) {
		return "fell off the bus: reboot, or see whether it has lost power"
	}
	return err.Error()
}
