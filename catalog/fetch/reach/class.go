package reach

import "net/netip"

// class is what an address is, seen from this box.
type class uint8

const (
	public  class = iota
	private       // of a network that the box stands in: RFC 1918, carriers' NAT, unique local
	own           // the box itself
	never         // nothing that anybody keeps files at: link-local, multicast, unspecified, the doors of clouds
)

func prefixes(texts ...string) (out []netip.Prefix) {
	for _, t := range texts {
		out = append(out, netip.MustParsePrefix(t))
	}
	return out
}

// classes are looked through in order: the first that holds an address says what it is.
func classes() []struct {
	is  class
	all []netip.Prefix
} {
	return []struct {
		is  class
		all []netip.Prefix
	}{
		// Where clouds tell a machine its own secrets: beside 169.254.169.254 those of Alibaba, Oracle, Azure and AWS.
		{never, prefixes("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32", "fd00:ec2::/32")},
		{never, prefixes("0.0.0.0/32", "::/128", "169.254.0.0/16", "fe80::/10", "fec0::/10", "224.0.0.0/4", "240.0.0.0/4", "ff00::/8")},
		{own, prefixes("127.0.0.0/8", "0.0.0.0/8", "::1/128")},
		{private, prefixes("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "fc00::/7")},
	}
}

// classOf tells what an address is. One of IPv6 that stands for one of IPv4 is that one.
func classOf(a netip.Addr) class {
	a = inner(a.Unmap().WithZone(""))
	for _, c := range classes() {
		for _, p := range c.all {
			if p.Contains(a) {
				return c.is
			}
		}
	}
	return public
}

// inner is the address of IPv4 to which one of IPv6 leads: by NAT64, 6to4, or in the old way of writing.
func inner(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	b := a.As16()
	four := func(at int) netip.Addr { return netip.AddrFrom4([4]byte(b[at : at+4])) }
	switch {
	case netip.MustParsePrefix("64:ff9b::/96").Contains(a), netip.MustParsePrefix("64:ff9b:1::/48").Contains(a):
		return four(12)
	case netip.MustParsePrefix("2002::/16").Contains(a):
		return four(2)
	case netip.MustParsePrefix("::/96").Contains(a) && a != netip.IPv6Unspecified() && a != netip.IPv6Loopback():
		return four(12)
	}
	return a
}
