package sessions

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func nets(kinds map[string]NetKind) ClusterNets {
	return ClusterNets{
		Pool: netip.MustParsePrefix("10.208.0.0/13"), Port: 4789,
		Reach: func(node string) (NetKind, netip.Addr) {
			if kinds[node] == "" {
				return "", netip.Addr{}
			}
			return kinds[node], netip.AddrFrom4([4]byte{10, 0, 0, node[0]})
		},
	}
}

func TestNetOfContainers(t *testing.T) {
	n := nets(map[string]NetKind{"a": NetVXLAN, "b": NetVXLAN, "c": NetHost, "d": NetHost})
	a, b, c, d := ClusterBox{"a", netip.MustParseAddr("10.0.0.97")}, ClusterBox{"b", netip.MustParseAddr("10.0.0.98")}, ClusterBox{"c", netip.MustParseAddr("10.0.0.99")}, ClusterBox{"d", netip.MustParseAddr("10.0.0.100")}
	for nodes, want := range map[string]struct {
		net  ClusterNet
		fail string
	}{
		"a a":   {net: ClusterNet{Kind: NetBridge, Boxes: []ClusterBox{a}, At: []int{0, 0}}},
		"x x":   {net: ClusterNet{Kind: NetBridge, Boxes: []ClusterBox{{Name: "x"}}, At: []int{0, 0}}},
		"a a b": {net: ClusterNet{Kind: NetVXLAN, Boxes: []ClusterBox{a, b}, At: []int{0, 0, 1}}},
		"c c":   {net: ClusterNet{Kind: NetHost, Boxes: []ClusterBox{c}, At: []int{0, 0}}},
		"d c d": {net: ClusterNet{Kind: NetHost, Boxes: []ClusterBox{d, c}, At: []int{0, 1, 0}}},
		"a c":   {fail: "sessions on a and on c do not reach each other"},
		"a x":   {fail: "sessions on a and on x do not reach each other"},
		"x a":   {fail: "sessions on x and on a do not reach each other"},
	} {
		t.Run(nodes, func(t *testing.T) {
			got, err := n.netOf("ses-1", strings.Fields(nodes), nil)
			if want.fail != "" {
				if err == nil || err.Error() != want.fail {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			own := *got
			own.VNI, own.Port, own.Range, own.Ports = 0, 0, netip.Prefix{}, 0
			if diff := cmp.Diff(want.net, own, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Error(diff)
			}
			switch got.Kind {
			case NetVXLAN:
				if got.VNI < 4096 || got.VNI >= 1<<24-1 || got.Port != 4789 || got.Range.Bits() != 24 || !n.Pool.Overlaps(got.Range) || got.sshPort(1) != 2200 || got.masterPort() != 29500 {
					t.Errorf("%+v", got)
				}
			case NetHost:
				if got.Ports < 20000 || got.Ports+hostPorts > 30000 || got.sshPort(1) != got.Ports+1 || got.masterPort() != got.Ports+64 {
					t.Errorf("%+v", got)
				}
			case NetBridge:
			}
		})
	}
}

// TestNetsAreApart: no two sessions have the same of anything, and when there is no more it is said.
func TestNetsAreApart(t *testing.T) {
	n := nets(map[string]NetKind{"a": NetVXLAN, "b": NetVXLAN, "c": NetHost, "d": NetHost})
	n.Pool = netip.MustParsePrefix("10.208.0.0/18")
	for _, c := range []struct {
		nodes []string
		room  int
	}{{[]string{"a", "b"}, 64}, {[]string{"c", "d"}, hostBlocks}} {
		var used []*ClusterNet
		seen := map[string]bool{}
		for i := range c.room {
			got, err := n.netOf(fmt.Sprintf("ses-%d", i), c.nodes, used)
			if err != nil {
				t.Fatalf("the %dth of %d: %v", i+1, c.room, err)
			}
			for _, has := range []string{"vni " + fmt.Sprint(got.VNI), "range " + got.Range.String(), "ports " + fmt.Sprint(got.Ports)} {
				if seen[has] && has != "vni 0" && has != "ports 0" && got.Range.IsValid() == strings.HasPrefix(has, "range") {
					t.Errorf("two sessions have %s", has)
				}
				seen[has] = true
			}
			used = append(used, got)
		}
		if got, err := n.netOf("ses-more", c.nodes, used); err == nil {
			t.Errorf("one more: %+v", got)
		}
	}
}
