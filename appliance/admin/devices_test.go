package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/api"
)

func TestDevices(t *testing.T) {
	b := newBox(t)
	var devices api.Page[api.Device]
	b.do("GET", "/devices", "", 200, &devices)
	if devices.Items == nil || len(devices.Items) != 0 {
		t.Errorf("a box without accelerators: %+v", devices)
	}
	var nodes api.Page[api.Node]
	b.do("GET", "/nodes", "", 200, &nodes)
	if len(nodes.Items) != 0 {
		t.Errorf("%+v", nodes)
	}

	b.Pool.Simulate()
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil) // its route is ses-000000000002
	b.do("GET", "/devices", "", 200, &devices)
	if len(devices.Items) != 8 {
		t.Fatalf("%d devices", len(devices.Items))
	}
	got := devices.Items[1]
	got.SampledAt, got.Links = nil, nil
	want := api.Device{
		ID: "GPU-1111-4000", Ref: "cuda:1", Node: "dgx", Index: 1, Name: "NVIDIA H100 80GB HBM3", Family: "cuda", Slot: "cuda.device",
		PCI: "0000:11:00.0", NUMA: 0, Simulated: true, Health: "ok", MemoryTotal: 80 << 30, MemoryUsed: 10 << 30, Utilization: 0.125,
		Temperature: 34, Power: 140, Taken: "0.50", Holders: []api.Holder{{
			Session: "ses-000000000002", Name: "demo-2", Project: "default", Service: "demo", Slot: "cuda.shares", Share: "0.50",
			Memory: 40 << 30, MemoryUsed: 9 << 30, State: "held",
		}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if d := devices.Items[5]; d.Health != api.DeviceLost || d.Utilization != -1 || d.MemoryUsed != -1 || d.SampledAt == nil || d.Since == nil || !strings.Contains(d.Reason, "XID 79") {
		t.Errorf("%+v", d)
	}
	if d := devices.Items[6]; d.Health != api.DeviceBusy || !strings.Contains(d.Reason, "4242") {
		t.Errorf("%+v", d)
	}
	if l := devices.Items[0].Links; len(l) != 7 || l[0] != (api.Link{Device: "GPU-1111-4000", Ref: "cuda:1", Kind: "NV18"}) {
		t.Errorf("%+v", l)
	}

	b.do("GET", "/nodes", "", 200, &nodes)
	n := nodes.Items[0]
	if d := cmp.Diff([]api.DeviceCount{{Slot: "cuda.device", Name: "NVIDIA H100 80GB HBM3", Total: 8, Free: 4, Shared: 1, Taken: 1, Unusable: 2, Simulated: true}}, n.Devices); d != "" {
		t.Error(d)
	}
	if n.CPU != (api.Cores{Total: 64, Taken: 8, Free: 56, Used: 12.5}) || n.Memory.Free != 448<<30 || !n.Simulated || n.Runtime != "containerd" || n.NUMA[0].CPUs != "0-3,8-9" {
		t.Errorf("%+v", n)
	}
}

func TestPagesOfDevices(t *testing.T) {
	b := newBox(t)
	b.Pool.Simulate()
	var refs []string
	for cursor := ""; ; {
		var page api.Page[api.Device]
		b.do("GET", "/devices?limit=3&cursor="+cursor, "", 200, &page)
		for _, d := range page.Items {
			refs = append(refs, d.Ref)
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if got := strings.Join(refs, " "); got != "cuda:0 cuda:1 cuda:2 cuda:3 cuda:4 cuda:5 cuda:6 cuda:7" {
		t.Error(got)
	}
}

// TestNamesOfDevices: slices are called after what they are cut from, and devices of several nodes after their node.
func TestNamesOfDevices(t *testing.T) {
	b := newBox(t)
	for _, name := range []string{"left", "east"} {
		b.Pool.Ledger().SetNode(accel.Node{Name: name, Devices: []accel.Device{
			{ID: name + "-GPU-10", Index: 10, Family: "cuda"}, {ID: name + "-GPU-2", Index: 2, Family: "cuda"},
			{ID: name + "-MIG-1", Index: 1, Family: "cuda", Parent: name + "-GPU-2"}, {ID: name + "-MIG-0", Index: 0, Family: "cuda", Parent: name + "-GPU-2"},
			{ID: name + "-tt", Index: 0, Family: "tt"},
		}})
	}
	var page api.Page[api.Device]
	b.do("GET", "/devices", "", 200, &page)
	var refs []string
	for _, d := range page.Items {
		refs = append(refs, d.Ref)
	}
	if got := strings.Join(refs, " "); got != "east/cuda:2 east/cuda:2:0 east/cuda:2:1 east/cuda:10 east/tt:0 left/cuda:2 left/cuda:2:0 left/cuda:2:1 left/cuda:10 left/tt:0" {
		t.Error(got)
	}
	for word, want := range map[string]string{"east/cuda:2:1": "east-MIG-1", "left-tt": "left-tt", "LEFT-t": "left-tt", "east-GPU-2": "east-GPU-2"} {
		var d api.Device
		b.do("GET", "/devices/"+strings.ReplaceAll(word, "/", "%2F"), "", 200, &d)
		if d.ID != want {
			t.Errorf("%s means %s, want %s", word, d.ID, want)
		}
	}
	for word, status := range map[string]int{"cuda:2": 400, "east-": 400, "eas": 404, "cuda:77": 404, "east-GPU": 400} {
		p := problem(t, b.serve(b.request("GET", "/devices/"+word, "")))
		if p.Status != status || p.Hint == "" {
			t.Errorf("%s: %+v", word, p)
		}
	}
}

func TestFenceAndUnfence(t *testing.T) {
	b := newBox(t)
	b.Pool.Simulate()
	var d api.Device
	b.do("POST", "/devices/cuda:2/fence", `{"reason":" new thermal paste "}`, 200, &d)
	if d.Health != api.DeviceFenced || d.Reason != "taken out by me: new thermal paste" {
		t.Errorf("%+v", d)
	}
	b.do("POST", "/devices/GPU-2222/unfence", "", 200, &d)
	if d.Health != api.DeviceOK || d.Reason != "" {
		t.Errorf("%+v", d)
	}
	b.do("POST", "/devices/cuda:2/fence", `{"reason":"  "}`, 400, nil)
	b.do("POST", "/devices/cuda:2/fence", `{"reason":"`+strings.Repeat("x", 1001)+`"}`, 400, nil)
	b.do("POST", "/devices/cuda:9/fence", `{"reason":"x"}`, 404, nil)
}

func TestDeviceHistory(t *testing.T) {
	b := newBox(t)
	b.Pool.Simulate()
	var h api.DeviceHistory
	b.do("GET", "/devices/cuda:0/history", "", 200, &h)
	if h.To.Sub(h.From) != time.Hour || h.Step != 15 || len(h.Points) != 180 || h.Device != "GPU-0000-4000" {
		t.Errorf("%v to %v, step %v, %d points", h.From, h.To, h.Step, len(h.Points))
	}
	b.do("GET", "/devices/cuda:0/history?from=2025-01-01T00:00:00Z&to=2025-01-02T00:00:00%2B01:00&step=5m", "", 200, &h)
	if h.To.Sub(h.From) != 23*time.Hour || h.Step != 300 {
		t.Errorf("%v to %v, step %v", h.From, h.To, h.Step)
	}
	b.do("GET", "/devices/cuda:0/history?from=2h&to=60m&step=60", "", 200, &h)
	if h.To.Sub(h.From) != time.Hour || h.Step != 60 {
		t.Errorf("%v to %v, step %v", h.From, h.To, h.Step)
	}
	for _, bad := range []string{"from=yesterday", "step=0", "step=-5", "step=1ms", "step=NaN", "step=1e300", "from=10m&to=1h", "from=9000h&step=1", "from=-", "step=fast"} {
		p := problem(t, b.serve(b.request("GET", "/devices/cuda:0/history?"+bad, "")))
		if p.Status != 400 {
			t.Errorf("%s: %+v", bad, p)
		}
	}
}

func TestQueue(t *testing.T) {
	b := newBox(t)
	var page api.Page[api.Waiting]
	b.do("GET", "/queue", "", 200, &page)
	if page.Items == nil || len(page.Items) != 0 {
		t.Errorf("%+v", page)
	}
	b.Pool.Simulate()
	b.do("POST", "/services", `{"name":"demo","image":"host","replicas":2,"resources":{"cuda.device":"8"}}`, 201, nil)
	b.do("GET", "/queue", "", 200, &page)
	if len(page.Items) != 1 {
		t.Fatalf("%+v", page)
	}
	first := page.Items[0]
	first.Since = time.Time{}
	want := api.Waiting{
		Position: 1, Session: "ses-000000000003", Name: "demo-3", Project: "default", Type: "inference", ServiceName: "demo", CreatedBy: "me", Priority: 50,
		Resources: map[string]string{"cpu": "4", "mem": "32g", "cuda.device": "8"},
		Waits: []api.Wait{
			{Predicate: "resources", Sentence: "waits for 8 cuda.device: 4 of 8 free", Would: "would fit if service demo had one route less"},
			{Predicate: "selector", Sentence: "no node has zone=b"},
		},
	}
	if d := cmp.Diff(want, first); d != "" {
		t.Error(d)
	}
	b.do("GET", "/queue?project=red", "", 200, &page)
	if len(page.Items) != 1 || page.Items[0].Position != 2 || page.Items[0].Waits == nil {
		t.Errorf("a project sees %+v: its place is one among all", page.Items)
	}
	b.do("GET", "/queue?all=true", "", 200, &page)
	if len(page.Items) != 2 {
		t.Errorf("%+v", page)
	}
}

// TestSessionsSayWhatTheyHoldAndWaitFor: what is asked for, held and waited for is part of the session.
func TestSessionsSayWhatTheyHoldAndWaitFor(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host","replicas":2,"resources":{"cuda.device":"8","mem":"1536m"},"selector":{"zone":"b"}}`, 201, nil)
	var s api.Session
	b.do("GET", "/sessions/ses-000000000002", "", 200, &s)
	if s.Claim != nil || len(s.Waits) != 2 || s.Waits[0].Predicate != "resources" || s.Resources["mem"] != "1536m" || s.Resources["cuda.device"] != "8" {
		t.Errorf("%+v", s)
	}
	var service api.Service
	b.do("PATCH", "/services/demo", `{"selector":{"zone":null,"kind":"big"}}`, 200, &service)
	if d := cmp.Diff(map[string]string{"kind": "big"}, service.Recipe.Selector); d != "" {
		t.Error(d)
	}
	b.Pool.Simulate()
	b.do("GET", "/sessions/ses-000000000002", "", 200, &s)
	want := &api.Claim{Node: "dgx", State: "held", Devices: []api.ClaimDevice{
		{Device: "GPU-0000-4000", Ref: "cuda:0", Name: "NVIDIA H100 80GB HBM3", Slot: "cuda.shares", Share: "1.00", Memory: 80 << 30, MemoryUsed: 70 << 30},
		{Device: "GPU-1111-4000", Ref: "cuda:1", Name: "NVIDIA H100 80GB HBM3", Slot: "cuda.shares", Share: "0.50", Memory: 40 << 30, MemoryUsed: 9 << 30},
	}}
	if d := cmp.Diff(want, s.Claim); d != "" {
		t.Error(d)
	}
}

// TestLeavingClaims: what has ended has given its cores back at once, and keeps the devices that are not seen free yet.
func TestLeavingClaims(t *testing.T) {
	b := newBox(t)
	b.Pool.Simulate()
	b.Pool.Ledger().Leave("ses-000000000002")
	b.Pool.Ledger().Observe("dgx", []accel.Sample{{Device: "GPU-0000-4000", At: time.Now(), MemoryUsed: 0, Processes: []accel.ProcessUse{}}}, func(int) (string, bool) { return "", false }, time.Now())
	var nodes api.Page[api.Node]
	b.do("GET", "/nodes", "", 200, &nodes)
	if n := nodes.Items[0]; n.CPU.Free != 64 || n.Devices[0].Free != 5 || n.Devices[0].Shared != 1 {
		t.Errorf("%+v", n)
	}
	var d api.Device
	b.do("GET", "/devices/cuda:1", "", 200, &d)
	if len(d.Holders) != 1 || d.Holders[0].State != api.HolderLeaving || d.Taken != "0.50" {
		t.Errorf("%+v", d)
	}
}
