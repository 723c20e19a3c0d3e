package cluster

import (
	"context"
	"errors"
	"sync"
	"time"
)

// A box that lives, and loses the lease with which it says so, was too late: where there is as much to do as that, it will be so again, and
// each lease that goes, and each that comes, is a message to each of the others. So who loses one again within a while has its next one last
// for twice as long, and a fleet that has fallen silent by and by finds leases that it can keep. That is given up step by step.
const (
	// longestStay is how long a lease lasts at most, and the routes of a box that dies then stay in the tables.
	longestStay = 8 * LeaseTime
	// lostAgain is how soon after another one a lease is lost for it to be the same trouble.
	lostAgain = time.Minute
	// longFor is how long one is kept that lasts longer, and up to as long again, for not all boxes are to take shorter ones at one time.
	longFor = time.Minute
)

// stay is how long the next lease of a box lasts.
type stay struct {
	mu   sync.Mutex
	ttl  time.Duration // zero: LeaseTime
	lost time.Time     // when one was lost last; zero: none was
}

func (s *stay) is() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(s.ttl, LeaseTime)
}

// over notes that one was lost for which wish was asked.
func (s *stay) over(now time.Time, wish time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.lost.IsZero() && now.Sub(s.lost) < lostAgain {
		s.ttl = min(max(s.ttl, 2*wish), longestStay)
	}
	s.lost = now
}

// shorten has the next one last half as long as one for which wish was asked.
func (s *stay) shorten(wish time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ttl = max(wish/2, LeaseTime)
}

// Unheard has the lease be lost, for etcd has let go of it, or of what was written with it, and nobody has given it back. That counts once.
func (l *Lease) Unheard() {
	if l.lose(ErrLeaseLost); l.stay != nil && errors.Is(context.Cause(l.lost), ErrLeaseLost) {
		l.went.Do(func() { l.stay.over(l.now(), l.wish) })
	}
}

// Shorter is closed when another lease in the place of this one would be a shorter one, and is to be asked for.
func (l *Lease) Shorter() <-chan struct{} { return l.shorter }

// wornOff says once that a lease that lasts longer has been kept for long enough. An etcd that is slow is left alone.
func (l *Lease) wornOff() {
	if l.longUntil.IsZero() || l.now().Before(l.longUntil) || l.pace.is() > hedgeAfter {
		return
	}
	l.longUntil = time.Time{}
	l.stay.shorten(l.wish)
	close(l.shorter)
}
