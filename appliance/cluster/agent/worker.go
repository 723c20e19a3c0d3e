package agent

import (
	"context"
	"errors"
	"maps"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// worker does what is to be done with one session. All that changes belongs to its goroutine, and before that to who makes it.
type worker struct {
	agent *Agent
	id    string

	kicked   chan struct{} // of size 1: look again
	here     presence
	instance sessions.Instance // where here is not nothing
	told     *cluster.Report   // what was said last, or is about to be
	oriented bool              // told is what was said before this agent too
	ends     chan ending       // of what runs
	watched  bool              // somebody waits for its end
	deeds    chan deed         // how what is being done went
	doing    action
	undo     context.CancelFunc // of what is being done: how depends on that
	grace    time.Duration      // with which it is being ended
	pause    time.Duration      // before what failed is tried again
	until    time.Time          // until when nothing is tried
	fence    *time.Timer
}

type ending struct {
	exit sessions.Exit
	err  error
}

// deed is what an action came to.
type deed struct {
	what     action
	round    string
	taken    bool // the session was taken in
	here     presence
	instance sessions.Instance
	err      error
}

// Bounds of how long a failed action rests.
const (
	minPause = 100 * time.Millisecond
	maxPause = 10 * time.Second
)

func newWorker(a *Agent, id string) *worker {
	return &worker{agent: a, id: id, kicked: make(chan struct{}, 1), ends: make(chan ending, 1), deeds: make(chan deed, 1), fence: time.NewTimer(time.Hour)}
}

func (w *worker) kick() {
	select {
	case w.kicked <- struct{}{}:
	default:
	}
}

// run goes on until nothing is left of the session, or ctx ends.
func (w *worker) run(ctx context.Context) {
	defer w.fence.Stop()
	defer w.drop()
	for {
		want, known := w.agent.wants(w.id)
		switch {
		case w.doing != rest:
			w.reconsider(want)
		case !time.Now().Before(w.until):
			w.watch(ctx)
			act := w.next(want, known)
			if act == rest && want == nil && w.told == nil && w.here == nothing && w.agent.done(w) {
				return
			}
			if act != rest {
				w.do(ctx, act, want)
				continue
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-w.kicked:
		case <-w.fence.C:
		case e := <-w.ends:
			w.over(e)
		case d := <-w.deeds:
			w.took(ctx, d)
		}
	}
}

// next is what is to be done. While nobody knows what is wanted, or this version cannot read it, only what may not run on unseen is
// ended.
func (w *worker) next(want *cluster.Wanted, known bool) action {
	if !known || want != nil && want.Unreadable {
		if may, _ := time.ParseDuration(w.instance.Labels[fenceLabel]); may > 0 && w.here == runs && w.unseen(max(may-w.agent.Grace, 1)) {
			return end
		}
		return rest
	}
	if !w.oriented {
		w.oriented = true
		w.told = w.agent.reportedBefore(w.id)
	}
	// The grace is over by the time of the fence.
	return next(want, w.told, w.here, want != nil && w.here == runs && want.Fence > 0 && w.unseen(max(want.Fence-w.agent.Grace, 1)))
}

// drop leaves what is being done: a start that is broken off leaves nothing, an end goes on, here or with the next agent.
func (w *worker) drop() {
	switch {
	case w.undo == nil:
	case w.doing == end: // to break it off would be to kill at once
		w.undo = nil
	default:
		w.undo()
		<-w.deeds
	}
}

// fenceLabel is on an instance that may not run on unseen for longer than it says: who finds it may not be able to ask.
const fenceLabel = "palisade.fence"

// unseen tells whether nobody has heard of the node for so long, and sees to it that somebody looks again. 0: never.
func (w *worker) unseen(may time.Duration) bool {
	if may <= 0 {
		return false
	}
	left := time.Until(w.agent.Heard().Add(may))
	if left > 0 {
		w.fence.Reset(left)
	}
	return left <= 0
}

// watch sees to it that the end of what runs is heard of.
func (w *worker) watch(ctx context.Context) {
	if w.here != runs || w.watched {
		return
	}
	w.watched = true
	w.agent.wg.Go(func() {
		exit, err := w.agent.Runtime.Wait(ctx, w.id)
		if ctx.Err() == nil {
			w.ends <- ending{exit, err}
		}
	})
}

// over is told that what ran has ended.
func (w *worker) over(e ending) {
	w.watched = false
	switch {
	case e.err == nil:
		w.here = ended
		w.instance.Running, w.instance.PID, w.instance.Exit = false, 0, &e.exit
	case errors.Is(e.err, sessions.ErrNoInstance):
		w.here = nothing
	default: // the runtime is away: it is asked again
		w.rest(e.err)
	}
}

// do begins an action. Those that take time are done beside, so that a change of mind is heard.
func (w *worker) do(ctx context.Context, act action, want *cluster.Wanted) {
	round := ""
	if want != nil {
		round = want.Round
	}
	switch act {
	case tell:
		state := cluster.Running
		if w.here == ended {
			state = cluster.Ended
		}
		w.say(cluster.Report{Round: w.told.Round, State: state, Instance: w.instance})
	case lose:
		in := w.told.Instance
		in.Running, in.PID = false, 0
		in.Exit = &sessions.Exit{Reason: sessions.ExitUnknown, Code: -1, Message: "It ended while nobody watched: the box was restarted, or its runtime has lost it.", FinishedAt: time.Now()}
		w.say(cluster.Report{Round: w.told.Round, State: cluster.Ended, Instance: in})
	case refuse:
		w.say(cluster.Report{Round: round, State: cluster.Refused, Fault: &cluster.Fault{Text: "It was to end before it had begun."}})
	case letGo:
		w.told = nil
		w.agent.out.letGo(w.id)
	case start:
		w.beside(ctx, deed{what: act, round: round}, func(ctx context.Context, d *deed) error { return w.start(ctx, *want, d) })
	case end:
		w.grace = w.agent.Grace
		if want != nil && want.Stop != nil {
			w.grace = want.Stop.Grace
		}
		grace := w.grace
		w.beside(context.WithoutCancel(ctx), deed{what: act}, func(ctx context.Context, _ *deed) error {
			return w.agent.Runtime.Stop(ctx, w.id, grace)
		})
	case remove:
		w.beside(ctx, deed{what: act}, func(ctx context.Context, _ *deed) error { return w.agent.Runtime.Remove(ctx, w.id) })
	case look:
		w.beside(ctx, deed{what: act}, w.find)
	case rest:
	}
}

func (w *worker) beside(ctx context.Context, d deed, do func(context.Context, *deed) error) {
	ctx, w.undo = context.WithCancel(ctx)
	w.doing = d.what
	go func() { // nobody waits for an end: see drop
		d.err = do(ctx, &d)
		w.deeds <- d
	}()
}

// start takes the session in, so that all know where it is before it is anywhere, and starts it.
func (w *worker) start(ctx context.Context, want cluster.Wanted, d *deed) (err error) {
	if err := w.agent.out.takeIn(ctx, want); err != nil {
		return err
	}
	d.taken = true
	spec := want.Spec
	if want.Fence > 0 {
		spec.Labels = maps.Clone(spec.Labels)
		if spec.Labels == nil {
			spec.Labels = map[string]string{}
		}
		spec.Labels[fenceLabel] = want.Fence.String()
	}
	if w.agent.Prepare != nil {
		if spec, err = w.agent.Prepare(ctx, spec); err != nil {
			return err
		}
	}
	d.instance, err = w.agent.Runtime.Start(ctx, spec)
	return err
}

// reconsider breaks off what is being done where it is not wanted any more.
func (w *worker) reconsider(want *cluster.Wanted) {
	switch w.doing {
	case start:
		if want == nil || want.Stop != nil || w.unseen(want.Fence) {
			w.undo()
		}
	case end:
		if want != nil && (want.Stop != nil && want.Stop.Grace < w.grace || w.unseen(want.Fence)) { // SIGKILL follows at once, which is as short as it gets
			w.undo()
		}
	case rest, look, remove, tell, lose, refuse, letGo:
	}
}

// took is told how an action went.
func (w *worker) took(ctx context.Context, d deed) {
	w.undo()
	w.doing, w.undo = rest, nil
	if d.taken {
		w.told = &cluster.Report{Round: d.round, State: cluster.Starting}
	}
	switch {
	case d.what == start && d.err == nil:
		w.here, w.instance = runs, d.instance
		w.say(cluster.Report{Round: d.round, State: cluster.Running, Instance: d.instance})
	case d.what == start && errors.Is(d.err, cluster.ErrTaken): // it is wanted otherwise
		w.rest(d.err)
		return
	case d.what == start && errors.Is(d.err, errNotTakenIn): // etcd is away, and may have heard it all the same
		w.told = &cluster.Report{Round: d.round, State: cluster.Starting}
		w.rest(d.err)
		return
	case d.what == start && (errors.Is(d.err, sessions.ErrRuntimeDown) || errors.Is(d.err, sessions.ErrInstanceExists)): // it, or half of it, may be there
		w.here = unknown
		w.rest(d.err)
		return
	case d.what == look && d.err == nil:
		w.here, w.instance = d.here, d.instance
	case d.what == start && ctx.Err() == nil:
		w.say(cluster.Report{Round: d.round, State: cluster.Refused, Fault: cluster.FaultOf(d.err)})
	case d.what == remove && d.err == nil:
		w.here, w.instance = nothing, sessions.Instance{}
	case d.what == end && errors.Is(d.err, sessions.ErrNoInstance):
		w.here = nothing
	case d.what == end && d.err == nil && w.here == runs: // its end is heard of by who watches it
		if e, ok := w.hear(ctx); ok {
			w.over(e)
		}
	case d.err != nil:
		w.rest(d.err)
		return
	}
	w.pause = 0
}

// hear waits for the end of what was ended.
func (w *worker) hear(ctx context.Context) (ending, bool) {
	w.watch(ctx)
	select {
	case e := <-w.ends:
		return e, true
	case <-ctx.Done():
		return ending{}, false
	}
}

// find looks for what the runtime has of the session.
func (w *worker) find(ctx context.Context, d *deed) error {
	list, err := w.agent.Runtime.List(ctx)
	for _, in := range list {
		if in.ID == w.id {
			d.here, d.instance = ended, in
			if in.Running {
				d.here = runs
			}
		}
	}
	return err
}

// rest looks again after a while that gets longer.
func (w *worker) rest(err error) {
	w.pause = min(max(2*w.pause, minPause), maxPause)
	if w.pause > time.Second {
		w.agent.Log.Warn("a session cannot be brought to what is wanted; it is tried again", "session", w.id, "error", err, "next", w.pause)
	}
	w.until = time.Now().Add(w.pause)
	time.AfterFunc(w.pause, w.kick)
}

// say notes a report, which goes out by itself.
func (w *worker) say(r cluster.Report) {
	w.told = &r
	w.agent.out.tell(w.id, r)
}

var errNotTakenIn = errors.New("the cluster could not be told")
