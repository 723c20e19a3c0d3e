package accel_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

// fake is a plugin that answers as it is told to.
type fake struct {
	mu      sync.Mutex
	name    string
	devices []accel.Device
	memory  map[string]int64 // GiB in use by device
	pids    map[string]int   // who uses it
	fail    error
	panics  bool
	hang    chan struct{} // calls wait until it is closed
	calls   int
	sampled []time.Time
	grant   accel.Grant
	refuse  error
}

func (f *fake) Name() string { return f.name }

func (f *fake) answer() error {
	f.mu.Lock()
	f.calls++
	hang, fail, panics := f.hang, f.fail, f.panics
	f.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if panics {
		panic("nil map")
	}
	return fail
}

func (f *fake) Devices(context.Context) ([]accel.Device, error) {
	err := f.answer()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.devices, err
}

func (f *fake) Sample(_ context.Context, devices []accel.Device) ([]accel.Sample, error) {
	err := f.answer()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sampled = append(f.sampled, time.Now())
	var samples []accel.Sample
	for _, d := range devices {
		s := accel.Sample{Device: d.ID, At: time.Now(), MemoryUsed: f.memory[d.ID] * gib, Processes: []accel.ProcessUse{}}
		if pid := f.pids[d.ID]; pid != 0 {
			s.Processes = append(s.Processes, accel.ProcessUse{PID: pid, Memory: s.MemoryUsed})
		}
		samples = append(samples, s)
	}
	return samples, err
}

func (f *fake) Grant([]accel.Share) (accel.Grant, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.grant, f.refuse
}

// samples is how often it was asked how its devices are.
func (f *fake) samples() (n int) {
	f.set(func() { n = len(f.sampled) })
	return n
}

func (f *fake) asked() (n int) {
	f.set(func() { n = f.calls })
	return n
}

func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

// record is a Recorder that counts.
type record struct {
	mu    sync.Mutex
	count map[string]int
}

func (r *record) Record(node string, devices []accel.Device, samples []accel.Sample) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range samples {
		r.count[node+" "+s.Device]++
	}
	return errors.New("disk full")
}

// watched runs a test with a watcher of two plugins, whose devices are GPU-0 and GPU-1, and R-0.
func watched(t *testing.T, body func(w *accel.Watcher, l *accel.Ledger, cuda, rocm *fake)) {
	synctest.Test(t, func(t *testing.T) {
		cuda := &fake{name: "nvidia", devices: []accel.Device{gpu(0, -1), gpu(1, -1)}, memory: map[string]int64{}, pids: map[string]int{}}
		rocm := &fake{name: "sysfs", devices: []accel.Device{{ID: "R-0", Family: "rocm", Slot: "rocm.device", Memory: 64 * gib, NUMA: -1}}, memory: map[string]int64{}, pids: map[string]int{}}
		l := accel.NewLedger()
		w := accel.NewWatcher(accel.WatcherConfig{
			Ledger: l, Plugins: []accel.Plugin{cuda, rocm}, Node: accel.Node{Name: "box", CPU: 8000, Memory: 32 * gib},
			Owner:       func(pid int) (string, bool) { return fmt.Sprint("s", pid), pid < 100 },
			ProcessName: func(pid int) string { return fmt.Sprint("program", pid) },
		})
		if _, err := w.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := w.Run(ctx); !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
		synctest.Wait()
		body(w, l, cuda, rocm)
		cancel()
		running.Wait()
	})
}

// health lists the devices that are not ok: "GPU-0 lost, ...".
func health(l *accel.Ledger) string {
	var parts []string
	status := l.Status()[0]
	for _, d := range status.State.Node().Devices {
		if h := status.Health[d.ID]; h.State != accel.HealthOK {
			parts = append(parts, d.ID+" "+string(h.State)+": "+h.Reason)
		}
	}
	return strings.Join(parts, ", ")
}

func TestWatcherFindsAndSamples(t *testing.T) {
	watched(t, func(w *accel.Watcher, l *accel.Ledger, cuda, rocm *fake) {
		if n := l.Pool()[0].Node(); len(n.Devices) != 3 || n.CPU != 8000 {
			t.Error(n)
		}
		if cuda.samples() != 1 || len(l.Status()[0].Samples) != 3 {
			t.Error("not sampled at once")
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		if cuda.samples() != 3 {
			t.Error(cuda.samples())
		}
		w.Poke()
		w.Poke()
		synctest.Wait()
		if cuda.samples() < 4 {
			t.Error("a poke is not heard")
		}
		cuda.set(func() {
			cuda.devices = append(cuda.devices, gpu(2, -1))
			cuda.memory["GPU-2"], cuda.pids["GPU-2"] = 30, 4711
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := health(l); got != "GPU-2 busy: pid 4711 (program4711) holds 30 GiB, not a session of Palisade" {
			t.Errorf("what is new is not looked at: %q", got)
		}
	})
}

func TestWatcherSamplesFasterWhileAClaimLeaves(t *testing.T) {
	watched(t, func(w *accel.Watcher, l *accel.Ledger, cuda, rocm *fake) {
		claim, err := allocate(l.Pool()[0], "s1", accel.Slots{"cuda.device": 100}, accel.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Take(claim); err != nil {
			t.Fatal(err)
		}
		cuda.set(func() { cuda.memory["GPU-0"], cuda.pids["GPU-0"] = 40, 1 })
		time.Sleep(16 * time.Second)
		before := cuda.samples()
		l.Leave("s1")
		time.Sleep(1900 * time.Millisecond)
		synctest.Wait()
		if got := cuda.samples() - before; got < 7 || got > 9 {
			t.Errorf("%d samples in two seconds", got)
		}
		cuda.set(func() { cuda.memory["GPU-0"], cuda.pids["GPU-0"] = 0, 0 })
		time.Sleep(300 * time.Millisecond)
		synctest.Wait()
		if len(l.Claims()) != 0 || l.Pool()[0].FreeWhole("cuda.device") != 200 {
			t.Error("its memory is free, the claim is not")
		}
		before = cuda.samples()
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if cuda.samples() != before {
			t.Error("goes on asking fast")
		}
	})
}

func TestWatcherOutlivesItsPlugins(t *testing.T) {
	tests := []struct {
		name   string
		breaks func(*fake)
		mends  func(*fake)
		why    string
	}{
		{"fails", func(f *fake) { f.fail = errors.New("permission denied") }, func(f *fake) { f.fail = nil }, "nvidia: permission denied"},
		{"lost", func(f *fake) { f.fail = fmt.Errorf("%w: driver reloaded", accel.ErrLost) }, func(f *fake) { f.fail = nil },
			"nvidia: accelerators cannot be reached: driver reloaded"},
		{"panics", func(f *fake) { f.panics = true }, func(f *fake) { f.panics = false }, "nvidia: it broke: nil map"},
		{"hangs", func(f *fake) { f.hang = make(chan struct{}) }, func(f *fake) { close(f.hang); f.hang = nil }, "nvidia: no answer within 5s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			watched(t, func(w *accel.Watcher, l *accel.Ledger, cuda, rocm *fake) {
				cuda.set(func() { tt.breaks(cuda) })
				time.Sleep(25 * time.Second)
				synctest.Wait()
				if got, want := health(l), "GPU-0 lost: "+tt.why+", GPU-1 lost: "+tt.why; got != want {
					t.Errorf("%q, want %q", got, want)
				}
				calls, others := cuda.asked(), rocm.samples()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				if tt.name == "hangs" && cuda.asked() != calls {
					t.Error("a plugin that hangs is asked again and again")
				}
				if rocm.samples() < others+8 {
					t.Error("the other plugin is not asked any more")
				}
				if n := l.Pool()[0].Node(); len(n.Devices) != 3 {
					t.Error("devices that cannot be asked for are forgotten")
				}
				cuda.set(func() { tt.mends(cuda) })
				time.Sleep(20 * time.Second)
				synctest.Wait()
				if got := health(l); got != "" {
					t.Error("it does not recover:", got)
				}
			})
		})
	}
}

func TestDiscoverReturnsWhatAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &fake{name: "sysfs", fail: errors.New("no /sys")}
		twin := &fake{name: "simulated", devices: []accel.Device{gpu(0, -1), {Family: "cuda"}}}
		l := accel.NewLedger()
		w := accel.NewWatcher(accel.WatcherConfig{
			Ledger: l, Plugins: []accel.Plugin{&fake{name: "nvidia", devices: []accel.Device{gpu(0, -1)}}, broken, twin}, Node: accel.Node{Name: "box"},
			Inventory: func() (accel.Node, error) { return accel.Node{CPU: 2000, Memory: gib}, nil },
		})
		node, err := w.Discover(t.Context())
		if node.CPU != 2000 || len(node.Devices) != 1 || len(l.Pool()) != 1 {
			t.Error(node)
		}
		for _, want := range []string{"sysfs: no /sys", `simulated: device "GPU-0" cannot be told from another`, `simulated: device "" cannot`} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %q", err, want)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := w.Discover(ctx); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestWatcherTellsAndRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cuda := &fake{name: "nvidia", devices: []accel.Device{gpu(0, -1)}, memory: map[string]int64{"GPU-0": 60}, pids: map[string]int{"GPU-0": 7}}
		l, r := accel.NewLedger(), &record{count: map[string]int{}}
		var over []string
		var log strings.Builder
		w := accel.NewWatcher(accel.WatcherConfig{
			Ledger: l, Plugins: []accel.Plugin{cuda}, Node: accel.Node{Name: "box", CPU: 1000, Memory: gib}, Recorder: r,
			Owner:   func(pid int) (string, bool) { return "s", pid == 7 },
			Overuse: func(o accel.Overuse) { over = append(over, o.String()) },
			Log:     slog.New(slog.NewTextHandler(&log, nil)),
		})
		if _, err := w.Discover(t.Context()); err != nil {
			t.Fatal(err)
		}
		claim, err := allocate(l.Pool()[0], "s", accel.Slots{"cuda.shares": 50}, accel.Options{})
		if err != nil || l.Take(claim) != nil {
			t.Fatal(err)
		}
		w.Sample(t.Context())
		if diff := cmp.Diff([]string{"session s uses 60 GiB of device GPU-0, its share is 40 GiB"}, over); diff != "" {
			t.Error(diff)
		}
		w.Sample(t.Context())
		if r.count["box GPU-0"] != 2 || strings.Count(log.String(), "disk full") != 1 {
			t.Error(r.count, log.String())
		}
	})
}

func TestGrantIsOfAllPlugins(t *testing.T) {
	watched(t, func(w *accel.Watcher, l *accel.Ledger, cuda, rocm *fake) {
		cuda.grant = accel.Grant{CDI: []string{"nvidia.com/gpu=0"}, Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": "0"}, Enforced: true, Mounts: map[string]string{"/run/mps": "/tmp/mps"}}
		rocm.grant = accel.Grant{Nodes: []string{"/dev/kfd"}, Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": "void", "ROCR_VISIBLE_DEVICES": ""}}
		both := accel.Claim{Session: "s", Shares: []accel.Share{{Device: "GPU-0"}, {Device: "R-0"}}}
		one := accel.Claim{Session: "s", Shares: []accel.Share{{Device: "GPU-0"}}}

		got, err := w.Grant(one)
		want := accel.Grant{CDI: []string{"nvidia.com/gpu=0"}, Enforced: true, Mounts: map[string]string{"/run/mps": "/tmp/mps"},
			Env: map[string]string{"NVIDIA_VISIBLE_DEVICES": "0", "ROCR_VISIBLE_DEVICES": ""}}
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error("the other one's hiding gives way", err, diff)
		}
		if _, err := w.Grant(both); err == nil || !strings.Contains(err.Error(), `NVIDIA_VISIBLE_DEVICES is "0" for other devices and "void" for these`) {
			t.Error(err)
		}
		delete(rocm.grant.Env, "NVIDIA_VISIBLE_DEVICES")
		got, err = w.Grant(both)
		want.Nodes, want.Enforced = []string{"/dev/kfd"}, false
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Error(err, diff)
		}
		rocm.refuse = errors.New("no rule")
		if _, err := w.Grant(both); err == nil || err.Error() != "granting devices to session s: sysfs: no rule" {
			t.Error(err)
		}
		if _, err := w.Grant(one); err != nil {
			t.Error("a plugin that only hides", err)
		}
		if _, err := w.Grant(accel.Claim{Session: "s", Shares: []accel.Share{{Device: "GPU-9"}}}); !errors.Is(err, accel.ErrNoDevice) {
			t.Error(err)
		}
		none, err := w.Grant(accel.Claim{Session: "s"})
		if err != nil || none.Env["NVIDIA_VISIBLE_DEVICES"] != "0" || len(none.CDI) != 0 || !none.Enforced {
			t.Error(none, err)
		}
	})
}
