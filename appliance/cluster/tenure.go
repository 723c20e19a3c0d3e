package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// keepTime is for how long etcd keeps the key of who leads without hearing of that one. Others take a silent leader's place long before, by
// what it says (see listener): this is for an etcd that is full, where nothing is written by which they could. And it is longer than a
// member that leads etcd is frozen as a rule: one that comes back takes leases to be over that were renewed all the while, and has them
// revoked by whoever leads etcd by then. Who decides is not to lose its place by that.
const keepTime = time.Minute

// settleEvery is how often it is tried to have a lease of keepTime.
const settleEvery = LeaseTime

// tenure is what the key of a box hangs on that stands for election, and leads.
type tenure struct {
	agreement *Agreement
	stood     *Lease // with which it stood

	mu   sync.Mutex
	kept *Lease // of keepTime; nil: it has none yet
}

// settle hangs the key of who was elected on a lease of keepTime. Until then, and for as long as etcd is full, the reign ends with the
// lease with which the box stood; afterwards with that one.
func (t *tenure) settle(ctx context.Context, r Reign, node string, end context.CancelCauseFunc) {
	until := func(l *Lease) (loose func() bool) {
		return context.AfterFunc(l.Lost(), func() { end(context.Cause(l.Lost())) })
	}
	loose := until(t.stood)
	for {
		trying, cancel := context.WithTimeout(ctx, LeaseTime)
		kept, err := t.keep(trying)
		if err == nil {
			err = t.agreement.hang(trying, r, node, kept)
		}
		cancel()
		switch {
		case errors.Is(err, ErrDeposed): // which its beats find out, too
			return
		case err == nil && loose():
			until(kept)
			t.stood.lose(context.Canceled) // nothing hangs on it any more
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(settleEvery):
		}
	}
}

// keep is the lease of keepTime, which is asked for where there is none, or it was lost before anything hung on it.
func (t *tenure) keep(ctx context.Context) (*Lease, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.kept != nil && t.kept.Lost().Err() == nil {
		return t.kept, nil
	}
	kept, err := t.agreement.Grant(ctx, keepTime)
	if err == nil {
		t.kept = kept
	}
	return kept, err
}

// end gives back what the key hangs on: others may lead at once. What cannot be given back is left.
func (t *tenure) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), LeaseTime)
	defer cancel()
	t.mu.Lock()
	defer t.mu.Unlock()
	var ending sync.WaitGroup
	defer ending.Wait()
	for _, l := range []*Lease{t.kept, t.stood} {
		if l != nil {
			ending.Go(func() {
				if l.End(ctx) != nil {
					t.agreement.leave(l.id)
				}
			})
		}
	}
}

// hang hangs the key of who leads on another lease: ErrDeposed where it is not there.
func (a *Agreement) hang(ctx context.Context, r Reign, node string, on *Lease) error {
	leads := clientv3.Compare(clientv3.CreateRevision(r.key), "=", r.Term.revision())
	done, err := hedgedInHaste(ctx, &a.pace, func(ctx context.Context) (*clientv3.TxnResponse, error) {
		return a.client.Txn(ctx).If(leads).Then(clientv3.OpPut(r.key, node, clientv3.WithLease(on.id))).Commit()
	}, func(err error) bool { return isFull(err) || isGone(err) })
	switch {
	case err != nil:
		return fmt.Errorf("keeping the place of who leads: %w", err)
	case !done.Succeeded:
		return ErrDeposed
	}
	return nil
}
