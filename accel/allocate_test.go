package accel_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/accel"
)

const gib = 1 << 30

// allocate is State.Allocate of an ask that is read just now. ErrInvalid where it is none.
func allocate(s accel.State, session string, ask accel.Slots, o accel.Options) (accel.Claim, error) {
	need, err := accel.NewNeed(ask, o)
	if err != nil {
		return accel.Claim{}, err
	}
	return s.Allocate(session, &need)
}

// box is a node of count CUDA devices of 80 GiB, half of them near each of two memory nodes, with 32 cores.
func box(count int) accel.Node {
	n := accel.Node{
		Name: "box", CPU: 32000, Memory: 256 * gib,
		NUMA: []accel.NUMA{{ID: 0, CPUs: cores(0, 16), Memory: 128 * gib}, {ID: 1, CPUs: cores(16, 16), Memory: 128 * gib}},
	}
	for i := range count {
		n.Devices = append(n.Devices, gpu(i, i*2/max(count, 2)))
	}
	return n
}

func cores(first, count int) []int {
	var all []int
	for i := range count {
		all = append(all, first+i)
	}
	return all
}

func gpu(index, numa int) accel.Device {
	return accel.Device{
		ID: fmt.Sprint("GPU-", index), Index: index, Family: "cuda", Slot: "cuda.device", Name: "H100", Memory: 80 * gib, NUMA: numa,
	}
}

// flat is a node of devices that are near to nothing, with free hundredths of each.
func flat(free ...accel.Amount) accel.State {
	n := accel.Node{Name: "box", CPU: 32000, Memory: 256 * gib}
	var taken []accel.Claim
	for i, f := range free {
		n.Devices = append(n.Devices, gpu(i, -1))
		if f < 100 {
			taken = append(taken, accel.Claim{Session: fmt.Sprint("t", i), NUMA: -1, Shares: []accel.Share{{
				Device: n.Devices[i].ID, Slot: "cuda.shares", Amount: 100 - f,
			}}})
		}
	}
	return accel.NewState(n, taken...)
}

// got writes a claim as "0:20 1:20": device and amount.
func got(c accel.Claim) string {
	var parts []string
	for _, share := range c.Shares {
		parts = append(parts, fmt.Sprintf("%s:%d", strings.TrimPrefix(share.Device, "GPU-"), share.Amount))
	}
	return strings.Join(parts, " ")
}

func TestSharesGoToTheTightestDeviceThenToTheFewest(t *testing.T) {
	three, five := []accel.Amount{30, 20, 10}, []accel.Amount{5, 10, 20, 30, 0}
	tests := []struct {
		name    string
		free    []accel.Amount
		ask     accel.Amount
		options accel.Options
		want    string
		short   string
	}{
		{"the least free that fits", three, 10, accel.Options{}, "2:10", ""},
		{"not the exact one", three, 15, accel.Options{}, "1:15", ""},
		{"evenly over two", three, 40, accel.Options{}, "0:20 1:20", ""},
		{"what one cannot give the other does", three, 50, accel.Options{}, "0:30 1:20", ""},
		{"all there is", three, 60, accel.Options{}, "0:30 1:20 2:10", ""},
		{"more than there is", three, 70, accel.Options{}, "", "0.7 cuda.shares asked, 0.6 of 3 free, at most 0.3 on one device"},
		{"exact", five, 20, accel.Options{}, "2:20", ""},
		{"none of an empty one", five, 65, accel.Options{}, "0:5 1:10 2:20 3:30", ""},
		{"a hundredth too much", five, 66, accel.Options{}, "", "0.65 of 5 free"},
		{"never", five, 501, accel.Options{}, "", "5.01 cuda.shares asked, box has 5"},
		{"whole ones", []accel.Amount{100, 50, 100}, 100, accel.Options{}, "0:100", ""},
		{"two and a half", []accel.Amount{100, 100, 100, 100}, 250, accel.Options{}, "0:84 1:83 2:83", ""},
		{"fill", three, 40, accel.Options{Policy: accel.Fill}, "0:30 1:10", ""},
		{"quantum rounds down", []accel.Amount{100}, 52, accel.Options{Quantum: 25}, "0:50", ""},
		{"quantum refuses", []accel.Amount{100}, 24, accel.Options{Quantum: 25}, "", "0.24 cuda.shares is less than the quantum of 0.25"},
		{"quantum in every part", []accel.Amount{60, 60}, 75, accel.Options{Quantum: 25}, "0:50 1:25", ""},
		{"quantum leaves what is under it", []accel.Amount{40, 40}, 75, accel.Options{Quantum: 25}, "", "0.75 cuda.shares asked"},
		{"quantum does not divide", []accel.Amount{100}, 60, accel.Options{Quantum: 30}, "", "does not divide"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claim, err := allocate(flat(tt.free...), "s", accel.Slots{"cuda.shares": tt.ask}, tt.options)
			if tt.short != "" {
				if err == nil || !strings.Contains(err.Error(), tt.short) {
					t.Fatalf("error %v, want %q", err, tt.short)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got(claim) != tt.want {
				t.Errorf("got %s, want %s", got(claim), tt.want)
			}
		})
	}
}

func TestSpreadOverDevicesOfSeveralUnits(t *testing.T) {
	free := []accel.Amount{100, 100}
	if diff := cmp.Diff([]accel.Amount{100, 30}, accel.Spread(free, 130, accel.Fill)); diff != "" {
		t.Error("fill", diff)
	}
	for _, step := range []struct {
		ask  accel.Amount
		want []accel.Amount
	}{{130, []accel.Amount{65, 65}}, {15, []accel.Amount{8, 7}}, {99, nil}} {
		given := accel.Spread(free, step.ask, accel.Evenly)
		if diff := cmp.Diff(step.want, given); diff != "" {
			t.Fatalf("%d of %d: %s", step.ask, free, diff)
		}
		for i := range given {
			free[i] -= given[i]
		}
	}
}

func TestWholeDevices(t *testing.T) {
	pairs := box(8)
	for i := range pairs.Devices {
		pairs.Devices[i].Links = map[string]string{fmt.Sprint("GPU-", i^1): "NV4"}
	}
	faulty := box(4)
	faulty.Devices[0].Fault, faulty.Devices[1].Busy = "XID 79", "pid 1"
	sliced := box(2)
	for i := range 3 {
		slice := gpu(i, 0)
		slice.ID, slice.Parent, slice.Slot, slice.Memory = fmt.Sprint("MIG-", i), "GPU-0", "cuda.device:1g.10gb-mig", 10*gib
		sliced.Devices = append(sliced.Devices, slice)
	}
	take := func(n accel.Node, shares ...string) accel.State {
		s := accel.NewState(n)
		for _, id := range shares {
			s = s.With(accel.Claim{Session: "on " + id, NUMA: -1, Shares: []accel.Share{{Device: id, Slot: "cuda.shares", Amount: 10}}})
		}
		return s
	}
	busyCores := accel.NewState(box(8), accel.Claim{Session: "x", NUMA: 0, Slots: accel.Slots{"cpu": 12000}})
	tests := []struct {
		name  string
		state accel.State
		ask   accel.Slots
		want  string
		numa  int
		short string
	}{
		{"one", take(box(8)), accel.Slots{"cuda.device": 100, "cpu": 4000}, "0:100", 0, ""},
		{"all", take(box(8)), accel.Slots{"cuda.device": 800}, "0:100 1:100 2:100 3:100 4:100 5:100 6:100 7:100", -1, ""},
		{"too many", take(box(8)), accel.Slots{"cuda.device": 900}, "", 0, "9 cuda.device asked, box has 8"},
		{"not now", take(box(8), "GPU-0", "GPU-1", "GPU-2", "GPU-3", "GPU-4", "GPU-5", "GPU-6"), accel.Slots{"cuda.device": 200}, "", 0, "2 cuda.device asked, 1 of 8 free"},
		{"another family", take(box(8)), accel.Slots{"rocm.device": 100}, "", 0, "1 rocm.device asked, box has none; it has 8 cuda.device"},
		{"no device at all", take(box(0)), accel.Slots{"rocm.device": 100}, "", 0, "1 rocm.device asked, box has none"},
		{"of one memory node", take(box(8), "GPU-0"), accel.Slots{"cuda.device": 400}, "4:100 5:100 6:100 7:100", 1, ""},
		{"of the fuller memory node", take(box(8), "GPU-5", "GPU-6"), accel.Slots{"cuda.device": 200}, "4:100 7:100", 1, ""},
		{"where the cores are free", busyCores, accel.Slots{"cuda.device": 100, "cpu": 8000}, "4:100", 1, ""},
		{"over memory nodes", take(box(8), "GPU-0"), accel.Slots{"cuda.device": 500}, "1:100 4:100 5:100 6:100 7:100", -1, ""},
		{"near although the cores are not", accel.NewState(box(8)), accel.Slots{"cuda.device": 200, "cpu": 20000}, "0:100 1:100", -1, ""},
		{"joined ones", take(pairs, "GPU-0", "GPU-4", "GPU-5"), accel.Slots{"cuda.device": 200}, "6:100 7:100", 1, ""},
		{"joined ones before lower numbers", take(pairs, "GPU-0"), accel.Slots{"cuda.device": 200}, "2:100 3:100", 0, ""},
		{"one whose other half is gone", take(pairs, "GPU-4"), accel.Slots{"cuda.device": 100}, "5:100", 1, ""},
		{"neither faulty nor busy ones", take(faulty), accel.Slots{"cuda.device": 200}, "2:100 3:100", 1, ""},
		{"says that one is faulty", take(faulty), accel.Slots{"cuda.device": 300}, "", 0, "2 of 4 free, 1 faulty, 1 busy"},
		{"cores", take(box(1)), accel.Slots{"cpu": 33000}, "", 0, "33 cpu asked, box has 32"},
		{"cores not now", busyCores, accel.Slots{"cpu": 24500}, "", 0, "24.5 cpu asked, 20 of 32 free"},
		{"memory", take(box(1)), accel.Slots{"mem": 300 * gib}, "", 0, "300 GiB mem asked, box has 256 GiB"},
		{"no cut device", take(sliced), accel.Slots{"cuda.device": 200}, "", 0, "2 cuda.device asked, box has 1"},
		{"a slice", take(sliced), accel.Slots{"cuda.device:1g.10gb-mig": 100}, "MIG-0:100", 0, ""},
		{"no slice of a taken device", take(sliced, "GPU-0"), accel.Slots{"cuda.device:1g.10gb-mig": 100}, "", 0, "0 of 3 free"},
		{"device and shares", take(box(8)), accel.Slots{"cuda.device": 100, "cuda.shares": 50}, "", 0, "exclude each other"},
		{"device and slice", take(sliced), accel.Slots{"cuda.device": 100, "cuda.device:1g.10gb-mig": 100}, "", 0, "exclude each other"},
		{"half a device", take(box(8)), accel.Slots{"cuda.device": 50}, "", 0, "not a whole number"},
		{"no accelerator", take(box(8)), accel.Slots{"cpu": 1000, "mem": gib}, "", -1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			claim, err := allocate(tt.state, "s", tt.ask, accel.Options{})
			if tt.short != "" {
				if err == nil || !strings.Contains(err.Error(), tt.short) {
					t.Fatalf("error %v, want %q", err, tt.short)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got(claim) != tt.want || claim.NUMA != tt.numa {
				t.Errorf("got %s near %d, want %s near %d", got(claim), claim.NUMA, tt.want, tt.numa)
			}
		})
	}
}

func TestKindsOfShortage(t *testing.T) {
	s := flat(50, 100)
	_, err := allocate(s, "s", accel.Slots{"cuda.device": 200}, accel.Options{})
	var short *accel.Shortage
	if !errors.Is(err, accel.ErrNotNow) || errors.Is(err, accel.ErrNeverFits) || !errors.As(err, &short) || short.Free != 100 {
		t.Errorf("%v", err)
	}
	if err := accel.FitsEmpty(*s.Node(), accel.Slots{"cuda.device": 200}); err != nil {
		t.Error(err)
	}
	err = accel.FitsEmpty(*s.Node(), accel.Slots{"cuda.device": 300, "cpu": 1})
	if !errors.Is(err, accel.ErrNeverFits) || !errors.As(err, &short) || short.Hint() != "ask for 2 cuda.device or less" {
		t.Errorf("%v", err)
	}
	need, err := accel.NewNeed(accel.Slots{"cuda.device": 200, "cpu": 40000, "mem": 900 * gib}, accel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var slots []accel.Slot
	for _, short := range s.Shortages(&need) {
		slots = append(slots, short.Slot)
	}
	if !slices.Equal(slots, []accel.Slot{"cuda.device", "mem", "cpu"}) {
		t.Error(slots)
	}
}

func TestSharesPreferOneMemoryNode(t *testing.T) {
	s := accel.NewState(box(4))
	for i, taken := range []accel.Amount{70, 80, 60, 85} {
		s = s.With(accel.Claim{Session: fmt.Sprint(i), NUMA: -1, Shares: []accel.Share{{Device: fmt.Sprint("GPU-", i), Slot: "cuda.shares", Amount: taken}}})
	}
	claim, err := allocate(s, "s", accel.Slots{"cuda.shares": 50, "cpu": 1000}, accel.Options{})
	if err != nil || got(claim) != "0:30 1:20" || claim.NUMA != 0 {
		t.Error(got(claim), claim.NUMA, err)
	}
	if want := int64(80) * gib * 30 / 100; claim.Shares[0].Memory != want {
		t.Errorf("memory %d, want %d", claim.Shares[0].Memory, want)
	}
	claim, err = allocate(accel.NewState(box(4)).With(accel.Claim{Session: "x", NUMA: 0, Slots: accel.Slots{"cpu": 16000}}),
		"s", accel.Slots{"cuda.shares": 50, "cpu": 1000}, accel.Options{})
	if err != nil || got(claim) != "2:50" || claim.NUMA != 1 {
		t.Error("cores are on the other side:", got(claim), claim.NUMA, err)
	}
}

func TestStateIsAValue(t *testing.T) {
	empty := accel.NewState(box(2))
	claim, err := allocate(empty, "s", accel.Slots{"cuda.device": 100, "cpu": 2000, "mem": gib}, accel.Options{})
	if err != nil {
		t.Fatal(err)
	}
	with := empty.With(claim)
	if empty.FreeWhole("cuda.device") != 200 || empty.FreeCPU() != 32000 {
		t.Error("With changed the state it was called on")
	}
	if with.FreeWhole("cuda.device") != 100 || with.FreeCPU() != 30000 || with.FreeMemory() != 255*gib || with.Free("cuda.shares") != 100 {
		t.Error("With took something else")
	}
	if again := with.With(claim); again.FreeCPU() != 30000 || len(again.Claims()) != 1 {
		t.Error("a session has two claims")
	}
	if back := with.Without("s"); back.FreeWhole("cuda.device") != 200 || len(back.Claims()) != 0 {
		t.Error("Without left something")
	}
}
