package cluster

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
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

// beats ends the key of an election of who writes down that it leads.
const beats = "/beats"

// lead is what etcd has of who leads.
type lead struct {
	key  *mvccpb.KeyValue // of the election; nil: nobody leads
	beat *mvccpb.KeyValue // written by who leads, or led: see beatOf; nil: nobody has ever, or who leads finds no room for it
	era  int64
}

// said is the revision at which it was written last that somebody leads; 0: it is not there.
func (of lead) said() int64 { return of.beat.GetModRevision() }

// beatOf is what a leader writes, by the key of its election.
func beatOf(revision int64) string { return strconv.FormatInt(revision, 10) }

// listener is for one who stands for election: it notices when who leads does not say so any more, or has never come to say it.
type listener struct {
	key, beat int64 // revisions: at which the key of who leads was made, and lead.said
	since     time.Time
}

// patience is for how much longer who leads is to be waited for; 0: it leads no more. What etcd has was read before now. False: nothing can
// be said, for it is of a version that does not write down that it leads.
func (l *listener) patience(now time.Time, of lead) (left time.Duration, says bool) {
	if of.key == nil || !strings.HasSuffix(string(of.key.Key), beats) {
		*l = listener{}
		return 0, false
	}
	if l.key != of.key.CreateRevision || l.beat != of.said() {
		*l = listener{of.key.CreateRevision, of.said(), now}
	}
	return max(0, l.since.Add(LeaseTime+beatMargin).Sub(now)), true
}

// overdue takes the place of one away who does not say any more that it leads, and returns when to look again.
func (a *Agreement) overdue(ctx context.Context, of lead) time.Duration {
	a.election.Lock()
	left, says := a.listens.patience(time.Now(), of)
	a.election.Unlock()
	switch {
	case !says:
		return standEvery
	case left > 0:
		return min(left, standEvery)
	}
	deposing, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := hedgedInHaste(deposing, &a.pace, func(ctx context.Context) (struct{}, error) { return struct{}{}, a.depose(ctx, of) }, isFull)
	if err != nil {
		return standEvery
	}
	return 0
}

// depose takes the key of a leader away, unless it says after all that it leads. Where there is no beat it may be that the leader found no
// room for one: then the listening begins with one of nobody's, which is written only where there is room.
func (a *Agreement) depose(ctx context.Context, of lead) error {
	ops := []clientv3.Op{clientv3.OpPut(a.key(partBeat), "")} // where etcd takes nothing new, it cannot be said that one leads: then this is refused, too
	if of.said() != 0 {
		ops = append(ops, clientv3.OpDelete(string(of.key.Key)))
	}
	_, err := a.client.Txn(ctx).If(
		clientv3.Compare(clientv3.CreateRevision(string(of.key.Key)), "=", of.key.CreateRevision),
		clientv3.Compare(clientv3.ModRevision(a.key(partBeat)), "=", of.said()),
	).Then(ops...).Commit()
	if err != nil {
		return fmt.Errorf("taking the place of who led: %w", err)
	}
	return nil
}

// isFull tells whether etcd takes nothing new.
func isFull(err error) bool { return errors.Is(err, rpctypes.ErrNoSpace) }

// beat writes down that r still is: ErrDeposed where it is not. Where etcd takes nothing new it takes away what was written: who stands for
// election can compare nothing then, and the lease alone says who leads until there is a beat again.
func (a *Agreement) beat(ctx context.Context, r Reign) error {
	say := func(op clientv3.Op) (*clientv3.TxnResponse, error) {
		return a.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(r.key), "=", r.Term.revision())).Then(op).Commit()
	}
	done, err := say(clientv3.OpPut(a.key(partBeat), beatOf(r.Term.revision())))
	if isFull(err) {
		done, err = say(clientv3.OpDelete(a.key(partBeat)))
	}
	switch {
	case err != nil:
		return fmt.Errorf("writing down that this box leads: %w", err)
	case !done.Succeeded:
		return ErrDeposed
	}
	return nil
}

// beatOfAny is beat by whichever member answers. It returns when that one was asked.
func (a *Agreement) beatOfAny(ctx context.Context, r Reign) (time.Time, error) {
	return hedgedInHaste(ctx, &a.pace, func(ctx context.Context) (time.Time, error) {
		asked := time.Now()
		return asked, a.beat(ctx, r)
	}, func(err error) bool { return errors.Is(err, ErrDeposed) })
}

// utterance is when it was said last that this box leads, of what has come through.
type utterance struct {
	mu sync.Mutex
	at time.Time
}

func (u *utterance) note(asked time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if asked.After(u.at) {
		u.at = asked
	}
}

// until is how long that is good for.
func (u *utterance) until() time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.at.Add(LeaseTime)
}

// keepSaying has it said again and again that this box leads, whether or not what was said before has come through: where etcd takes a
// second for each write, several are on their way at a time. heard is called once, when the first has come through; end with ErrDeposed,
// or with ErrLeaseLost as soon as nothing has that was said within LeaseTime. say returns when it asked, and one that takes longer than
// LeaseTime says nothing any more.
func keepSaying(ctx context.Context, say func(context.Context) (time.Time, error), heard func(), end context.CancelCauseFunc) {
	type answer struct {
		asked time.Time
		err   error
	}
	answers := make(chan answer)
	var saying sync.WaitGroup
	defer saying.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	begin := func() {
		asking, done := context.WithTimeout(ctx, LeaseTime)
		defer done()
		asked, err := say(asking)
		select {
		case answers <- answer{asked, err}:
		case <-ctx.Done():
		}
	}
	until, first := time.Now().Add(LeaseTime), sync.OnceFunc(heard)
	next, over := time.NewTicker(beatEvery), time.NewTimer(LeaseTime)
	defer next.Stop()
	defer over.Stop()
	saying.Go(begin)
	for {
		var got answer
		select {
		case <-ctx.Done():
			return
		case <-over.C:
		case <-next.C:
			saying.Go(begin)
		case got = <-answers:
		}
		if errors.Is(got.err, ErrDeposed) {
			end(ErrDeposed)
			return
		}
		through := got.err == nil && !got.asked.IsZero()
		if through && got.asked.Add(LeaseTime).After(until) {
			until = got.asked.Add(LeaseTime)
		}
		if !time.Now().Before(until) { // the clock of a box whose processes were frozen went on
			end(ErrLeaseLost)
			return
		}
		over.Reset(time.Until(until))
		if through {
			first()
		}
	}
}
