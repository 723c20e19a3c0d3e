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
	granted, err := a.client.Grant(ctx, int64(ttl/time.Second))
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
	every := l.ttl / renewals
	for wait := every; ; {
		select {
		case <-l.lost.Done():
			return
		case <-time.After(min(wait, l.Until().Sub(l.now()))): // who has lost it is to know at once
		}
		asked := l.now()
		// A box that was frozen has a clock that went on.
		if !asked.Before(l.Until()) {
			l.lose(ErrLeaseLost)
			return
		}
		// A member that is frozen says nothing: the next one is asked while there is time.
		deadline := asked.Add(every)
		if until := l.Until(); until.Before(deadline) {
			deadline = until
		}
		ctx, cancel := context.WithDeadline(l.lost, deadline)
		kept, err := l.client.KeepAliveOnce(ctx, l.id)
		cancel()
		switch {
		case errors.Is(err, rpctypes.ErrLeaseNotFound), err == nil && kept.TTL <= 0:
			l.lose(ErrLeaseLost)
			return
		case err != nil:
			wait = every / 2
		default:
			l.mu.Lock()
			l.until = asked.Add(time.Duration(kept.TTL) * time.Second) // it counts from when etcd heard, which was later
			l.mu.Unlock()
			wait = every
		}
	}
}
