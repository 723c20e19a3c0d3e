package reach

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
)

// Level is how near to the box an address may be.
type Level uint8

// The levels.
const (
	World Level = iota // public addresses alone
	LAN                // those of private networks too
	Near               // the box itself too
	All                // whatever was named
)

// Guard decides by what the owner has allowed beside. The nil Guard lets all through.
type Guard struct {
	names  map[string]bool // of hosts, lower case
	ranges []netip.Prefix
}

// New makes one. allow are what may be asked on anybody's behalf: addresses, ranges (10.1.0.0/16) and names of hosts.
func New(allow []string) (*Guard, error) {
	g := &Guard{names: map[string]bool{}}
	for _, text := range allow {
		addr, err := netip.ParseAddr(strings.Trim(text, "[]"))
		p, prefixErr := netip.ParsePrefix(text)
		switch {
		case err == nil:
			g.ranges = append(g.ranges, netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen()))
		case prefixErr == nil:
			g.ranges = append(g.ranges, p.Masked())
		case text == "" || strings.ContainsAny(text, "/:@*? \t\n"):
			return nil, fmt.Errorf("%q is neither an address, nor a range, nor the name of a host", text)
		default:
			g.names[strings.ToLower(strings.TrimSuffix(text, "."))] = true
		}
	}
	return g, nil
}

type contextKey struct{}

// asked is on whose behalf something is asked.
type asked struct {
	hosts []string // that the owner has named by hand, with their ports where they had one
}

// Owner marks what follows as asked by the owner of the box, who has named these hosts by hand: as they stand in a URL. What is not
// marked is asked by others.
func Owner(ctx context.Context, hosts ...string) context.Context {
	return context.WithValue(ctx, contextKey{}, asked{hosts})
}

// Level tells how near a host may be that is asked: host as it stands in a URL. In this order:
//  1. what the settings allow by name may be anywhere;
//  2. of what others ask for, nothing is nearer than the world;
//  3. an address that the owner has named by hand is meant, whatever it is; a name of the box itself is, too;
//  4. a place at the box itself may lead to another one there;
//  5. all else that the owner asks for may be on a network of the owner's: mirrors are. A name that leads to the box itself was
//     made to lead there by somebody.
func (g *Guard) Level(ctx context.Context, host string) Level {
	name := hostname(host)
	if g == nil || g.names[name] { // 1
		return All
	}
	by, ours := ctx.Value(contextKey{}).(asked)
	if !ours { // 2
		return World
	}
	near := false
	for _, h := range by.hosts {
		at := hostname(h)
		_, err := netip.ParseAddr(at)
		if strings.EqualFold(h, host) && (err == nil || local(at)) { // 3
			return All
		}
		near = near || local(at)
	}
	if near { // 4
		return Near
	}
	return LAN // 5
}

// local tells whether a host is written as the box itself.
func local(name string) bool {
	a, err := netip.ParseAddr(name)
	return name == "localhost" || strings.HasSuffix(name, ".localhost") || err == nil && classOf(a) == own
}

// hostname is a URL's host without its port and brackets, lower case.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// Check says why an address may not be asked at a level: a *Refused.
func (g *Guard) Check(l Level, host string, a netip.Addr) error {
	if g == nil || l == All {
		return nil
	}
	for _, p := range g.ranges {
		if p.Contains(a.Unmap().WithZone("")) {
			return nil
		}
	}
	what := ""
	switch classOf(a) {
	case public:
		return nil
	case private:
		if l >= LAN {
			return nil
		}
		what = "of a private network"
	case own:
		if l >= Near {
			return nil
		}
		what = "of this box itself"
	case never:
		what = "where no files are kept"
	}
	return &Refused{Host: hostname(host), Addr: a, what: what}
}

// Literal says why a host that is written as an address may not be asked; nil where it is a name, for then it is seen what that
// leads to.
func (g *Guard) Literal(l Level, host string) error {
	name := hostname(host)
	if a, err := netip.ParseAddr(name); err == nil {
		return g.Check(l, host, a)
	}
	if local(name) {
		return g.Check(l, host, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	return nil
}

// Control is a net.Dialer's ControlContext for a connection to host: it sees the address that its name has led to, just before
// the connection is made, so that a name cannot lead elsewhere than what was looked at.
func (g *Guard) Control(l Level, host string) func(context.Context, string, string, syscall.RawConn) error {
	return func(_ context.Context, _, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return fmt.Errorf("connecting with %s, which is no address: %w", address, err)
		}
		return g.Check(l, host, at.Addr())
	}
}

// Refused is an address that may not be asked.
type Refused struct {
	Host string // as it was written
	Addr netip.Addr
	what string
}

func (r *Refused) Error() string {
	if r.Host == r.Addr.String() || local(r.Host) {
		return fmt.Sprintf("%s is an address %s: it is not asked for others", r.Host, r.what)
	}
	return fmt.Sprintf("%s leads to %s, an address %s: it is not asked for others", r.Host, r.Addr, r.what)
}

// Hint says what to do.
func (r *Refused) Hint() string {
	return "where that is meant, the owner of the box allows it in the settings: fetch: {allow_private: [" + r.Host + "]}"
}
