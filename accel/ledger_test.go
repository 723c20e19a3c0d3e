package accel_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

// desk is a ledger of one box with a clock that stands still.
type desk struct {
	*accel.Ledger
	t    *testing.T
	at   time.Time
	pids map[int]string // whose processes are
}

func newDesk(t *testing.T, n accel.Node) *desk {
	d := &desk{t: t, at: time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC), pids: map[int]string{}}
	d.Ledger = accel.NewLedger(accel.WithClock(func() time.Time { return d.at }))
	d.SetNode(n)
	return d
}

func (d *desk) state() accel.State { return d.Pool()[0] }

// take allocates and takes.
func (d *desk) take(session string, ask accel.Slots) accel.Claim {
	d.t.Helper()
	claim, err := allocate(d.state(), session, ask, accel.Options{})
	if err != nil {
		d.t.Fatal(err)
	}
	if err := d.Take(claim); err != nil {
		d.t.Fatal(err)
	}
	return claim
}

// observe lets a second pass and samples one device.
func (d *desk) observe(s accel.Sample) accel.Observation {
	d.at = d.at.Add(time.Second)
	s.At = d.at
	return d.Observe("box", []accel.Sample{s}, func(pid int) (string, bool) {
		session, ok := d.pids[pid]
		return session, ok
	}, d.at)
}

// uses is a sample of a device with the memory of processes, in GiB by PID.
func uses(device string, total int64, processes map[int]int64) accel.Sample {
	s := accel.Sample{Device: device, MemoryUsed: total * gib, Processes: []accel.ProcessUse{}}
	for pid, memory := range processes {
		s.Processes = append(s.Processes, accel.ProcessUse{PID: pid, Memory: memory * gib, Name: "python3"})
	}
	return s
}

func (d *desk) wantFree(hundredths accel.Amount) {
	d.t.Helper()
	if got := d.state().Free("cuda.shares"); got != hundredths {
		d.t.Errorf("%d hundredths free, want %d", got, hundredths)
	}
}

func TestTakeRefuses(t *testing.T) {
	whole := func(session, device string) accel.Claim {
		return accel.Claim{Session: session, Node: "box", NUMA: -1, Slots: accel.Slots{"cuda.device": 100}, Shares: []accel.Share{{Device: device, Slot: "cuda.device", Amount: 100}}}
	}
	part := func(session, device string, amount accel.Amount) accel.Claim {
		return accel.Claim{Session: session, Node: "box", NUMA: -1, Slots: accel.Slots{"cuda.shares": amount}, Shares: []accel.Share{{Device: device, Slot: "cuda.shares", Amount: amount}}}
	}
	box := box(4)
	box.Devices[3].Fault, box.Devices[2].Busy = "XID 79", "pid 1 holds it"
	elsewhere, twice, more, neither := whole("s", "GPU-0"), whole("s", "GPU-0"), part("s", "GPU-0", 50), whole("s", "GPU-0")
	elsewhere.Node = "far"
	twice.Shares, twice.Slots = append(twice.Shares, twice.Shares[0]), accel.Slots{"cuda.device": 200}
	more.Slots = accel.Slots{"cuda.shares": 40}
	neither.Shares[0].Slot, neither.Slots = "rocm.device", accel.Slots{"rocm.device": 100}
	tests := []struct {
		name  string
		claim accel.Claim
		kind  error
		words string
	}{
		{"free", whole("s", "GPU-1"), nil, ""},
		{"the same again", whole("first", "GPU-0"), nil, ""},
		{"taken", whole("s", "GPU-0"), accel.ErrTaken, "1 wanted, 0 free"},
		{"another claim of the session", whole("first", "GPU-1"), accel.ErrTaken, "already"},
		{"no node", elsewhere, accel.ErrNoNode, "far"},
		{"no device", whole("s", "GPU-9"), accel.ErrNoDevice, "GPU-9"},
		{"faulty", whole("s", "GPU-3"), accel.ErrFenced, "XID 79"},
		{"busy", part("s", "GPU-2", 10), accel.ErrBusy, "pid 1 holds it"},
		{"too many cores", accel.Claim{Session: "s", Node: "box", Slots: accel.Slots{"cpu": 33000}}, accel.ErrTaken, "33 cpu asked"},
		{"too much memory", accel.Claim{Session: "s", Node: "box", Slots: accel.Slots{"mem": 300 * gib}}, accel.ErrTaken, "300 GiB mem asked"},
		{"one device twice", twice, accel.ErrInvalid, "twice"},
		{"more than asked", more, accel.ErrInvalid, "0.5 cuda.shares given, 0.4 asked"},
		{"another kind", neither, accel.ErrInvalid, "cuda.device, not rocm.device"},
		{"nobody's", whole("", "GPU-1"), accel.ErrInvalid, "without a session"},
		{"half a whole one", part("s", "GPU-1", 101), accel.ErrInvalid, "101 hundredths"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, box)
			if err := d.Take(whole("first", "GPU-0")); err != nil {
				t.Fatal(err)
			}
			before := d.Version()
			err := d.Take(tt.claim)
			if !errors.Is(err, tt.kind) || err != nil && !strings.Contains(err.Error(), tt.words) {
				t.Errorf("%v, want %v with %q", err, tt.kind, tt.words)
			}
			if err != nil && d.Version() != before {
				t.Error("a refusal changed something")
			}
		})
	}
}

func TestAClaimLeavesWhenItsMemoryIsSeenFree(t *testing.T) {
	d := newDesk(t, box(1))
	d.take("s", accel.Slots{"cuda.device": 100, "cpu": 4000, "mem": gib})
	d.pids[7] = "s"
	d.observe(uses("GPU-0", 60, map[int]int64{7: 60}))
	if used := d.Claims()[0].Used["GPU-0"]; used != 60*gib {
		t.Error("used", used)
	}
	d.Leave("s")
	if s := d.state(); s.FreeCPU() != 32000 || s.FreeMemory() != 256*gib || s.FreeWhole("cuda.device") != 0 {
		t.Error("cores and memory are free at once, the device is not")
	}
	old := uses("GPU-0", 0, nil)
	old.At = d.at // as old as the leave
	d.Observe("box", []accel.Sample{old}, func(int) (string, bool) { return "", false }, d.at)
	d.wantFree(0)
	for _, step := range []struct {
		name   string
		sample accel.Sample
		free   accel.Amount
	}{
		{"its process is there", uses("GPU-0", 60, map[int]int64{7: 60}), 0},
		{"nobody knows whose the process is", uses("GPU-0", 60, map[int]int64{9: 60}), 0},
		{"no process, but memory", uses("GPU-0", 30, nil), 0},
		{"it does not answer", accel.Sample{Device: "GPU-0", MemoryUsed: -1, Fault: "silent"}, 0},
		{"a little memory, as drivers need", uses("GPU-0", 1, nil), 0},
	} {
		d.observe(step.sample)
		if got := d.Claims(); len(got) != 1 && step.name != "a little memory, as drivers need" || len(got) == 1 && got[0].State != accel.ClaimLeaving {
			t.Errorf("%s: %v", step.name, got)
		}
	}
	if len(d.Claims()) != 0 {
		t.Error("the claim is still there")
	}
	if err := d.Unfence("box", "GPU-0"); err != nil { // it was silent once
		t.Fatal(err)
	}
	d.wantFree(100)
}

func TestLeavingBesideOthers(t *testing.T) {
	d := newDesk(t, box(1))
	d.take("a", accel.Slots{"cuda.shares": 50})
	d.take("b", accel.Slots{"cuda.shares": 30})
	d.pids[1], d.pids[2] = "a", "b"
	d.observe(uses("GPU-0", 62, map[int]int64{1: 38, 2: 23}))
	d.Leave("a")
	d.observe(uses("GPU-0", 61, map[int]int64{2: 23})) // its process is gone, its memory is not
	d.wantFree(20)
	d.observe(uses("GPU-0", 23, map[int]int64{2: 23}))
	d.wantFree(70)
	if claims := d.Claims(); len(claims) != 1 || claims[0].Session != "b" {
		t.Error(claims)
	}
}

func TestWhoCameBeforeIsNotWaitedFor(t *testing.T) {
	d := newDesk(t, box(1))
	d.take("a", accel.Slots{"cuda.shares": 50})
	d.pids[1] = "a"
	d.observe(uses("GPU-0", 30, map[int]int64{1: 20, 99: 10}))
	if busy := d.state().Node().Devices[0].Busy; busy != "pid 99 (python3) holds 10 GiB, not a session of Palisade" {
		t.Error(busy)
	}
	d.Leave("a")
	d.observe(uses("GPU-0", 10, map[int]int64{99: 10}))
	if len(d.Claims()) != 0 {
		t.Error("the claim waits for memory that was never its own")
	}
	d.wantFree(0)
	if out := d.observe(uses("GPU-0", 0, nil)); len(out.Back) != 1 {
		t.Error(out)
	}
	d.wantFree(100)
}

func TestDevicesThatDoNotTell(t *testing.T) {
	n := box(2)
	n.Devices[1].Memory = 0
	d := newDesk(t, n)
	d.take("a", accel.Slots{"cuda.device": 200})
	d.Leave("a") // the second has no memory to tell of
	if got := d.Claims()[0].Rest; len(got) != 1 || got[0].Device != "GPU-0" {
		t.Error(got)
	}
	d.observe(accel.Sample{Device: "GPU-0", MemoryUsed: -1}) // and the first turns out not to tell
	d.wantFree(200)
	d.take("b", accel.Slots{"cuda.device": 200})
	d.Leave("b")
	d.wantFree(200)

	whole := newDesk(t, box(1)) // memory, but no processes
	whole.take("a", accel.Slots{"cuda.shares": 40})
	whole.take("b", accel.Slots{"cuda.shares": 40})
	whole.observe(accel.Sample{Device: "GPU-0", MemoryUsed: 60 * gib})
	whole.Leave("a")
	whole.observe(accel.Sample{Device: "GPU-0", MemoryUsed: 60 * gib})
	whole.wantFree(20)
	whole.observe(accel.Sample{Device: "GPU-0", MemoryUsed: 32 * gib}) // b's share explains that
	whole.wantFree(60)
}

func TestMemoryThatIsNeverGivenBack(t *testing.T) {
	d := newDesk(t, box(2))
	d.take("a", accel.Slots{"cuda.device": 100})
	d.take("b", accel.Slots{"cuda.shares": 50})
	d.Leave("a")
	d.at = d.at.Add(accel.DefaultPatience - 2*time.Second)
	d.observe(uses("GPU-0", 40, nil))
	if d.Leaving("box") != 1 {
		t.Fatal("gave up early")
	}
	d.at = d.at.Add(time.Second)
	out := d.observe(uses("GPU-0", 40, nil))
	const why = "memory was not given back by session a, which ended at 2026-05-01T12:00:00Z"
	if diff := cmp.Diff(accel.Observation{Freed: []string{"a"}, Out: map[string]string{"GPU-0": why}}, out); diff != "" {
		t.Error(diff)
	}
	d.wantFree(50)
	if h := d.Status()[0].Health["GPU-0"]; h.State != accel.HealthFenced || h.Reason != why {
		t.Error(h)
	}
	if out := d.observe(uses("GPU-0", 0, nil)); len(out.Back) != 1 {
		t.Error("it has its memory again:", out)
	}
	d.wantFree(150)
}

func TestForeignProcesses(t *testing.T) {
	tests := []struct {
		name   string
		sample accel.Sample
		want   string
	}{
		{"nobody", uses("GPU-0", 0, nil), ""},
		{"a desktop", uses("GPU-0", 1, map[int]int64{5: 1}), ""},
		{"a program", uses("GPU-0", 20, map[int]int64{4711: 20}), "pid 4711 (python3) holds 20 GiB, not a session of Palisade"},
		{"two programs", uses("GPU-0", 30, map[int]int64{4711: 10, 4712: 20}), "pid 4712 (python3) holds 20 GiB of the 30 GiB in use, not a session of Palisade"},
		{"a program that is not told of", uses("GPU-0", 20, nil), "20 GiB of its memory are in use, by no session of Palisade"},
		{"no list of programs", accel.Sample{Device: "GPU-0", MemoryUsed: 20 * gib}, "20 GiB of its memory are in use, by no session of Palisade"},
		{"a program of unknown size", accel.Sample{Device: "GPU-0", MemoryUsed: 20 * gib, Processes: []accel.ProcessUse{{PID: 3, Memory: -1}}},
			"pid 3 holds an unknown part of the 20 GiB in use, not a session of Palisade"},
		{"a session that has no share", uses("GPU-0", 20, map[int]int64{1: 20}), "session other holds 20 GiB, without a share of it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDesk(t, box(2))
			d.pids[1] = "other"
			out := d.observe(tt.sample)
			if got := d.state().Node().Devices[0].Busy; got != tt.want || out.Out["GPU-0"] != tt.want {
				t.Errorf("%q, %v, want %q", got, out, tt.want)
			}
			if h := d.Status()[0].Health["GPU-0"]; (h.State == accel.HealthBusy) != (tt.want != "") {
				t.Error(h)
			}
			version := d.Version()
			d.observe(tt.sample)
			if d.Version() != version {
				t.Error("no news changed something")
			}
			d.observe(uses("GPU-0", 0, nil))
			d.wantFree(200)
		})
	}
}

func TestFences(t *testing.T) {
	d := newDesk(t, box(2))
	health := func() accel.Health { return d.Status()[0].Health["GPU-0"] }
	d.Lose("box", []string{"GPU-0"}, "nvidia: the driver is gone")
	if got := health(); got.State != accel.HealthLost || got.Reason != "nvidia: the driver is gone" {
		t.Error(got)
	}
	if d.state().Node().Devices[0].Fault == "" {
		t.Error("a lost device can be used")
	}
	d.observe(uses("GPU-0", 0, nil))
	if got := health(); got.State != accel.HealthOK {
		t.Error("it is back:", got)
	}
	d.observe(accel.Sample{Device: "GPU-0", Fault: "Xid 79"})
	d.observe(uses("GPU-0", 0, nil))
	d.Lose("box", []string{"GPU-0"}, "gone")
	if got := health(); got.State != accel.HealthFenced || got.Reason != "Xid 79" {
		t.Error("a fault stays until a person clears it:", got)
	}
	if err := d.Unfence("box", "GPU-0"); err != nil || health().State != accel.HealthOK {
		t.Error(err, health())
	}
	if err := d.Fence("box", "GPU-0", "new cooling paste"); err != nil || health().State != accel.HealthFenced {
		t.Error(err, health())
	}
	if got := d.state().Node().Devices[0]; got.Fault != "" || got.Busy != "new cooling paste" {
		t.Error("who is on it may stay:", got)
	}
	if err := d.Fence("box", "GPU-7", ""); !errors.Is(err, accel.ErrNoDevice) {
		t.Error(err)
	}
	if err := d.Unfence("nowhere", "GPU-0"); !errors.Is(err, accel.ErrNoNode) {
		t.Error(err)
	}
}

func TestSlicesShareTheFateOfTheirDevice(t *testing.T) {
	n := box(1)
	n.Devices = append(n.Devices, accel.Device{ID: "MIG-0", Family: "cuda", Slot: "cuda.device:1g.10gb-mig", Memory: 10 * gib, Parent: "GPU-0", NUMA: 0})
	d := newDesk(t, n)
	health := func() accel.Health { return d.Status()[0].Health["MIG-0"] }
	d.Lose("box", []string{"GPU-0"}, "gone")
	if got := health(); got.State != accel.HealthLost || got.Reason != "the device that it is cut from: gone" {
		t.Error(got)
	}
	d.observe(uses("GPU-0", 70, map[int]int64{4711: 70})) // what is on its slices is theirs
	if got := health(); got.State != accel.HealthOK {
		t.Error(got)
	}
	d.observe(accel.Sample{Device: "GPU-0", Fault: "Xid 79"})
	if got := health(); got.State != accel.HealthFenced || got.Reason != "the device that it is cut from: Xid 79" || d.state().FreeWhole("cuda.device:1g.10gb-mig") != 0 {
		t.Error(got)
	}
}

func TestOveruse(t *testing.T) {
	d := newDesk(t, box(2))
	d.take("a", accel.Slots{"cuda.shares": 50})
	d.pids[1], d.pids[2] = "a", "a"
	if out := d.observe(uses("GPU-0", 40, map[int]int64{1: 20, 2: 20})); len(out.Overuse) != 0 {
		t.Error(out)
	}
	first := d.observe(uses("GPU-0", 50, map[int]int64{1: 20, 2: 30}))
	again := d.observe(uses("GPU-0", 60, map[int]int64{1: 30, 2: 30}))
	want := []accel.Overuse{{Session: "a", Node: "box", Device: "GPU-0", Used: 50 * gib, Allowed: 40 * gib, Since: d.at.Add(-time.Second)}}
	if diff := cmp.Diff(want, first.Overuse); diff != "" {
		t.Error(diff)
	}
	want[0].Used = 60 * gib
	if diff := cmp.Diff(want, again.Overuse); diff != "" {
		t.Error("since when is kept", diff)
	}
	if got := want[0].String(); got != "session a uses 60 GiB of device GPU-0, its share is 40 GiB" {
		t.Error(got)
	}
	out := d.observe(uses("GPU-1", 5, map[int]int64{1: 5}))
	if len(out.Overuse) != 1 || out.Overuse[0].String() != "session a uses 5 GiB of device GPU-1 without a share of it" {
		t.Error(out)
	}
}

func TestDevicesComeAndGo(t *testing.T) {
	d := newDesk(t, box(2))
	claim := d.take("a", accel.Slots{"cuda.device": 100})
	d.SetNode(box(0))
	if devices := d.state().Node().Devices; len(devices) != 1 || devices[0].Fault != "the box does not list it any more" || devices[0].Name != "H100" {
		t.Error(devices)
	}
	if h := d.Status()[0].Health["GPU-0"]; h.State != accel.HealthLost {
		t.Error(h)
	}
	version := d.Version()
	d.SetNode(box(0))
	if d.Version() != version {
		t.Error("the same node again changed something")
	}
	d.SetNode(box(2))
	if err := d.Take(claim); err != nil || d.state().FreeWhole("cuda.device") != 100 {
		t.Error(err, "it is back, and still held")
	}
	d.SetNode(box(0))
	d.Leave("a")
	d.Observe("box", nil, nil, d.at)
	if len(d.Claims()) != 0 || len(d.state().Node().Devices) != 0 {
		t.Error("a device that is gone is waited for", d.Claims())
	}
}

func TestRestoreIsNeverDenied(t *testing.T) {
	d := newDesk(t, box(1))
	first := d.take("a", accel.Slots{"cuda.device": 100, "cpu": 30000})
	second := first
	second.Session = "b"
	conflicts := d.Restore(second)
	var got []string
	for _, c := range conflicts {
		got = append(got, c.String())
	}
	want := []string{"session b on box: it holds 30 cpu, 2 of 32 are free", "session b on box, device GPU-0: it holds 1 of it, 0 is free"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d.Restore(second) != nil || len(d.Claims()) != 2 {
		t.Error("restoring twice")
	}
	d.Drop("a")
	if s := d.state(); s.FreeWhole("cuda.device") != 0 || s.FreeCPU() != 2000 {
		t.Error("what b holds is not free")
	}
	d.Drop("b")
	if s := d.state(); s.FreeWhole("cuda.device") != 100 || s.FreeCPU() != 32000 {
		t.Error("something is left")
	}
	unknown := accel.Claim{Session: "c", Node: "box", NUMA: -1, Slots: accel.Slots{"cuda.shares": 50}, Shares: []accel.Share{{Device: "GPU-x", Slot: "cuda.shares", Amount: 50}}}
	if got := d.Restore(unknown); len(got) != 1 || d.state().Node().Devices[1].Slot != "cuda.device" {
		t.Error(got)
	}
	d.Drop("c")
	if len(d.state().Node().Devices) != 1 {
		t.Error("a device that nobody lists or holds is still there")
	}
}

func TestNodesComeAndGo(t *testing.T) {
	d := newDesk(t, box(1))
	claim := d.take("a", accel.Slots{"cuda.device": 100})
	d.RemoveNode("box")
	if len(d.Pool()) != 0 {
		t.Error(d.Pool())
	}
	if err := d.Take(claim); !errors.Is(err, accel.ErrNoNode) {
		t.Error(err)
	}
	d.SetNode(box(1))
	if d.state().FreeWhole("cuda.device") != 0 {
		t.Error("the claim is lost")
	}
	d.RemoveNode("box")
	d.Leave("a")
	d.SetNode(box(1))
	d.wantFree(100)
}

func TestChangedTellsOfEveryChange(t *testing.T) {
	d := newDesk(t, box(1))
	changed := d.Changed()
	d.take("a", accel.Slots{"cuda.shares": 50})
	select {
	case <-changed:
	default:
		t.Error("nobody was told")
	}
	select {
	case <-d.Changed():
		t.Error("told of nothing")
	default:
	}
	if pool := d.Pool(); &pool[0] != &d.Pool()[0] {
		t.Error("the pool is made anew without a change")
	}
}

func TestManyAtOnce(t *testing.T) {
	l := accel.NewLedger()
	l.SetNode(box(8))
	var running sync.WaitGroup
	for worker := range 8 {
		running.Go(func() {
			for round := range 200 {
				session := fmt.Sprint(worker, "-", round)
				claim, err := allocate(l.Pool()[0], session, accel.Slots{"cuda.shares": accel.Amount(30 + 10*worker), "cpu": 500}, accel.Options{})
				if err != nil {
					continue
				}
				if err := l.Take(claim); err != nil && !errors.Is(err, accel.ErrTaken) {
					t.Error(err)
				}
				l.Observe("box", []accel.Sample{{Device: "GPU-0", At: time.Now()}}, func(int) (string, bool) { return "", false }, time.Now())
				_, _ = l.Claims(), l.Status()
				l.Drop(session)
			}
		})
	}
	running.Wait()
	if s := l.Pool()[0]; len(l.Claims()) != 0 || s.FreeWhole("cuda.device") != 800 || s.FreeCPU() != 32000 {
		t.Error("something is left", l.Claims())
	}
}
