package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// watch probes a running session and waits for its end, or for somebody to ask for it.
func (r *runner) watch(ctx context.Context, s Session) (Signal, bool) {
	watching, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan Exit, 1)
	r.asides.Go(func() { r.await(watching, s.ID, ended) })
	verdicts := make(chan Verdict, 1)
	probe := time.NewTimer(0)
	defer probe.Stop()
	if s.Launch.Port == 0 || s.Task.Cluster != nil && r.joinedAt().IsZero() {
		probe.Stop() // there is nobody to ask, or not yet
	}
	timeout := s.untilTimeout(time.Now())
	for {
		select {
		case exit := <-ended:
			if sig, again := retry(s, exit, time.Now()); again && r.stopping.Err() == nil && r.whole(s) {
				return sig, true
			}
			return Signal{Kind: SignalEnded, Reason: exitSentence(exit), Exit: &exit}, true
		case <-r.stopping.Done():
			return Signal{Kind: SignalStop, Reason: r.stopReason()}, true
		case reason := <-r.yield:
			return Signal{Kind: SignalPreempt, Reason: reason}, true
		case a := <-r.restart:
			if a.run > 0 && a.run <= s.Task.Restarts {
				continue // asked for before this run began, which is the one
			}
			return Signal{Kind: SignalRestart, Reason: a.reason, Run: a.run, Failures: a.failures}, true
		case <-timeout:
			if r.endedAlready(ctx) {
				timeout = nil // no daemon was there to see it: how it ended counts, and is about to come
				continue
			}
			return Signal{Kind: SignalTimeout, Reason: "it ran for longer than its timeout of " + s.Task.Timeout.String()}, true
		case <-ctx.Done():
			return Signal{}, false
		case at := <-r.joins:
			r.mu.Lock()
			r.joined = at
			r.mu.Unlock()
			if s.Launch.Port != 0 {
				probe.Reset(0)
			}
		case <-probe.C:
			r.asides.Go(func() { verdicts <- r.probe(watching, s.Address, s.Launch.Health) })
		case v := <-verdicts:
			if watching.Err() != nil {
				continue
			}
			if wait, again := r.judge(ctx, v); again {
				probe.Reset(wait)
			}
		}
	}
}

// await sends how the instance ended. A runtime that cannot tell for the moment (its own daemon
// restarts) is asked again.
func (r *runner) await(ctx context.Context, id string, ended chan<- Exit) {
	for try := 1; ; try++ {
		exit, err := r.runtime.Wait(ctx, id)
		switch {
		case err == nil:
			ended <- exit
			return
		case errors.Is(err, ErrNoInstance):
			ended <- unknownExit()
			return
		case ctx.Err() != nil:
			return
		}
		r.log.Warn("cannot see whether the session runs; asking again", "error", err)
		if !pause(ctx, Backoff(try, 0)) {
			return
		}
	}
}

func unknownExit() Exit {
	return Exit{
		Reason: ExitUnknown, Code: -1, FinishedAt: time.Now(),
		Message: "it ended while nobody watched, or the box was restarted",
	}
}

// exitSentence is why a session that ended by itself is no more.
func exitSentence(e Exit) string {
	if e.Message != "" {
		return e.Message
	}
	return fmt.Sprintf("it ended: %s, exit code %d", e.Reason, e.Code)
}

// judge takes a verdict in and says when to probe again.
func (r *runner) judge(ctx context.Context, v Verdict) (time.Duration, bool) {
	now := time.Now()
	pid := 0
	if v.OK && !r.answered() {
		pid = r.answering(ctx) // before anybody hears that it is healthy
	}
	r.mu.Lock()
	before, check, started, starting := r.health, r.session.Launch.Health, r.session.StartedAt, r.starting
	joined := r.joined
	begun := latest(started, joined) // before that it waited for the other containers
	r.health = before.Observe(v, check, begun, now)
	after := r.health
	first := r.session.HealthyAt.IsZero() && !after.FirstAt.IsZero()
	if first {
		r.session.HealthyAt = after.FirstAt.UTC()
		r.session.PID = cmp.Or(pid, r.session.PID)
	}
	was := r.session.UnhealthySince
	r.session.UnhealthySince = time.Time{}
	if after.State == HealthUnhealthy {
		r.session.UnhealthySince = after.Since.UTC()
	}
	if starting.IsZero() && before.Detail != "" {
		starting = started // an earlier daemon started it; this one has seen it load, and so knows when it was done
	}
	loaded := r.session
	keep := first || !was.Equal(r.session.UnhealthySince)
	r.mu.Unlock()
	r.metrics.probed(v.OK)
	if before.State != after.State {
		r.mark(r.service, r.id)
		r.log.Info("health", "from", before.State, "to", after.State, "probe", v.Detail)
		r.changed()
	}
	if first && !starting.IsZero() {
		r.loaded(loaded, now.Sub(latest(starting, joined))) // before that there was nothing to load with
	}
	if keep {
		r.asides.Go(func() { // probes must not wait for a store that hangs
			if err := r.save(ctx); err != nil {
				r.log.Error("session's health was not written; its next change will be", "error", err)
			}
		})
	}
	return after.NextProbe(check, begun, now)
}

// join tells a session of several containers that all of them are there.
func (r *runner) join(at time.Time) {
	select {
	case r.joins <- at:
	default: // it was told
	}
}

func (r *runner) joinedAt() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.joined
}

// endedAlready reports whether nothing of the session runs any more.
func (r *runner) endedAlready(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Save)
	defer cancel()
	in, err := r.observe.Inspect(ctx, r.id)
	return err == nil && !in.Running || errors.Is(err, ErrNoInstance)
}

// answered reports whether the session has ever passed its probes.
func (r *runner) answered() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.session.HealthyAt.IsZero()
}

// answering is the process that answers: at the start it may have been one that prepares. It is 0 where that is not known.
func (r *runner) answering(ctx context.Context) int {
	ctx, cancel := context.WithTimeout(ctx, r.limits.Save)
	defer cancel()
	in, err := r.observe.Inspect(ctx, r.id)
	if err != nil || !in.Running {
		return 0 // it is ending; the end says the rest
	}
	return in.PID
}

// halt takes the session out of the balance, waits for the requests that it answers, and stops it.
func (r *runner) halt(ctx context.Context, s Session) (Signal, bool) {
	policy := r.policy(s.ServiceID)
	if r.forced.Err() == nil && !s.HealthyAt.IsZero() && !r.crippled() {
		r.drain(ctx, s, policy.TerminationGrace)
	}
	if s.Status == StatusPreempted {
		r.keep(ctx)
	}
	if ctx.Err() != nil {
		return Signal{}, false
	}
	grace := r.limits.StopGrace
	if s.Status == StatusPreempted {
		grace = r.limits.PreemptGrace // time to write a checkpoint
	} else if r.sick() || r.crippled() {
		grace = min(grace, sickGrace)
	}
	if r.forced.Err() != nil {
		grace = 0
	}
	// Not cut short when the daemon stops: SIGTERM without SIGKILL could leave a process behind that
	// ignores the first, and the next daemon would only do the same again.
	stopping, cancel := asking(ctx, r.runtime, grace+r.limits.Stop)
	defer cancel()
	graceful, hurry := context.WithCancel(stopping)
	defer hurry()
	defer context.AfterFunc(r.forced, hurry)() // whoever loses patience need not wait for the grace
	err := r.runtime.Stop(graceful, s.ID, grace)
	switch {
	case r.deposed(ctx, err) && !errors.Is(err, ErrNoInstance):
		return Signal{}, false
	case s.Status == StatusPreempted && r.stopping.Err() == nil:
		// One that failed by itself as well, and may be tried again, goes back to the queue like any other.
		if exit := r.exitOf(stopping, s.ID); err == nil && s.Type == TypeBatch && byItself(exit) && (exit.Reason == ExitCompleted || !s.mayRetry()) {
			return Signal{Kind: SignalEnded, Reason: exitSentence(*exit), Exit: exit}, true // it was done before it was asked
		}
		if err == nil || errors.Is(err, ErrNoInstance) {
			// Its instance goes, for the id is to be started again. What it wrote to its folders stays.
			r.keepLog(stopping, s)
			err = r.runtime.Remove(stopping, s.ID)
		}
		if r.deposed(ctx, err) {
			return Signal{}, false
		}
		if err != nil {
			return r.giveWayLater(ctx, s, err)
		}
		return Signal{Kind: SignalGiveUp, Reason: s.Reason}, true
	case err != nil && !errors.Is(err, ErrNoInstance):
		if s.Status == StatusPreempted {
			return r.clean(ctx, s) // asked to end while it gave way; there is no way from here to ERROR
		}
		return Signal{Kind: SignalFail, Reason: "stopping it: " + err.Error()}, true
	}
	exit := r.exitOf(stopping, s.ID)
	if exit == nil && r.deposed(ctx, context.Cause(stopping)) {
		return Signal{}, false // how it ended the next one hears
	}
	return Signal{Kind: SignalStopped, Reason: s.Reason, Exit: exit}, true
}

// sickGrace is StopGrace for who answers no probe: it seldom hears SIGTERM, and clients wait for it.
const sickGrace = time.Second

// crippled reports whether a route is to end because another of its containers has: it can answer nothing.
func (r *runner) crippled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stop != nil && r.stop.cause != nil && r.session.Type == TypeInference
}

func (r *runner) sick() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.session.UnhealthySince.IsZero()
}

// keep waits until it is written that the session gives way: a daemon that found it ended, and did not know why, would
// not put it back into the queue. Whoever wants it to end for good does not wait for that.
func (r *runner) keep(ctx context.Context) {
	for try := 1; !r.saved(); try++ {
		if !r.rest(ctx, Backoff(try, 0)) {
			return
		}
		if err := r.save(ctx); err != nil {
			r.log.Error("session's row was not written, and it does not give way before", "error", err)
		}
	}
}

// giveWayLater goes on giving way where the runtime could not do its part, and does not give up before: the session
// would be lost for something that is not its fault.
func (r *runner) giveWayLater(ctx context.Context, s Session, err error) (Signal, bool) {
	for try := 1; r.stopping.Err() == nil; try++ {
		wait := Backoff(try, 0)
		r.log.Error("the session cannot give way yet; trying again", "error", err, "in", wait)
		r.note(s.Reason + "; not yet: " + err.Error())
		if sig, over, ok := r.bide(ctx, wait); over && !ok {
			return sig, ok
		} else if over {
			break
		}
		trying, cancel := asking(ctx, r.runtime, r.limits.Stop)
		if err = r.runtime.Stop(trying, s.ID, 0); err == nil || errors.Is(err, ErrNoInstance) {
			r.keepLog(trying, s)
			err = r.runtime.Remove(trying, s.ID)
		}
		cancel()
		if err == nil {
			return Signal{Kind: SignalGiveUp, Reason: s.Reason}, true
		}
	}
	return r.clean(ctx, s)
}

// drain waits until the route answers nothing, at most for grace. An instance that ends by itself
// answers nothing either.
func (r *runner) drain(ctx context.Context, s Session, grace time.Duration) {
	draining, cancel := context.WithTimeout(ctx, grace)
	defer cancel()
	defer context.AfterFunc(r.forced, cancel)()
	r.asides.Go(func() {
		if _, err := r.runtime.Wait(draining, s.ID); err == nil || errors.Is(err, ErrNoInstance) {
			cancel()
		}
	})
	if err := r.traffic.WaitIdle(draining, s.ID); err != nil && ctx.Err() == nil {
		r.log.Info("drained as far as it may", "in_flight", r.traffic.InFlight(s.ID), "grace", grace)
	}
}

// exitOf asks how an instance ended that has ended.
func (r *runner) exitOf(ctx context.Context, id string) *Exit {
	exit, err := r.runtime.Wait(ctx, id)
	if err != nil {
		return nil
	}
	return &exit
}

// clean makes sure that nothing of a failed session runs, and does not give up before.
func (r *runner) clean(ctx context.Context, s Session) (Signal, bool) {
	for try := 1; ; try++ {
		stopping, cancel := asking(ctx, r.runtime, r.limits.Stop)
		err := r.runtime.Stop(stopping, s.ID, 0)
		cancel()
		if err == nil || errors.Is(err, ErrNoInstance) {
			return Signal{Kind: SignalStopped, Reason: s.Reason}, true
		}
		if r.deposed(ctx, err) {
			return Signal{}, false
		}
		r.log.Error("cannot clean up; trying again", "error", err)
		if !pause(ctx, Backoff(try, 0)) {
			return Signal{}, false
		}
	}
}
