package sessions

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog/fit"
)

// cards is a box with devices of so many GiB each, and 100 GiB of its own.
func cards(name string, gib ...int64) accel.State {
	n := accel.Node{Name: name, CPU: 64_000, Memory: 100 << 30}
	for i, size := range gib {
		n.Devices = append(n.Devices, accel.Device{ID: fmt.Sprint("GPU-", i), Index: i, Family: "cuda", Slot: "cuda.device", Memory: size << 30, NUMA: -1})
	}
	return accel.NewState(n)
}

// TestMemoryOfSeveralContainers: each counts what it may really have, once.
func TestMemoryOfSeveralContainers(t *testing.T) {
	const all = "GiB: "
	for name, c := range map[string]struct {
		pool  accel.Pool
		slots accel.Slots
		count int
		mode  ClusterMode
		want  []string
		usual string
		apart bool
	}{
		"one container": {accel.Pool{cards("a", 24, 80)}, accel.Slots{"cuda.device": 100}, 1, "", []string{"100 80"}, "", false},
		"unlike devices of one box": {
			accel.Pool{cards("a", 24, 80), cards("b", 48, 48), cards("c", 80)}, accel.Slots{"cuda.device": 100}, 2, ClusterSingleNode, []string{"100 80 24", "100 48 48"}, "", false,
		},
		"parts of devices": {
			accel.Pool{cards("a", 24, 80)}, accel.Slots{"cuda.shares": 50}, 3, ClusterSingleNode, []string{"100 40 40 12"}, "", false,
		},
		"parts that do not share one": {
			accel.Pool{cards("a", 20, 80)}, accel.Slots{"cuda.shares": 60}, 2, ClusterSingleNode, []string{"100 48 12"}, "", false,
		},
		"one box's own memory":    {accel.Pool{cards("a")}, accel.Slots{"cpu": 1000}, 4, ClusterSingleNode, []string{"100"}, "", false},
		"what each may use of it": {accel.Pool{cards("a")}, accel.Slots{"mem": 20 << 30}, 4, ClusterSingleNode, []string{"80"}, "", false},
		"unlike boxes": {
			accel.Pool{cards("a", 80, 80), cards("b", 24, 24)}, accel.Slots{"cuda.device": 200}, 2, ClusterMultiNode, []string{"200 80 80 24 24"}, "200 80 80 24 24", false,
		},
		"the best of them": {
			accel.Pool{cards("a", 80, 80), cards("b", 24, 24), cards("c", 80, 80)}, accel.Slots{"cuda.device": 200}, 2, ClusterMultiNode, []string{"200 80 80 80 80"}, "200 80 80 24 24", false,
		},
		"several on one of them": {
			accel.Pool{cards("a", 80, 80), cards("b", 24)}, accel.Slots{"cuda.device": 100, "mem": 30 << 30}, 3, ClusterMultiNode, []string{"90 80 80 24"}, "90 80 80 24", false,
		},
		"each on a box of its own": {
			accel.Pool{cards("a", 80, 80), cards("b", 24)}, accel.Slots{"cuda.device": 100}, 2, ClusterMultiNode, []string{"200 80 24"}, "200 80 24", true,
		},
		"too few": {accel.Pool{cards("a", 80)}, accel.Slots{"cuda.device": 100}, 2, ClusterMultiNode, nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			ledger := accel.NewLedger()
			m := &Manager{Deps: Deps{Ledger: ledger}}
			m.Nets.Reach = func(string) (NetKind, netip.Addr) { return NetHost, netip.AddrFrom4([4]byte{10, 0, 0, 1}) }
			for _, s := range c.pool {
				ledger.SetNode(*s.Node())
			}
			text := func(box fit.Box) string {
				out := fmt.Sprint(box.Host.Free >> 30)
				ids := map[string]bool{}
				for _, d := range box.Devices {
					out += fmt.Sprint(" ", d.Free>>30)
					ids[d.ID] = true
				}
				if len(ids) != len(box.Devices) {
					t.Errorf("two of one id: %+v", box.Devices)
				}
				return out
			}
			d := Demand{Slots: c.slots}
			boxes, usual := m.boxesFor(d, Recipe{ClusterSize: c.count, ClusterMode: c.mode}, c.apart)
			var got []string
			for _, box := range boxes {
				got = append(got, text(box))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s%q, want %q", all, got, c.want)
			}
			at := ""
			if usual != nil {
				at = text(*usual)
			}
			if at != c.usual {
				t.Errorf("usually "+all+"%q, want %q", at, c.usual)
			}
		})
	}
}
