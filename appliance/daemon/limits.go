package daemon

import (
	"context"
	"time"

	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/usage"
)

// openTokens reads the tokens, and puts the settings' limits on projects. Budgets go on with what the
// store says was spent.
func (d *daemon) openTokens(ctx context.Context) error {
	limits, err := d.Config.Limits.Quotas()
	if err != nil {
		return err
	}
	if d.tokens, err = router.NewTokens(ctx, d.tokenRows(), time.Now); err != nil {
		return err
	}
	if err = d.openTally(); err != nil {
		return err
	}
	return d.tokens.Limit(ctx, limits, func(ctx context.Context, from time.Time) (tokens, projects map[string]int64, err error) {
		return usage.Spent(ctx, d.store, from)
	})
}

// flushTokens writes when tokens were last used, now and then and at the end.
func (d *daemon) flushTokens(ctx context.Context) {
	tick := time.NewTicker(30 * time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			done = true
		}
		writing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		if err := d.tokens.Flush(writing); err != nil {
			d.Log.Error("when tokens were last used was not written; it will be", "error", err)
		}
		cancel()
	}
}
