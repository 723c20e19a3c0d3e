package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/api"
)

// update writes the golden frames anew.
var update = flag.Bool("update", false, "write the golden files")

// aBox is a view of a box that has a little of everything.
func aBox() topView {
	at := time.Date(2026, 3, 1, 14, 3, 22, 0, time.UTC)
	v := topView{
		host: "unix:///var/lib/palisade/palisade.sock", at: at, waiting: 1, keys: true,
		nodes: []api.Node{{
			Name: "gpu-box", CPU: api.Cores{Total: 64, Taken: 24, Free: 40, Used: 12.5},
			Memory: api.Bytes{Total: 512 << 30, Taken: 128 << 30, Free: 384 << 30, Used: 96 << 30},
		}},
	}
	for i := range 4 {
		v.devices = append(v.devices, api.Device{
			ID: fmt.Sprintf("GPU-%d", i), Ref: fmt.Sprintf("cuda:%d", i), Name: "NVIDIA H100 80GB HBM3", Health: api.DeviceOK, MemoryTotal: 80 << 30,
			MemoryUsed: int64(25*i) << 30, Utilization: float64(i) / 3, Temperature: 31 + float64(20*i), Power: 71 + float64(210*i), Taken: "0.00",
		})
	}
	v.devices[1].Holders = []api.Holder{{Session: "ses-1", Name: "chat-1", Share: "0.50", State: api.HolderHeld}, {Session: "ses-2", Name: "模型-2", Share: "0.25", State: api.HolderLeaving}}
	v.devices[3].Holders = []api.Holder{{Session: "ses-3", Name: "draw-3", Share: "1.00", State: api.HolderHeld}}
	v.devices[2].Health, v.devices[2].Reason = api.DeviceLost, "XID 79: it fell off the bus\x1b[2J"
	claim := func(ref, share string) *api.Claim {
		return &api.Claim{Node: "gpu-box", State: api.HolderHeld, Devices: []api.ClaimDevice{{Ref: ref, Share: share, MemoryUsed: -1}}}
	}
	v.sessions = []topSession{
		{Session: api.Session{ID: "ses-4", Name: "big-4", Status: "PENDING", Waits: []api.Wait{{Sentence: "waits for 8 cuda.device: 1 of 4 free", Would: "asks for more than there is"}}}, cores: -1, memory: -1, deviceMemory: -1},
		{Session: api.Session{ID: "ses-1", Name: "chat-1", Status: "RUNNING", Claim: claim("cuda:1", "0.50")}, cores: 0.254, memory: 3 << 30, deviceMemory: 20 << 30},
		{Session: api.Session{ID: "ses-2", Name: "模型-2", Status: "TERMINATING", Reason: "ended by me"}, cores: -1, memory: -1, deviceMemory: -1},
		{Session: api.Session{ID: "ses-3", Name: "draw-3", Status: "RUNNING", Claim: claim("cuda:3", "1.00")}, cores: 11.8, memory: 48 << 30, deviceMemory: 75 << 30},
	}
	v.services = []api.Service{
		{Name: "chat", Status: "HEALTHY", HealthyRoutes: 1, Replicas: 1, Reason: "1 of 1 routes healthy", Routes: []api.Route{{InFlight: 3}}},
		{Name: "模型サーバー", Status: "DEGRADED", HealthyRoutes: 1, Replicas: 2, Reason: "1 of 2 routes healthy", Routes: []api.Route{{InFlight: 2}, {InFlight: 1}}},
	}
	v.services[0].Autoscaling = &api.Autoscaling{MinReplicas: new(0), MaxReplicas: new(4), IdleAfter: new(600.0)}
	return v
}

func TestFrames(t *testing.T) {
	simulated := aBox()
	for i := range simulated.devices {
		simulated.devices[i].Simulated = true
	}
	crowded := aBox()
	for i := range 40 {
		d := crowded.devices[i%2]
		d.Ref = fmt.Sprintf("cuda:%d", i+4)
		crowded.devices = append(crowded.devices, d)
		s := crowded.sessions[1]
		s.Name = fmt.Sprintf("crowd-%02d", i)
		crowded.sessions = append(crowded.sessions, s)
	}
	away := aBox()
	away.trouble = "reaching unix:///var/lib/palisade/palisade.sock: connection refused (start it)"
	away.color = true
	byMemory := aBox()
	byMemory.sort, byMemory.reversed = byDeviceMemory, true
	for name, c := range map[string]struct {
		v             topView
		width, height int
	}{
		"80x24": {aBox(), 80, 24}, "200x60": {aBox(), 200, 60}, "120x30-simulated": {simulated, 120, 30}, "80x24-crowded": {crowded, 80, 24},
		"100x12-crowded": {crowded, 100, 12}, "1x1": {aBox(), 1, 1}, "80x24-empty": {topView{host: "here", keys: true, at: aBox().at}, 80, 24},
		"80-once": {func() topView { v := aBox(); v.keys = false; return v }(), 80, 0}, "80x24-away": {away, 80, 24}, "90x24-sorted": {byMemory, 90, 24},
	} {
		t.Run(name, func(t *testing.T) {
			got := frame(c.v, c.width, c.height)
			file := filepath.Join("testdata", "top", name+".golden")
			if *update {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got+"\n"); d != "" {
				t.Error(d)
			}
		})
	}
}

// FuzzFrame: whatever the window and the words are, no line is wider than the window, no frame is higher, and nothing
// commands the terminal.
func FuzzFrame(f *testing.F) {
	f.Add(80, 24, "chat\x1b[2J", 0.5, 3)
	f.Add(0, 0, "模型", -1.0, 0)
	f.Add(41, 7, "e\u0301👩‍👩‍👧", 1e300, 60)
	f.Fuzz(func(t *testing.T, width, height int, name string, number float64, many int) {
		width, height, many = width&0xff, height&0x7f, many&0x3f
		v := aBox()
		v.host, v.trouble = name, name
		v.nodes[0].Name, v.nodes[0].CPU.Used = name, number
		for i := range many {
			v.devices = append(v.devices, api.Device{Ref: name, Name: name, Health: api.DeviceOK, Utilization: number, Power: number, MemoryTotal: int64(i), MemoryUsed: int64(number)})
			v.sessions = append(v.sessions, topSession{Session: api.Session{Name: name, Status: name}, cores: number})
			v.services = append(v.services, api.Service{Name: name, Status: name, Reason: name})
		}
		got := frame(v, width, height)
		lines := strings.Split(got, "\n")
		if height > 0 && len(lines) > max(height, leastHeight) {
			t.Errorf("%d lines in a window of %d", len(lines), height)
		}
		for _, l := range lines {
			if n := cells(l); n > max(width, leastWidth) {
				t.Errorf("%d columns in a window of %d: %q", n, width, l)
			}
		}
		if strings.ContainsAny(got, "\x1b\a\r\t") {
			t.Errorf("%q commands the terminal", got)
		}
	})
}

func TestWidths(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"abc", 5, "abc  "}, {"abcdef", 4, "abc…"}, {"模型模型", 5, "模型…"}, {"模型模型", 4, "模… "}, {"x", 0, ""}, {"", 2, "  "}, {"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
	} {
		if got := fit(c.text, c.width); got != c.want {
			t.Errorf("fit(%q, %d) = %q, want %q", c.text, c.width, got, c.want)
		}
	}
	for part, want := range map[float64]string{0: "░░░░", 1: "████", 2: "████", 0.5: "██░░", 0.001: "▏░░░", 0.28: "█▏░░", -1: "    "} {
		if got := bar(part, 4); got != want {
			t.Errorf("bar(%v) = %q, want %q", part, got, want)
		}
	}
	if got := spark([]float64{0, 0.5, 1, -1, 2}, 1); got != "▁▅█ █" {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		used, total int64
		want        string
	}{{-1, -1, "-"}, {5 << 30, -1, "5 GiB"}, {-1, 80 << 30, "-/80 GiB"}, {1 << 29, 80 << 30, "0.5/80 GiB"}, {100, 900, "100/900 B"}, {0, 0, "0/0 B"}} {
		if got := memoryWords(c.used, c.total); got != c.want {
			t.Errorf("memoryWords(%d, %d) = %q, want %q", c.used, c.total, got, c.want)
		}
	}
}

func TestKeysThatAreTyped(t *testing.T) {
	if got := string(withoutEscapes([]byte("s\x1b[Ac\x1bOPq\x1b[15~r\x1b"))); got != "scqr" {
		t.Errorf("%q", got)
	}
	var v topView
	for key, want := range map[byte]bool{'q': true, 3: true, 4: true, 's': false, 'x': false} {
		if v.press(key) != want {
			t.Errorf("key %q ends: %v", key, !want)
		}
	}
	v = topView{}
	for _, key := range []byte("sssssr") {
		v.press(key)
	}
	if v.sort != byMemory || !v.reversed {
		t.Errorf("%v %v", v.sort, v.reversed)
	}
}

// TestBusyCores: what is busy is the difference between two samples.
func TestBusyCores(t *testing.T) {
	at := time.Now()
	l := &looker{before: map[string]api.Stats{"a": {At: at, CPUTime: 10}}, busy: map[string]float64{"a": 2}}
	for _, c := range []struct {
		session string
		now     api.Stats
		want    float64
	}{
		{"a", api.Stats{At: at.Add(2 * time.Second), CPUTime: 13}, 1.5}, {"a", api.Stats{At: at, CPUTime: 10}, 2},
		{"a", api.Stats{At: at.Add(time.Second), CPUTime: 1}, -1}, {"b", api.Stats{At: at, CPUTime: 1}, -1},
	} {
		if got := l.cores(c.session, c.now); got != c.want {
			t.Errorf("%+v: %v, want %v", c.now, got, c.want)
		}
	}
}
