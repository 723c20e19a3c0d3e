package ssh

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"
)

// The bounds of those who are not in yet.
const (
	mostStrangers = 100 // at a time, from everywhere
	mostFromOne   = 20  // at a time, from one address
	forgiven      = 10 * time.Minute
	longestDelay  = 3 * time.Second
	rememberAll   = 10_000 // addresses; the oldest are forgotten
)

var errCrowded = errors.New("too many wait to be let in")

// delay is how long an answer to a wrong key takes, by how many there were from that address of late. A person's agent shows a
// few before the right one: they cost nothing.
func delay(failures int) time.Duration {
	const free = 5
	if failures <= free {
		return 0
	}
	return min(longestDelay, 100*time.Millisecond<<min(failures-free-1, 10))
}

// guard counts who stands before the door. It is safe for concurrent use.
type guard struct {
	mu        sync.Mutex
	strangers int
	addresses map[string]*caller
}

type caller struct {
	inside   int // of mostFromOne
	failures int
	last     time.Time
}

func newGuard() *guard { return &guard{addresses: map[string]*caller{}} }

// enter counts one more until leave is called, which may be called again.
func (g *guard) enter(from string, now time.Time) (leave func(), err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.of(networkOf(from), now)
	if g.strangers >= mostStrangers || c.inside >= mostFromOne {
		return nil, errCrowded
	}
	g.strangers++
	c.inside++
	return sync.OnceFunc(func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.strangers--
		c.inside--
	}), nil
}

// of finds an address; the caller holds mu.
func (g *guard) of(from string, now time.Time) *caller {
	c := g.addresses[from]
	if c == nil {
		g.forget(now)
		c = &caller{last: now}
		g.addresses[from] = c
	}
	if now.Sub(c.last) > forgiven {
		c.failures = 0
	}
	return c
}

// forget makes room. Those who stand there are never forgotten.
func (g *guard) forget(now time.Time) {
	if len(g.addresses) < rememberAll {
		return
	}
	for from, c := range g.addresses {
		if c.inside == 0 && (now.Sub(c.last) > forgiven || len(g.addresses) >= rememberAll) {
			delete(g.addresses, from)
		}
	}
}

// failed notes a wrong key, and says how long its answer is to take.
func (g *guard) failed(from string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.of(networkOf(from), now)
	c.failures++
	c.last = now
	return delay(c.failures)
}

// welcome forgives what an address has shown before the right key.
func (g *guard) welcome(from string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.addresses[networkOf(from)]; c != nil {
		c.failures = 0
	}
}

// addressOf is where a connection comes from, without its port.
func addressOf(conn net.Conn) string {
	if host, _, err := net.SplitHostPort(conn.RemoteAddr().String()); err == nil {
		return host
	}
	return conn.RemoteAddr().String()
}

// networkOf is what is counted as one address: of IPv6 the network that a person is given whole.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil || ip.Unmap().Is4() {
		return address
	}
	network, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return network.String()
}

// isShortage tells of an accept that fails for want of descriptors or memory, which passes.
func isShortage(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
