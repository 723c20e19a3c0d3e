package network

import (
	"errors"
	"fmt"
	"math/bits"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Group is several sessions that reach each other, and nobody else.
type Group struct {
	ID   string
	Size int // of how many
	Rank int // of this one, from 0: its address follows from it
	// Overlay joins it with what it is on other boxes; nil: all of it is on this one.
	Overlay *Overlay
}

// maxGroup bounds a group: a bridge has at most 1024 ports.
const maxGroup = 1000

// segment is what an attachment is plugged into: the bridge of all sessions, or that of one group.
type segment struct {
	bridge   netlink.Link
	cidr     netip.Prefix
	gateway  netip.Addr // the bridge's own
	mtu      int        // 0: the kernel's
	isolated bool       // its ports do not see each other
}

// CreateIn makes the network of session id as one of a group. The first one makes the group's bridge, with a free range of
// Config.Pool; the last one that is removed takes it along. Where the others are, or will be, Attachment.Peers tells
// who starts first, too. On an error nothing is left.
func (n *Network) CreateIn(id string, g Group) (Attachment, error) {
	if !validID(id) || !validID(g.ID) || g.Size < 1 || g.Size > maxGroup || g.Rank < 0 || g.Rank >= g.Size {
		return Attachment{}, fmt.Errorf("making a network for session %q in group %q: it cannot be number %d of %d", id, g.ID, g.Rank, g.Size)
	}
	if g.Overlay != nil {
		if err := g.Overlay.check(g); err != nil {
			return Attachment{}, fmt.Errorf("making a network for session %s in group %s: %w", id, g.ID, err)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	a, err := n.createIn(id, g)
	if err != nil {
		return Attachment{}, fmt.Errorf("making a network for session %s in group %s: %w", id, g.ID, err)
	}
	return a, nil
}

func (n *Network) createIn(id string, g Group) (Attachment, error) {
	if addr, has := n.addrOf(id); has {
		return Attachment{}, fmt.Errorf("it has one, %s", addr)
	}
	s, err := n.ensureGroup(g)
	if err != nil {
		return Attachment{}, errors.Join(err, n.sweepGroup(n.groupBridge(g.ID)))
	}
	a := Attachment{ID: id, Path: n.path(id), Group: s.cidr}
	a.Addr = a.Peers(g.Size)[g.Rank]
	if owner := n.used[a.Addr]; owner != "" {
		return Attachment{}, fmt.Errorf("number %d of the group is %s, which has %s", g.Rank, owner, a.Addr)
	}
	if err := n.build(a, s); err != nil {
		if rmErr := errors.Join(n.remove(id), n.sweepGroup(n.groupBridge(g.ID))); rmErr != nil {
			n.log.Warn("a network that was half made is left", "id", id, "err", rmErr)
		}
		return Attachment{}, err
	}
	n.used[a.Addr] = id
	return a, nil
}

func (n *Network) addrOf(id string) (netip.Addr, bool) {
	for addr, owner := range n.used {
		if owner == id {
			return addr, true
		}
	}
	return netip.Addr{}, false
}

// Peers are the addresses of a group of so many, by rank: those behind the bridge's own.
func (a Attachment) Peers(size int) []netip.Addr {
	all := make([]netip.Addr, size)
	addr := gateway(a.Group)
	for i := range all {
		addr = addr.Next()
		all[i] = addr
	}
	return all
}

// groupBits is how long a range is that has room for size sessions, the bridge, and the two that nobody has.
func groupBits(size int) int { return 32 - bits.Len(uint(size+2)) }

// ensureGroup finds or makes a group's bridge, with its range and its rules. Each step may have been done by a daemon that
// then died.
func (n *Network) ensureGroup(g Group) (segment, error) {
	box := ""
	if g.Overlay != nil { // the bridges of all boxes are on one segment
		box = fmt.Sprint(" on ", g.Overlay.Box)
	}
	link, err := n.ensureLink(n.groupBridge(g.ID), box)
	if err != nil {
		return segment{}, err
	}
	name := link.Attrs().Name
	s, err := n.ensureGroupRange(link, g)
	if err != nil {
		return segment{}, err
	}
	if n.guarded == nil { // else nobody is kept from anything, which was said
		if err := n.guardGroup(name); err != nil {
			return segment{}, err
		}
	}
	if g.Overlay != nil {
		if s.mtu, err = n.ensureOverlay(link, g.Overlay); err != nil {
			return segment{}, err
		}
	}
	return s, n.raise(link)
}

// ensureGroupRange finds the range of a group's bridge, or gives it one.
func (n *Network) ensureGroupRange(link netlink.Link, g Group) (segment, error) {
	cidr, err := n.rangeOf(link)
	if err != nil {
		return segment{}, err
	}
	s := segment{bridge: link, cidr: cidr}
	if !cidr.IsValid() {
		taken, err := n.taken()
		if err != nil {
			return segment{}, err
		}
		if s.cidr, err = g.choose(n.cfg.Pool, taken); err != nil {
			return segment{}, err
		}
	}
	s.gateway = gateway(s.cidr)
	if g.Overlay != nil {
		s.gateway = g.Overlay.gateway(g.Size)
	}
	switch {
	case g.Overlay != nil && s.cidr != g.Overlay.Range:
		return segment{}, fmt.Errorf("its bridge has the range %s here, and is to have %s", s.cidr, g.Overlay.Range)
	case 1<<(32-s.cidr.Bits()) < g.Size+3:
		return segment{}, fmt.Errorf("its range %s is too small for %d", s.cidr, g.Size)
	case !cidr.IsValid():
		return s, n.giveRange(link, s.gateway, s.cidr)
	}
	return s, nil
}

// choose is the range of a group that has none here yet.
func (g Group) choose(pool netip.Prefix, taken []netip.Prefix) (netip.Prefix, error) {
	if g.Overlay == nil {
		return pick(pool, groupBits(g.Size), seed(g.ID), taken)
	}
	if t := overlapped(g.Overlay.Range, taken); t.IsValid() {
		return netip.Prefix{}, fmt.Errorf("its range %s overlaps %s, to which this box has a route", g.Overlay.Range, t)
	}
	return g.Overlay.Range, nil
}

// sweepGroup removes a group's bridge, and its rules, when nobody is plugged in any more.
func (n *Network) sweepGroup(name string) error {
	link, err := n.host.LinkByName(name)
	if missing(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	links, err := Whole(n.host.LinkList)
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	for _, l := range links {
		if l.Attrs().MasterIndex == link.Attrs().Index && l.Attrs().Name != overlayOf(name) {
			return nil
		}
	}
	if err := n.removeOverlay(name); err != nil {
		return err
	}
	Unguard(name)
	if err := n.host.LinkDel(link); err != nil && !missing(err) {
		return fmt.Errorf("removing bridge %s: %w", name, err)
	}
	return nil
}

// groups are the bridges of groups that there are, by index.
func (n *Network) groups(links []netlink.Link) map[int]string {
	found := map[int]string{}
	for _, l := range links {
		if l.Type() == "bridge" && strings.HasPrefix(l.Attrs().Name, n.groupPrefix()) {
			found[l.Attrs().Index] = l.Attrs().Name
		}
	}
	return found
}

// openGroups closes the groups that there are anew, and sweeps those that nobody is plugged into.
func (n *Network) openGroups() error {
	links, err := Whole(n.host.LinkList)
	if err != nil {
		return fmt.Errorf("listing links: %w", err)
	}
	for _, name := range n.groups(links) {
		if err := n.sweepGroup(name); err != nil {
			return err
		}
		if _, err := n.host.LinkByName(name); err == nil && n.guarded == nil {
			if err := n.guardGroup(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// guardGroup lets those on a group's bridge reach each other, and neither the box nor other sessions.
func (n *Network) guardGroup(name string) error {
	return guard(name, guarding{peers: true, closed: !n.cfg.DefaultRoute, others: []string{bridgePrefix, groupsPrefix, n.cfg.Bridge}})
}

// ensureLink finds or makes a bridge. Bridges that others see beside it on one segment differ in more than its name.
func (n *Network) ensureLink(name, more string) (netlink.Link, error) {
	link, err := n.host.LinkByName(name)
	if missing(err) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = name
		attrs.HardwareAddr = net.HardwareAddr{0x02, 0x51, 0, 0, 0, 0}
		s := seed(name + more)
		for i := range 4 { // its own, so that it does not change with its ports
			attrs.HardwareAddr[2+i] = byte(s >> (8 * i))
		}
		if err := n.host.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
			return nil, fmt.Errorf("making bridge %s: %w", name, err)
		}
		link, err = n.host.LinkByName(name)
	}
	if err != nil {
		return nil, fmt.Errorf("bridge %s: %w", name, err)
	}
	if link.Type() != "bridge" {
		return nil, fmt.Errorf("%s is a link of type %s: give the bridge another name", name, link.Type())
	}
	return link, nil
}

// rangeOf is the range of a bridge; not valid where it has none yet.
func (n *Network) rangeOf(link netlink.Link) (netip.Prefix, error) {
	addrs, err := Whole(func() ([]netlink.Addr, error) { return n.host.AddrList(link, netlink.FAMILY_V4) })
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("addresses of %s: %w", link.Attrs().Name, err)
	}
	if len(addrs) == 0 {
		return netip.Prefix{}, nil
	}
	ones, _ := addrs[0].Mask.Size()
	ip, _ := netip.AddrFromSlice(addrs[0].IP.To4())
	return netip.PrefixFrom(ip, ones).Masked(), nil
}

func (n *Network) giveRange(link netlink.Link, own netip.Addr, cidr netip.Prefix) error {
	ip := &net.IPNet{IP: addr4(own), Mask: net.CIDRMask(cidr.Bits(), 32)}
	if err := n.host.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("giving %s the address %s: %w", link.Attrs().Name, ip, err)
	}
	return nil
}

// raise puts a bridge into use.
func (n *Network) raise(link netlink.Link) error {
	name := link.Attrs().Name
	// Sessions speak IPv4. Without this a link-local address would be a second way to the box.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
	if err := n.host.LinkSetUp(link); err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	return nil
}

// How the names of all bridges begin that appliances on the box make, unless the settings name one.
const (
	bridgePrefix = "pl-"
	groupsPrefix = "pg"
)

func (n *Network) groupPrefix() string          { return groupsPrefix + hash(n.cfg.Bridge, 4) + "." }
func (n *Network) groupBridge(id string) string { return n.groupPrefix() + hash(id, 8) }

// groupOf is the name of the group's bridge that a link is plugged into; "": it is in none.
func (n *Network) groupOf(link netlink.Link) string {
	if link.Attrs().MasterIndex == 0 || link.Attrs().MasterIndex == n.bridge.Attrs().Index {
		return ""
	}
	master, err := n.host.LinkByIndex(link.Attrs().MasterIndex)
	if err != nil || !strings.HasPrefix(master.Attrs().Name, n.groupPrefix()) {
		return ""
	}
	return master.Attrs().Name
}
