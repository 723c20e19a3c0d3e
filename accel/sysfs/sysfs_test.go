package sysfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/palisade-run/palisade/accel"
)

// lay makes the box that a file describes. A name that ends in @ is a symbolic link.
func lay(t testing.TB, name string) string {
	t.Helper()
	root := t.TempDir()
	archive, err := txtar.ParseFile(filepath.Join("testdata", name+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range archive.Files {
		file := filepath.Join(root, f.Name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if link, is := strings.CutSuffix(file, "@"); is {
			err = os.Symlink(strings.TrimSpace(string(f.Data)), link)
		} else {
			err = os.WriteFile(file, f.Data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func look(t *testing.T, p *Plugin) ([]accel.Device, []accel.Sample) {
	t.Helper()
	devices, err := p.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	samples, err := p.Sample(t.Context(), devices)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range devices {
		if _, err := accel.ParseSlots(map[string]string{string(d.Slot): "1"}); err != nil {
			t.Errorf("nobody can ask for %s: %v", d.Slot, err)
		}
	}
	return devices, samples
}

func grant(t *testing.T, p *Plugin, devices ...accel.Device) accel.Grant {
	t.Helper()
	var shares []accel.Share
	for _, d := range devices {
		shares = append(shares, accel.Share{Device: d.ID, Slot: d.Slot, Amount: 100})
	}
	g, err := p.Grant(shares)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestRadeons(t *testing.T) {
	root := lay(t, "mi300x")
	p := Open(Options{Root: root})
	devices, samples := look(t, p)
	const memory = 206141652992
	ue := "2 uncorrectable memory errors since the driver was loaded; reset the GPU or reboot"
	want := []accel.Device{
		{ID: "GPU-a1b2c3d4e5f60718", Index: 0, Family: "rocm", Slot: "rocm.device", Name: "AMD Instinct MI300X OAM", Memory: memory, Architecture: "gfx942", NUMA: 0, PCI: "0000:05:00.0"},
		{ID: "GPU-0f1e2d3c4b5a6978", Index: 1, Family: "rocm", Slot: "rocm.device", Name: "AMD GPU 74a1", Memory: memory, NUMA: 1, PCI: "0000:26:00.0", Fault: ue},
	}
	if diff := cmp.Diff(want, devices); diff != "" {
		t.Fatal(diff)
	}
	read := []accel.Sample{
		{Device: want[0].ID, Utilization: 0.37, MemoryUsed: 297439232, Temperature: 41, Power: 132, Processes: []accel.ProcessUse{{PID: 4711, Memory: 268435456}}},
		{Device: want[1].ID, Utilization: -1, MemoryUsed: -1, Temperature: -1, Power: -1, Fault: ue},
	}
	if diff := cmp.Diff(read, samples, cmpopts.IgnoreFields(accel.Sample{}, "At")); diff != "" {
		t.Error(diff)
	}
	given := accel.Grant{
		Nodes: []string{"/dev/dri/card10", "/dev/dri/renderD138", "/dev/kfd", "/dev/dri/card2", "/dev/dri/renderD130"},
		Env:   map[string]string{"ROCR_VISIBLE_DEVICES": "GPU-a1b2c3d4e5f60718,GPU-0f1e2d3c4b5a6978", "HIP_VISIBLE_DEVICES": "0,1"}, Enforced: true,
	}
	if diff := cmp.Diff(given, grant(t, p, devices...), cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Error(diff)
	}

	// One that falls off the bus stays listed.
	if err := os.RemoveAll(filepath.Join(root, "sys/class/drm/card10")); err != nil {
		t.Fatal(err)
	}
	if samples, err := p.Sample(t.Context(), devices); err != nil || samples[0].Fault != "fell off the bus" {
		t.Errorf("%+v, %v", samples, err)
	}
	after, _ := look(t, p)
	gone := slices.IndexFunc(after, func(d accel.Device) bool { return d.ID == want[0].ID })
	if len(after) != 2 || gone < 0 || !strings.Contains(after[gone].Fault, "fell off the bus") {
		t.Errorf("%+v", after)
	}
}

func TestRadeonsWithoutTheComputeDriverAreNotListed(t *testing.T) {
	root := lay(t, "mi300x")
	if err := os.Remove(filepath.Join(root, "dev/kfd")); err != nil {
		t.Fatal(err)
	}
	if devices, _ := look(t, Open(Options{Root: root})); len(devices) != 0 {
		t.Errorf("%+v", devices)
	}
}

func TestACardWithoutAnIdentityIsNotHidden(t *testing.T) {
	root := lay(t, "mi300x")
	if err := os.Remove(filepath.Join(root, "sys/class/drm/card2/device/unique_id")); err != nil {
		t.Fatal(err)
	}
	p := Open(Options{Root: root})
	devices, _ := look(t, p)
	if got := grant(t, p, devices...); devices[1].ID != "0000:26:00.0" || len(got.Env) != 0 || len(got.Nodes) != 5 {
		t.Errorf("%+v", got)
	}
}

func TestGaudis(t *testing.T) {
	p := Open(Options{Root: lay(t, "gaudi")})
	devices, samples := look(t, p)
	want := []accel.Device{
		{ID: "0000:19:00.0", Index: 1, Family: "gaudi2", Slot: "gaudi2.device", Name: "Intel Gaudi 2", NUMA: 1, PCI: "0000:19:00.0"},
		{ID: "0000:b3:00.0", Index: 2, Family: "gaudi3", Slot: "gaudi3.device", Name: "Intel Gaudi 3", NUMA: -1, PCI: "0000:b3:00.0", Fault: `its driver says that its state is "Malfunction"`},
	}
	if diff := cmp.Diff(want, devices); diff != "" {
		t.Fatal(diff)
	}
	if samples[0].Temperature != 36 || samples[0].Fault != "" || samples[1].Fault == "" {
		t.Errorf("%+v", samples)
	}
	first := accel.Grant{CDI: []string{"habana.ai/gaudi=1"}, Env: map[string]string{"HABANA_VISIBLE_DEVICES": "1"}, Enforced: true}
	if diff := cmp.Diff(first, grant(t, p, devices[0])); diff != "" {
		t.Error(diff)
	}
	second := accel.Grant{
		Nodes: []string{"/dev/accel/accel2", "/dev/accel/accel_controlD2"}, Env: map[string]string{"HABANA_VISIBLE_DEVICES": "2"}, Enforced: true,
	}
	if diff := cmp.Diff(second, grant(t, p, devices[1])); diff != "" {
		t.Error(diff)
	}
}

func TestTheOtherVendors(t *testing.T) {
	p := Open(Options{Root: lay(t, "others")})
	devices, _ := look(t, p)
	type row struct {
		Name, Fault string
		Grant       accel.Grant
	}
	env := func(name, value string) map[string]string { return map[string]string{name: value} }
	noFile := "the box has no device file for it: is its driver installed and loaded?"
	want := map[accel.Slot]row{
		"rngd.device": {"FuriosaAI RNGD", "", accel.Grant{
			Nodes: []string{"/dev/rngd/npu0mgmt", "/dev/rngd/npu0pe0", "/dev/rngd/npu0pe0-3"}, Env: env("FURIOSA_DEVICES", "npu:0"), Enforced: true,
		}},
		"warboy.device": {"FuriosaAI Warboy", noFile, accel.Grant{Env: env("FURIOSA_DEVICES", "npu:0"), Enforced: true}},
		"atom.device":   {"Rebellions ATOM", "", accel.Grant{Nodes: []string{"/dev/rbln0"}, Env: env("RBLN_DEVICES", "0"), Enforced: true}},
		"atom-plus.device": {"Rebellions ATOM+", `its driver says that its state is "3"`, accel.Grant{
			Nodes: []string{"/dev/rbln1"}, Env: env("RBLN_DEVICES", "1"), Enforced: true,
		}},
		"atom-max.device": {"Rebellions ATOM-Max", "", accel.Grant{Nodes: []string{"/dev/rbln2"}, Env: env("RBLN_DEVICES", "2"), Enforced: true}},
		"tt-n300.device": {"Tenstorrent Wormhole n300", "", accel.Grant{
			Nodes: []string{"/dev/tenstorrent/0"}, Env: env("TT_VISIBLE_DEVICES", "0"), Enforced: true,
		}},
		"tpu.device": {"Google TPU", "", accel.Grant{
			Nodes: []string{"/dev/vfio/17", "/dev/vfio/vfio"}, Env: map[string]string{"TPU_VISIBLE_CHIPS": "0", "TPU_VISIBLE_DEVICES": "0"}, Enforced: true,
		}},
		"ipu.device":            {"Graphcore IPU", "", accel.Grant{Nodes: []string{"/dev/ipu0", "/dev/ipu0_ex"}, Env: map[string]string{}, Enforced: true}},
		"hyperaccel-lpu.device": {"HyperAccel LPU", "", accel.Grant{CDI: []string{"hyperaccel.ai/lpu=0"}, Env: map[string]string{}, Enforced: true}},
	}
	got := map[accel.Slot]row{}
	for _, d := range devices {
		got[d.Slot] = row{d.Name, d.Fault, grant(t, p, d)}
		if d.Slot == "atom.device" && d.Memory != 16857956352 {
			t.Errorf("memory %d", d.Memory)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(devices) != len(want) {
		t.Errorf("%d devices, want %d", len(devices), len(want))
	}
}

func TestEveryKindIsASlotThatCanBeAskedFor(t *testing.T) {
	seen := map[accel.Slot]bool{}
	for _, k := range kinds {
		if _, err := accel.ParseSlots(map[string]string{string(k.slot): "1"}); err != nil || seen[k.slot] {
			t.Errorf("%s: %v", k.slot, err)
		}
		seen[k.slot] = true
		if !k.onlyCDI && (len(k.ids) == 0 || len(k.nodes) == 0) || k.vendor == "" || k.name == "" {
			t.Errorf("%s: the row is not whole", k.slot)
		}
	}
}

func TestABoxWithNothing(t *testing.T) {
	p := Open(Options{Root: filepath.Join(t.TempDir(), "missing")})
	if devices, samples := look(t, p); len(devices) != 0 || len(samples) != 0 {
		t.Errorf("%v", devices)
	}
	if _, err := p.Grant([]accel.Share{{Device: "x"}}); err == nil {
		t.Error("what is not there is granted")
	}
	if s, err := p.Sample(t.Context(), []accel.Device{{ID: "x"}}); err != nil || s[0].Fault == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := Open(Options{}).Devices(t.Context()); err != nil { // this box, whatever it has
		t.Error(err)
	}
}

func TestNumbersOfEntries(t *testing.T) {
	for _, c := range []struct {
		name, prefix string
		want         int
	}{{"accel12", "accel", 12}, {"rngd!npu3mgmt", "rngd!npu", 3}, {"rsd0", "rbln", -1}, {"card", "card", -1}, {"card0-DP-1", "card", 0}, {"accel99999999999999999999", "accel", -1}} {
		if got := numberOf(c.name, c.prefix); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func BenchmarkDevices(b *testing.B) {
	p := Open(Options{Root: lay(b, "others")})
	for b.Loop() {
		if _, err := p.Devices(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
