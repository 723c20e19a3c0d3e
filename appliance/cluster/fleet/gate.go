package fleet

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// Each start is written, taken in, begun and told of by way of etcd. Where thousands are to start, all at once would have boxes wait to say
// that they live: those that are late fall silent, what they ran is begun elsewhere as well, and that goes on. So there are few starts that
// no node has taken in, and fewer while that takes long: see decision 73.
const (
	mostUntaken  = 64
	leastUntaken = 8
	// takenSoon is how long it takes a node to take a start in where nothing is in its way, and links are of some length.
	takenSoon = 250 * time.Millisecond
	// takenWithin is how long a start counts that is written, where its node says nothing: it may be about to be found silent.
	takenWithin = cluster.LeaseTime
	// heldFor is how long one is held back at a time: who asks for it looks then whether it is wanted yet.
	heldFor = 10 * time.Second
)

// errHeld is why a start is to be tried again.
var errHeld = errors.New("many others start, and it is their turn")

// gate holds starts back. It is safe for concurrent use.
type gate struct {
	mu     sync.Mutex
	places float64 // how many may be inside
	inside int
	line   list.List       // of chan struct{}, closed for who may go in
	fewer  time.Time       // when places became fewer last
	deaf   map[string]bool // nodes that have not taken in the last one within takenWithin
}

// pass is a place at the gate, for a start on a node.
type pass struct {
	gate  *gate
	node  string
	began time.Time
	given sync.Once // back
}

func newGate() *gate { return &gate{places: mostUntaken, deaf: map[string]bool{}} }

// enter waits for a place, in the order in which they come.
func (g *gate) enter(ctx context.Context, node string) (*pass, error) {
	g.mu.Lock()
	if g.line.Len() == 0 && g.inside < int(g.places) {
		g.inside++
		g.mu.Unlock()
		return &pass{gate: g, node: node, began: time.Now()}, nil
	}
	turn := make(chan struct{})
	mine := g.line.PushBack(turn)
	g.mu.Unlock()
	select {
	case <-turn:
		return &pass{gate: g, node: node, began: time.Now()}, nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-turn: // just now
		g.inside--
		g.next()
	default:
		g.line.Remove(mine)
	}
	return nil, context.Cause(ctx)
}

// taken is that the node has taken it in.
func (p *pass) taken() {
	p.gate.mu.Lock()
	delete(p.gate.deaf, p.node)
	p.gate.mu.Unlock()
	p.giveBack(func() { p.gate.learn(p.began) })
}

// silent is that the node has not for takenWithin. Of one that is so again and again that says nothing of the others.
func (p *pass) silent() {
	p.giveBack(func() {
		if !p.gate.deaf[p.node] {
			p.gate.deaf[p.node] = true
			p.gate.learn(p.began)
		}
	})
}

// written is that it waits for the node alone, and where that is deaf keeps nobody out.
func (p *pass) written() {
	p.gate.mu.Lock()
	deaf := p.gate.deaf[p.node]
	p.gate.mu.Unlock()
	if deaf {
		p.leave()
	}
}

// leave gives the place back, if it has not been.
func (p *pass) leave() { p.giveBack(func() {}) }

func (p *pass) giveBack(after func()) {
	p.given.Do(func() {
		p.gate.mu.Lock()
		defer p.gate.mu.Unlock()
		after()
		p.gate.inside--
		p.gate.next()
	})
}

// learn has fewer inside where one that went in then took long: by a third, and not again for one that went in before that. There is one
// more each time that all were quick. mu is held.
func (g *gate) learn(began time.Time) {
	switch {
	case time.Since(began) <= takenSoon:
		g.places = min(g.places+1/g.places, mostUntaken)
	case !began.Before(g.fewer):
		g.places, g.fewer = max(g.places*2/3, leastUntaken), time.Now()
	}
}

// next lets in who may. mu is held.
func (g *gate) next() {
	for g.line.Len() > 0 && g.inside < int(g.places) {
		turn, _ := g.line.Remove(g.line.Front()).(chan struct{})
		close(turn)
		g.inside++
	}
}
