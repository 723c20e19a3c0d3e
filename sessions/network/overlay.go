package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Overlay joins the bridges that one group has on several boxes, by VXLAN (RFC 7348) with one tunnel from each box to each other.
// What it carries is neither encrypted nor signed.
type Overlay struct {
	VNI   uint32       // 24 bits: the group's own among those of these boxes
	Port  int          // UDP, the same on all boxes
	Range netip.Prefix // of the group's addresses, the same on all boxes
	Boxes []netip.Addr // by which the boxes reach each other
	Box   int          // which of them this one is
	At    []int        // by rank: on which of them each session of the group is
}

// Bytes that a packet grows by in a tunnel: Ethernet, IPv4 or IPv6, UDP and VXLAN.
const (
	overhead4 = 50
	overhead6 = 70
)

// overlaysPrefix is how the names of all VXLAN links begin.
const overlaysPrefix = "px"

func (o *Overlay) check(g Group) error {
	switch {
	case o.VNI == 0 || o.VNI >= 1<<24 || o.Port < 1 || o.Port > 65535 || o.Box < 0 || o.Box >= len(o.Boxes) || len(o.At) != g.Size:
		return fmt.Errorf("%+v is no overlay of %d sessions", *o, g.Size)
	case !o.Range.Addr().Is4() || 1<<(32-o.Range.Bits()) < g.Size+len(o.Boxes)+3:
		return fmt.Errorf("the range %s is too small for %d sessions on %d boxes", o.Range, g.Size, len(o.Boxes))
	}
	return nil
}

// gateway is the address of this box's own bridge: the boxes' are behind those of the sessions.
func (o *Overlay) gateway(size int) netip.Addr {
	return Attachment{Group: o.Range}.Peers(size + len(o.Boxes))[size+o.Box]
}

// CanOverlay says why this box cannot join groups with those of other boxes; nil: it can. It makes a link, and takes it away.
func (n *Network) CanOverlay() error {
	attrs := netlink.NewLinkAttrs()
	attrs.Name = overlaysPrefix + hash(n.cfg.Bridge, 4) + ".probe"
	link := &netlink.Vxlan{LinkAttrs: attrs, VxlanId: 1<<24 - 1, Port: 4789}
	if err := n.host.LinkAdd(link); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("the kernel makes no VXLAN link: %w", err)
	}
	if err := n.host.LinkDel(link); err != nil && !missing(err) {
		return fmt.Errorf("removing link %s: %w", attrs.Name, err)
	}
	return nil
}

// overlayOf is the name of the VXLAN link of a group, by that of its bridge.
func overlayOf(bridge string) string {
	return overlaysPrefix + strings.TrimPrefix(bridge, groupsPrefix)
}

// ensureOverlay finds or makes the tunnels of a group and returns what of a packet goes through them. Each step may have been done
// by a daemon that then died.
func (n *Network) ensureOverlay(bridge netlink.Link, o *Overlay) (mtu int, err error) {
	name := overlayOf(bridge.Attrs().Name)
	link, err := n.host.LinkByName(name)
	if err == nil {
		if was, is := link.(*netlink.Vxlan); is && was.VxlanId == int(o.VNI) && was.Port == o.Port && was.SrcAddr.Equal(o.Boxes[o.Box].AsSlice()) {
			return was.MTU, n.tunnels(link, o)
		}
		err = n.host.LinkDel(link) // of an earlier run, when its sessions were elsewhere
	}
	if err != nil && !missing(err) {
		return 0, fmt.Errorf("link %s: %w", name, err)
	}
	if mtu, err = n.through(o); err != nil {
		return 0, err
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex, attrs.MTU = name, bridge.Attrs().Index, mtu
	if err := n.host.LinkAdd(&netlink.Vxlan{LinkAttrs: attrs, VxlanId: int(o.VNI), SrcAddr: o.Boxes[o.Box].AsSlice(), Port: o.Port}); err != nil {
		return 0, fmt.Errorf("making link %s: %w", name, err)
	}
	if link, err = n.host.LinkByName(name); err != nil {
		return 0, fmt.Errorf("link %s: %w", name, err)
	}
	return mtu, n.tunnels(link, o)
}

// through is how long a packet may be to go to all other boxes in one piece.
func (n *Network) through(o *Overlay) (int, error) {
	least := 65535
	for i, box := range o.Boxes {
		if i == o.Box {
			continue
		}
		routes, err := n.host.RouteGet(box.AsSlice())
		if err != nil || len(routes) == 0 {
			return 0, fmt.Errorf("no route to box %s: %w", box, errors.Join(err, unix.EHOSTUNREACH))
		}
		link, err := n.host.LinkByIndex(routes[0].LinkIndex)
		if err != nil {
			return 0, fmt.Errorf("the link to box %s: %w", box, err)
		}
		mtu := link.Attrs().MTU
		if routes[0].MTU > 0 {
			mtu = min(mtu, routes[0].MTU)
		}
		if box.Is4() {
			mtu -= overhead4
		} else {
			mtu -= overhead6
		}
		least = min(least, mtu)
	}
	if least < 576 {
		return 0, fmt.Errorf("what is left of a packet in a tunnel to the other boxes is %d bytes", least)
	}
	return least, nil
}

// tunnels tells a VXLAN link behind which box each session is. Nothing is learned: what comes by the network changes none of it.
func (n *Network) tunnels(link netlink.Link, o *Overlay) error {
	entry := func(to netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
		return &netlink.Neigh{
			LinkIndex: link.Attrs().Index, Family: unix.AF_BRIDGE, State: netlink.NUD_PERMANENT, Flags: netlink.NTF_SELF, IP: to.AsSlice(), HardwareAddr: mac,
		}
	}
	for i, box := range o.Boxes {
		if i == o.Box {
			continue
		}
		everybody := make(net.HardwareAddr, 6) // who is asked for by ARP
		if err := n.host.NeighAppend(entry(box, everybody)); err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("joining %s with box %s: %w", link.Attrs().Name, box, err)
		}
	}
	for rank, addr := range (Attachment{Group: o.Range}).Peers(len(o.At)) {
		if o.At[rank] == o.Box {
			continue
		}
		if err := n.host.NeighSet(entry(o.Boxes[o.At[rank]], mac(addr))); err != nil {
			return fmt.Errorf("joining %s with number %d of the group: %w", link.Attrs().Name, rank, err)
		}
	}
	if n.guarded == nil { // else nobody is kept from anything, which was said
		if err := guardOverlay(link.Attrs().Name, o); err != nil {
			return err
		}
	}
	if err := n.host.LinkSetUp(link); err != nil {
		return fmt.Errorf("link %s: %w", link.Attrs().Name, err)
	}
	return nil
}

// removeOverlay takes the tunnels of a group away; that there are none is no error.
func (n *Network) removeOverlay(bridge string) error {
	name := overlayOf(bridge)
	link, err := n.host.LinkByName(name)
	if err == nil {
		Unguard(name)
		err = n.host.LinkDel(link)
	}
	if err != nil && !missing(err) {
		return fmt.Errorf("removing link %s: %w", name, err)
	}
	return nil
}

// guardOverlay drops what comes for a group's tunnels from elsewhere than from its boxes, and what this box would forward to those of the
// others: where it masquerades, any session could send in its name. The box's own users, and who can send in a box's name on the wire,
// are not kept out.
func guardOverlay(name string, o *Overlay) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	table := guardTable(name)
	c.AddTable(table) // so that there is one to delete
	c.DelTable(table)
	c.AddTable(table)
	chain := func(name string, hook *nftables.ChainHook) *nftables.Chain {
		return c.AddChain(&nftables.Chain{
			Name: name, Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: hook, Priority: nftables.ChainPriorityRef(-10), Policy: new(nftables.ChainPolicyAccept),
		})
	}
	const portAt, vniAt = 2, 12 // in the UDP packet
	tunnels := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.IPPROTO_UDP}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: portAt, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(uint16(o.Port))},
	}
	ours := append(slices.Clone(tunnels),
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: vniAt, Len: 3},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint32(o.VNI)[1:]},
	)
	in, through := chain("input", nftables.ChainHookInput), chain("forward", nftables.ChainHookForward)
	rule := func(chain *nftables.Chain, of []expr.Any, more ...expr.Any) {
		c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: slices.Concat(of, more)})
	}
	for i, box := range o.Boxes {
		if i == o.Box {
			continue
		}
		from, to := addressed(box)
		rule(in, ours, append(from, &expr.Verdict{Kind: expr.VerdictAccept})...)
		rule(through, tunnels, append(to, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})...)
	}
	rule(in, ours, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop})
	if err := c.Flush(); err != nil {
		return fmt.Errorf("nf_tables: %w", err)
	}
	return nil
}

// addressed are of packets that come from an address, and of those that go to it.
func addressed(a netip.Addr) (from, to []expr.Any) {
	family, source := byte(unix.NFPROTO_IPV4), uint32(12)
	if !a.Is4() {
		family, source = unix.NFPROTO_IPV6, 8
	}
	long := uint32(a.BitLen() / 8)
	at := func(offset uint32) []expr.Any {
		return []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{family}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: long},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: a.AsSlice()},
		}
	}
	return at(source), at(source + long)
}
