package cluster

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A question is asked of the next one where nobody answers in time, and the first answer counts, whichever of them it is to.
func TestHedged(t *testing.T) {
	broken, refused := errors.New("broken"), errors.New("refused")
	silent := func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, context.Cause(ctx) }
	after := func(d time.Duration, v int, err error) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			select {
			case <-time.After(d):
				return v, err
			case <-ctx.Done():
				return 0, context.Cause(ctx)
			}
		}
	}
	type asks = []func(context.Context) (int, error)
	for name, tc := range map[string]struct {
		asks asks // one for each time that it is asked; the last one for all that follow
		want int
		err  error
		took time.Duration
	}{
		"at once":                        {asks{after(0, 1, nil)}, 1, nil, 0},
		"slow, and nobody is faster":     {asks{after(400*time.Millisecond, 1, nil)}, 1, nil, 400 * time.Millisecond},
		"the first one is silent":        {asks{silent, after(10*time.Millisecond, 2, nil)}, 2, nil, hedgeAfter + 10*time.Millisecond},
		"two are":                        {asks{silent, silent, after(0, 3, nil)}, 3, nil, 2 * hedgeAfter},
		"an error is asked again":        {asks{after(0, 0, broken), after(0, 2, nil)}, 2, nil, hedgeAfter},
		"a refusal is not":               {asks{silent, after(0, 0, refused)}, 0, refused, hedgeAfter},
		"all are silent":                 {asks{silent}, 0, context.DeadlineExceeded, 2 * time.Second},
		"the error that was last, at it": {asks{after(0, 0, broken), silent}, 0, broken, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				began, next := time.Now(), make(chan func(context.Context) (int, error), 100)
				for i := range cap(next) {
					next <- tc.asks[min(i, len(tc.asks)-1)]
				}
				got, err := hedged(ctx, &pace{}, func(ctx context.Context) (int, error) { return (<-next)(ctx) }, func(err error) bool { return errors.Is(err, refused) })
				if took := time.Since(began); got != tc.want || !errors.Is(err, tc.err) || took != tc.took {
					t.Errorf("%d, %v after %s; want %d, %v after %s", got, err, took, tc.want, tc.err, tc.took)
				}
			})
		})
	}
}

// Who has waited for long waits longer before another one is asked beside, and soon no longer once answers come at once again.
func TestPace(t *testing.T) {
	var p pace
	for i, c := range []struct {
		took, left, want time.Duration
	}{
		{0, time.Minute, hedgeAfter}, {5 * time.Millisecond, time.Minute, hedgeAfter}, {100 * time.Millisecond, time.Minute, hedgeAfter},
		{400 * time.Millisecond, time.Minute, 1200 * time.Millisecond}, {400 * time.Millisecond, time.Minute, 1200 * time.Millisecond},
		{400 * time.Millisecond, 2 * time.Second, time.Second}, // another one is to have as long
		{400 * time.Millisecond, 400 * time.Millisecond, hedgeAfter},
		{10 * time.Second, time.Minute, latestHedge}, {0, -time.Second, latestHedge},
	} {
		p.took(c.took)
		if got := p.patience(c.left); got != c.want {
			t.Errorf("%d: after %s, with %s left, it is waited for %s, want %s", i, c.took, c.left, got, c.want)
		}
	}
	quick := 0
	for ; p.patience(time.Minute) > hedgeAfter; quick++ {
		p.took(time.Millisecond)
	}
	if quick > 5 {
		t.Errorf("after 10 s it takes %d quick answers", quick)
	}
}

// An etcd that is slow is not asked twice for each thing because it is: that would be twice as much to do.
func TestHedgedBesideMuchToDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		var asked atomic.Int64
		const times = 20
		for range times {
			_, err := hedged(t.Context(), &p, func(context.Context) (int, error) {
				asked.Add(1)
				time.Sleep(500 * time.Millisecond)
				return 0, nil
			}, never)
			if err != nil {
				t.Fatal(err)
			}
		}
		if n := asked.Load(); n > times+1 {
			t.Errorf("%d times for %d answers", n, times)
		}
	})
}
