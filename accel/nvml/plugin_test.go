package nvml

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

// machine is a box whose answers a test sets.
type machine struct {
	opens, closes int
	refuses       error
	all           []card
	gone          error
	readings      map[string]reading
	broken        map[string]error
	happened      []event
	stuck         chan struct{} // a question waits for it
}

func (m *machine) open() error { m.opens++; return m.refuses }
func (m *machine) close()      { m.closes++ }

func (m *machine) cards() ([]card, error) {
	if m.stuck != nil {
		<-m.stuck
	}
	return slices.Clone(m.all), m.gone
}

func (m *machine) read(uuid string) (reading, error) {
	if m.gone != nil {
		return unknown(), m.gone
	}
	r, known := m.readings[uuid]
	if !known {
		r = unknown()
	}
	return r, m.broken[uuid]
}

func (m *machine) events() ([]event, error) {
	e := m.happened
	m.happened = nil
	return e, nil
}

func twoCards() *machine {
	return &machine{all: []card{
		{index: 0, minor: 0, uuid: "GPU-a", name: "H", pci: "0000:01:00.0", memory: 80 << 30, switches: 18},
		{index: 1, minor: 1, uuid: "GPU-b", name: "H", pci: "0000:02:00.0", memory: 80 << 30, switches: 18, mig: true, slices: []slice{
			{index: 0, uuid: "MIG-x", profile: "1g.10gb", memory: 10 << 30, gi: 7, ci: 0},
			{index: 1, uuid: "MIG-y", profile: "1g.10gb", memory: 10 << 30, gi: 8, ci: 0},
		}},
	}}
}

func plugin(t *testing.T, m *machine) *Plugin {
	t.Helper()
	p, err := newPlugin("nvidia", m, Options{Sys: nowhere{}, Proc: nowhere{}, DeviceFS: nowhere{}, CDI: []string{t.TempDir()}}, false)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// faults lists the devices with their faults.
func faults(t *testing.T, p *Plugin) map[string]string {
	t.Helper()
	devices, err := p.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, d := range devices {
		all[d.ID] = d.Fault
	}
	return all
}

func TestDevicesOfABox(t *testing.T) {
	devices, err := plugin(t, twoCards()).Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []accel.Device{
		{ID: "GPU-a", Family: "cuda", Slot: "cuda.device", Name: "H", Memory: 80 << 30, NUMA: -1, PCI: "0000:01:00.0", Links: map[string]string{"GPU-b": "NV18"}},
		{ID: "MIG-x", Family: "cuda", Slot: "cuda.device:1g.10gb-mig", Name: "H MIG 1g.10gb", Memory: 10 << 30, NUMA: -1, PCI: "0000:02:00.0", Parent: "GPU-b"},
		{ID: "MIG-y", Index: 1, Family: "cuda", Slot: "cuda.device:1g.10gb-mig", Name: "H MIG 1g.10gb", Memory: 10 << 30, NUMA: -1, PCI: "0000:02:00.0", Parent: "GPU-b"},
	}
	if diff := cmp.Diff(want, devices); diff != "" {
		t.Error(diff)
	}
	for _, d := range devices {
		if _, err := accel.ParseSlots(map[string]string{string(d.Slot): "1"}); err != nil {
			t.Errorf("nobody can ask for %s: %v", d.Slot, err)
		}
	}
}

func TestABoxThatDoesNotOpen(t *testing.T) {
	m := &machine{refuses: startError(codeNoLibrary, "")}
	_, err := newPlugin("nvidia", m, Options{}, false)
	if !errors.Is(err, ErrNoDriver) || m.closes != 0 {
		t.Errorf("%v, closed %d times", err, m.closes)
	}
	for _, code := range []int{codeNotLoaded, codeVersionMismatch, codeNoPermission, 999} {
		var hinted interface{ Hint() string }
		if err := startError(code, "words"); !errors.As(err, &hinted) || hinted.Hint() == "" {
			t.Errorf("code %d: %v has no hint", code, err)
		}
	}
}

func TestADriverThatIsLostIsTriedAgainEverMoreSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := twoCards()
		p := plugin(t, m)
		m.gone, m.refuses = fmt.Errorf("%w: code 1", errGone), errors.New("not yet")
		if _, err := p.Devices(t.Context()); !errors.Is(err, accel.ErrLost) || m.closes != 1 {
			t.Fatalf("%v, closed %d times", err, m.closes)
		}
		start, tries := time.Now(), []float64{}
		for time.Since(start) < 4*time.Minute {
			before := m.opens
			if _, err := p.Sample(t.Context(), nil); !errors.Is(err, accel.ErrLost) {
				t.Fatal(err)
			}
			if m.opens > before {
				tries = append(tries, time.Since(start).Seconds())
			}
			time.Sleep(500 * time.Millisecond)
		}
		want := []float64{1, 3, 7, 15, 31, 63, 123, 183} // seconds
		if diff := cmp.Diff(want, tries); diff != "" {
			t.Error(diff)
		}
		if m.closes != 1 {
			t.Errorf("closed %d times: after an open that failed nothing may be called", m.closes)
		}
		m.gone, m.refuses = nil, nil
		time.Sleep(time.Minute)
		if got := faults(t, p); len(got) != 3 {
			t.Errorf("it is back, and there are %v", got)
		}
		if err := p.Close(); err != nil || m.closes != 2 {
			t.Errorf("%v, closed %d times", err, m.closes)
		}
	})
}

func TestALibraryThatDoesNotComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := twoCards()
		p := plugin(t, m)
		m.stuck = make(chan struct{})
		start := time.Now()
		if _, err := p.Devices(t.Context()); !errors.Is(err, accel.ErrLost) || time.Since(start) != patience {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		// Nobody else enters it meanwhile, and nobody waits longer than they want to.
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if _, err := p.Sample(short, nil); !errors.Is(err, accel.ErrLost) || time.Since(start) != time.Second {
			t.Errorf("%v after %s", err, time.Since(start))
		}
		close(m.stuck)
		synctest.Wait()
		if got := faults(t, p); len(got) != 3 {
			t.Errorf("%v", got)
		}
	})
}

func TestEventsTakeDevicesOutOfUse(t *testing.T) {
	m := twoCards()
	p := plugin(t, m)
	m.happened = []event{{uuid: "GPU-b", gi: 8, xid: 95}, {uuid: "GPU-a", gi: -1, xid: 31}}
	want := map[string]string{"GPU-a": "", "MIG-x": "", "MIG-y": "Xid 95: an uncontained memory error; reset the GPU or reboot"}
	if diff := cmp.Diff(want, faults(t, p)); diff != "" {
		t.Error(diff)
	}
	m.happened = []event{{uuid: "GPU-b", gi: -1, xid: 79}}
	samples, err := p.Sample(t.Context(), []accel.Device{{ID: "GPU-a"}, {ID: "MIG-x", Parent: "GPU-b"}})
	if err != nil {
		t.Fatal(err)
	}
	if samples[0].Fault != "" || !strings.Contains(samples[1].Fault, "Xid 79") {
		t.Errorf("%+v", samples)
	}
	if got := faults(t, p); !strings.Contains(got["MIG-x"], "Xid 79") {
		t.Errorf("the next listing has forgotten it: %v", got)
	}
}

func TestADeviceThatFallsOffTheBusStaysListed(t *testing.T) {
	m := twoCards()
	p := plugin(t, m)
	all := m.all
	m.all = []card{{index: 0, minor: -1, fault: "fell off the bus"}, all[1]} // it has not even an identity any more
	if got := faults(t, p); got["GPU-a"] != "fell off the bus" || len(got) != 3 {
		t.Errorf("%v", got)
	}
	m.all = all[1:]
	if got := faults(t, p); !strings.Contains(got["GPU-a"], "fell off the bus") || len(got) != 3 {
		t.Errorf("%v", got)
	}
	m.all = all
	if got := faults(t, p); got["GPU-a"] != "" {
		t.Errorf("it is back: %v", got)
	}
	never := &machine{all: []card{{index: 3, minor: -1, fault: "fell off the bus"}}}
	if diff := cmp.Diff(map[string]string{"GPU-unknown-3": "fell off the bus"}, faults(t, plugin(t, never))); diff != "" {
		t.Error(diff)
	}
}

func TestSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := twoCards()
		m.readings = map[string]reading{
			"GPU-a": {utilization: 0.5, memory: 7, temperature: 40, power: 100, processes: map[int]int64{12: 5, 3: -1}},
			"MIG-x": {utilization: -1, memory: 0, temperature: -1, power: -1, processes: map[int]int64{}},
		}
		m.broken = map[string]error{"MIG-y": errors.New("it is ill")}
		samples, err := plugin(t, m).Sample(t.Context(), []accel.Device{{ID: "GPU-a"}, {ID: "MIG-x"}, {ID: "MIG-y"}})
		if err != nil {
			t.Fatal(err)
		}
		now := time.Now()
		want := []accel.Sample{
			{Device: "GPU-a", At: now, Utilization: 0.5, MemoryUsed: 7, Temperature: 40, Power: 100, Processes: []accel.ProcessUse{{PID: 3, Memory: -1}, {PID: 12, Memory: 5}}},
			{Device: "MIG-x", At: now, Utilization: -1, Temperature: -1, Power: -1, Processes: []accel.ProcessUse{}},
			{Device: "MIG-y", At: now, Utilization: -1, MemoryUsed: -1, Temperature: -1, Power: -1, Fault: "it is ill"},
		}
		if diff := cmp.Diff(want, samples); diff != "" {
			t.Error(diff)
		}
	})
}

func TestGrantKnowsWhatWasListedLast(t *testing.T) {
	p := plugin(t, twoCards())
	grant, err := p.Grant([]accel.Share{{Device: "MIG-x", Slot: "cuda.device:1g.10gb-mig", Amount: 100}})
	if err != nil || grant.Env["CUDA_VISIBLE_DEVICES"] != "MIG-x" || !grant.Enforced {
		t.Errorf("%+v, %v", grant, err)
	}
	if _, err := p.Grant([]accel.Share{{Device: "GPU-b", Amount: 100}}); err == nil {
		t.Error("a card in MIG mode is granted whole")
	}
}

func TestAdviceOnSpecifications(t *testing.T) {
	p := plugin(t, twoCards())
	if got := p.Advice(); !strings.Contains(got, "GPU-a") || !strings.Contains(got, "nvidia-ctk cdi generate") {
		t.Errorf("%q", got)
	}
	text := "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n"
	for _, name := range []string{"0", "MIG-x", "1:1"} {
		text += "- name: \"" + name + "\"\n  containerEdits:\n    env: [A=b]\n"
	}
	if err := os.WriteFile(filepath.Join(p.options.CDI[0], "nvidia.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.Advice(); got != "" {
		t.Errorf("%q", got)
	}
	grant, err := p.Grant([]accel.Share{{Device: "MIG-y", Amount: 100}})
	if err != nil || !slices.Equal(grant.CDI, []string{"nvidia.com/gpu=1:1"}) {
		t.Errorf("%+v, %v", grant, err)
	}
}
