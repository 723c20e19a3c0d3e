package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Who leads writes down again and again that it does, and stops where that has not come through for LeaseTime. Whoever stands for
// election reads it: what has not changed for longer than that, by the clock of who reads, is of a leader that has stopped, and its key
// is taken away. Without that its key would stay for as long as etcd keeps its lease, which etcd lets begin anew, and adds to, whenever
// it elects a leader of its own.

const (
	// beatEvery is how often who leads writes down that it does.
	beatEvery = LeaseTime / 4
	// beatMargin is for clocks that do not go alike, and for who has to stop on a busy machine.
	beatMargin = 500 * time.Millisecond
)

// lead is what etcd has of who leads.
type lead struct {
	key  *mvccpb.KeyValue // of the election; nil: nobody leads
	beat *mvccpb.KeyValue // written by who leads, or led: see beatOf; nil: nobody has ever
	era  int64
}

// beatOf is what a leader writes, by the key of its election.
func beatOf(revision int64) string { return strconv.FormatInt(revision, 10) }

// listener is for one who stands for election: it notices when who leads does not say so any more.
type listener struct {
	key, beat int64 // revisions: at which the key of who leads was made, and at which it has said so last; 0: not since it leads
	since     time.Time
}

// patience is for how much longer who leads is to be waited for; 0: it leads no more. What etcd has was read before now. False: nothing can
// be said, for it is of a version that does not write down that it leads, or has only just begun.
func (l *listener) patience(now time.Time, of lead) (left time.Duration, says bool) {
	if of.key == nil || of.beat == nil || string(of.beat.Value) != beatOf(of.key.CreateRevision) {
		*l = listener{}
		return 0, false
	}
	if l.key != of.key.CreateRevision || l.beat != of.beat.ModRevision {
		*l = listener{of.key.CreateRevision, of.beat.ModRevision, now}
	}
	return max(0, l.since.Add(LeaseTime+beatMargin).Sub(now)), true
}

// overdue takes the place of one away who does not say any more that it leads, and returns when to look again.
func (l *listener) overdue(ctx context.Context, a *Agreement, of lead) time.Duration {
	left, says := l.patience(time.Now(), of)
	switch {
	case !says:
		return standEvery
	case left > 0:
		return min(left, standEvery)
	}
	deposing, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := hedged(deposing, func(ctx context.Context) (struct{}, error) { return struct{}{}, a.depose(ctx, of) }, isFull)
	switch {
	case isFull(err):
		*l = listener{} // who leads could not say so either
		return standEvery
	case err != nil:
		return standEvery
	}
	return 0
}

// depose takes the key of a leader away, unless it says after all that it leads.
func (a *Agreement) depose(ctx context.Context, of lead) error {
	_, err := a.client.Txn(ctx).If(
		clientv3.Compare(clientv3.CreateRevision(string(of.key.Key)), "=", of.key.CreateRevision),
		clientv3.Compare(clientv3.ModRevision(a.key(partBeat)), "=", of.beat.ModRevision),
	).Then(
		clientv3.OpDelete(string(of.key.Key)),
		clientv3.OpPut(a.key(partBeat), ""), // where etcd takes nothing new, it cannot be said that one leads: then this is refused, too
	).Commit()
	if err != nil {
		return fmt.Errorf("taking the place of who led: %w", err)
	}
	return nil
}

// isFull tells whether etcd takes nothing new.
func isFull(err error) bool { return errors.Is(err, rpctypes.ErrNoSpace) }

// beat writes down that r still is: ErrDeposed where it is not.
func (a *Agreement) beat(ctx context.Context, r Reign) error {
	leads := clientv3.Compare(clientv3.CreateRevision(r.key), "=", r.Term.revision())
	done, err := a.client.Txn(ctx).If(leads).Then(clientv3.OpPut(a.key(partBeat), beatOf(r.Term.revision()))).Commit()
	switch {
	case isFull(err): // who stands for election is refused the like: the lease alone says who leads
		return nil
	case err != nil:
		return fmt.Errorf("writing down that this box leads: %w", err)
	case !done.Succeeded:
		return ErrDeposed
	}
	return nil
}

// beatOfAny is beat by whichever member answers. It returns when that one was asked.
func (a *Agreement) beatOfAny(ctx context.Context, r Reign) (time.Time, error) {
	return hedged(ctx, func(ctx context.Context) (time.Time, error) {
		asked := time.Now()
		return asked, a.beat(ctx, r)
	}, func(err error) bool { return errors.Is(err, ErrDeposed) })
}

// keepBeating writes down again and again that r still is, and has it end as soon as that may not be so any more.
func (a *Agreement) keepBeating(ctx context.Context, r Reign, until time.Time, end context.CancelCauseFunc) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(min(beatEvery, time.Until(until))):
		}
		if !time.Now().Before(until) { // a box that was frozen has a clock that went on
			end(ErrLeaseLost)
			return
		}
		beating, cancel := context.WithDeadline(ctx, until)
		asked, err := a.beatOfAny(beating, r)
		cancel()
		switch {
		case errors.Is(err, ErrDeposed):
			end(ErrDeposed)
			return
		case err == nil:
			until = asked.Add(LeaseTime)
		}
	}
}
