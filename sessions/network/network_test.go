package network_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/palisade-run/palisade/sessions/network"
)

func open(t *testing.T, cfg network.Config) *network.Network {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	n, err := network.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Destroy(); err != nil {
			t.Error(err)
		}
		n.Close()
	})
	return n
}

func create(t *testing.T, n *network.Network, id string) network.Attachment {
	t.Helper()
	a, err := n.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serve answers every connection at address in a's namespace with text.
func serve(t *testing.T, a network.Attachment, address, text string) {
	t.Helper()
	var l net.Listener
	err := network.Enter(a.Path, func() (err error) {
		l, err = net.Listen("tcp", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go answer(l, text)
}

func answer(l net.Listener, text string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		_, _ = io.WriteString(c, text)
		c.Close()
	}
}

func read(address string) (string, error) {
	c, err := net.DialTimeout("tcp", address, 300*time.Millisecond)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	text, err := io.ReadAll(c)
	return string(text), err
}

func isRefused(err error) bool { return errors.Is(err, syscall.ECONNREFUSED) }

func TestTenSessionsListenOnOnePort(t *testing.T) {
	n := open(t, network.Config{})
	var addrs []netip.Addr
	for i := range 10 {
		id := fmt.Sprintf("ses-%d", i)
		a := create(t, n, id)
		serve(t, a, ":8000", id)
		addrs = append(addrs, a.Addr)
	}
	for i, addr := range addrs {
		got, err := read(netip.AddrPortFrom(addr, 8000).String())
		if err != nil || got != fmt.Sprintf("ses-%d", i) {
			t.Errorf("session %d at %s: %q, %v", i, addr, got, err)
		}
	}
}

func TestSessionsDoNotReachEachOtherNorTheBox(t *testing.T) {
	n := open(t, network.Config{})
	a, b := create(t, n, "a"), create(t, n, "b")
	serve(t, a, ":8000", "a")
	box, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	go answer(box, "the box")
	_, port, _ := net.SplitHostPort(box.Addr().String())
	for what, address := range map[string]string{
		"another session": netip.AddrPortFrom(a.Addr, 8000).String(),
		"the box":         net.JoinHostPort(n.Gateway().String(), port),
	} {
		err := network.Enter(b.Path, func() error { _, err := read(address); return err })
		if err == nil {
			t.Errorf("a session reaches %s at %s", what, address)
		}
	}
	if n.Guarded() != nil {
		t.Errorf("not guarded: %v", n.Guarded())
	}
	// Itself it does reach, on loopback and by its address.
	for _, address := range []string{"127.0.0.1:8000", netip.AddrPortFrom(a.Addr, 8000).String()} {
		err := network.Enter(a.Path, func() error { _, err := read(address); return err })
		if err != nil {
			t.Errorf("a session does not reach itself at %s: %v", address, err)
		}
	}
}

// TestNotByWayOfTheBox: a packet that is made by hand, to the box's own link but another session's address, is
// not forwarded, though the box forwards.
func TestNotByWayOfTheBox(t *testing.T) {
	n := open(t, network.Config{})
	a, b := create(t, n, "a"), create(t, n, "b")
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	bridge, err := netlink.LinkByName(n.Bridge())
	if err != nil {
		t.Fatal(err)
	}
	var got net.PacketConn
	if err := network.Enter(b.Path, func() (err error) {
		got, err = net.ListenPacket("udp4", ":9")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	err = network.Enter(a.Path, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		// As a frame made by hand: b is said to be where the box is.
		err = netlink.NeighSet(&netlink.Neigh{
			LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: b.Addr.AsSlice(), HardwareAddr: bridge.Attrs().HardwareAddr,
		})
		if err != nil {
			return err
		}
		c, err := net.Dial("udp4", netip.AddrPortFrom(b.Addr, 9).String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("hello"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := got.SetReadDeadline(time.Now().Add(500 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, from, err := got.ReadFrom(make([]byte, 10)); err == nil {
		t.Errorf("a packet of %s has come", from)
	}
}

// TestOthersMakeLinks: on a box where another program makes and removes links, the kernel's lists are cut short.
func TestOthersMakeLinks(t *testing.T) {
	cfg := network.Config{Dir: t.TempDir()}
	n := open(t, cfg)
	for i := range 20 {
		create(t, n, fmt.Sprintf("ses-%d", i))
	}
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "other"}}
			if err := errors.Join(netlink.LinkAdd(link), netlink.LinkDel(link)); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 200 {
		if list, err := n.List(); err != nil || len(list) != 20 {
			t.Errorf("%d, %v", len(list), err)
			break
		}
	}
	close(stop)
	others.Wait()
}

func TestReopenFindsWhatIsThere(t *testing.T) {
	cfg := network.Config{Dir: t.TempDir()}
	first := open(t, cfg)
	a, b := create(t, first, "a"), create(t, first, "b")
	if err := first.Remove("a"); err != nil {
		t.Fatal(err)
	}
	first.Close()

	second := open(t, cfg)
	if second.CIDR() != first.CIDR() || second.Bridge() != first.Bridge() {
		t.Errorf("%s %s became %s %s", first.Bridge(), first.CIDR(), second.Bridge(), second.CIDR())
	}
	list, err := second.List()
	if err != nil || !slices.Equal(list, []network.Attachment{b}) {
		t.Errorf("list: %v, %v; want %v", list, err, b)
	}
	if _, err := second.Create("b"); err == nil {
		t.Error("b was made twice")
	}
	c := create(t, second, "c")
	if c.Addr == b.Addr || c.Addr == a.Addr {
		t.Errorf("c has %s, of a (just gone, %s) or b (%s)", c.Addr, a.Addr, b.Addr)
	}
	serve(t, b, ":8000", "b")
	if got, err := read(netip.AddrPortFrom(b.Addr, 8000).String()); got != "b" {
		t.Errorf("b after reopening: %q, %v", got, err)
	}
}

func TestHalfMadeIsSwept(t *testing.T) {
	cfg := network.Config{Dir: t.TempDir()}
	first := open(t, cfg)
	create(t, first, "good")
	// As a daemon leaves it that dies after the pair and before its name; and before the pair.
	prefix := vethPrefix(t, "good", first)
	bridge, err := netlink.LinkByName(first.Bridge())
	if err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MasterIndex = prefix+"deadbeef", bridge.Attrs().Index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer0"}); err != nil {
		t.Fatal(err)
	}
	orphan := filepath.Join(cfg.Dir, "orphan")
	if err := os.WriteFile(orphan, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	first.Close()

	second := open(t, cfg)
	if _, err := netlink.LinkByName(attrs.Name); err == nil {
		t.Error("the nameless link is still there")
	}
	if _, err := os.Stat(orphan); err == nil {
		t.Error("the orphaned name is still there")
	}
	if list, err := second.List(); err != nil || len(list) != 1 {
		t.Errorf("list: %v, %v", list, err)
	}
	create(t, second, "orphan")
}

func vethPrefix(t *testing.T, id string, n *network.Network) string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if strings.Contains(l.Attrs().Alias, " "+id+" ") {
			name, _, _ := strings.Cut(l.Attrs().Name, ".")
			return name + "."
		}
	}
	t.Fatalf("%s has no link of %s", n.Bridge(), id)
	return ""
}

func TestRemoveIsIdempotentAndLeavesNothing(t *testing.T) {
	n := open(t, network.Config{})
	before, _ := netlink.LinkList()
	a := create(t, n, "a")
	for range 2 {
		if err := n.Remove("a"); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Remove("never-was"); err != nil {
		t.Error(err)
	}
	after, _ := netlink.LinkList()
	if len(after) != len(before) {
		t.Errorf("%d links before, %d after", len(before), len(after))
	}
	if _, err := os.Stat(a.Path); err == nil {
		t.Error("the namespace's name is still there")
	}
}

func TestTwoAppliancesShareABox(t *testing.T) {
	a, b := open(t, network.Config{}), open(t, network.Config{})
	if a.Bridge() == b.Bridge() || a.CIDR().Overlaps(b.CIDR()) {
		t.Errorf("%s %s and %s %s", a.Bridge(), a.CIDR(), b.Bridge(), b.CIDR())
	}
	x, y := create(t, a, "same"), create(t, b, "same")
	serve(t, x, ":8000", "a")
	serve(t, y, ":8000", "b")
	for addr, want := range map[netip.Addr]string{x.Addr: "a", y.Addr: "b"} {
		if got, err := read(netip.AddrPortFrom(addr, 8000).String()); got != want {
			t.Errorf("%s answers %q, %v; want %q", addr, got, err, want)
		}
	}
}

func TestRangeThatOverlapsIsRefused(t *testing.T) {
	a := open(t, network.Config{CIDR: netip.MustParsePrefix("10.99.0.0/24")})
	_, err := network.Open(network.Config{Dir: t.TempDir(), CIDR: netip.MustParsePrefix("10.99.0.128/25"), Bridge: "pl-other"})
	if err == nil || !strings.Contains(err.Error(), a.CIDR().String()) {
		t.Errorf("opening an overlapping range: %v", err)
	}
	if l, err := netlink.LinkByName("pl-other"); err == nil {
		_ = netlink.LinkDel(l)
	}
}

func TestRangeUsedUp(t *testing.T) {
	n := open(t, network.Config{CIDR: netip.MustParsePrefix("10.98.0.0/29")})
	for i := range 5 {
		create(t, n, fmt.Sprint("s", i))
	}
	if _, err := n.Create("one-more"); !errors.Is(err, network.ErrFull) || !strings.Contains(err.Error(), "10.98.0.0/29") {
		t.Errorf("a sixth of five: %v", err)
	}
	if err := n.Remove("s2"); err != nil {
		t.Fatal(err)
	}
	create(t, n, "one-more")
}

func TestCreateAtOnce(t *testing.T) {
	n := open(t, network.Config{})
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if _, err := n.Create(fmt.Sprint("s", i)); err != nil {
				t.Error(err)
			}
			if i%2 == 0 {
				if err := n.Remove(fmt.Sprint("s", i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, err := n.List()
	if err != nil || len(list) != 10 {
		t.Errorf("%d attached, %v; want 10", len(list), err)
	}
}

func TestDefaultRoute(t *testing.T) {
	n := open(t, network.Config{DefaultRoute: true})
	a := create(t, n, "a")
	err := network.Enter(a.Path, func() error {
		routes, err := netlink.RouteGet(net.IPv4(192, 0, 2, 77))
		if err == nil && (len(routes) != 1 || routes[0].Gw.String() != n.Gateway().String()) {
			err = fmt.Errorf("routes %v", routes)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	without := create(t, open(t, network.Config{}), "a")
	err = network.Enter(without.Path, func() error { _, err := netlink.RouteGet(net.IPv4(192, 0, 2, 77)); return err })
	if err == nil {
		t.Error("there is a way out without DefaultRoute")
	}
}

func TestNamesThatLeaveTheDirectoryAreRefused(t *testing.T) {
	n := open(t, network.Config{})
	for _, id := range []string{"", "..", "a/b", "../x", ".hidden", "a b"} {
		if _, err := n.Create(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}
