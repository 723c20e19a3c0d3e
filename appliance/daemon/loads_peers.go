package daemon

import (
	"sync"

	"github.com/palisade-run/palisade/appliance/cluster/door"
)

// peers are all other boxes of a life that leads. They answer requests by its table, as those before it do. All of them together are
// one elder: of each route it is asked again and again what is in flight there, and there may be a thousand boxes.
type peers struct {
	// closed tells whether a route takes nothing new: then each box is asked whether it knows.
	closed func(route string) bool

	mu   sync.Mutex
	all  map[string]*peer
	sums map[string]int // what is in flight on all of them, by route
}

var _ elder = (*peers)(nil)

// of is the one of that name, which is made where it is not there or has gone.
func (ps *peers) of(name string, begin func() *peer) *peer {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.all == nil {
		ps.all, ps.sums = map[string]*peer{}, map[string]int{}
	}
	p := ps.all[name]
	if p == nil || p.gone() {
		ps.leave(p)
		p = begin()
		ps.all[name] = p
	}
	return p
}

// hear takes in what one of them says.
func (ps *peers) hear(p *peer, l door.Load, f carried) {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if ps.all[p.name] != p { // it has gone, and another one of its name has come
		return
	}
	ps.count(p, -1)
	p.hear(l, f)
	ps.count(p, 1)
}

// leave forgets one; nil: none. mu is held.
func (ps *peers) leave(p *peer) {
	if p != nil {
		ps.count(p, -1)
		delete(ps.all, p.name)
	}
}

// count adds what a peer has in flight so many times. mu is held.
func (ps *peers) count(p *peer, times int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for route, n := range p.load.Flying {
		if ps.sums[route] += times * n; ps.sums[route] == 0 {
			delete(ps.sums, route)
		}
	}
}

// sweep forgets those that have gone: what they had in flight is not waited for.
func (ps *peers) sweep() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.all {
		if p.gone() {
			ps.leave(p)
		}
	}
}

// flying implements elder.
func (ps *peers) flying(route string) int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if !ps.closed(route) {
		return ps.sums[route]
	}
	n := 0
	for _, p := range ps.all {
		if !p.gone() {
			n += p.flying(route)
		}
	}
	return n
}

// waiting implements elder.
func (ps *peers) waiting() map[string]int {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	out := map[string]int{}
	for _, p := range ps.all {
		p.mu.Lock()
		for service, n := range p.load.Held {
			out[service] += n
		}
		p.mu.Unlock()
	}
	return out
}

// follow implements elder: boxes read the table by themselves.
func (*peers) follow(map[string]standing) {}

// gone implements elder.
func (ps *peers) gone() bool {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, p := range ps.all {
		if !p.gone() {
			return false
		}
	}
	return true
}

// totals are the requests that other boxes let through since they were heard of, by service.
func (ps *peers) totals() map[string]uint64 {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	out := map[string]uint64{}
	for _, p := range ps.all {
		p.mu.Lock()
		for id, n := range p.added {
			out[id] += n
		}
		p.mu.Unlock()
	}
	return out
}

// syncPeers has each box that lives be waited for, though it has said nothing yet.
func (d *daemon) syncPeers() {
	d.peers.sweep()
	for name := range d.seat.living() {
		if name != d.seat.name() {
			d.peerOf(name)
		}
	}
}

func (d *daemon) peerOf(name string) *peer {
	p := d.peers.of(name, func() *peer {
		return &peer{name: name, over: d.decided, told: d.traffic.publisher.Told, living: d.seat.lives}
	})
	d.elders.join(&d.peers)
	return p
}
