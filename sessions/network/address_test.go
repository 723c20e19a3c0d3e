package network

import (
	"net/netip"
	"testing"
)

func TestNextAddr(t *testing.T) {
	cidr := netip.MustParsePrefix("10.0.0.0/29") // .1 is the bridge, .7 the broadcast
	for _, c := range []struct {
		name string
		last string
		used []string
		want string
	}{
		{"the first", "", nil, "10.0.0.2"},
		{"after the last given out", "10.0.0.3", nil, "10.0.0.4"},
		{"not one in use", "10.0.0.3", []string{"10.0.0.4", "10.0.0.5"}, "10.0.0.6"},
		{"round", "10.0.0.6", []string{"10.0.0.2"}, "10.0.0.3"},
		{"one just freed only when nothing else is", "10.0.0.4", []string{"10.0.0.2", "10.0.0.3", "10.0.0.5", "10.0.0.6"}, "10.0.0.4"},
		{"used up", "10.0.0.4", []string{"10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"}, ""},
		{"last of another range", "10.9.0.4", nil, "10.0.0.2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			used := map[netip.Addr]string{}
			for _, u := range c.used {
				used[netip.MustParseAddr(u)] = "x"
			}
			var last, want netip.Addr
			if c.last != "" {
				last = netip.MustParseAddr(c.last)
			}
			if c.want != "" {
				want = netip.MustParseAddr(c.want)
			}
			got, err := nextAddr(cidr, last, used)
			if got != want || (err == nil) != want.IsValid() {
				t.Errorf("got %s, %v; want %s", got, err, want)
			}
		})
	}
}

func TestPick(t *testing.T) {
	pool := netip.MustParsePrefix("10.0.0.0/22")
	taken := func(cidrs ...string) (p []netip.Prefix) {
		for _, c := range cidrs {
			p = append(p, netip.MustParsePrefix(c))
		}
		return p
	}
	for _, c := range []struct {
		seed  uint32
		taken []netip.Prefix
		want  string
	}{
		{0, nil, "10.0.0.0/24"},
		{2, nil, "10.0.2.0/24"},
		{6, taken("0.0.0.0/0"), "10.0.2.0/24"}, // a default route takes nothing
		{2, taken("10.0.2.128/25", "10.0.3.0/24"), "10.0.0.0/24"},
		{2, taken("10.0.0.0/8"), ""},
	} {
		got, err := pick(pool, 24, c.seed, c.taken)
		if (c.want == "") != (err != nil) || err == nil && got.String() != c.want {
			t.Errorf("seed %d, taken %v: %s, %v; want %s", c.seed, c.taken, got, err, c.want)
		}
	}
}

func FuzzNextAddr(f *testing.F) {
	f.Add(uint8(29), uint8(3), uint64(0b1011))
	f.Add(uint8(30), uint8(1), uint64(0))
	f.Fuzz(func(t *testing.T, bits, last uint8, mask uint64) {
		cidr := netip.PrefixFrom(netip.MustParseAddr("10.0.0.0"), 26+int(bits%5))
		used := map[netip.Addr]string{}
		a := cidr.Addr()
		for i := range 64 {
			if mask>>i&1 == 1 && cidr.Contains(a) {
				used[a] = "x"
			}
			a = a.Next()
		}
		got, err := nextAddr(cidr, netip.AddrFrom4([4]byte{10, 0, 0, last}), used)
		if err == nil && (!cidr.Contains(got) || used[got] != "" || got == gateway(cidr) || got == cidr.Addr() || got == broadcast(cidr)) {
			t.Errorf("%s gave %s", cidr, got)
		}
	})
}
