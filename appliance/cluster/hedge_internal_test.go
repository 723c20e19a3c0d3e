package cluster

import (
	"context"
	"errors"
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
				got, err := hedged(ctx, func(ctx context.Context) (int, error) { return (<-next)(ctx) }, func(err error) bool { return errors.Is(err, refused) })
				if took := time.Since(began); got != tc.want || !errors.Is(err, tc.err) || took != tc.took {
					t.Errorf("%d, %v after %s; want %d, %v after %s", got, err, took, tc.want, tc.err, tc.took)
				}
			})
		})
	}
}
