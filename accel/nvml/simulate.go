//go:build cgo && linux

package nvml

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/gpus"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
)

// mocked are the library's mocks by the names that simulatedBoxes uses.
var mocked = map[string]gpus.Config{
	"a100-sxm4-40gb": gpus.A100_SXM4_40GB, "a100-pcie-80gb": gpus.A100_PCIE_80GB, "a30-pcie-24gb": gpus.A30_PCIE_24GB,
	"h100-sxm5-80gb": gpus.H100_SXM5_80GB, "h200-sxm5-141gb": gpus.H200_SXM5_141GB, "b200-sxm5-180gb": gpus.B200_SXM5_180GB,
}

// Simulate makes a box that does not exist, from the library's mocks: the same devices, with the same identities and the
// same movements, each time. Simulated lists the names.
func Simulate(name string, o SimulateOptions) (*Plugin, error) {
	b, mig, err := findBox(name)
	if err != nil {
		return nil, err
	}
	lib, err := simulate(name, b, mig, o)
	if err != nil {
		return nil, err
	}
	p, err := newPlugin("simulated "+name, &driver{lib: lib}, Options{Sys: nowhere{}, Proc: nowhere{}, DeviceFS: nowhere{}}, true)
	if err != nil {
		return nil, fmt.Errorf("simulating %s: %w", name, err)
	}
	return p, nil
}

func simulate(name string, b simulatedBox, mig bool, o SimulateOptions) (nvml.Interface, error) {
	config := mocked[b.gpu.kind]
	lib, err := server.New(server.WithGPUs(gpus.Multiple(len(b.buses), config)...),
		server.WithDriverVersion("550.54.15"), server.WithNVMLVersion("12.550.54.15"), server.WithCUDADriverVersion(12040))
	if err != nil {
		return nil, fmt.Errorf("simulating %s: %w", name, err)
	}
	for i := range lib.Devices {
		device, is := lib.Devices[i].(*server.Device)
		if !is {
			return nil, fmt.Errorf("simulating %s: the mock is a %T", name, lib.Devices[i])
		}
		device.UUID = identity("GPU-", name, i, 0)
		m := &actor{gpu: b.gpu, seed: uint64(i)*137 + seed(name), memory: config.MemoryMB << 20, uuid: device.UUID, held: o.Held}
		m.play(&device.Device)
		m.wire(&device.Device, b, i)
		if mig && i >= len(b.buses)-2 && (i > 0 || len(b.buses) == 1) {
			if err := m.cut(device, name, i, config); err != nil {
				return nil, err
			}
		}
	}
	return lib, nil
}

// actor moves one simulated card or slice.
type actor struct {
	gpu    gpu
	seed   uint64
	memory uint64 // bytes
	uuid   string
	held   func(device string) float64
}

func (m *actor) now() activity {
	held := -1.0
	if m.held != nil {
		held = m.held(m.uuid)
	}
	return motion(m.seed, held, m.gpu, time.Now())
}

// play sets what the mock does not answer: how the device is.
func (m *actor) play(d *mock.Device) {
	d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) {
		used := uint64(m.now().memory * float64(m.memory))
		return nvml.Memory{Total: m.memory, Used: used, Free: m.memory - used}, nvml.SUCCESS
	}
	d.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) {
		used := uint64(m.now().memory * float64(m.memory))
		return nvml.Memory_v2{Total: m.memory, Used: used, Free: m.memory - used}, nvml.SUCCESS
	}
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
		a := m.now()
		return nvml.Utilization{Gpu: uint32(math.Round(100 * a.load)), Memory: uint32(math.Round(70 * a.load))}, nvml.SUCCESS
	}
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) {
		return uint32(math.Round(m.now().temperature)), nvml.SUCCESS
	}
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return uint32(math.Round(m.now().power * 1000)), nvml.SUCCESS }
	d.GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) { return 0, nvml.SUCCESS }
	d.GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 0, false, false, nvml.SUCCESS }
	d.GetSupportedEventTypesFunc = func() (uint64, nvml.Return) { return 0, nvml.SUCCESS }
	nobody := func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.SUCCESS }
	d.GetComputeRunningProcessesFunc, d.GetGraphicsRunningProcessesFunc = nobody, nobody
	d.GetMPSComputeRunningProcessesFunc = nobody
}

// wire sets what joins a card to the others: NVLinks into a switch, or two sockets with half of the cards each.
func (m *actor) wire(d *mock.Device, b simulatedBox, index int) {
	buses := map[string]int{}
	for i := range b.buses {
		buses[address(nvml.PciInfo{Bus: b.buses[i]})] = i
	}
	d.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) {
		return nvml.PciInfo{Bus: b.buses[index], PciDeviceId: mocked[b.gpu.kind].PciDeviceId}, nvml.SUCCESS
	}
	d.GetNvLinkStateFunc = func(link int) (nvml.EnableState, nvml.Return) {
		if link >= m.gpu.nvlinks {
			return nvml.FEATURE_DISABLED, nvml.ERROR_NOT_SUPPORTED
		}
		return nvml.FEATURE_ENABLED, nvml.SUCCESS
	}
	d.GetNvLinkRemoteDeviceTypeFunc = func(int) (nvml.IntNvLinkDeviceType, nvml.Return) {
		return nvml.NVLINK_DEVICE_TYPE_SWITCH, nvml.SUCCESS
	}
	d.GetTopologyCommonAncestorFunc = func(other nvml.Device) (nvml.GpuTopologyLevel, nvml.Return) {
		pci, code := other.GetPciInfo()
		if code != nvml.SUCCESS {
			return 0, code
		}
		half := len(b.buses) / 2
		if (index < half) != (buses[address(pci)] < half) {
			return nvml.TOPOLOGY_SYSTEM, nvml.SUCCESS
		}
		return nvml.TOPOLOGY_NODE, nvml.SUCCESS
	}
}

// cut puts a card into MIG mode: all of it in the smallest slices where its number is odd, else two halves.
func (m *actor) cut(d *server.Device, name string, index int, config gpus.Config) error {
	size, parts := nvml.GPU_INSTANCE_PROFILE_1_SLICE, 7
	if index%2 == 0 {
		size, parts = nvml.GPU_INSTANCE_PROFILE_3_SLICE, 2
	}
	profile, there := config.MIGProfiles.GpuInstanceProfiles[size]
	if !there {
		size = nvml.GPU_INSTANCE_PROFILE_1_SLICE
		if profile, there = config.MIGProfiles.GpuInstanceProfiles[size]; !there {
			return fmt.Errorf("simulating %s: %s cannot be cut", name, config.Name)
		}
		parts = int(profile.InstanceCount)
	}
	parts = min(parts, int(profile.InstanceCount))
	if _, code := d.SetMigMode(nvml.DEVICE_MIG_ENABLE); code != nvml.SUCCESS {
		return fmt.Errorf("simulating %s: %s", name, words(code))
	}
	made := make([]nvml.Device, parts)
	for i := range made {
		made[i] = m.part(d, profile, identity("MIG-", name, index, i+1), i)
	}
	d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	d.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i >= len(made) {
			return nil, nvml.ERROR_NOT_FOUND
		}
		return made[i], nvml.SUCCESS
	}
	return nil
}

func (m *actor) part(card *server.Device, p nvml.GpuInstanceProfileInfo, uuid string, index int) nvml.Device {
	d := &mock.Device{
		GetUUIDFunc:              func() (string, nvml.Return) { return uuid, nvml.SUCCESS },
		GetNameFunc:              func() (string, nvml.Return) { return card.Config.Name, nvml.SUCCESS },
		GetGpuInstanceIdFunc:     func() (int, nvml.Return) { return index + 1, nvml.SUCCESS },
		GetComputeInstanceIdFunc: func() (int, nvml.Return) { return 0, nvml.SUCCESS },
		GetAttributesFunc: func() (nvml.DeviceAttributes, nvml.Return) {
			return nvml.DeviceAttributes{
				MultiprocessorCount: p.MultiprocessorCount, GpuInstanceSliceCount: p.SliceCount,
				ComputeInstanceSliceCount: p.SliceCount, MemorySizeMB: p.MemorySizeMB,
			}, nvml.SUCCESS
		},
	}
	slice := &actor{gpu: m.gpu, seed: m.seed + uint64(index)*31, memory: p.MemorySizeMB << 20, uuid: uuid, held: m.held}
	slice.play(d)
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) {
		return nvml.Utilization{}, nvml.ERROR_NOT_SUPPORTED // as of a real slice
	}
	return d
}

// identity makes the identity of the n-th part of the i-th card of a box: it looks like NVIDIA's, and never changes.
func identity(prefix, box string, i, n int) string {
	h := sha256.Sum256(fmt.Appendf(nil, "palisade simulates %s %d %d", box, i, n))
	return fmt.Sprintf("%s%x-%x-%x-%x-%x", prefix, h[:4], h[4:6], h[6:8], h[8:10], h[10:16])
}

func seed(name string) uint64 {
	h := sha256.Sum256([]byte(name))
	return binary.LittleEndian.Uint64(h[:]) % 1_000_000
}
