package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lease is a promise to be heard of. What is written with it goes from etcd when the promise is broken.
type Lease struct {
	id     clientv3.LeaseID
	ttl    time.Duration
	wish   time.Duration // what was asked for: a cluster may have a longer least one
	client *clientv3.Client
	pace   *pace
	now    func() time.Time
	stream renewing
	stay   *stay // lasts until etcd says that it is over; nil: until it may be
	said   int64 // revision at which its node was announced with it last; 0: that is not known. Of who announces it

	shorter   chan struct{} // closed after longUntil
	longUntil time.Time     // zero: for ever. Of renew

	went sync.Once // that it was lost counts once

	mu    sync.Mutex
	until time.Time // etcd keeps it at least until then
	lost  context.Context
	lose  context.CancelCauseFunc
	done  chan struct{} // closed when nobody renews it any more
}

// renewals is how often a lease is renewed in the time that it lasts.
const renewals = 4

// Presence asks for a lease with which a box says that it lives, and renews it until End or until etcd says that it is over. Where etcd is
// so slow that it may be over by the clock, it may well not be: then nobody has noticed anything, and another lease would be more to do
// for etcd, as would be that all others hear of this box anew. It lasts for LeaseTime, or longer where this box has lost such leases of late.
func (a *Agreement) Presence(ctx context.Context) (*Lease, error) {
	return a.grant(ctx, a.stay.is(), &a.stay)
}

// Grant asks for a lease of ttl, whole seconds, and renews it until End, or until it may be over by the clock.
func (a *Agreement) Grant(ctx context.Context, ttl time.Duration) (*Lease, error) {
	return a.grant(ctx, ttl, nil)
}

// grant asks for a lease. Its number is chosen here: whichever members are asked, there is one.
func (a *Agreement) grant(ctx context.Context, ttl time.Duration, s *stay) (*Lease, error) {
	first, leases, id := time.Now(), clientv3.RetryLeaseClient(a.client), rand.Int64N(math.MaxInt64)+1
	asking, cancel := context.WithTimeout(ctx, max(ttl, time.Second)) // one that comes later is of no use any more
	defer cancel()
	granted, err := hedged(asking, &a.pace, func(ctx context.Context) (renewal, error) {
		asked := time.Now()
		got, err := leases.LeaseGrant(ctx, &pb.LeaseGrantRequest{TTL: int64(ttl / time.Second), ID: id})
		switch err = rpctypes.Error(err); {
		case errors.Is(err, rpctypes.ErrLeaseExist): // a member that was asked before, and has not answered yet
			return renewal{first, ttl}, nil
		case err != nil:
			return renewal{}, err
		}
		return renewal{asked, time.Duration(got.TTL) * time.Second}, nil
	}, isFull)
	if err != nil {
		return nil, fmt.Errorf("asking for a lease: %w", err)
	}
	l := &Lease{id: clientv3.LeaseID(id), ttl: granted.ttl, wish: ttl, client: a.client, pace: &a.pace, now: time.Now, stay: s, shorter: make(chan struct{}), until: granted.asked.Add(granted.ttl), done: make(chan struct{})}
	if s != nil && ttl > LeaseTime {
		l.longUntil = first.Add(longFor + rand.N(longFor))
	}
	l.lost, l.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	go l.renew()
	return l, nil
}

// Lost is done when the lease is over; its cause is ErrLeaseLost, or context.Canceled after End.
func (l *Lease) Lost() context.Context { return l.lost }

// Until is when etcd may let the lease go unless it is renewed, by this process's monotonic clock: never later than etcd does.
func (l *Lease) Until() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.until
}

// End gives the lease back: what was written with it goes at once, if etcd can be told.
func (l *Lease) End(ctx context.Context) error {
	l.lose(context.Canceled)
	<-l.done
	return revoke(ctx, l.pace, l.client, l.id)
}

// revoke has etcd let a lease go, by whichever member answers. It is asked as often until then: who stands for election waits for that, and
// what was asked before etcd has elected may be lost with the member that led it.
func revoke(ctx context.Context, p *pace, client *clientv3.Client, id clientv3.LeaseID) error {
	_, err := hedgedAs(ctx, hedge{pace: p, soon: hedgesEver, haste: true}, func(ctx context.Context) (*clientv3.LeaseRevokeResponse, error) { return client.Revoke(ctx, id) }, isGone)
	if err != nil && !isGone(err) {
		return fmt.Errorf("giving back a lease: %w", err)
	}
	return nil
}

// isGone tells whether a lease is not there any more.
func isGone(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) }

// leave notes a lease with which this box stood for election, and that could not be given back.
func (a *Agreement) leave(id clientv3.LeaseID) {
	a.election.Lock()
	defer a.election.Unlock()
	a.left = append(a.left, id)
}

// giveBack gives back what was left. Where etcd was about an election of its own for long all leases are lost by the clocks of those who
// had them, and etcd keeps them: the keys of boxes that do not stand with them any more would be first in line, and the others wait for
// each of them until it is plain that it says nothing. It is a lease of this very process, and of an election that is over for it.
func (a *Agreement) giveBack(ctx context.Context) error {
	a.election.Lock()
	left := slices.Clone(a.left)
	a.election.Unlock()
	for _, id := range left {
		giving, cancel := context.WithTimeout(ctx, LeaseTime)
		err := revoke(giving, &a.pace, a.client, id)
		cancel()
		if err != nil {
			return err
		}
		a.election.Lock()
		a.left = slices.DeleteFunc(a.left, func(one clientv3.LeaseID) bool { return one == id })
		a.election.Unlock()
	}
	return nil
}

func (l *Lease) renew() {
	defer close(l.done)
	defer l.stream.close()
	for {
		select {
		case <-l.lost.Done():
			return
		case <-l.client.Ctx().Done(): // nobody can renew it
			return
		case <-time.After(l.next()):
		}
		until := l.Until()
		if l.stay == nil && !l.now().Before(until) { // a box that was frozen has a clock that went on
			l.lose(ErrLeaseLost)
			return
		}
		as, left := hedge{pace: l.pace, soon: hedgesEver, haste: true}, until
		if l.stay != nil {
			as, left = hedge{pace: l.pace, soon: hedgesSoon, by: until}, l.now().Add(answerPatience)
		}
		ctx, cancel := context.WithDeadline(l.lost, left)
		kept, err := keptByAny(ctx, as, l.now, l.keep)
		cancel()
		switch {
		case isGone(err):
			l.Unheard()
			return
		case err == nil:
			l.mu.Lock()
			l.until = kept.asked.Add(kept.ttl) // it counts from when etcd heard, which was later
			l.mu.Unlock()
			l.wornOff()
		}
	}
}

// answerPatience is how long it is waited that any member answers who renews a lease that may be over by the clock: an answer that is late
// is one, and to ask all anew would only be more to do.
const answerPatience = 3 * LeaseTime

// next is how long to wait before it is renewed. One that ends with the clock is found to have ended at once.
func (l *Lease) next() time.Duration {
	if l.stay != nil {
		return l.ttl / renewals
	}
	return min(l.ttl/renewals, l.Until().Sub(l.now()))
}

// keptByAny renews by whichever member answers, and doubts who says that there is nothing to renew.
func keptByAny(ctx context.Context, as hedge, now func() time.Time, keep func(context.Context) (renewal, error)) (renewal, error) {
	var doubt doubt
	return hedgedAs(ctx, as, func(ctx context.Context) (renewal, error) {
		asked := now()
		kept, err := keep(ctx)
		return kept, doubt.of(err, asked, now())
	}, isGone)
}

// doubt is of members that say that a lease is gone. One that led etcd, and was frozen, says so when it comes back of all that were granted
// meanwhile, until it has heard that it leads no more. Who is asked after that was heard, and says the same, is believed.
type doubt struct {
	mu    sync.Mutex
	heard time.Time // when it was said first; zero: it was not
}

var errDoubted = errors.New("a member of etcd does not know the lease")

// of is what an answer to a question comes to that was asked then.
func (d *doubt) of(err error, asked, now time.Time) error {
	if !isGone(err) {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.heard.IsZero() {
		d.heard = now
	}
	if asked.After(d.heard) {
		return err
	}
	return errDoubted
}

// renewal is that a lease lasts for ttl from when it was asked for.
type renewal struct {
	asked time.Time
	ttl   time.Duration
}

// keep asks on the stream that is open; where that does not answer, or is waited for, on one of its own, perhaps of another member.
func (l *Lease) keep(ctx context.Context) (renewal, error) {
	asked := l.now()
	switch ttl, err := l.stream.keep(ctx, l.client, l.id); {
	case err == nil && ttl <= 0:
		return renewal{}, rpctypes.ErrLeaseNotFound
	case err == nil:
		return renewal{asked, ttl}, nil
	}
	asked = l.now()
	kept, err := l.client.KeepAliveOnce(ctx, l.id)
	if err != nil {
		return renewal{}, err
	}
	return renewal{asked, time.Duration(kept.TTL) * time.Second}, nil
}

// renewing is the stream on which a lease is renewed again and again: a stream for each time costs both sides several times as much.
type renewing struct {
	mu     sync.Mutex
	stream pb.Lease_LeaseKeepAliveClient // nil: none is open
	cancel context.CancelFunc
}

var errStreamBusy = errors.New("an answer is waited for on the stream")

func (r *renewing) keep(ctx context.Context, client *clientv3.Client, id clientv3.LeaseID) (ttl time.Duration, err error) {
	if !r.mu.TryLock() {
		return 0, errStreamBusy
	}
	defer r.mu.Unlock()
	defer func() {
		if err != nil {
			r.end()
		}
	}()
	if r.stream == nil {
		// A member that is cut off from the others is to say so.
		open, cancel := context.WithCancel(clientv3.WithRequireLeader(context.WithoutCancel(ctx)))
		r.cancel = cancel
		defer context.AfterFunc(ctx, cancel)()
		if r.stream, err = pb.NewLeaseClient(client.ActiveConnection()).LeaseKeepAlive(open); err != nil {
			return 0, err
		}
	} else {
		defer context.AfterFunc(ctx, r.cancel)()
	}
	if err := r.stream.Send(&pb.LeaseKeepAliveRequest{ID: int64(id)}); err != nil {
		return 0, err
	}
	kept, err := r.stream.Recv()
	if err != nil {
		return 0, err
	}
	return time.Duration(kept.TTL) * time.Second, nil
}

// end gives the stream up. mu is held.
func (r *renewing) end() {
	if r.cancel != nil {
		r.cancel()
	}
	r.stream, r.cancel = nil, nil
}

func (r *renewing) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
}
