package relay

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// hostTries is how many addresses are tried for a session: others on this box may use some.
const hostTries = 16

// Host is the address at which ports of a session are reached from this box by their own numbers, from now on and until Keep gives
// the last of them up. It may be asked again with more ports. A port of 0 is none.
func (r *Relays) Host(node, session string, ports ...int) (ip string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		return "", fmt.Errorf("reaching session %s on %s: %w", session, node, net.ErrClosed)
	}
	h := host{node, session}
	if at := r.hosts[h]; at != nil {
		return at.String(), r.listenAt(at, h, ports)
	}
	for range hostTries {
		// Beyond those of blocks.
		at := net.IPv4(127, 77, byte(1+rand.IntN(255)), byte(1+rand.IntN(254)))
		if err = r.listenAt(at, h, ports); err == nil {
			r.hosts[h] = at
			return at.String(), nil
		}
		r.drop(func(t Target) bool { return t.Node == node && t.Session == session })
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return "", err
}

// host is a session of a box.
type host struct{ node, session string }

// listenAt opens what is not open. r.mu is held.
func (r *Relays) listenAt(at net.IP, h host, ports []int) error {
	for _, port := range ports {
		t := Target{h.node, h.session, port}
		if l := r.open[t]; port == 0 || l != nil && l.Addr().(*net.TCPAddr).IP.Equal(at) { //nolint:forcetypeassert,errcheck // it is one of TCP
			continue
		} else if l != nil {
			_ = l.Close()
		}
		l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: at, Port: port})
		if err != nil {
			return fmt.Errorf("reaching session %s on %s: %w", h.session, h.node, err)
		}
		r.open[t] = l
		r.busy.Go(func() { r.serve(l, t) })
	}
	return nil
}

// drop closes what leads to some targets, and forgets hosts of which nothing is left. r.mu is held.
func (r *Relays) drop(which func(Target) bool) {
	for t, l := range r.open {
		if which(t) {
			_ = l.Close()
			delete(r.open, t)
		}
	}
	left := map[host]bool{}
	for t := range r.open {
		left[host{t.Node, t.Session}] = true
	}
	for h := range r.hosts {
		if !left[h] {
			delete(r.hosts, h)
		}
	}
}
