package network_test

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/palisade-run/palisade/sessions/network"
)

// boxWith is a network as a box of its own has it, which is a namespace on a network with other boxes.
type boxWith struct {
	*network.Network
	at network.Attachment
}

func (b boxWith) join(t *testing.T, id string, g network.Group) (a network.Attachment) {
	t.Helper()
	if err := network.Enter(b.at.Path, func() (err error) { a, err = b.CreateIn(id, g); return err }); err != nil {
		t.Fatal(err)
	}
	return a
}

func (b boxWith) remove(t *testing.T, id string) {
	t.Helper()
	if err := network.Enter(b.at.Path, func() error { return b.Remove(id) }); err != nil {
		t.Fatal(err)
	}
}

// links are the names of all links of the box.
func (b boxWith) links(t *testing.T) (names []string) {
	t.Helper()
	err := network.Enter(b.at.Path, func() error {
		all, err := network.Whole(netlink.LinkList)
		for _, l := range all {
			names = append(names, l.Attrs().Name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// newBoxes are so many boxes that reach each other. way gives their sessions one to the world.
func newBoxes(t *testing.T, count int, way bool) (boxes []boxWith) {
	t.Helper()
	lan := open(t, network.Config{})
	for i := range count {
		b := boxWith{at: join(t, lan, fmt.Sprintf("box-%d", i), network.Group{ID: "lan", Size: count, Rank: i})}
		dir := t.TempDir()
		err := network.Enter(b.at.Path, func() (err error) {
			b.Network, err = network.Open(network.Config{Dir: dir, Pool: netip.MustParsePrefix("10.220.0.0/16"), DefaultRoute: way})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := network.Enter(b.at.Path, b.Destroy); err != nil {
				t.Error(err)
			}
			b.Close()
		})
		boxes = append(boxes, b)
	}
	return boxes
}

// TestOverlay: sessions of one group on three boxes reach each other, whole packets too; nobody else reaches them, not by way of a
// tunnel either.
func TestOverlay(t *testing.T) {
	boxes := newBoxes(t, 3, false)
	o := network.Overlay{VNI: 0x123456, Port: 4789, Range: netip.MustParsePrefix("10.221.7.0/24"), At: []int{0, 0, 1, 2}}
	for _, b := range boxes {
		if err := network.Enter(b.at.Path, b.CanOverlay); err != nil {
			t.Fatal(err)
		}
		o.Boxes = append(o.Boxes, b.at.Addr)
	}
	group := func(rank int) network.Group {
		own := o
		own.Box = o.At[rank]
		return network.Group{ID: "far", Size: len(o.At), Rank: rank, Overlay: &own}
	}
	var far []network.Attachment
	for rank, at := range o.At {
		a := boxes[at].join(t, fmt.Sprintf("far-%d", rank), group(rank))
		serve(t, a, ":8000", strings.Repeat(a.ID, 64<<10))
		far = append(far, a)
	}
	near := boxes[1].join(t, "near", network.Group{ID: "near", Size: 2})
	for i, from := range far {
		for _, to := range far {
			var got string
			if err := network.Enter(from.Path, func() (err error) { got, err = read(netip.AddrPortFrom(to.Addr, 8000).String()); return err }); err != nil || len(got) != 5*64<<10 {
				t.Errorf("%s does not reach %s: %d bytes, %v", from.ID, to.ID, len(got), err)
			}
		}
		if from.Addr != far[0].Peers(4)[i] {
			t.Errorf("%s has %s of %v", from.ID, from.Addr, far[0].Peers(4))
		}
		if err := network.Enter(from.Path, func() error {
			link, err := net.InterfaceByName("eth0")
			if err == nil && link.MTU != 1450 {
				t.Errorf("%s has packets of %d bytes", from.ID, link.MTU)
			}
			return err
		}); err != nil {
			t.Error(err)
		}
	}
	if reaches(near, far[2], 8000) == nil || reaches(near, far[0], 8000) == nil {
		t.Error("another session reaches the group")
	}
	// What listens on a box is reached from no session, of its own or of another box.
	for _, b := range boxes {
		serve(t, b.at, ":9000", "the box")
	}
	for rank, from := range far {
		for box := range boxes {
			gateway := network.Attachment{Addr: far[0].Peers(len(o.At) + len(boxes))[len(o.At)+box]}
			if reaches(from, gateway, 9000) == nil {
				t.Errorf("number %d reaches box %d", rank, box)
			}
		}
	}
	// Each box by itself takes its part away, and the rest goes on.
	boxes[2].remove(t, "far-3")
	boxes[0].remove(t, "far-1")
	if err := reaches(far[0], far[2], 8000); err != nil {
		t.Error("the rest is cut:", err)
	}
	for i, b := range boxes {
		has := strings.Contains(strings.Join(b.links(t), " "), "px")
		if has != (i < 2) {
			t.Errorf("box %d has %v", i, b.links(t))
		}
	}
	// Started again elsewhere, under the same name: the tunnels follow.
	boxes[0].remove(t, "far-0")
	boxes[1].remove(t, "far-2")
	o.At, o.VNI, far = []int{2, 1}, 0x55, nil
	for rank, at := range o.At {
		a := boxes[at].join(t, fmt.Sprintf("far-%d", rank), group(rank))
		serve(t, a, ":8000", a.ID)
		far = append(far, a)
	}
	if err := reaches(far[0], far[1], 8000); err != nil {
		t.Error(err)
	}
}

// TestOverlaysThatCannotBe are refused, and leave nothing.
func TestOverlaysThatCannotBe(t *testing.T) {
	n := open(t, network.Config{})
	ok := network.Overlay{
		VNI: 7, Port: 4789, Range: netip.MustParsePrefix("10.221.8.0/24"), At: []int{0, 1},
		Boxes: []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")},
	}
	for name, change := range map[string]func(*network.Overlay){
		"no number":                 func(o *network.Overlay) { o.VNI = 0 },
		"a number of 25 bits":       func(o *network.Overlay) { o.VNI = 1 << 24 },
		"no port":                   func(o *network.Overlay) { o.Port = 0 },
		"no such box":               func(o *network.Overlay) { o.Box = 2 },
		"another size":              func(o *network.Overlay) { o.At = []int{0} },
		"no room":                   func(o *network.Overlay) { o.Range = netip.MustParsePrefix("10.221.8.0/30") },
		"a range that is used here": func(o *network.Overlay) { o.Range = netip.PrefixFrom(n.CIDR().Addr(), 24) },
		"a box that nobody reaches": func(o *network.Overlay) { o.Boxes[1] = netip.MustParseAddr("fd00:dead::1") },
	} {
		t.Run(name, func(t *testing.T) {
			o := ok
			o.Boxes = append([]netip.Addr(nil), ok.Boxes...)
			change(&o)
			if a, err := n.CreateIn("x", network.Group{ID: "bad", Size: 2, Overlay: &o}); err == nil {
				t.Errorf("%+v", a)
			}
			if left := bridges(t); left != nil {
				t.Errorf("left: %v", left)
			}
		})
	}
}
