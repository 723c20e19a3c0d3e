package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// inside is the name of a session's interface, as it sees it.
const inside = "eth0"

func missing(err error) bool {
	var notFound netlink.LinkNotFoundError
	return errors.As(err, &notFound) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

// Whole is what the kernel lists, asked again where it says that the list has changed while it told it: on a
// box where others make links as well, that is often.
func Whole[T any](list func() ([]T, error)) (all []T, err error) {
	for range 100 {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// ensureBridge finds or makes the bridge and its address, and sets n.cidr and n.bridge. Each step may
// have been done by a daemon that then died.
func (n *Network) ensureBridge() error {
	link, err := n.ensureLink(n.cfg.Bridge, "")
	if err != nil {
		return err
	}
	n.bridge = link
	if err := n.ensureRange(link); err != nil {
		return err
	}
	return n.raise(link)
}

// ensureRange keeps the range of a bridge that has one: sessions may be attached to it.
func (n *Network) ensureRange(link netlink.Link) (err error) {
	if n.cidr, err = n.rangeOf(link); err != nil {
		return err
	}
	if n.cidr.IsValid() {
		if n.cfg.CIDR.IsValid() && n.cfg.CIDR.Masked() != n.cidr {
			return fmt.Errorf("bridge %s has the range %s, the settings say %s: remove the sessions and the bridge first",
				n.cfg.Bridge, n.cidr, n.cfg.CIDR)
		}
		return nil
	}
	taken, err := n.taken()
	if err != nil {
		return err
	}
	n.cidr = n.cfg.CIDR
	if !n.cidr.IsValid() {
		if n.cidr, err = pick(n.cfg.Pool, defaultBits, seed(n.cfg.Bridge), taken); err != nil {
			return err
		}
	} else if t := overlapped(n.cidr, taken); t.IsValid() {
		return fmt.Errorf("the range %s overlaps %s, to which this box has a route: choose another", n.cidr, t)
	}
	n.cidr = n.cidr.Masked()
	return n.giveRange(link, gateway(n.cidr), n.cidr)
}

// taken returns every range that the box has a route to.
func (n *Network) taken() ([]netip.Prefix, error) {
	routes, err := Whole(func() ([]netlink.Route, error) {
		return n.host.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, fmt.Errorf("listing routes: %w", err)
	}
	var taken []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ones, _ := r.Dst.Mask.Size()
		if ip, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok {
			taken = append(taken, netip.PrefixFrom(ip, ones).Masked())
		}
	}
	return taken, nil
}

// build makes everything of one attachment. The alias comes last on the host's side: it says that the
// rest is there.
func (n *Network) build(a Attachment, s segment) error {
	return onThread(func() error {
		if err := newNamespace(a.Path); err != nil {
			return err
		}
		in, err := netlink.NewHandle()
		if err != nil {
			return fmt.Errorf("netlink: %w", err)
		}
		defer in.Close()
		ns, err := os.Open(a.Path)
		if err != nil {
			return err
		}
		defer ns.Close()
		host, err := n.addPair(a, s, int(ns.Fd()))
		if err != nil {
			return err
		}
		// The session's side comes up first: a bridge takes a port whose other end comes up later into
		// use when the kernel next looks, which may be a second on.
		if err := n.configure(in, a.Addr, s); err != nil {
			return err
		}
		if err := n.host.LinkSetUp(host); err != nil {
			return fmt.Errorf("link %s: %w", host.Attrs().Name, err)
		}
		if err := errors.Join(awaitUp(in, inside), awaitUp(n.host, host.Attrs().Name), awaitUp(n.host, s.bridge.Attrs().Name)); err != nil {
			return err
		}
		if err := n.host.LinkSetAlias(host, aliasPrefix+a.ID+" "+a.Addr.String()); err != nil {
			return fmt.Errorf("naming %s: %w", host.Attrs().Name, err)
		}
		return nil
	})
}

// addPair makes the veth pair, its one end in the bridge, its other in the namespace ns.
func (n *Network) addPair(a Attachment, s segment, ns int) (netlink.Link, error) {
	name := n.veth(a.ID)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = name
	attrs.MasterIndex = s.bridge.Attrs().Index
	pair := &netlink.Veth{LinkAttrs: attrs, PeerName: inside, PeerHardwareAddr: mac(a.Addr), PeerNamespace: netlink.NsFd(ns)}
	pair.MTU, pair.PeerMTU = s.mtu, uint32(s.mtu)
	if err := n.host.LinkAdd(pair); err != nil {
		return nil, fmt.Errorf("making link %s: %w", name, err)
	}
	host, err := n.host.LinkByName(name)
	if err != nil {
		return nil, fmt.Errorf("link %s: %w", name, err)
	}
	if !s.isolated {
		return host, nil
	}
	if err := n.host.LinkSetIsolated(host, true); err != nil {
		return nil, fmt.Errorf("isolating %s from other sessions: %w", name, err)
	}
	return host, nil
}

// configure sets up the session's side; the thread is in its namespace.
func (n *Network) configure(in *netlink.Handle, addr netip.Addr, s segment) error {
	// Not an error where the kernel has no IPv6.
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+inside+"/disable_ipv6", []byte("1"), 0)
	for _, name := range []string{"lo", inside} {
		link, err := in.LinkByName(name)
		if err != nil {
			return fmt.Errorf("%s in the session: %w", name, err)
		}
		if name == inside {
			ip := &net.IPNet{IP: addr4(addr), Mask: net.CIDRMask(s.cidr.Bits(), 32)}
			if err := in.AddrAdd(link, &netlink.Addr{IPNet: ip}); err != nil {
				return fmt.Errorf("giving the session the address %s: %w", ip, err)
			}
		}
		if err := in.LinkSetUp(link); err != nil {
			return fmt.Errorf("%s in the session: %w", name, err)
		}
	}
	if !n.cfg.DefaultRoute {
		return nil
	}
	if err := in.RouteAdd(&netlink.Route{Gw: addr4(s.gateway)}); err != nil {
		return fmt.Errorf("giving the session a default route: %w", err)
	}
	return nil
}

// awaitUp returns when the link carries packets. The kernel puts a link that is up into use a moment
// later; until then it drops what is sent, and who lost a first packet tries again after a second.
func awaitUp(h *netlink.Handle, name string) error {
	for deadline := time.Now().Add(3 * time.Second); ; time.Sleep(500 * time.Microsecond) {
		link, err := h.LinkByName(name)
		switch {
		case err != nil:
			return fmt.Errorf("link %s: %w", name, err)
		case link.Attrs().OperState == netlink.OperUp:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("link %s did not come up in 3 s", name)
		}
	}
}

func (n *Network) remove(id string) error {
	link, err := n.host.LinkByName(n.veth(id))
	group := ""
	if err == nil {
		group = n.groupOf(link)
		err = n.host.LinkDel(link)
	}
	if err != nil && !missing(err) {
		return fmt.Errorf("removing link %s: %w", n.veth(id), err)
	}
	if err := removeNamespace(n.path(id)); err != nil || group == "" {
		return err
	}
	return n.sweepGroup(group)
}
