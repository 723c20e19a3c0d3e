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

func join(t *testing.T, n *network.Network, id string, g network.Group) network.Attachment {
	t.Helper()
	a, err := n.CreateIn(id, g)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// reaches reports whether one session reaches another on a port.
func reaches(from, to network.Attachment, port uint16) error {
	return network.Enter(from.Path, func() error { _, err := read(netip.AddrPortFrom(to.Addr, port).String()); return err })
}

// bridges are the names of all there are of groups.
func bridges(t *testing.T) (names []string) {
	t.Helper()
	links, err := network.Whole(netlink.LinkList)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() == "bridge" && strings.HasPrefix(l.Attrs().Name, "pg") {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

// TestGroups: those of a group reach each other, and nobody else does; the box reaches all.
func TestGroups(t *testing.T) {
	n := open(t, network.Config{})
	var red, blue []network.Attachment
	for rank := range 3 {
		red = append(red, join(t, n, fmt.Sprintf("red-%d", rank), network.Group{ID: "red", Size: 3, Rank: rank}))
		blue = append(blue, join(t, n, fmt.Sprintf("blue-%d", rank), network.Group{ID: "blue", Size: 3, Rank: rank}))
	}
	alone := create(t, n, "alone")
	for _, a := range append(append([]network.Attachment{alone}, red...), blue...) {
		serve(t, a, ":8000", a.ID)
		if got, err := read(netip.AddrPortFrom(a.Addr, 8000).String()); err != nil || got != a.ID {
			t.Errorf("the box does not reach %s: %q %v", a.ID, got, err)
		}
	}
	for i, from := range red {
		if from.Addr != from.Peers(3)[i] || from.Peers(3)[0] != red[0].Addr {
			t.Errorf("%s has %s, the group %v", from.ID, from.Addr, from.Peers(3))
		}
		for _, to := range red {
			if err := reaches(from, to, 8000); err != nil {
				t.Errorf("%s does not reach %s of its group: %v", from.ID, to.ID, err)
			}
		}
	}
	box, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	go answer(box, "the box")
	port := box.Addr().(*net.TCPAddr).AddrPort().Port()
	gateway := network.Attachment{Addr: red[0].Group.Masked().Addr().Next()}
	if reaches(red[0], blue[0], 8000) == nil || reaches(red[0], alone, 8000) == nil || reaches(alone, red[0], 8000) == nil || reaches(red[0], gateway, port) == nil {
		t.Error("a group is not apart from other sessions and from the box")
	}

	for _, a := range red[1:] {
		if err := n.Remove(a.ID); err != nil {
			t.Error(err)
		}
	}
	if back := join(t, n, "red-again", network.Group{ID: "red", Size: 3, Rank: 2}); back.Addr != red[2].Addr {
		t.Errorf("number 2 is at %s now, was at %s", back.Addr, red[2].Addr)
	}
	for _, id := range []string{"red-0", "red-again", "red-again"} {
		if err := n.Remove(id); err != nil {
			t.Error(err)
		}
	}
	if got := bridges(t); len(got) != 1 {
		t.Errorf("bridges of groups: %v, want that of blue", got)
	}
}

// TestGroupsAreFoundAgain: by a daemon that comes after one that was killed, whatever that had half done.
func TestGroupsAreFoundAgain(t *testing.T) {
	dir := t.TempDir()
	n := open(t, network.Config{Dir: dir})
	a := join(t, n, "a", network.Group{ID: "g", Size: 2})
	empty := join(t, n, "e", network.Group{ID: "empty", Size: 2})
	for _, l := range []string{"e"} { // killed between the link and the bridge
		links, _ := network.Whole(netlink.LinkList)
		for _, link := range links {
			if strings.Contains(link.Attrs().Alias, " "+l+" ") || strings.HasPrefix(link.Attrs().Alias, "palisade "+l+" ") {
				if err := netlink.LinkDel(link); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	n.Close()
	n = open(t, network.Config{Dir: dir})
	if got := bridges(t); len(got) != 1 {
		t.Errorf("bridges of groups: %v", got)
	}
	list, err := n.List()
	if err != nil || len(list) != 1 || list[0].Addr != a.Addr {
		t.Errorf("%v %v", list, err)
	}
	b := join(t, n, "b", network.Group{ID: "g", Size: 2, Rank: 1})
	serve(t, b, ":8000", "b")
	if err := reaches(a, b, 8000); err != nil {
		t.Error(err)
	}
	if _, err := n.CreateIn("c", network.Group{ID: "g", Size: 2, Rank: 1}); err == nil {
		t.Error("two have one number")
	}
	if _, err := n.CreateIn("a", network.Group{ID: "h", Size: 2}); err == nil {
		t.Error("one has two networks")
	}
	for _, g := range []network.Group{{ID: "g", Size: 2, Rank: 2}, {ID: "", Size: 2}, {ID: "../g", Size: 1}, {ID: "big", Size: 5000}} {
		if _, err := n.CreateIn("d", g); err == nil {
			t.Errorf("%+v is a group", g)
		}
	}
	if got := bridges(t); len(got) != 1 {
		t.Errorf("bridges of groups are left: %v", got)
	}
	_ = empty
}
