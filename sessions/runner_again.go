package sessions

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// again ends what is left of a session's last run and starts the next one, under the same id and at the same place. What
// was written to folders stays; all else of the last run goes. A daemon that finds a session in the middle of this goes
// on with the next run where it has begun, and else begins it.
func (r *runner) again(ctx context.Context, s Session) (Signal, bool) {
	if in, sig, over, ok := r.taken(ctx); over {
		return sig, ok
	} else if in != nil {
		return Signal{Kind: SignalStarted, Reason: "started again: found running", Instance: in}, true
	}
	r.keep(ctx) // or a daemon that found it ended would not know that it goes on
	for try := 1; ; try++ {
		if sig, over, ok := r.asked(ctx); over {
			return sig, ok
		}
		err := r.away(ctx, s)
		if err == nil {
			break
		}
		if r.deposed(ctx, err) {
			return Signal{}, false
		}
		wait := Backoff(try, 0)
		r.log.Error("what is left of the session's last run cannot be taken away; trying again", "error", err, "in", wait)
		r.note(s.Reason + "; not yet: " + err.Error())
		r.rest(ctx, wait)
	}
	r.awaitRetry(ctx, s.Task.RetryAt)
	deadline := time.Now().Add(r.limits.Start)
	for try := 1; ; try++ {
		if sig, over, ok := r.asked(ctx); over {
			return sig, ok
		}
		in, err := r.startInPlace(ctx, s)
		wait := Backoff(try, 0)
		switch {
		case r.deposed(ctx, err):
			return Signal{}, false
		case err == nil:
			r.half = false
			return Signal{Kind: SignalStarted, Reason: "started again: " + r.startedReason(), Instance: &in}, true
		case !r.passing(err) || time.Now().Add(wait).After(deadline):
			exit := &Exit{Reason: ExitStartFailed, Code: -1, Message: err.Error(), FinishedAt: time.Now()}
			return Signal{Kind: SignalFail, Reason: err.Error(), Exit: exit}, true
		}
		r.log.Warn("not started again yet; trying again", "error", err, "in", wait)
		r.note("tried again in " + wait.String() + ": " + err.Error())
		r.rest(ctx, wait)
	}
}

// startInPlace is one try to start a session at the place that it has kept. A daemon may have found it ended, and its place
// given to what runs there by now.
func (r *runner) startInPlace(ctx context.Context, s Session) (Instance, error) {
	if _, holds := r.ledger.Claim(r.id); !holds && s.Claim != nil {
		if err := r.ledger.Take(*s.Claim); err != nil {
			return Instance{}, fmt.Errorf("%w: its place is another's by now: %w", errNotHanded, err)
		}
	}
	return r.startOnce(ctx, s)
}

// asked reports whether the session is to end, or, without ok, the daemon stops.
func (r *runner) asked(ctx context.Context) (sig Signal, over, ok bool) {
	switch {
	case ctx.Err() != nil:
		return Signal{}, true, false
	case r.stopping.Err() != nil:
		return Signal{Kind: SignalStop, Reason: r.stopReason()}, true, true
	}
	return Signal{}, false, true
}

// away stops an instance and forgets it. As with any stop, the daemon's end does not cut it short.
func (r *runner) away(ctx context.Context, s Session) error {
	stopping, cancel := asking(ctx, r.runtime, r.limits.StopGrace+r.limits.Stop)
	defer cancel()
	graceful, hurry := context.WithCancel(stopping)
	defer hurry()
	defer context.AfterFunc(r.forced, hurry)()
	if err := r.runtime.Stop(graceful, s.ID, r.limits.StopGrace); err != nil && !errors.Is(err, ErrNoInstance) {
		return fmt.Errorf("stopping it: %w", err)
	}
	r.keepLog(stopping, s)
	if err := r.runtime.Remove(stopping, s.ID); err != nil {
		return fmt.Errorf("removing its last run: %w", err)
	}
	return nil
}

// awaitRetry waits until the next run may begin. One that is to give way does not wait: it can only do so when it runs.
func (r *runner) awaitRetry(ctx context.Context, at time.Time) {
	timer := time.NewTimer(min(time.Until(at), longestRetry)) // the box's clock may have been set back
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.stopping.Done():
	case <-ctx.Done():
	case reason := <-r.yield:
		r.yield <- reason // nobody else writes to it until the session has given way
	}
}

// rest waits before another try; false when the session is to end or the daemon stops first.
func (r *runner) rest(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.stopping.Done():
	case <-ctx.Done():
	}
	return false
}
