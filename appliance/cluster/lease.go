package cluster

import (
	"context"
	"errors"
	"fmt"
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
	client *clientv3.Client
	now    func() time.Time
	stream renewing

	mu    sync.Mutex
	until time.Time // etcd keeps it at least until then
	lost  context.Context
	lose  context.CancelCauseFunc
	done  chan struct{} // closed when nobody renews it any more
}

// renewals is how often a lease is renewed in the time that it lasts.
const renewals = 4

// Grant asks for a lease of ttl, whole seconds, and renews it until End or until it is lost.
func (a *Agreement) Grant(ctx context.Context, ttl time.Duration) (*Lease, error) {
	asked := time.Now()
	asking, cancel := context.WithTimeout(ctx, max(ttl, time.Second)) // one that comes later is of no use any more
	defer cancel()
	granted, err := a.client.Grant(asking, int64(ttl/time.Second))
	if err != nil {
		return nil, fmt.Errorf("asking for a lease: %w", err)
	}
	ttl = time.Duration(granted.TTL) * time.Second // a cluster may have a longer least one
	l := &Lease{id: granted.ID, ttl: ttl, client: a.client, now: time.Now, until: asked.Add(ttl), done: make(chan struct{})}
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
	if _, err := l.client.Revoke(ctx, l.id); err != nil && !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("giving back a lease: %w", err)
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
		case <-time.After(min(l.ttl/renewals, l.Until().Sub(l.now()))): // who has lost it is to know at once
		}
		// A box that was frozen has a clock that went on.
		until := l.Until()
		if !l.now().Before(until) {
			l.lose(ErrLeaseLost)
			return
		}
		ctx, cancel := context.WithDeadline(l.lost, until)
		kept, err := hedged(ctx, l.keep, func(err error) bool { return errors.Is(err, rpctypes.ErrLeaseNotFound) })
		cancel()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound), err == nil && kept.ttl <= 0:
			l.lose(ErrLeaseLost)
			return
		case err == nil:
			l.mu.Lock()
			l.until = kept.asked.Add(kept.ttl) // it counts from when etcd heard, which was later
			l.mu.Unlock()
		}
	}
}

// renewal is that a lease lasts for ttl from when it was asked for.
type renewal struct {
	asked time.Time
	ttl   time.Duration
}

// keep asks on the stream that is open; where that does not answer, or is waited for, on one of its own, perhaps of another member.
func (l *Lease) keep(ctx context.Context) (renewal, error) {
	asked := l.now()
	if ttl, err := l.stream.keep(ctx, l.client, l.id); err == nil {
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
