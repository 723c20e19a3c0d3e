package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Lease is a promise to be heard of. What is written with it goes from etcd when the promise is broken.
type Lease struct {
	id     clientv3.LeaseID
	ttl    time.Duration
	client *clientv3.Client
	now    func() time.Time

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

func (l *Lease) keep(ctx context.Context) (renewal, error) {
	asked := l.now()
	kept, err := l.client.KeepAliveOnce(ctx, l.id)
	if err != nil {
		return renewal{}, err
	}
	return renewal{asked, time.Duration(kept.TTL) * time.Second}, nil
}
