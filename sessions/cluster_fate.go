package sessions

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// member is one container of a session as fate sees it.
type member struct {
	Session
	Holds  bool // a place is taken for it, though it may not know yet
	Stop   bool // it is asked to end
	Yields bool // it is asked to give way, and has not yet
	Hurry  bool // it is to end without drain or grace
}

// out reports whether it is in the queue: it has no place.
func (m member) out() bool { return m.Status == StatusPending && !m.Holds }

// over reports whether it cannot go on.
func (m member) over() bool { return over(m.Session) }

// done reports whether it is one of those that run the command and has done its part of it.
func (m member) done() bool {
	return m.Type != TypeInference && m.Task.Cluster.Run == ClusterRunAll && m.Status == StatusTerminated && m.Exit != nil && m.Exit.Reason == ExitCompleted && m.Task.Blame == nil
}

// verdict is what becomes of the containers of one session.
type verdict struct {
	acts []act
	// Open is the run whose containers are all there: what waits in them may go on. -1: none is.
	open int
	// Next is when to look again though nothing happens; zero: no need.
	next time.Time
}

// act is what one container must do.
type act struct {
	id       string
	kind     actKind
	reason   string
	cause    *Exit // actEnd: how another one ended, for which this one has failed
	run      int   // actAgain: the run to begin
	failures int   // actAgain: runs that failed so far
}

type actKind string

const (
	actEnd   actKind = "end"
	actYield actKind = "give way"
	actAgain actKind = "start again"
	actHurry actKind = "end at once"
)

// lastWords is how long the others may go on for, where all run the command, after the main container has done its part.
const lastWords = time.Minute

// fate says what the containers of one session must do so that they stay one: a function of what they are. They may be
// listed in any order; ended ones too. In order:
//  1. The main one has ended, or is being ended: the others are ended. Where all run the command and the main one is done
//     with it, they have a minute to be done, too. A route's main one answers requests until it has ended, for which it needs
//     the others; where one of those is no more, it cannot.
//  2. Another one has ended before it, without having done its part, or is being ended: all have failed with it.
//  3. One goes back to the queue: all do. Where another one is done already, it cannot begin anew, and all have failed. A
//     route whose main one runs ends; another one takes its place. One that has never answered has failed: not all of it
//     could be started.
//  4. One runs again: all do, until they have counted as many runs. Where another one was done in an earlier run, all have
//     failed.
//  5. All run: what waits in them goes on.
func fate(ms []member, now time.Time) verdict {
	ms = slices.Clone(ms)
	slices.SortFunc(ms, func(a, b member) int { return a.Task.Cluster.Rank - b.Task.Cluster.Rank })
	v := verdict{open: -1}
	live := slices.DeleteFunc(slices.Clone(ms), member.over)
	switch main := ms[0]; { // 1
	case len(live) == 0:
		return v
	case main.main() && main.Status == StatusTerminated && main.done():
		if v.next = main.EndedAt.Add(lastWords); now.Before(v.next) {
			return v.endFailed(ms, live, now)
		}
		v.next = time.Time{}
		return v.end(live, fmt.Sprintf("main1 is done for %s", lastWords), nil)
	case !main.main():
		return v.end(live, "the main container of its session is not known any more", nil)
	case main.over():
		return v.end(live, "main1 has ended: "+main.Reason, nil)
	case (main.Status == StatusTerminating || main.Stop) && main.Type == TypeInference:
		return v.hurry(main, ms)
	case main.Status == StatusTerminating || main.Stop:
		return v.end(live, "its session is being ended: "+main.Reason, nil)
	}
	if failed := v.endFailed(ms, live, now); len(failed.acts) > 0 { // 2
		return failed
	}
	if back := slices.IndexFunc(live, func(m member) bool { return m.out() || m.Yields || m.Status == StatusPreempted }); back >= 0 { // 3
		if main := ms[0]; main.Type == TypeInference && main.Status == StatusRunning {
			return v.endUnmade(live, main, live[back], now)
		}
		return v.yield(ms, live, live[back], now)
	}
	run, failures := 0, 0 // 4
	for _, m := range live {
		run, failures = max(run, m.Task.Restarts), max(failures, m.Task.Failures)
	}
	if v.without(ms, live, run, now) {
		return v
	}
	together := true // 5
	for _, m := range live {
		if m.Status == StatusRunning && m.Task.Restarts < run {
			v.acts = append(v.acts, act{id: m.ID, kind: actAgain, reason: "another container of its session is started again", run: run, failures: failures})
		}
		together = together && m.Status == StatusRunning && m.Task.Restarts == run
	}
	if together {
		v.open = run
	}
	return v
}

// end ends all that live.
func (v verdict) end(live []member, reason string, cause *Exit) verdict {
	for _, m := range live {
		if !m.Stop && m.Status != StatusTerminating {
			a := act{id: m.ID, kind: actEnd, reason: reason}
			if m.main() {
				a.cause = cause
			}
			v.acts = append(v.acts, a)
		}
	}
	return v
}

// hurry has the main container of a route that is being ended wait for nothing, where another one has ended before it.
func (v verdict) hurry(main member, ms []member) verdict {
	if !main.Hurry && slices.ContainsFunc(ms, func(m member) bool { return !m.main() && m.over() }) {
		v.acts = append(v.acts, act{id: main.ID, kind: actHurry, reason: "another container of its route has ended, and it can answer nothing more"})
	}
	return v
}

// endFailed ends all where one that is not the main one has ended, or is being ended, without having done its part.
func (v verdict) endFailed(ms, live []member, now time.Time) verdict {
	for _, m := range ms {
		if m.main() || m.done() || !m.over() && !m.Stop && m.Status != StatusTerminating {
			continue
		}
		host := m.Task.Cluster.host()
		cause := Exit{Reason: ExitFailed, Code: -1, Message: m.Reason}
		if m.Exit != nil {
			cause = *m.Exit
		}
		cause.Message, cause.FinishedAt = host+": "+cause.Message, now
		return v.end(live, host+" has ended: "+m.Reason, &cause)
	}
	return v
}

// endUnmade ends a route whose main container runs, and another one has gone back to the queue.
func (v verdict) endUnmade(live []member, main, back member, now time.Time) verdict {
	host := back.Task.Cluster.host()
	if !main.HealthyAt.IsZero() {
		return v.end(live, fmt.Sprintf("%s must begin anew, and so another route takes its place: %s", host, back.Reason), nil)
	}
	reason := host + " was not started: " + strings.TrimPrefix(back.Reason, backToQueue)
	return v.end(live, reason, &Exit{Reason: ExitStartFailed, Code: -1, Message: reason, FinishedAt: now})
}

// without ends all where one was done before the run that the others are in: they would wait for it.
func (v *verdict) without(ms, live []member, run int, now time.Time) bool {
	at := slices.IndexFunc(ms, func(m member) bool { return m.done() && m.Task.Restarts < run })
	if at < 0 {
		return false
	}
	reason := ms[at].Task.Cluster.host() + " had done its part and does not begin anew, and the others were started again"
	*v = v.end(live, reason, &Exit{Reason: ExitStopped, Code: -1, Message: reason, FinishedAt: now})
	return true
}

// yield sends all back to the queue with one that goes there.
func (v verdict) yield(ms, live []member, first member, now time.Time) verdict {
	if at := slices.IndexFunc(ms, member.done); at >= 0 {
		host := ms[at].Task.Cluster.host()
		reason := fmt.Sprintf("%s had done its part and does not begin anew, and %s must: %s", host, first.Task.Cluster.host(), first.Reason)
		return v.end(live, reason, &Exit{Reason: ExitStopped, Code: -1, Message: reason, FinishedAt: now})
	}
	for _, m := range live {
		if !m.out() && !m.Yields && m.Status != StatusPreempted && m.Status != StatusPending {
			v.acts = append(v.acts, act{id: m.ID, kind: actYield, reason: "with " + first.Task.Cluster.host() + " of its session: " + first.Reason})
		}
	}
	return v
}
