//go:build cgo && linux

package nvml

import (
	"errors"
	"math"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
)

// read asks a card or slice how it is. What it does not tell is left unknown; what fails is its fault.
func (d *driver) read(uuid string) (reading, error) {
	r := unknown()
	h, known := d.handles[uuid]
	if !known {
		r.fault = "the driver does not list it any more"
		return r, d.alive()
	}
	var first error
	tell := func(err error) bool {
		if err != nil && !errors.Is(err, errUnsupported) && first == nil {
			first = err
		}
		return err == nil
	}
	if used, err := d.memoryUsed(h); tell(err) {
		r.memory = used
	}
	if use, err := call(d, "nvmlDeviceGetUtilizationRates", h.GetUtilizationRates); tell(err) {
		r.utilization = min(float64(use.Gpu)/100, 1)
	}
	whole := h.Device
	if h.parent != nil {
		whole = h.parent // a slice has no thermometer of its own, and no meter at all
	}
	if degrees, err := call(d, "nvmlDeviceGetTemperature", func() (uint32, nvml.Return) {
		return whole.GetTemperature(nvml.TEMPERATURE_GPU)
	}); tell(err) {
		r.temperature = float64(degrees)
	}
	if h.parent == nil {
		if milliwatts, err := call(d, "nvmlDeviceGetPowerUsage", h.GetPowerUsage); tell(err) {
			r.power = float64(milliwatts) / 1000
		}
	}
	processes, err := d.processes(h)
	tell(err)
	r.processes = processes
	counts, err := d.health(whole)
	tell(err)
	r.fault = counts.fault()
	if first == nil {
		return r, nil
	}
	if errors.Is(first, errGone) {
		return r, first
	}
	r.fault = firstOf(r.fault, plainFault(first))
	return r, d.alive()
}

// memoryUsed is what programs hold. Newer drivers tell it without what they keep for themselves.
func (d *driver) memoryUsed(h handle) (int64, error) {
	if memory, err := call(d, "nvmlDeviceGetMemoryInfo_v2", h.GetMemoryInfo_v2); err == nil {
		return int64(memory.Used), nil
	} else if !errors.Is(err, errUnsupported) {
		return -1, err
	}
	memory, err := call(d, "nvmlDeviceGetMemoryInfo", h.GetMemoryInfo)
	return int64(memory.Used), err
}

// processes lists who uses a device: programs that compute, those that draw, and the clients of MPS. One that is in
// several lists is counted once. nil where no list can be had.
func (d *driver) processes(h handle) (map[int]int64, error) {
	var all map[int]int64
	for _, list := range []struct {
		function string
		ask      func() ([]nvml.ProcessInfo, nvml.Return)
	}{
		{"nvmlDeviceGetComputeRunningProcesses", h.GetComputeRunningProcesses},
		{"nvmlDeviceGetGraphicsRunningProcesses", h.GetGraphicsRunningProcesses},
		{"nvmlDeviceGetMPSComputeRunningProcesses", h.GetMPSComputeRunningProcesses},
	} {
		some, err := call(d, list.function, list.ask)
		if errors.Is(err, errUnsupported) {
			continue
		}
		if err != nil {
			return all, err
		}
		if all == nil {
			all = map[int]int64{}
		}
		for _, p := range some {
			memory := int64(-1)
			if p.UsedGpuMemory <= math.MaxInt64 { // all ones: it is not known
				memory = int64(p.UsedGpuMemory)
			}
			if had, listed := all[int(p.Pid)]; !listed || memory > had {
				all[int(p.Pid)] = memory
			}
		}
	}
	return all, nil
}

// critical are the events that say that a card is broken.
const critical = nvml.EventTypeXidCriticalError | nvml.EventTypeDoubleBitEccError

// mostEvents are read at one time, so that a card that cries without end holds nobody up.
const mostEvents = 64

// register asks for a card's events. A card that has none, or no right to them, goes without.
func (d *driver) register(uuid string, device nvml.Device) {
	if d.listen[uuid] {
		return
	}
	if d.set == nil {
		set, err := call(d, "nvmlEventSetCreate", d.lib.EventSetCreate)
		if err != nil {
			return
		}
		d.set = set
	}
	offered, err := call(d, "nvmlDeviceGetSupportedEventTypes", device.GetSupportedEventTypes)
	if err != nil || offered&critical == 0 {
		return
	}
	_, err = call(d, "nvmlDeviceRegisterEvents", func() (struct{}, nvml.Return) {
		return struct{}{}, device.RegisterEvents(offered&critical, d.set)
	})
	d.listen[uuid] = err == nil
}

// events reads what has happened, without waiting.
func (d *driver) events() ([]event, error) {
	var all []event
	for range mostEvents {
		if d.set == nil || len(d.listen) == 0 {
			return all, nil
		}
		e, err := call(d, "nvmlEventSetWait", func() (nvml.EventData, nvml.Return) { return d.set.Wait(0) })
		if errors.Is(err, errNotFound) {
			return all, nil // nothing (more) has happened
		}
		if err != nil {
			return all, err
		}
		if e.EventType&critical == 0 || e.Device == nil {
			continue
		}
		uuid, err := call(d, "nvmlDeviceGetUUID", e.Device.GetUUID)
		if err != nil {
			continue
		}
		happened := event{uuid: uuid, gi: -1}
		if e.EventType&nvml.EventTypeXidCriticalError != 0 {
			happened.xid = e.EventData
		}
		if e.GpuInstanceId != math.MaxUint32 {
			happened.gi = int(e.GpuInstanceId)
		}
		all = append(all, happened)
	}
	return all, nil
}
