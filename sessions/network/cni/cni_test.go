package cni_test

import (
	"encoding/json"
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
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/network/cni"
)

// serial gives every test a range of its own: a bridge stays when its test ends.
var serial struct {
	sync.Mutex
	n int
}

func freshRange() netip.Prefix {
	serial.Lock()
	defer serial.Unlock()
	serial.n++
	return netip.MustParsePrefix(fmt.Sprintf("10.80.%d.0/24", serial.n))
}

func config(t *testing.T) cni.Config {
	t.Helper()
	return cni.Config{Dir: t.TempDir(), CIDR: freshRange()}
}

func open(t *testing.T, cfg cni.Config) *cni.Network {
	t.Helper()
	n, err := cni.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Destroy(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func create(t *testing.T, n *cni.Network, id string) network.Attachment {
	t.Helper()
	a, err := n.Create(id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// serve answers every connection to port 8000 of a session with its id.
func serve(t *testing.T, a network.Attachment) {
	t.Helper()
	var l net.Listener
	if err := network.Enter(a.Path, func() (err error) {
		l, err = net.Listen("tcp", ":8000")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(c, a.ID)
			c.Close()
		}
	}()
}

func read(addr netip.Addr) (string, error) {
	c, err := net.DialTimeout("tcp", netip.AddrPortFrom(addr, 8000).String(), 5*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	raw, err := io.ReadAll(c)
	return string(raw), err
}

func TestSessionsListenOnOnePort(t *testing.T) {
	n := open(t, config(t))
	var all []network.Attachment
	for i := range 3 {
		a := create(t, n, fmt.Sprint("ses-", i))
		serve(t, a)
		all = append(all, a)
	}
	for _, a := range all {
		if got, err := read(a.Addr); got != a.ID || err != nil {
			t.Errorf("%s answers %q, %v", a.Addr, got, err)
		}
	}
	list, err := n.List()
	if err != nil || !slices.Equal(list, all) {
		t.Errorf("%v, %v; want %v", list, err, all)
	}
	// Sessions do not reach each other.
	err = network.Enter(all[0].Path, func() error {
		c, err := net.DialTimeout("tcp", netip.AddrPortFrom(all[1].Addr, 8000).String(), 500*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err
	})
	if err == nil {
		t.Error("one session reaches another")
	}
	if _, err := n.Create("ses-0"); err == nil || !strings.Contains(err.Error(), all[0].Addr.String()) {
		t.Errorf("%v", err)
	}
}

// TestSessionsDoNotReachTheBox: neither at the bridge's address nor at another of the box's, by IPv4 or IPv6.
func TestSessionsDoNotReachTheBox(t *testing.T) {
	cfg := config(t)
	n := open(t, cfg)
	if err := n.Guarded(); err != nil {
		t.Fatal(err)
	}
	a := create(t, n, "ses")
	box, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	go func() {
		for {
			c, err := box.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	gateway := cfg.CIDR.Addr().Next()
	reached := []string{gateway.String()}
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		addrs, err := l.Addrs()
		if err != nil || !strings.HasPrefix(l.Name, "plc-") {
			continue
		}
		for _, addr := range addrs {
			if p, err := netip.ParsePrefix(addr.String()); err == nil && p.Addr().Is6() {
				reached = append(reached, p.Addr().String()+"%eth0")
			}
		}
	}
	_, port, _ := net.SplitHostPort(box.Addr().String())
	for _, host := range reached {
		err := network.Enter(a.Path, func() error {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(host, port), 500*time.Millisecond)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err == nil {
			t.Errorf("a session reaches the box at %s", host)
		}
	}
	serve(t, a) // the box reaches it all the same
	if got, err := read(a.Addr); got != "ses" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func addresses(t *testing.T, dir string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "addresses", "*", "10.*"))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestRemoveLeavesNothing(t *testing.T) {
	cfg := config(t)
	n := open(t, cfg)
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	create(t, n, "first") // brings the bridge, which stays
	for range 2 {
		if err := n.Remove("first"); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(n.Remove("never was"), n.Remove("../x"), n.Remove("other")); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{"ns", "records"} {
		if left, err := os.ReadDir(filepath.Join(cfg.Dir, dir)); err != nil || len(left) > 0 {
			t.Errorf("%s: %v, %v", dir, left, err)
		}
	}
	if left := addresses(t, cfg.Dir); len(left) > 0 {
		t.Errorf("addresses are left: %v", left)
	}
	now, err := net.Interfaces()
	if err != nil || len(now) != len(links)+1 {
		t.Errorf("%d links, were %d and a bridge: %v", len(now), len(links), err)
	}
}

// TestReopen: what runs is found; what was half made, and all of another boot, is given back.
func TestReopen(t *testing.T) {
	cfg := config(t)
	n := open(t, cfg)
	lives := create(t, n, "lives")
	serve(t, lives)
	for _, id := range []string{"half", "torn", "rebooted"} {
		create(t, n, id)
	}
	edit := func(id string, change func(map[string]any)) {
		t.Helper()
		file := filepath.Join(cfg.Dir, "records", id)
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var r map[string]any
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		change(r)
		if raw, err = json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("half", func(r map[string]any) { r["address"] = "" })
	edit("rebooted", func(r map[string]any) { r["boot"] = "another" })
	if err := os.WriteFile(filepath.Join(cfg.Dir, "records", "torn"), []byte(`{"id":"to`), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open(t, cfg)
	list, err := again.List()
	if err != nil || len(list) != 1 || list[0] != lives {
		t.Errorf("%v, %v; want %v", list, err, lives)
	}
	if left := addresses(t, cfg.Dir); len(left) != 1 {
		t.Errorf("addresses in use: %v", left)
	}
	if got, err := read(lives.Addr); got != "lives" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestNamespaceThatIsGone: after a restart of the box only a file is left of it.
func TestNamespaceThatIsGone(t *testing.T) {
	cfg := config(t)
	n := open(t, cfg)
	a := create(t, n, "gone")
	if err := unmount(a.Path); err != nil {
		t.Fatal(err)
	}
	if err := n.Remove("gone"); err != nil {
		t.Fatal(err)
	}
	if left := addresses(t, cfg.Dir); len(left) > 0 {
		t.Errorf("addresses are left: %v", left)
	}
}

func TestRangeUsedUp(t *testing.T) {
	cfg := config(t)
	cfg.CIDR = netip.PrefixFrom(cfg.CIDR.Addr(), 29)
	n := open(t, cfg)
	for i := range 5 { // of 8: not the network's, the bridge's, the broadcast
		create(t, n, fmt.Sprint("ses-", i))
	}
	_, err := n.Create("one-more")
	if !errors.Is(err, network.ErrFull) {
		t.Errorf("%v", err)
	}
	wantHint(t, err)
	if list, err := n.List(); err != nil || len(list) != 5 {
		t.Errorf("%v, %v", list, err)
	}
	if err := n.Remove("ses-2"); err != nil {
		t.Fatal(err)
	}
	create(t, n, "one-more")
}

func TestAtOnce(t *testing.T) {
	n := open(t, config(t))
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if _, err := n.Create(fmt.Sprint("ses-", i)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	list, err := n.List()
	if err != nil || len(list) != 8 || len(slices.CompactFunc(list, func(a, b network.Attachment) bool { return a.Addr == b.Addr })) != 8 {
		t.Errorf("%v, %v", list, err)
	}
}

func wantHint(t *testing.T, err error) {
	t.Helper()
	if e, ok := errors.AsType[*cni.Error](err); !ok || e.Hint() == "" {
		t.Errorf("no hint on %v", err)
	}
}

func TestWhatIsRefused(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "net.conflist")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	taken := config(t)
	create(t, open(t, taken), "takes-the-range")
	for name, c := range map[string]struct {
		cfg  cni.Config
		want string
	}{
		"no plugins":       {cni.Config{PluginDirs: []string{"/nowhere"}, CIDR: freshRange()}, "CNI plugin bridge, which the default conflist names, is not in /nowhere"},
		"one missing":      {cni.Config{Conflist: write(`{"name":"a","plugins":[{"type":"bridge","ipam":{"type":"mine"}}]}`)}, "CNI plugin mine, which "},
		"no file":          {cni.Config{Conflist: "/nowhere/net.conflist"}, "no such file"},
		"no JSON":          {cni.Config{Conflist: write("name: a")}, "not JSON"},
		"no plugins in it": {cni.Config{Conflist: write(`{"name":"a"}`)}, "no list of plugins"},
		"a path":           {cni.Config{Conflist: write(`{"name":"a","plugins":[{"type":"../../bin/sh"}]}`)}, "is no name of a plugin"},
		"range taken":      {cni.Config{CIDR: taken.CIDR}, "overlaps"},
		"range too small":  {cni.Config{CIDR: netip.MustParsePrefix("10.90.0.0/31")}, "at least 4 addresses"},
		"range of IPv6":    {cni.Config{CIDR: netip.MustParsePrefix("fd00::/64")}, "IPv4"},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Dir = t.TempDir()
			_, err := cni.Open(c.cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("%v, want %q", err, c.want)
			}
			wantHint(t, err)
		})
	}
	n := open(t, config(t))
	for _, id := range []string{"", "../x", "a/b", ".hidden", strings.Repeat("x", 129)} {
		if _, err := n.Create(id); err == nil {
			t.Errorf("%q was taken", id)
		}
	}
}

// TestOperatorsConflist: any that gives an address will do; one that gives none is no use, and leaves nothing.
func TestOperatorsConflist(t *testing.T) {
	dir := t.TempDir()
	write := func(name, plugin string) string {
		file := filepath.Join(dir, name)
		text := `{"cniVersion":"0.4.0","name":"` + name + `","plugins":[{"type":` + plugin + `}]}`
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := write("good", `"ptp","ipam":{"type":"host-local","dataDir":"`+dir+`/addresses","subnet":"`+freshRange().String()+`"}`)
	n := open(t, cni.Config{Dir: filepath.Join(dir, "a"), Conflist: good})
	a := create(t, n, "ses")
	serve(t, a)
	if got, err := read(a.Addr); got != "ses" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	none := open(t, cni.Config{Dir: filepath.Join(dir, "b"), Conflist: write("none", `"bridge","bridge":"layer2"`)})
	if _, err := none.Create("ses"); err == nil {
		t.Error("a session without an address")
	}
	if left, err := os.ReadDir(filepath.Join(dir, "b", "records")); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func BenchmarkCreate(b *testing.B) {
	n, err := cni.Open(cni.Config{Dir: b.TempDir(), CIDR: freshRange()})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := n.Create("s"); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := n.Remove("s"); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

func unmount(path string) error { return unix.Unmount(path, unix.MNT_DETACH) }
