package cluster

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// hedgeAfter is how long one member of etcd is waited for alone, before another one is asked the same beside it. hedgesSoon are asked
// so; whoever is asked after them twice as late each time: where all are slow, as those are that have too much to do, more questions
// would only make them slower.
const (
	hedgeAfter = 300 * time.Millisecond
	hedgesSoon = 3
	hedgesEver = math.MaxInt // for what is over after a while: it is asked as often until then
	// latestHedge is how late, at most, another one is asked where answers take long.
	latestHedge = LeaseTime
)

// pace is how long etcd took to answer one box of late. A second question beside one that is only waited for in line makes that line
// longer: where a thousand boxes asked again after the same time, an etcd that had more to do than it could for a moment would be asked
// ever more, and not come back from that. So who has waited for long waits longer for the next one.
type pace struct{ slow atomic.Int64 }

// took notes how long an answer took: a longer one counts at once, shorter ones by and by.
func (p *pace) took(d time.Duration) {
	d = min(d, latestHedge)                   // a box that was frozen waited for itself
	p.slow.Store(int64(max(d, (p.is()+d)/2))) // of several at once one may be lost, which is as good
}

func (p *pace) is() time.Duration { return time.Duration(p.slow.Load()) }

// patience is how long a member is waited for alone where there is so much time left: another one is to have half of that. With none left
// there is no haste any more.
func (p *pace) patience(left time.Duration) time.Duration {
	most := latestHedge
	if left > 0 {
		most = max(hedgeAfter, min(most, left/2))
	}
	return min(max(hedgeAfter, 3*p.is()), most)
}

// hedge is how something is asked.
type hedge struct {
	pace  *pace
	soon  int       // how many are asked before it is done more rarely
	haste bool      // another one is asked as soon as where etcd is quick: for what few boxes ask
	by    time.Time // another one is to be asked well before; zero: before it is waited for no more
}

func (h hedge) patience(ctx context.Context) time.Duration {
	if h.haste {
		return hedgeAfter
	}
	by := h.by
	if by.IsZero() {
		by, _ = ctx.Deadline() // none is long ago: there is no haste
	}
	return h.pace.patience(time.Until(by))
}

// hedged asks for what may be asked several times, and returns the first answer. A member that is frozen or cut off says nothing, and
// gRPC notices only after ten seconds and more that it does not; until then each question that its turn falls on is in vain. An error is
// no answer unless it is final: it is asked again until ctx ends, and then the last error is returned.
func hedged[T any](ctx context.Context, p *pace, ask func(context.Context) (T, error), final func(error) bool) (T, error) {
	return hedgedAs(ctx, hedge{pace: p, soon: hedgesSoon}, ask, final)
}

// hedgedInHaste is hedged for an election, about which few boxes ask, and which is not to wait for an etcd that was slow before.
func hedgedInHaste[T any](ctx context.Context, p *pace, ask func(context.Context) (T, error), final func(error) bool) (T, error) {
	return hedgedAs(ctx, hedge{pace: p, soon: hedgesSoon, haste: true}, ask, final)
}

// hedgedAs is hedged as is said.
func hedgedAs[T any](ctx context.Context, as hedge, ask func(context.Context) (T, error), final func(error) bool) (T, error) {
	type answer struct {
		value T
		err   error
		took  time.Duration
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of those that are still waited for
	answers := make(chan answer)
	wait := as.patience(ctx)
	next := time.NewTimer(wait)
	defer next.Stop()
	begin := func() {
		asked := time.Now()
		v, err := ask(ctx)
		select {
		case answers <- answer{v, err, time.Since(asked)}:
		case <-ctx.Done():
		}
	}
	go begin()
	var last answer
	for asked := 1; ; {
		select {
		case last = <-answers:
			if last.err == nil {
				as.pace.took(last.took)
			}
			if last.err == nil || final(last.err) {
				return last.value, last.err
			}
		case <-next.C:
			go begin()
			if asked++; asked >= as.soon {
				wait *= 2
			}
			next.Reset(wait)
		case <-ctx.Done():
			if last.err == nil {
				last.err = context.Cause(ctx)
			}
			return last.value, last.err
		}
	}
}

// askPatience is how long it is tried to read what is not much.
const askPatience = 5 * time.Second

// get reads by whichever member answers.
func (a *Agreement) get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	return hedged(ctx, &a.pace, func(ctx context.Context) (*clientv3.GetResponse, error) { return a.client.Get(ctx, key, opts...) }, never)
}

// never is for what no error ends.
func never(error) bool { return false }
