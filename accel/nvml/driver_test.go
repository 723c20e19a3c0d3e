//go:build cgo && linux

package nvml

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

// wreck is a simulated box with parts of the library that a test breaks.
type wreck struct {
	*server.Server
	lib *mock.Interface
}

func newWreck(t *testing.T, name string) wreck {
	t.Helper()
	b, mig, err := findBox(name)
	if err != nil {
		t.Fatal(err)
	}
	lib, err := simulate(name, b, mig, SimulateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s, is := lib.(*server.Server)
	if !is {
		t.Fatalf("%T", lib)
	}
	return wreck{s, &s.Interface}
}

func (w wreck) card(i int) *mock.Device { return &w.Devices[i].(*server.Device).Device }

func (w wreck) plugin(t *testing.T) *Plugin {
	t.Helper()
	p, err := newPlugin("nvidia", &driver{lib: w.Server}, Options{Sys: nowhere{}, Proc: nowhere{}, DeviceFS: nowhere{}, CDI: []string{t.TempDir()}}, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// listed returns the devices and how they are.
func listed(t *testing.T, p *Plugin) ([]accel.Device, []accel.Sample) {
	t.Helper()
	devices, err := p.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	samples, err := p.Sample(t.Context(), devices)
	if err != nil {
		t.Fatal(err)
	}
	return devices, samples
}

func TestEverySimulatedBox(t *testing.T) {
	counts := map[string]int{
		"dgxa100": 8, "dgxh100": 8, "dgxh200": 8, "dgxb200": 8, "a30x4": 4, "a100x2": 2, "h100x1": 1,
		"dgxa100-mig": 15, "dgxh100-mig": 15, "dgxh200-mig": 15, "dgxb200-mig": 15, "a30x4-mig": 10, "a100x2-mig": 8, "h100x1-mig": 2,
	}
	for _, name := range simulated() {
		t.Run(name, func(t *testing.T) {
			p, err := Simulate(name, SimulateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			devices, samples := listed(t, p)
			if len(devices) != counts[name] || p.Name() != "simulated "+name {
				t.Errorf("%s: %d devices, want %d", p.Name(), len(devices), counts[name])
			}
			seen := map[string]bool{}
			for i, d := range devices {
				s := samples[i]
				switch {
				case seen[d.ID] || d.ID == "":
					t.Errorf("identity %q twice", d.ID)
				case !d.Simulated || d.Family != "cuda" || d.Fault != "" || d.Memory < 1<<30 || d.PCI == "":
					t.Errorf("%+v", d)
				case s.Device != d.ID || s.Fault != "" || s.Processes == nil || len(s.Processes) > 0:
					t.Errorf("%+v", s)
				case s.MemoryUsed <= 0 || s.MemoryUsed > d.Memory/400 || s.Temperature < 20 || s.Temperature > 90:
					t.Errorf("%+v", s)
				}
				if _, err := accel.ParseSlots(map[string]string{string(d.Slot): "1"}); err != nil {
					t.Errorf("nobody can ask for it: %v", err)
				}
				seen[d.ID] = true
				grant, err := p.Grant([]accel.Share{{Device: d.ID, Slot: d.Slot, Amount: 100}})
				want := accel.Grant{Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": d.ID, "CUDA_VISIBLE_DEVICES": d.ID}, Enforced: true}
				if diff := cmp.Diff(want, grant); diff != "" || err != nil {
					t.Error(diff, err)
				}
			}
			again, err := Simulate(name, SimulateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			same, _ := listed(t, again)
			if diff := cmp.Diff(devices, same); diff != "" {
				t.Errorf("another box of that name is not the same:\n%s", diff)
			}
		})
	}
	if _, err := Simulate("dgx1", SimulateOptions{}); !errors.Is(err, ErrUnknownBox) {
		t.Errorf("%v", err)
	}
}

func TestASimulatedDeviceFollowsItsSessions(t *testing.T) {
	held := map[string]float64{}
	p, err := Simulate("dgxh100", SimulateOptions{Held: func(device string) float64 { return held[device] }})
	if err != nil {
		t.Fatal(err)
	}
	devices, samples := listed(t, p)
	if samples[0].MemoryUsed > 1<<30 || samples[0].Utilization != 0 {
		t.Errorf("held by nobody: %+v", samples[0])
	}
	held[devices[0].ID] = 1
	if _, samples = listed(t, p); samples[0].MemoryUsed < devices[0].Memory/2 || samples[1].MemoryUsed > 1<<30 {
		t.Errorf("the first is held: %+v", samples[:2])
	}
	held[devices[0].ID] = 0
	if _, samples = listed(t, p); samples[0].MemoryUsed > 1<<30 {
		t.Errorf("held no more: %+v", samples[0])
	}
}

func TestPartsOfASimulatedDeviceAreNotEnforced(t *testing.T) {
	p, err := Simulate("h100x1", SimulateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	devices, _ := listed(t, p)
	grant, err := p.Grant([]accel.Share{{Device: devices[0].ID, Slot: slotShares, Amount: 50, Memory: 40 << 30}})
	if err != nil || grant.Enforced || grant.CDI != nil || grant.Nodes != nil || grant.Mounts != nil {
		t.Errorf("%+v, %v", grant, err)
	}
}

func TestACardThatIsLost(t *testing.T) {
	w := newWreck(t, "dgxh100")
	p := w.plugin(t)
	before, _ := listed(t, p)
	w.card(2).GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) { return nvml.Memory_v2{}, nvml.ERROR_GPU_IS_LOST }
	samples, err := p.Sample(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range samples {
		if (i == 2) != strings.Contains(s.Fault, "fell off the bus") {
			t.Errorf("%+v", s)
		}
	}
	sound := w.lib.DeviceGetHandleByIndexFunc
	w.lib.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i == 2 {
			return nil, nvml.ERROR_GPU_IS_LOST
		}
		return sound(i)
	}
	after, samples := listed(t, p)
	if after[2].ID != before[2].ID || after[2].Name != before[2].Name || !strings.Contains(after[2].Fault, "fell off the bus") {
		t.Errorf("%+v", after[2])
	}
	if samples[2].Fault == "" || samples[3].Fault != "" || len(after) != 8 {
		t.Errorf("%+v", samples)
	}
}

func TestAMethodThatPanicsIsAFaultOfItsDevice(t *testing.T) {
	w := newWreck(t, "dgxh100")
	w.card(1).GetTemperatureFunc = nil // the mock panics
	w.card(3).GetNameFunc = nil
	devices, samples := listed(t, w.plugin(t))
	if len(devices) != 8 || !strings.Contains(devices[3].Fault, "the library broke in nvmlDeviceGetName") {
		t.Errorf("%+v", devices[3])
	}
	if !strings.Contains(samples[1].Fault, "the library broke in nvmlDeviceGetTemperature") || samples[1].MemoryUsed <= 0 {
		t.Errorf("%+v", samples[1])
	}
	if samples[0].Fault != "" || devices[0].Fault != "" {
		t.Errorf("the others are faulty too: %+v", samples[0])
	}
	w.lib.DeviceGetCountFunc = nil
	if _, err := w.plugin2(t); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
	w.lib.InitFunc = nil
	if _, err := w.plugin2(t); !errors.Is(err, errBroken) {
		t.Errorf("%v", err)
	}
}

func (w wreck) plugin2(t *testing.T) (*Plugin, error) {
	t.Helper()
	return newPlugin("nvidia", &driver{lib: w.Server}, Options{}, false)
}

func TestAfterAFailedInitNothingIsCalled(t *testing.T) {
	called := func(t *testing.T) *mock.Interface {
		lib := &mock.Interface{InitFunc: func() nvml.Return { return nvml.ERROR_LIBRARY_NOT_FOUND }}
		lib.ShutdownFunc = func() nvml.Return { t.Error("Shutdown after a failed Init"); return nvml.SUCCESS }
		lib.ExtensionsFunc = func() nvml.ExtendedInterface { t.Error("a look-up after a failed Init"); return nil }
		return lib
	}
	if _, err := newPlugin("nvidia", &driver{lib: called(t)}, Options{}, false); !errors.Is(err, ErrNoDriver) || err.Error() != "no NVIDIA driver here" {
		t.Errorf("%v", err)
	}
	d := &driver{lib: called(t)}
	if err := d.open(); err == nil {
		t.Fatal("it opened")
	}
	d.close()
	if _, err := d.cards(); !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
}

func TestADriverThatGoesAndComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWreck(t, "dgxh100")
		p := w.plugin(t)
		up, shutdowns := true, 0
		w.lib.InitFunc = func() nvml.Return {
			if up {
				return nvml.SUCCESS
			}
			return nvml.ERROR_DRIVER_NOT_LOADED
		}
		w.lib.ShutdownFunc = func() nvml.Return { shutdowns++; return nvml.SUCCESS }
		w.lib.DeviceGetCountFunc = func() (int, nvml.Return) {
			if up {
				return len(w.Devices), nvml.SUCCESS
			}
			return 0, nvml.ERROR_UNINITIALIZED
		}
		up = false
		for range 5 {
			_, err := p.Devices(t.Context())
			var hinted interface{ Hint() string }
			if !errors.Is(err, accel.ErrLost) || !errors.As(err, &hinted) {
				t.Errorf("%v", err)
			}
			time.Sleep(20 * time.Second)
		}
		up = true
		time.Sleep(time.Minute)
		if devices, samples := listed(t, p); len(devices) != 8 || samples[0].Fault != "" {
			t.Errorf("%+v", devices)
		}
		if shutdowns != 1 {
			t.Errorf("%d shut-downs for one Init that had worked", shutdowns)
		}
	})
}

// shelf is an event set with events on it.
type shelf struct {
	nvml.EventSet
	events []nvml.EventData
}

func (s *shelf) Wait(milliseconds uint32) (nvml.EventData, nvml.Return) {
	if milliseconds != 0 {
		panic("it would wait")
	}
	if len(s.events) == 0 {
		return nvml.EventData{}, nvml.ERROR_TIMEOUT
	}
	e := s.events[0]
	s.events = s.events[1:]
	return e, nvml.SUCCESS
}

func TestCriticalEvents(t *testing.T) {
	w := newWreck(t, "dgxh100-mig")
	set := &shelf{}
	w.lib.EventSetCreateFunc = func() (nvml.EventSet, nvml.Return) { return set, nvml.SUCCESS }
	for i := range w.Devices {
		w.card(i).GetSupportedEventTypesFunc = func() (uint64, nvml.Return) {
			return nvml.EventTypeXidCriticalError | nvml.EventTypeClock, nvml.SUCCESS
		}
		w.card(i).RegisterEventsFunc = func(kinds uint64, _ nvml.EventSet) nvml.Return {
			if kinds != nvml.EventTypeXidCriticalError {
				t.Errorf("registers %b", kinds)
			}
			return nvml.SUCCESS
		}
	}
	p := w.plugin(t)
	before, _ := listed(t, p)
	xid := func(card int, number uint64, instance uint32) nvml.EventData {
		return nvml.EventData{Device: w.Devices[card], EventType: nvml.EventTypeXidCriticalError, EventData: number, GpuInstanceId: instance}
	}
	set.events = []nvml.EventData{
		xid(0, 31, math.MaxUint32), xid(1, 79, math.MaxUint32), xid(7, 95, 3),
		{Device: w.Devices[2], EventType: nvml.EventTypeClock}, {EventType: nvml.EventTypeXidCriticalError},
	}
	after, _ := listed(t, p)
	for i, d := range after {
		switch {
		case d.PCI == before[1].PCI && !strings.Contains(d.Fault, "Xid 79"):
			t.Errorf("%+v", d)
		case d.Parent != "" && d.Index == 2 && d.Slot == "cuda.device:1g.10gb-mig":
			if !strings.Contains(d.Fault, "Xid 95") {
				t.Errorf("%+v", d)
			}
		case i != 1 && d.Fault != "":
			t.Errorf("%+v", d)
		}
	}
	set.events = nil
	for range 10 * mostEvents {
		set.events = append(set.events, xid(0, 13, math.MaxUint32))
	}
	if listed(t, p); len(set.events) < 5*mostEvents {
		t.Errorf("%d events are left: it reads without end", len(set.events))
	}
}

func TestMemoryErrors(t *testing.T) {
	w := newWreck(t, "dgxh100")
	w.card(4).GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) { return 3, nvml.SUCCESS }
	w.card(5).GetRemappedRowsFunc = func() (int, int, bool, bool, nvml.Return) { return 0, 8, false, true, nvml.SUCCESS }
	w.card(6).GetTotalEccErrorsFunc = func(nvml.MemoryErrorType, nvml.EccCounterType) (uint64, nvml.Return) {
		return 0, nvml.ERROR_NOT_SUPPORTED
	}
	devices, samples := listed(t, w.plugin(t))
	for i, want := range map[int]string{3: "", 4: "3 uncorrectable memory errors", 5: "is to be replaced", 6: ""} {
		for _, got := range []string{devices[i].Fault, samples[i].Fault} {
			if (want == "") != (got == "") || !strings.Contains(got, want) {
				t.Errorf("card %d: %q, want %q", i, got, want)
			}
		}
	}
}

func TestWhoUsesADevice(t *testing.T) {
	w := newWreck(t, "dgxh100")
	list := func(p ...nvml.ProcessInfo) func() ([]nvml.ProcessInfo, nvml.Return) {
		return func() ([]nvml.ProcessInfo, nvml.Return) { return p, nvml.SUCCESS }
	}
	none := func() ([]nvml.ProcessInfo, nvml.Return) { return nil, nvml.ERROR_NO_PERMISSION }
	w.card(0).GetComputeRunningProcessesFunc = list(nvml.ProcessInfo{Pid: 7, UsedGpuMemory: 100}, nvml.ProcessInfo{Pid: 8, UsedGpuMemory: math.MaxUint64})
	w.card(0).GetGraphicsRunningProcessesFunc = list(nvml.ProcessInfo{Pid: 7, UsedGpuMemory: 120})
	w.card(0).GetMPSComputeRunningProcessesFunc = list(nvml.ProcessInfo{Pid: 9, UsedGpuMemory: 5})
	w.card(1).GetComputeRunningProcessesFunc, w.card(1).GetGraphicsRunningProcessesFunc, w.card(1).GetMPSComputeRunningProcessesFunc = none, none, none
	_, samples := listed(t, w.plugin(t))
	want := []accel.ProcessUse{{PID: 7, Memory: 120}, {PID: 8, Memory: -1}, {PID: 9, Memory: 5}}
	if diff := cmp.Diff(want, samples[0].Processes); diff != "" {
		t.Error(diff)
	}
	if samples[1].Processes != nil || samples[1].Fault != "" {
		t.Errorf("it does not tell: %+v", samples[1])
	}
}

// lacking is a library of which some functions are missing, as in an old driver: to call them would end the process.
type lacking struct {
	nvml.ExtendedInterface
	functions map[string]bool
}

func (l lacking) LookupSymbol(name string) error {
	if l.functions[name] {
		return fmt.Errorf("%s: undefined symbol", name)
	}
	return nil
}

func TestAnOldDriverIsNotAskedForWhatItLacks(t *testing.T) {
	w := newWreck(t, "dgxh100")
	w.ExtensionsFunc = nil
	w.lib.ExtensionsFunc = func() nvml.ExtendedInterface {
		return lacking{functions: map[string]bool{
			"nvmlDeviceGetMemoryInfo_v2": true, "nvmlDeviceGetMigMode": true, "nvmlDeviceGetRemappedRows": true,
			"nvmlDeviceGetMPSComputeRunningProcesses": true, "nvmlDeviceGetNvLinkRemoteDeviceType": true,
		}}
	}
	for i := range w.Devices {
		d := w.card(i)
		d.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) {
			t.Error("nvmlDeviceGetMemoryInfo_v2")
			return nvml.Memory_v2{}, 0
		}
		d.GetMigModeFunc = func() (int, int, nvml.Return) { t.Error("nvmlDeviceGetMigMode"); return 0, 0, 0 }
		d.GetNvLinkRemotePciInfoFunc = func(int) (nvml.PciInfo, nvml.Return) { return nvml.PciInfo{}, nvml.ERROR_NOT_SUPPORTED }
	}
	devices, samples := listed(t, w.plugin(t))
	if len(devices) != 8 || devices[0].Fault != "" || samples[0].Fault != "" || samples[0].MemoryUsed <= 0 {
		t.Errorf("%+v\n%+v", devices[0], samples[0])
	}
	if devices[0].Links[devices[1].ID] != "NODE" || devices[0].Links[devices[7].ID] != "SYS" {
		t.Errorf("%v", devices[0].Links)
	}
}

func TestThisBox(t *testing.T) {
	p, err := Open(Options{})
	if err != nil {
		if !errors.Is(err, ErrNoDriver) && !errors.Is(err, accel.ErrLost) {
			t.Errorf("%v", err)
		}
		return
	}
	devices, samples := listed(t, p) // a box with GPUs: what it says must at least be whole
	for i, d := range devices {
		if d.ID == "" || d.Slot == "" || samples[i].Device != d.ID {
			t.Errorf("%+v, %+v", d, samples[i])
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func BenchmarkDiscovery(b *testing.B) {
	p, err := Simulate("dgxh100", SimulateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		devices, err := p.Devices(b.Context())
		if err != nil || len(devices) != 8 {
			b.Fatal(len(devices), err)
		}
	}
}

func BenchmarkOpenAndDiscover(b *testing.B) {
	for b.Loop() {
		p, err := Simulate("dgxh100", SimulateOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.Devices(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSample(b *testing.B) {
	p, err := Simulate("dgxh100", SimulateOptions{})
	if err != nil {
		b.Fatal(err)
	}
	devices, err := p.Devices(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := p.Sample(b.Context(), devices); err != nil {
			b.Fatal(err)
		}
	}
}
