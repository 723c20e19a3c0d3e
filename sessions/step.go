package sessions

import (
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Signal is something that happened to a session. The runner turns what it sees (an image came, the
// instance ended, somebody asked to stop) into signals; Step turns signals into statuses.
type Signal struct {
	Kind     SignalKind
	Reason   string       // one sentence for people
	Claim    *accel.Claim // SignalPlaced
	Net      *ClusterNet  // SignalPlaced, of a container that has others which may be on other boxes
	Instance *Instance    // SignalStarted
	Exit     *Exit        // SignalEnded and SignalStopped, where there was an instance; SignalRestart after a run that failed
	// NotBefore is when the next run may begin, of a SignalRestart after a run that failed.
	NotBefore time.Time
	// Run and Failures are what the session is to have counted at least, to be in step with its other containers.
	Run, Failures int
	Cause         *Exit // SignalStop of one that has failed as another of its containers has
}

// SignalKind names what happened.
type SignalKind string

// The signals.
const (
	SignalPlaced   SignalKind = "placed"   // a place is claimed
	SignalPrepare  SignalKind = "prepare"  // its turn has come: fetch what it needs
	SignalPull     SignalKind = "pull"     // an image must come
	SignalPrepared SignalKind = "prepared" // all that it needs is on the box
	SignalCreate   SignalKind = "create"   // the runtime is told to start it
	SignalStarted  SignalKind = "started"  // its first process runs
	SignalEnded    SignalKind = "ended"    // it ended by itself, or was killed by others
	SignalStop     SignalKind = "stop"     // somebody asked to end it
	SignalStopped  SignalKind = "stopped"  // nothing of it runs any more
	SignalFail     SignalKind = "fail"     // it cannot go on
	SignalGiveUp   SignalKind = "give-up"  // not now: back to the queue
	SignalRestart  SignalKind = "restart"  // end it and start it again under the same id
	SignalPreempt  SignalKind = "preempt"  // it gave way to one of higher priority
	SignalTimeout  SignalKind = "timeout"  // it has run for as long as it may
)

// Action is what a session's runner must do next; it ends in the next signal.
type Action string

// The actions.
const (
	ActionPlace   Action = "place"   // claim a place
	ActionPrepare Action = "prepare" // begin to fetch
	ActionFetch   Action = "fetch"   // image and folders
	ActionCreate  Action = "create"  // tell the runtime
	ActionStart   Action = "start"   // start the instance
	ActionWatch   Action = "watch"   // probe it and wait for its end
	ActionStop    Action = "stop"    // drain, then stop the instance
	ActionAgain   Action = "again"   // stop what is left of it, then start it under the same id
	ActionClean   Action = "clean"   // make sure that nothing of it is left
	ActionNone    Action = ""        // terminal
)

// actions says what a session in a status is doing. After a restart of the daemon the runner goes on
// with the action of the status that it finds.
var actions = map[Status]Action{
	StatusPending:     ActionPlace,
	StatusScheduled:   ActionPrepare,
	StatusPreparing:   ActionFetch,
	StatusPulling:     ActionFetch,
	StatusPrepared:    ActionCreate,
	StatusCreating:    ActionStart,
	StatusRunning:     ActionWatch,
	StatusRestarting:  ActionAgain,
	StatusPreempted:   ActionStop,
	StatusTerminating: ActionStop,
	StatusError:       ActionClean,
}

// next is the table of what follows what: status, signal, status.
var next = map[Status]map[SignalKind]Status{
	StatusPending: {
		SignalPlaced: StatusScheduled, SignalFail: StatusError, SignalStop: StatusCancelled,
	},
	StatusScheduled: {
		SignalPrepare: StatusPreparing, SignalFail: StatusError, SignalStop: StatusCancelled,
	},
	StatusPreparing: {
		SignalPull: StatusPulling, SignalPrepared: StatusPrepared, SignalGiveUp: StatusPending,
		SignalFail: StatusError, SignalStop: StatusCancelled,
	},
	StatusPulling: {
		SignalPrepared: StatusPrepared, SignalGiveUp: StatusPending, SignalFail: StatusError, SignalStop: StatusCancelled,
	},
	StatusPrepared: {
		SignalCreate: StatusCreating, SignalFail: StatusError, SignalStop: StatusCancelled,
	},
	StatusCreating: {
		SignalStarted: StatusRunning, SignalGiveUp: StatusPending, SignalFail: StatusError, SignalStop: StatusCancelled,
	},
	StatusRunning: {
		SignalEnded: StatusTerminated, SignalStop: StatusTerminating, SignalFail: StatusError,
		SignalRestart: StatusRestarting, SignalPreempt: StatusPreempted, SignalTimeout: StatusTerminating,
	},
	StatusRestarting: {
		SignalStarted: StatusRunning, SignalStop: StatusTerminating, SignalEnded: StatusTerminated,
		SignalStopped: StatusTerminated, SignalFail: StatusError,
	},
	StatusPreempted: {
		SignalGiveUp: StatusPending, SignalStopped: StatusTerminated, SignalEnded: StatusTerminated,
	},
	StatusTerminating: {
		SignalStopped: StatusTerminated, SignalEnded: StatusTerminated, SignalFail: StatusError,
	},
	StatusError: {
		SignalStop: StatusTerminating, SignalStopped: StatusTerminated,
	},
}

// Step is the state machine of a session: from a session and what happened at now to the session as
// it then is. It does nothing itself: the runner does what NextAction says. A signal that does not
// fit the status is an error, and the session is returned as it was.
func Step(s Session, sig Signal, now time.Time) (Session, error) {
	to, ok := next[s.Status][sig.Kind]
	if !ok {
		return s, fmt.Errorf("session %s is %s: %q does not fit", s.ID, s.Status, sig.Kind)
	}
	from := s.Status
	s.Status, s.Reason = to, sig.Reason
	if sig.Exit != nil {
		s.Exit = sig.Exit
	}
	if sig.Cause != nil {
		s.Task.Blame = sig.Cause
	}
	switch to {
	case StatusPending: // again: whatever it had is gone
		s.Address, s.PID, s.StartedAt, s.Exit = "", 0, time.Time{}, nil
		s.HealthyAt, s.UnhealthySince = time.Time{}, time.Time{}
		s.Claim, s.PlacedAt = nil, time.Time{}
		s.Task.Cluster = s.Task.Cluster.withNet(nil)
	case StatusScheduled:
		s.Claim, s.PlacedAt, s.Waits = sig.Claim, now.UTC(), nil
		if sig.Net != nil {
			s.Task.Cluster = s.Task.Cluster.withNet(sig.Net)
		}
		s.Task.Restarts, s.Task.Failures = max(s.Task.Restarts, sig.Run), max(s.Task.Failures, sig.Failures)
	case StatusRunning:
		s.StartedAt, s.PID, s.Exit = sig.Instance.StartedAt, sig.Instance.PID, nil
	case StatusRestarting, StatusPreempted:
		s.Task = s.Task.again(sig)
	case StatusTerminating:
		if sig.Kind == SignalTimeout {
			s.Task.Outcome = OutcomeTimeout
		}
	case StatusError:
		s.Result = ResultFailure
	case StatusTerminated, StatusCancelled:
		s.EndedAt, s.PID, s.Address, s.Waits = now, 0, "", nil
		s.Result = resultOf(s)
		if s.Personal() || s.Task.Blame != nil {
			s = settle(s, from, now)
		}
	}
	return s, nil
}

// NextAction says what the runner of a session in status must do.
func NextAction(status Status) Action { return actions[status] }

// resultOf derives the result of a session that has ended. What failed stays failed; what was
// stopped before it could end by itself is undefined.
func resultOf(s Session) Result {
	switch {
	case s.Result == ResultFailure:
		return ResultFailure
	case s.Exit == nil || s.Exit.Reason == ExitStopped || s.Status == StatusCancelled:
		return ResultUndefined
	case s.Exit.Reason == ExitCompleted:
		return ResultSuccess
	default:
		return ResultFailure
	}
}

// Alive reports whether the session has, or will have, something that runs.
func (s Session) Alive() bool { return !s.Status.Terminal() }

// Leaving reports whether the session is on its way out.
func (s Session) Leaving() bool {
	return slices.Contains([]Status{StatusTerminating, StatusPreempted, StatusError}, s.Status) || s.Status.Terminal()
}
