package sessions

import (
	"context"
	"fmt"
	"slices"
)

// weigh sets the route's weight in the balance; it stays as it was where that cannot be written down. One
// at a time: the caller holds the manager's writing.
func (r *runner) weigh(ctx context.Context, ratio float64) error {
	r.mu.Lock()
	before := r.session.TrafficRatio
	r.session.TrafficRatio = ratio
	r.mu.Unlock()
	err := r.save(ctx)
	if err != nil {
		r.mu.Lock()
		r.session.TrafficRatio = before
		r.mu.Unlock()
	}
	return err
}

// save writes the row and the transitions that have not been written yet, in the order in which they
// came to be.
func (r *runner) save(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.limits.Save)
	defer cancel()
	select {
	case r.saving <- struct{}{}:
		defer func() { <-r.saving }()
	case <-ctx.Done():
		return fmt.Errorf("waiting for an earlier write: %w", ctx.Err())
	}
	r.mu.Lock()
	s, unsaved := r.session, slices.Clone(r.unsaved)
	r.mu.Unlock()
	if err := r.store.SaveSession(ctx, s, unsaved...); err != nil {
		return err
	}
	r.mu.Lock()
	r.unsaved = r.unsaved[len(unsaved):]
	r.mu.Unlock()
	return nil
}

// flush writes what could not be written before, trying until the daemon stops.
func (r *runner) flush(ctx context.Context) {
	for try := 1; !r.saved(); try++ {
		if !pause(ctx, Backoff(try, 0)) {
			return
		}
		if err := r.save(ctx); err != nil {
			r.log.Error("session's row was not written; it will be", "error", err)
		}
	}
}

// saved reports whether all that the session went through is written.
func (r *runner) saved() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.unsaved) == 0
}
