package cluster

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Term says who decides: of two, the greater is the later one. No two reigns have the same, also of clusters that follow each other
// on one database, or of one before and after it was rescued.
type Term int64

// Reign is the time in which one box leads.
type Reign struct {
	Term Term
	key  string     // of the election, there for as long as this box leads
	said *utterance // nil: of a reign that is only named
}

// Over tells whether it may be over by the clock: nothing has come through that was said within LeaseTime. A process that was frozen
// may ask before its timers, and with them the reign's context, have come to it.
func (r Reign) Over(now time.Time) bool { return r.said != nil && !now.Before(r.said.until()) }

// LeaseTime is how long a box may be silent before it leads no more, and before its routes are taken out where it was not late again and again: see stay.
const LeaseTime = 2 * time.Second

// Lead waits until this box leads, and calls reign. Its context ends, with ErrLeaseLost or ErrDeposed as its cause, as soon as
// that may be over: reign is to stop at once, and what it still writes is refused. Lead returns when reign has; then others may
// lead at once. An error of reign is returned as it is.
//
// Of many boxes a few stand for election, and the others wait until one of those does not any more: each that stands costs etcd a
// lease and several reads a second.
func (a *Agreement) Lead(ctx context.Context, node string, reign func(context.Context, Reign) error) error {
	err := a.giveBack(ctx)
	if err == nil {
		err = a.awaitTurn(ctx)
	}
	if err != nil {
		return fmt.Errorf("standing for election: %w", err)
	}
	lease, err := a.Grant(ctx, LeaseTime)
	if err != nil {
		return err
	}
	held := &tenure{agreement: a, stood: lease}
	defer held.end(ctx)
	bound, cancel := whileBoth(ctx, lease.Lost())
	defer cancel(nil)
	r, err := a.stand(bound, lease, node)
	if err != nil {
		if cause := context.Cause(bound); cause != nil {
			err = cause
		}
		return fmt.Errorf("standing for election: %w", err)
	}
	var beside sync.WaitGroup
	defer beside.Wait()
	reigning, end := context.WithCancelCause(ctx)
	defer end(nil)
	heard := make(chan struct{})
	beside.Go(func() {
		keepSaying(reigning, func(ctx context.Context) (time.Time, error) {
			asked, err := a.beatOfAny(ctx, r)
			if err == nil {
				r.said.note(asked)
			}
			return asked, err
		}, func() { close(heard) }, end)
	})
	beside.Go(func() { held.settle(reigning, r, node, end) })
	select {
	case <-heard:
	case <-reigning.Done():
	}
	if cause := context.Cause(reigning); cause != nil {
		return fmt.Errorf("standing for election: %w", cause)
	}
	return reign(reigning, r)
}

const (
	// standing is how many boxes stand for election. A few more may, that began at the same time.
	standing = 5
	// turnEvery is about how often one that does not stand looks whether it is to: when all that stand die at once nobody leads
	// until their leases are over and this has passed.
	turnEvery = 2 * time.Second
)

// awaitTurn waits until fewer than standing boxes stand.
func (a *Agreement) awaitTurn(ctx context.Context) error {
	for {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		got, err := hedged(asking, &a.pace, func(ctx context.Context) (*clientv3.GetResponse, error) {
			return a.client.Get(ctx, a.prefix+partLeader, clientv3.WithPrefix(), clientv3.WithCountOnly())
		}, never)
		cancel()
		wait := turnEvery/2 + rand.N(turnEvery)
		switch {
		case err != nil: // nobody may stand
			wait = retryFollow
		case got.Count < standing:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// standEvery is how often who stands for election looks whether it leads.
const standEvery = 200 * time.Millisecond

// stand waits until a box leads: whoever's key below leader/ was made first does, as in etcd's own elections. It looks again and again
// and does not watch: a member that is frozen would say nothing, and its connection stand for ten seconds more.
func (a *Agreement) stand(ctx context.Context, l *Lease, node string) (Reign, error) {
	key := a.key(partLeader, strconv.FormatInt(int64(l.id), 16)) + beats
	err := a.retry(ctx, func(ctx context.Context) error {
		_, err := hedgedInHaste(ctx, &a.pace, func(ctx context.Context) (*clientv3.TxnResponse, error) {
			absent := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
			return a.client.Txn(ctx).If(absent).Then(clientv3.OpPut(key, node, clientv3.WithLease(l.id))).Commit()
		}, never)
		return err
	})
	for err == nil {
		looking, cancel := context.WithTimeout(ctx, time.Second)
		of, asked := hedgedInHaste(looking, &a.pace, a.first, never)
		cancel()
		wait := standEvery
		switch {
		case asked != nil:
		case of.key == nil:
			return Reign{}, ErrLeaseLost // its key is gone
		case string(of.key.Key) == key:
			return Reign{Term: newTerm(of.era, of.key.CreateRevision), key: key, said: &utterance{at: time.Now()}}, nil
		default:
			wait = a.overdue(ctx, of)
		}
		select {
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-time.After(wait):
		}
	}
	return Reign{}, err
}

// first is what etcd has of who leads.
func (a *Agreement) first(ctx context.Context) (of lead, err error) {
	got, err := a.client.Txn(ctx).Then(
		clientv3.OpGet(a.prefix+partLeader, clientv3.WithFirstCreate()...), clientv3.OpGet(a.key(partEra)), clientv3.OpGet(a.key(partBeat)),
	).Commit()
	if err != nil {
		return of, err
	}
	if of.era, err = readEra((*clientv3.GetResponse)(got.Responses[1].GetResponseRange())); err != nil {
		return of, err
	}
	for i, kv := range map[int]**mvccpb.KeyValue{0: &of.key, 2: &of.beat} {
		if kvs := got.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			*kv = kvs[0]
		}
	}
	return of, nil
}

// whileBoth is a context that ends with either.
func whileBoth(ctx, other context.Context) (context.Context, context.CancelCauseFunc) {
	both, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(other, func() { cancel(context.Cause(other)) })
	return both, func(cause error) { stop(); cancel(cause) }
}

// leaderPatience is how long some member of etcd is to say who leads.
const leaderPatience = 5 * time.Second

// Leader is the name of the box that leads, and its term; "" and 0: none does at the moment.
func (a *Agreement) Leader(ctx context.Context) (string, Term, error) {
	ctx, cancel := context.WithTimeout(ctx, leaderPatience)
	defer cancel()
	of, err := hedged(ctx, &a.pace, a.first, never)
	if err != nil {
		return "", 0, fmt.Errorf("asking who leads: %w", err)
	}
	if of.key == nil {
		return "", 0, nil
	}
	return string(of.key.Value), newTerm(of.era, of.key.CreateRevision), nil
}

// decide does ops if r still is and what conditions say is so: ErrDeposed, or ErrTaken where a condition does not hold.
func (a *Agreement) decide(ctx context.Context, r Reign, conditions []clientv3.Cmp, ops ...clientv3.Op) error {
	leads := clientv3.Compare(clientv3.CreateRevision(r.key), "=", r.Term.revision())
	done, err := a.client.Txn(ctx).If(append([]clientv3.Cmp{leads}, conditions...)...).Then(ops...).Else(clientv3.OpGet(r.key)).Commit()
	switch {
	case err != nil:
		return fmt.Errorf("deciding: %w", err)
	case done.Succeeded:
		return nil
	}
	if got := done.Responses[0].GetResponseRange().Kvs; len(got) == 0 || got[0].CreateRevision != r.Term.revision() {
		return ErrDeposed
	}
	return ErrTaken
}

var errNoTerm = errors.New("a term is a positive number")

// Guard refuses what is told by a leader of before.
type Guard struct {
	seen Term
	keep func(Term) error
}

// NewGuard starts with the greatest term that was seen before; keep brings a greater one to the disk, before it is gone by.
func NewGuard(seen Term, keep func(Term) error) *Guard { return &Guard{seen, keep} }

// Pass lets a term through that is the greatest so far, else it says ErrDeposed. It is not for several goroutines at once.
func (g *Guard) Pass(t Term) error {
	switch {
	case t <= 0:
		return errNoTerm
	case t < g.seen:
		return fmt.Errorf("%w: term %s is over, this is %s", ErrDeposed, t, g.seen)
	case t > g.seen:
		if err := g.keep(t); err != nil {
			return fmt.Errorf("keeping term %s: %w", t, err)
		}
		g.seen = t
	}
	return nil
}

// FollowLeader tells f who leads, "" and 0 for nobody, at first and whenever that may have changed.
func (a *Agreement) FollowLeader(ctx context.Context, f func(name string, term Term)) {
	changed := make(chan struct{}, 1)
	var looking sync.WaitGroup
	looking.Go(func() {
		lookAgain(ctx, changed, func(ctx context.Context) error {
			name, term, err := a.Leader(ctx)
			if err == nil {
				f(name, term)
			}
			return err
		})
	})
	a.follow(ctx, a.prefix+partLeader, follower{whole: func([]Item) {}, some: func([]Item) {}, at: func(int64) {
		select {
		case changed <- struct{}{}:
		default: // it is looked after this in any case
		}
	}})
	looking.Wait()
}

// lookAgain looks after each change until ctx ends, and again until it is answered: the change is told once.
func lookAgain(ctx context.Context, changed <-chan struct{}, look func(context.Context) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		for {
			asking, cancel := context.WithTimeout(ctx, LeaseTime)
			err := look(asking)
			cancel()
			if err == nil {
				break
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(retryFollow):
			}
		}
	}
}
