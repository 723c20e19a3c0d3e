package daemon

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// presence notices that what this box has announced is gone from etcd while it lives. A member of etcd that led it, was frozen, and comes
// back takes leases to be over that were renewed all the while, and has them revoked: the others do without this box's routes until it
// announces itself anew, and it would hear of that only when it renews its lease.
type presence struct {
	gone chan struct{} // of size 1

	mu    sync.Mutex
	began time.Time // of what is announced: what was announced before, and is heard of late, is something else
	seen  bool
}

func newPresence() *presence { return &presence{gone: make(chan struct{}, 1)} }

// is takes in whether the box is announced, as it is in etcd. What was announced last has to have been seen there before it can go.
func (p *presence) is(alive *cluster.Alive) {
	p.mu.Lock()
	was := p.seen
	p.seen = alive != nil && alive.Began.Equal(p.began)
	gone := was && !p.seen
	p.mu.Unlock()
	if !gone {
		return
	}
	select {
	case p.gone <- struct{}{}:
	default:
	}
}

// begin has what is told of an announcement of before count for nothing: a lease that was lost goes from etcd, too, and the box is about to
// be announced with another one.
func (p *presence) begin(began time.Time) {
	p.mu.Lock()
	p.began, p.seen = began, false
	p.mu.Unlock()
	select {
	case <-p.gone:
	default:
	}
}

// errUnannounced is why another lease is asked for though this one may be good yet: nothing is announced with it any more.
var errUnannounced = errors.New("etcd has let go of what this box announced")

// errShorter is why another lease is asked for though this one is good: it lasts longer than need be.
var errShorter = errors.New("a shorter lease is to take the place of this one")

// lookForSelf has this box announced anew where it is not any more. One that was removed is not.
func (s *seat) lookForSelf() {
	if n, there := s.roster.Node(s.name()); there {
		s.present.is(n.Alive)
	}
}

// giveUp gives a lease back that is of no use any more.
func giveUp(ctx context.Context, lease *cluster.Lease) {
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	_ = lease.End(ending) // else it runs out
}
