package sessions

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/variants"
)

// runner brings one session from PENDING to its end and is the only writer of its status. It performs
// the action of the present status, turns what came of it into a signal, and lets Step say what
// follows. When the daemon stops, the runner leaves the session as it is: the next daemon goes on.
type runner struct {
	runnerDeps
	id, service string // of the session, and whose route it is, if one's; they never change

	mu      sync.Mutex
	session Session
	health  Health
	unsaved []Transition // not written yet; the session's row neither
	stop    *stopRequest
	told    bool          // its end has been accounted for
	saving  chan struct{} // of size 1: full while the row is written
	offered chan place    // of size 1: a place that is taken for it
	net     *ClusterNet   // of that place, until the session has it; nil: it has none
	yield   chan string   // of size 1: it is to give way, and why
	yields  bool          // it was asked to give way, and has not yet
	restart chan again    // of size 1: it is to end and to be started again, and why
	// Of a route of several containers: when all of them were there, as it is told and as it knows; zero: not yet.
	joins  chan time.Time // of size 1
	joined time.Time
	// Why it waits is not written as often as it changes.
	waitsDirty bool
	waitsAt    time.Time // of the last write

	stopping context.Context // done once somebody asked to end the session
	askStop  context.CancelFunc
	forced   context.Context // done once it should end without grace
	force    context.CancelFunc
	starting time.Time      // when it began to start here, all that it needs being there; zero: not seen
	adopted  *Instance      // found running at the daemon's start
	loose    bool           // nothing holds it to its parts of devices: of the runner's goroutine alone
	half     bool           // a start broke off because the runtime was away: of the runner's goroutine alone
	done     chan struct{}  // closed when the runner has returned
	asides   sync.WaitGroup // what nobody waits for until the runner returns: writes, probes, a look at the instance
}

// runnerDeps are what all runners share.
type runnerDeps struct {
	store    SessionStore
	runtime  Runtime
	observe  Observer
	earlier  EarlierLogs // may be nil
	clusters ClusterFiles
	whole    func(Session) bool // all other containers of its session are there
	points   Checkpoints        // may be nil
	traffic  Traffic
	probe    Prober
	metrics  *metrics
	limits   Timeouts
	ledger   *accel.Ledger
	grant    func(accel.Claim) (accel.Grant, error)
	variants *variants.Table
	secret   func(ctx context.Context, name string) (string, error) // may be nil
	policy   func(serviceID string) Policy
	loaded   func(Session, time.Duration)    // it was healthy for the first time, so long after it began to start
	mark     func(service, session string)   // something of them has changed; what tells of it comes after
	unshown  func(service, session string)   // the same, where no plan goes by it
	changed  func()                          // something that others see has changed, and plans go by
	show     func()                          // something that others see has changed
	poke     func()                          // look at the plan again
	ended    func(s Session, r *stopRequest) // the session cannot go on: called once, before a plan goes by it
	log      *slog.Logger
}

// stopRequest says why a session is to end.
type stopRequest struct {
	reason string
	cause  *Exit // how another container of its session ended, where it has failed for that; else nil
}

// place is one that is taken for a session, with what the session is to have counted, to be in step with its other
// containers.
type place struct {
	claim         accel.Claim
	why           string      // that one, for people; may be ""
	net           *ClusterNet // of one of several containers that may be on several boxes
	run, failures int
}

// again asks for another run.
type again struct {
	reason        string
	run, failures int // what it is to have counted by then at least
}

func newRunner(deps runnerDeps, s Session) *runner {
	r := &runner{runnerDeps: deps, id: s.ID, service: s.ServiceID, session: s, done: make(chan struct{}), saving: make(chan struct{}, 1)}
	r.offered, r.yield, r.restart = make(chan place, 1), make(chan string, 1), make(chan again, 1)
	r.joins = make(chan time.Time, 1)
	r.log = deps.log.With("session", s.ID, "service", s.ServiceID)
	r.stopping, r.askStop = context.WithCancel(context.Background())
	r.forced, r.force = context.WithCancel(context.Background())
	return r
}

// snapshot returns the session and its health as they are now.
func (r *runner) snapshot() (Session, Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session, r.health
}

// status is the session's.
func (r *runner) status() Status {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.session.Status
}

// startingSince is when it began to start here; zero: that was not seen.
func (r *runner) startingSince() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.starting
}

// end asks the session to end; the first reason stays. Forced means without drain or grace.
func (r *runner) end(req stopRequest, forced bool) {
	r.mu.Lock()
	if r.stop == nil {
		r.stop = &req
	}
	r.mu.Unlock()
	r.askStop()
	if forced {
		r.force()
	}
}

// run performs actions until the session is terminal or ctx (the daemon) ends.
func (r *runner) run(ctx context.Context) {
	defer close(r.done)
	defer r.asides.Wait()
	for {
		s, _ := r.snapshot()
		action := NextAction(s.Status)
		if action == ActionNone {
			break
		}
		sig, ok := r.perform(ctx, action, s)
		if !ok {
			return
		}
		r.step(ctx, sig)
	}
	r.flush(ctx)
}

// perform does what action says. ok is false when the daemon stops first.
func (r *runner) perform(ctx context.Context, action Action, s Session) (sig Signal, ok bool) {
	switch action {
	case ActionWatch:
		return r.watch(ctx, s)
	case ActionStop:
		return r.halt(ctx, s)
	case ActionAgain:
		return r.again(ctx, s)
	case ActionClean:
		return r.clean(ctx, s)
	}
	if r.stopping.Err() != nil && r.adopted == nil {
		return Signal{Kind: SignalStop, Reason: r.stopReason()}, true
	}
	switch action {
	case ActionPlace:
		return r.place(ctx)
	case ActionPrepare:
		return Signal{Kind: SignalPrepare, Reason: "fetching what it needs"}, true
	case ActionFetch:
		return r.fetch(ctx, s)
	case ActionCreate:
		return Signal{Kind: SignalCreate, Reason: "starting"}, true
	default:
		return r.start(ctx, s)
	}
}

func (r *runner) stopReason() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop == nil {
		return "asked to end"
	}
	return r.stop.reason
}

// step applies a signal, shows the outcome and writes it, in this order: a route that cannot answer must not
// stay in the balance for as long as a slow store takes. A signal that does not fit is a bug of the runner: the
// session is failed rather than left in a state that nobody leaves.
func (r *runner) step(ctx context.Context, sig Signal) {
	now := time.Now()
	r.mu.Lock()
	from := r.session.Status
	if sig.Kind == SignalStop && r.stop != nil {
		sig.Cause = r.stop.cause
	}
	s, err := Step(r.session, sig, now)
	if err != nil {
		r.log.Error("signal does not fit", "error", err)
		s.Status, s.Reason, s.Result = StatusError, err.Error(), ResultFailure
	}
	if sig.Kind == SignalStarted && err == nil {
		s.Address = routeAddress(s, *sig.Instance)
	}
	r.session, r.net = s, nil
	if s.Status == StatusCreating {
		r.starting = now
	}
	if s.Status == StatusPending {
		r.health, r.yields, r.starting, r.joined = Health{}, false, time.Time{}, time.Time{}
		drop(r.joins)
		drop(r.yield)   // it has given way otherwise
		drop(r.restart) // it will be started anyway
	}
	r.unsaved = append(r.unsaved, Transition{SessionID: s.ID, From: from, To: s.Status, Reason: s.Reason, At: now})
	r.mu.Unlock()
	r.log.Info("session "+string(s.Status), "from", from, "reason", s.Reason)
	r.mark(r.service, r.id)
	r.letGo(from, s.Status)
	r.changed()
	if passes(s.Status) {
		return // it is written with what follows
	}
	if err := r.save(ctx); err != nil {
		r.log.Error("session's row was not written; it will be", "error", err)
	}
	r.tell(s)
}

// passes reports whether a session is in a status for no longer than it takes to go on to the next one: nothing is done in it, and a
// daemon that finds the one before does the same again.
func passes(s Status) bool {
	action := NextAction(s)
	return action == ActionPrepare || action == ActionCreate
}

// drop takes out of a channel what may be in it.
func drop[T any](c chan T) {
	select {
	case <-c:
	default:
	}
}

// tell accounts for the end of a session, once: as soon as it is known that it cannot go on, which may
// be long before it is cleaned up.
func (r *runner) tell(s Session) {
	r.mu.Lock()
	due := !r.told && over(s)
	stop := r.stop
	r.mu.Unlock()
	if !due {
		return
	}
	r.ended(s, stop)
	r.mu.Lock()
	r.told = true
	r.mu.Unlock()
	r.mark(r.service, r.id)
	r.poke()
}

// over reports whether the session cannot go on.
func over(s Session) bool { return s.Status == StatusError || s.Status.Terminal() }

// settled reports whether the session's end, if it has come, is accounted for. Until then nobody may
// decide by it: a replacement would be started as if nothing had failed.
func (r *runner) settled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.told || !over(r.session)
}

// note shows people how a status is getting on, without writing it down.
func (r *runner) note(reason string) {
	r.mu.Lock()
	r.session.Reason = reason
	r.mu.Unlock()
	r.unshown(r.service, r.id)
	r.show() // no plan goes by it
}

// pause waits for d; false when ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
