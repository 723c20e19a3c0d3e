package sessions

import (
	"context"
	"errors"
	"time"
)

// errNotHanded: what speaks for the devices of a session could not say how it gets them.
var errNotHanded = errors.New("handing it its devices")

// backToQueue begins the reason of a session that could not be started for now.
const backToQueue = "back to the queue: "

// fetch brings image and whatever else must be on the box. A runtime that is away is waited for as it is at the start.
func (r *runner) fetch(ctx context.Context, s Session) (Signal, bool) {
	if r.adopted != nil {
		return Signal{Kind: SignalPrepared, Reason: "found running"}, true
	}
	deadline := time.Now().Add(r.limits.Start)
	for try := 1; ; try++ {
		began := time.Now()
		sig, ok, err := r.pull(ctx, s)
		if !ok || !errors.Is(err, ErrRuntimeDown) {
			return sig, ok
		}
		if time.Since(began) > r.limits.Start { // it had come a good way
			try, deadline = 1, time.Now().Add(r.limits.Start)
		}
		wait := Backoff(try, 0)
		if time.Now().Add(wait).After(deadline) {
			return Signal{Kind: SignalGiveUp, Reason: backToQueue + err.Error()}, true
		}
		r.log.Warn("not fetched yet; trying again", "error", err, "in", wait)
		r.note("tried again in " + wait.String() + ": " + err.Error())
		if sig, over, ok := r.bide(ctx, wait); over {
			return sig, ok
		}
	}
}

// pull is one try; failed is why its signal is that of a failure. ok is false when the daemon stops first.
func (r *runner) pull(ctx context.Context, s Session) (sig Signal, ok bool, failed error) {
	pulling, cancel := context.WithTimeout(ctx, r.limits.Pull)
	defer cancel()
	defer context.AfterFunc(r.stopping, cancel)()
	progress, result := make(chan Progress), make(chan error, 1)
	gaveWay := ""
	go func() {
		result <- r.bring(pulling, s, func(p Progress) {
			select {
			case progress <- p:
			case <-pulling.Done():
			}
		})
	}()
	for {
		select {
		case p := <-progress:
			if now, _ := r.snapshot(); now.Status == StatusPreparing {
				r.step(ctx, Signal{Kind: SignalPull, Reason: "pulling " + s.Image})
			}
			r.note(p.Message)
		case gaveWay = <-r.yield:
			cancel() // whoever needs its place must not wait until all has come
		case err := <-result:
			switch {
			case ctx.Err() != nil || r.deposed(ctx, err):
				return Signal{}, false, nil
			case r.stopping.Err() != nil:
				return Signal{Kind: SignalStop, Reason: r.stopReason()}, true, nil
			case gaveWay != "":
				return Signal{Kind: SignalGiveUp, Reason: gaveWay}, true, nil
			case err != nil:
				return Signal{Kind: SignalFail, Reason: err.Error()}, true, err
			}
			return Signal{Kind: SignalPrepared, Reason: "all it needs is on the box"}, true, nil
		}
	}
}

func (r *runner) bring(ctx context.Context, s Session, progress func(Progress)) error {
	if f, ok := r.runtime.(Fetcher); ok {
		return f.Fetch(ctx, s, progress)
	}
	return r.runtime.Pull(ctx, s.Image, progress)
}

// start tells the runtime to start the instance, or takes the one that an earlier daemon started. What is likely to
// pass by itself, a runtime that is just being restarted or a driver that does not answer, is waited for as long as a
// start may take. Then the session goes back to the queue, with the reason: for a job there would be no other start.
func (r *runner) start(ctx context.Context, s Session) (Signal, bool) {
	if in, sig, over, ok := r.taken(ctx); over {
		return sig, ok
	} else if in != nil {
		return Signal{Kind: SignalStarted, Reason: "found running", Instance: in}, true
	}
	deadline := time.Now().Add(r.limits.Start)
	for try := 1; ; try++ {
		select {
		case reason := <-r.yield:
			return Signal{Kind: SignalGiveUp, Reason: reason}, true
		case <-ctx.Done():
			return Signal{}, false
		default:
		}
		in, err := r.startOnce(ctx, s)
		switch {
		case r.deposed(ctx, err):
			return Signal{}, false
		case err == nil:
			r.half = false
			return Signal{Kind: SignalStarted, Reason: r.startedReason(), Instance: &in}, true
		case !r.passing(err):
			exit := &Exit{Reason: ExitStartFailed, Code: -1, Message: err.Error(), FinishedAt: time.Now()}
			return Signal{Kind: SignalFail, Reason: err.Error(), Exit: exit}, true
		}
		wait := Backoff(try, 0)
		if time.Now().Add(wait).After(deadline) {
			return Signal{Kind: SignalGiveUp, Reason: backToQueue + err.Error()}, true
		}
		r.log.Warn("not started yet; trying again", "error", err, "in", wait)
		r.note("tried again in " + wait.String() + ": " + err.Error())
		if sig, over, ok := r.bide(ctx, wait); over {
			return sig, ok
		}
	}
}

// taken is the instance that was found running, once. One that is only being started, as somebody before has asked for, is waited for;
// nil where that came to nothing: it is started anew, as one that was away. over: as of bide.
func (r *runner) taken(ctx context.Context) (in *Instance, sig Signal, over, ok bool) {
	in = r.adopted
	r.adopted = nil
	resumer, resumes := r.runtime.(Resumer)
	if in == nil || !resumes || !in.StartedAt.IsZero() {
		return in, Signal{}, false, false
	}
	starting, leave := context.WithCancelCause(context.WithoutCancel(ctx))
	defer leave(nil)
	bound, cancel := context.WithTimeout(starting, r.limits.Start)
	defer cancel()
	type outcome struct {
		in  Instance
		err error
	}
	done := make(chan outcome, 1)
	go func() {
		now, err := resumer.Resume(bound, r.id)
		done <- outcome{now, err}
	}()
	select {
	case <-ctx.Done():
		leave(ErrAskerGone)
		<-done
		return nil, Signal{}, true, false
	case <-r.stopping.Done():
		leave(nil)
		<-done // what has come of it nevertheless is ended like all else
		return nil, Signal{Kind: SignalStop, Reason: r.stopReason()}, true, true
	case o := <-done:
		if o.err != nil {
			r.log.Warn("a start that was under way has failed; it is started anew", "error", o.err)
			r.half = true // something of it may be there for a while
			return nil, Signal{}, false, false
		}
		return &o.in, Signal{}, false, false
	}
}

// asking bounds what is asked of a runtime. It is seen through to its end even when the daemon stops: it is short, and half a start
// helps nobody. Where it goes on without who asked, it is left to the next one, who asks for the same.
func asking(ctx context.Context, of Runtime, limit time.Duration) (context.Context, context.CancelFunc) {
	through, leave := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := func() bool { return true }
	if _, goesOn := of.(Resumer); goesOn {
		stop = context.AfterFunc(ctx, func() { leave(ErrAskerGone) })
	}
	bound, cancel := context.WithTimeout(through, limit)
	return bound, func() { stop(); cancel(); leave(nil) }
}

// deposed reports whether err says nothing of the session, as this daemon decides no more, or waits no more for what goes on without
// it. The session is then left as it is, to the next one; this one is about to stop.
func (r *runner) deposed(ctx context.Context, err error) bool {
	if errors.Is(err, ErrAskerGone) {
		<-ctx.Done()
		return true
	}
	_, goesOn := r.runtime.(Resumer)
	return err != nil && goesOn && ctx.Err() != nil
}

// startOnce is one try.
func (r *runner) startOnce(ctx context.Context, s Session) (Instance, error) {
	starting, cancel := asking(ctx, r.runtime, r.limits.Start)
	defer cancel()
	spec, err := r.spec(s)
	if err != nil {
		return Instance{}, err
	}
	if err := r.reveal(starting, &spec); err != nil {
		return Instance{}, err
	}
	in, err := r.runtime.Start(starting, spec)
	if errors.Is(err, context.DeadlineExceeded) {
		err = errors.New("the runtime did not start it within " + r.limits.Start.String())
	}
	return in, err
}

func (r *runner) startedReason() string {
	if r.loose {
		return "its process runs; nothing but its engine holds it to its part of the device"
	}
	return "its process runs"
}

// passing reports whether what kept a session from starting is likely to pass. What a runtime that went away in the
// middle of a start has left of it, it takes away when it is back: until then there is an instance of that id.
func (r *runner) passing(err error) bool {
	r.half = r.half || errors.Is(err, ErrRuntimeDown)
	return errors.Is(err, ErrRuntimeDown) || errors.Is(err, errNotHanded) || r.half && errors.Is(err, ErrInstanceExists)
}

// bide waits before another try. over: somebody wants the session to end or to give way, or, without ok, the daemon stops.
func (r *runner) bide(ctx context.Context, wait time.Duration) (sig Signal, over, ok bool) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return Signal{}, false, true
	case <-r.stopping.Done():
		return Signal{Kind: SignalStop, Reason: r.stopReason()}, true, true
	case reason := <-r.yield:
		return Signal{Kind: SignalGiveUp, Reason: reason}, true, true
	case <-ctx.Done():
		return Signal{}, true, false
	}
}
