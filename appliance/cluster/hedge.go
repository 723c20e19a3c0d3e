package cluster

import (
	"context"
	"math"
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
)

// hedged asks for what may be asked several times, and returns the first answer. A member that is frozen or cut off says nothing, and
// gRPC notices only after ten seconds and more that it does not; until then each question that its turn falls on is in vain. An error is
// no answer unless it is final: it is asked again until ctx ends, and then the last error is returned.
func hedged[T any](ctx context.Context, ask func(context.Context) (T, error), final func(error) bool) (T, error) {
	return hedgedSoon(ctx, hedgesSoon, ask, final)
}

// hedgedSoon is hedged where so many are asked before it is done more rarely.
func hedgedSoon[T any](ctx context.Context, soon int, ask func(context.Context) (T, error), final func(error) bool) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of those that are still waited for
	answers := make(chan answer)
	wait := hedgeAfter
	next := time.NewTimer(wait)
	defer next.Stop()
	begin := func() {
		v, err := ask(ctx)
		select {
		case answers <- answer{v, err}:
		case <-ctx.Done():
		}
	}
	go begin()
	var last answer
	for asked := 1; ; {
		select {
		case last = <-answers:
			if last.err == nil || final(last.err) {
				return last.value, last.err
			}
		case <-next.C:
			go begin()
			if asked++; asked >= soon {
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
	return hedged(ctx, func(ctx context.Context) (*clientv3.GetResponse, error) { return a.client.Get(ctx, key, opts...) }, never)
}

// never is for what no error ends.
func never(error) bool { return false }
