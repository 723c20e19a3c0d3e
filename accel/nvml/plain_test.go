package nvml

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/palisade-run/palisade/accel"
)

func TestWhatJoinsTwoCards(t *testing.T) {
	cards := []card{
		{uuid: "a", pci: "0000:01:00.0", peers: map[string]int{"0000:02:00.0": 4}, levels: map[string]topology{"b": sameNode, "c": hostBridge, "d": acrossNodes}},
		{uuid: "b", pci: "0000:02:00.0", peers: map[string]int{"0000:01:00.0": 4}, levels: map[string]topology{"a": sameNode}},
		{uuid: "c", pci: "0000:03:00.0", switches: 18, levels: map[string]topology{"a": hostBridge, "d": oneSwitch}},
		{uuid: "d", pci: "0000:04:00.0", switches: 17},
		{uuid: "", pci: "", fault: "fell off the bus"},
	}
	want := map[string]map[string]string{
		"a": {"b": "NV4", "c": "PHB", "d": "SYS"}, "b": {"a": "NV4"},
		"c": {"a": "PHB", "d": "NV17"}, "d": {"c": "NV17"}, "": {},
	}
	if diff := cmp.Diff(want, joins(cards)); diff != "" {
		t.Error(diff)
	}
	for code, want := range map[int]string{0: "PIX", 10: "PIX", 20: "PXB", 30: "PHB", 40: "NODE", 50: "SYS", 60: "SYS", -10: "PIX"} {
		if got := levelFrom(code).String(); got != want {
			t.Errorf("level %d: %s, want %s", code, got, want)
		}
	}
}

func TestProfileOfASlice(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name string
		cut  attributes
		card int64
		want string
	}{
		{"NVIDIA A100-SXM4-40GB MIG 1g.5gb", attributes{}, 0, "1g.5gb"},
		{"NVIDIA H100 80GB HBM3 MIG 1g.10gb+me", attributes{1, 1, 9728 * mib}, 81559 * mib, "1g.10gb+me"},
		{"NVIDIA H100 80GB HBM3", attributes{1, 1, 9728 * mib}, 81559 * mib, "1g.10gb"},
		{"NVIDIA H100 80GB HBM3", attributes{3, 3, 40192 * mib}, 81559 * mib, "3g.40gb"},
		{"NVIDIA H100 80GB HBM3", attributes{3, 1, 40192 * mib}, 81559 * mib, "1c.3g.40gb"},
		{"NVIDIA A100-SXM4-40GB", attributes{1, 1, 4864 * mib}, 40536 * mib, "1g.5gb"},
		{"NVIDIA A100-SXM4-40GB", attributes{7, 7, 40192 * mib}, 40536 * mib, "7g.40gb"},
		{"", attributes{}, 40536 * mib, ""},
		{"", attributes{1, 1, 10}, 0, ""},
	} {
		if got := profile(c.name, c.cut, c.card); got != c.want {
			t.Errorf("%s %+v of %d: %q, want %q", c.name, c.cut, c.card, got, c.want)
		}
	}
}

func TestCapabilitiesOfASlice(t *testing.T) {
	proc := fstest.MapFS{minorsFile: {Data: []byte("config 1\nmonitor 2\ngpu0/gi1/access 12\ngpu0/gi1/ci0/access 13\ngpu1/gi1/access 147\nodd\n")}}
	got := capabilities(proc, 0, slice{gi: 1, ci: 0})
	if want := []string{"/dev/nvidia-caps/nvidia-cap12", "/dev/nvidia-caps/nvidia-cap13"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := capabilities(nowhere{}, 0, slice{gi: 1}); got != nil {
		t.Errorf("without the table: %v", got)
	}
}

func TestWhichEventsAreFaults(t *testing.T) {
	for xid, want := range map[uint64]string{
		13: "", 31: "", 43: "", 45: "", 63: "", 79: "Xid 79: fell off the bus; reset the GPU or reboot", 666: "Xid 666; reset the GPU or reboot",
		0: "an uncorrectable memory error; reset the GPU or reboot",
	} {
		if got := eventFault(event{xid: xid}); got != want {
			t.Errorf("Xid %d: %q, want %q", xid, got, want)
		}
	}
	if got := (health{uncorrected: 2}).fault(); !strings.HasPrefix(got, "2 uncorrectable") {
		t.Error(got)
	}
	if got := (health{uncorrected: 2, remapFailed: true}).fault(); !strings.Contains(got, "replaced") {
		t.Error(got)
	}
}

func TestGrant(t *testing.T) {
	known := map[string]found{
		"GPU-a": {cdi: []string{"nvidia.com/gpu=GPU-a", "nvidia.com/gpu=0"}, nodes: []string{"/dev/nvidia0"}},
		"GPU-b": {cdi: []string{"nvidia.com/gpu=GPU-b", "nvidia.com/gpu=1"}, nodes: []string{"/dev/nvidia1"}},
		"MIG-c": {cdi: []string{"nvidia.com/gpu=MIG-c", "nvidia.com/gpu=2:0"}, nodes: []string{"/dev/nvidia2", "/dev/nvidia-caps/nvidia-cap12"}},
	}
	files := map[string]bool{
		"/dev/nvidiactl": true, "/dev/nvidia-uvm": true, "/dev/nvidia0": true, "/dev/nvidia1": true, "/dev/nvidia2": true,
		"/dev/nvidia-caps/nvidia-cap12": true,
	}
	env := func(list string) map[string]string {
		return map[string]string{"NVIDIA_VISIBLE_DEVICES": list, "CUDA_VISIBLE_DEVICES": list}
	}
	for name, c := range map[string]struct {
		devices []string
		cdi     map[string]bool
		want    accel.Grant
	}{
		"nothing": {nil, nil, accel.Grant{Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": "void", "CUDA_VISIBLE_DEVICES": ""}}},
		"by uuid": {
			[]string{"GPU-b", "GPU-a"}, map[string]bool{"nvidia.com/gpu=GPU-a": true, "nvidia.com/gpu=0": true, "nvidia.com/gpu=GPU-b": true},
			accel.Grant{CDI: []string{"nvidia.com/gpu=GPU-b", "nvidia.com/gpu=GPU-a"}, Env: env("GPU-b,GPU-a")},
		},
		"by number": {
			[]string{"GPU-a", "MIG-c"}, map[string]bool{"nvidia.com/gpu=0": true, "nvidia.com/gpu=2:0": true, "nvidia.com/gpu=all": true},
			accel.Grant{CDI: []string{"nvidia.com/gpu=0", "nvidia.com/gpu=2:0"}, Env: env("GPU-a,MIG-c")},
		},
		"one is not specified: files for all": {
			[]string{"GPU-a", "GPU-b"}, map[string]bool{"nvidia.com/gpu=0": true},
			accel.Grant{Nodes: []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1"}, Env: env("GPU-a,GPU-b")},
		},
		"a slice by files": {
			[]string{"MIG-c"}, nil,
			accel.Grant{Nodes: []string{"/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia2", "/dev/nvidia-caps/nvidia-cap12"}, Env: env("MIG-c")},
		},
		"twice the same": {
			[]string{"GPU-a", "GPU-a"}, map[string]bool{"nvidia.com/gpu=0": true},
			accel.Grant{CDI: []string{"nvidia.com/gpu=0"}, Env: env("GPU-a")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var shares []accel.Share
			for _, d := range c.devices {
				shares = append(shares, accel.Share{Device: d, Slot: "cuda.device", Amount: 100})
			}
			got, err := handOver(shares, known, c.cdi, files)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := handOver([]accel.Share{{Device: "GPU-z"}}, known, nil, nil); err == nil {
		t.Error("a device that was not listed is granted")
	}
}

type sharing struct {
	got   []accel.Share
	grant accel.Grant
	err   error
}

func (s *sharing) Grant(shares []accel.Share) (accel.Grant, error) {
	s.got = shares
	return s.grant, s.err
}

func TestGrantOfParts(t *testing.T) {
	part := accel.Share{Device: "GPU-a", Slot: slotShares, Amount: 50, Memory: 1 << 30}
	whole := accel.Share{Device: "GPU-b", Slot: "cuda.device", Amount: 100}
	base := func() accel.Grant { return accel.Grant{Env: map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-a"}} }

	got, err := withShares(base(), []accel.Share{whole}, nil)
	if err != nil || !got.Enforced {
		t.Errorf("a whole device: %+v, %v", got, err)
	}
	got, err = withShares(base(), []accel.Share{part}, nil)
	if err != nil || got.Enforced {
		t.Errorf("a part, and nobody holds to it: %+v, %v", got, err)
	}
	by := &sharing{grant: accel.Grant{
		Env: map[string]string{"CUDA_MPS_PIPE_DIRECTORY": "/p"}, Mounts: map[string]string{"/p": "/p"}, Enforced: true,
	}}
	got, err = withShares(base(), []accel.Share{part}, by)
	want := accel.Grant{
		Env:    map[string]string{"CUDA_VISIBLE_DEVICES": "GPU-a", "CUDA_MPS_PIPE_DIRECTORY": "/p"},
		Mounts: map[string]string{"/p": "/p"}, Enforced: true,
	}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
	if diff := cmp.Diff([]accel.Share{part}, by.got); diff != "" {
		t.Error(diff)
	}
	if _, err := withShares(base(), []accel.Share{part}, &sharing{err: errors.New("no")}); err == nil {
		t.Error("an error was swallowed")
	}
}

func TestSpecifications(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nvidia.yaml": "cdiVersion: 0.5.0\nkind: nvidia.com/gpu\ndevices:\n- name: \"0\"\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\n" +
			"- name: GPU-a\n  containerEdits:\n    deviceNodes:\n    - path: /dev/nvidia0\n",
		"broken.yaml": "cdiVersion: [\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := specified([]string{dir, filepath.Join(dir, "missing")})
	if diff := cmp.Diff(map[string]bool{"nvidia.com/gpu=0": true, "nvidia.com/gpu=GPU-a": true}, got); diff != "" {
		t.Error(diff)
	}
}

func TestDeviceFilesThatAreThere(t *testing.T) {
	got := present(fstest.MapFS{"nvidiactl": {}, "nvidia0": {}, "null": {}, "nvidia-caps/nvidia-cap1": {}})
	want := map[string]bool{"/dev/nvidiactl": true, "/dev/nvidia0": true, "/dev/nvidia-caps": true, "/dev/nvidia-caps/nvidia-cap1": true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestMemoryNode(t *testing.T) {
	sys := fstest.MapFS{
		"bus/pci/devices/0000:1b:00.0/numa_node": {Data: []byte("1\n")},
		"bus/pci/devices/0000:1c:00.0/numa_node": {Data: []byte("-1\n")},
		"bus/pci/devices/0000:1d:00.0/numa_node": {Data: []byte("?\n")},
	}
	for pci, want := range map[string]int{"0000:1b:00.0": 1, "0000:1c:00.0": -1, "0000:1d:00.0": -1, "0000:1e:00.0": -1, "": -1} {
		if got := memoryNode(sys, pci); got != want {
			t.Errorf("%q: %d, want %d", pci, got, want)
		}
	}
}

func TestMotionIsPlausibleAndTheSameEachTime(t *testing.T) {
	h100 := simulatedBoxes["dgxh100"].gpu
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	least, most := 1.0, 0.0
	for i := range 5000 {
		now := start.Add(time.Duration(i) * 15 * time.Second)
		for _, held := range []float64{-1, 0, 0.25, 1, 7} {
			a := motion(uint64(i%8), held, h100, now)
			if diff := cmp.Diff(a, motion(uint64(i%8), held, h100, now), cmp.AllowUnexported(activity{})); diff != "" {
				t.Fatal(diff)
			}
			switch {
			case a.load < 0 || a.load > 1 || a.memory < 0 || a.memory > 0.95:
				t.Fatalf("%+v at %s", a, now)
			case a.temperature < 20 || a.temperature > 85 || a.power < h100.idle || a.power > h100.most:
				t.Fatalf("%+v at %s", a, now)
			case held <= 0 && a.memory > 0.0021:
				t.Fatalf("held by nobody, and %f of its memory is used", a.memory)
			case held == 0 && a.load != 0:
				t.Fatalf("held by nobody, and at work: %+v", a)
			case held == 1 && a.memory < 0.7:
				t.Fatalf("held, and its memory is free: %+v", a)
			}
			if held < 0 {
				least, most = min(least, a.load), max(most, a.load)
			}
		}
	}
	if least > 0.15 || most < 0.85 {
		t.Errorf("load moves only between %f and %f", least, most)
	}
	one := motion(1, -1, h100, start)
	if diff := cmp.Diff(one, motion(2, -1, h100, start), cmp.AllowUnexported(activity{}), cmpopts.EquateApprox(0, 1e-9)); diff == "" || math.IsNaN(one.load) {
		t.Error("two devices move alike")
	}
}

// simulated lists the names that Simulate takes, sorted.
func simulated() []string {
	var names []string
	for name := range simulatedBoxes {
		names = append(names, name, name+"-mig")
	}
	slices.Sort(names)
	return names
}

func TestNamesOfSimulatedBoxes(t *testing.T) {
	for _, name := range simulated() {
		if _, _, err := findBox(name); err != nil {
			t.Error(err)
		}
	}
	_, _, err := findBox("dgx1")
	var hinted interface{ Hint() string }
	if !errors.Is(err, ErrUnknownBox) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), "dgxa100, dgxb200, dgxh100, dgxh200") {
		t.Errorf("%v", err)
	}
}
