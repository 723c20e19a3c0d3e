package sessions

import (
	"crypto/sha1" //nolint:gosec // a name-based UUID is made so; nothing is kept safe by it
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Task is what a session of a person has that no other has.
type Task struct {
	Command string        `json:"command,omitempty"` // as its owner wrote it; "": a shell that is kept
	Timeout time.Duration `json:"timeout,omitempty"` // of one run of a batch session; 0: none
	Retries int           `json:"retries,omitempty"` // how often a batch session may be run again after it failed
	Folders []string      `json:"folders,omitempty"` // ids of those that it mounts, one for each of Session.Mounts
	Ports   []int         `json:"ports,omitempty"`   // on which it will answer, beside those that its image names
	Array   *Array        `json:"array,omitempty"`   // nil: it stands for itself
	Cluster *Cluster      `json:"cluster,omitempty"` // nil: it has but one container
	// Origin is what it was made for, in the words of whoever made it, who finds it again by them: pipeline/JOB/TASK/1. "": a
	// person's own wish.
	Origin string `json:"origin,omitempty"`

	// Of an interactive session: it is ended when nobody has used it for so long, or it has run for so long; 0: as the box has it.
	IdleTimeout time.Duration `json:"idle_timeout,omitempty"`
	MaxLifetime time.Duration `json:"max_lifetime,omitempty"`

	// What has come of it so far, written by its runner.
	UsedAt   time.Time `json:"used_at,omitzero"`   // when somebody used it last, to some minutes
	Restarts int       `json:"restarts,omitempty"` // how often it was started again, for whatever reason
	Failures int       `json:"failures,omitempty"` // runs that failed and were tried again
	RetryAt  time.Time `json:"retry_at,omitzero"`  // RESTARTING: not before
	Outcome  Outcome   `json:"outcome,omitempty"`
	Blame    *Exit     `json:"blame,omitempty"` // how another container of it ended, for which it is ended and has failed
}

// Array says which of several like sessions one is.
type Array struct {
	ID    string `json:"id"`              // of all of them
	Index int    `json:"index"`           // of this one
	Limit int    `json:"limit,omitempty"` // how many of them may have a place at once; 0: all
}

// array is where the task stands in its array; zero: it is in none.
func (t Task) array() Array {
	if t.Array == nil {
		return Array{}
	}
	return *t.Array
}

// Outcome says how a batch session ended, in a word that programs may go by.
type Outcome string

// The outcomes.
const (
	OutcomeFinished Outcome = "task-finished" // exit code 0
	OutcomeFailed   Outcome = "task-failed"   // any other
	OutcomeTimeout  Outcome = "task-timeout"  // it ran for longer than it may
)

// exitCodeTimeout is the exit code of a session that ran for longer than it may.
const exitCodeTimeout = -2

// Personal reports whether the session is a person's, and no part of a service or of the appliance.
func (s Session) Personal() bool { return s.Type == TypeInteractive || s.Type == TypeBatch }

// again is the task as it is when its session is to be started once more.
func (t Task) again(sig Signal) Task {
	t.Restarts = max(t.Restarts+1, sig.Run)
	t.RetryAt = sig.NotBefore.UTC()
	if sig.Kind == SignalRestart && sig.Exit != nil {
		t.Failures++
	}
	t.Failures = max(t.Failures, sig.Failures)
	return t
}

// settle says what became of a person's session that has ended, coming from a status.
func settle(s Session, from Status, now time.Time) Session {
	switch {
	case s.Task.Blame != nil:
		s.Result, s.Exit = ResultFailure, s.Task.Blame
	case s.Task.Outcome == OutcomeTimeout:
		s.Result = ResultFailure
		s.Exit = &Exit{
			Reason: ExitTimedOut, Code: exitCodeTimeout, FinishedAt: now,
			Message: fmt.Sprintf("It ran for longer than its timeout of %s and was stopped.", s.Task.Timeout),
		}
		return s
	case from == StatusTerminating && s.Exit != nil && s.Exit.Reason == ExitKilled:
		s.Result = ResultUndefined // whoever ended it did not wait: that is no failure of its own
	}
	if s.Type == TypeBatch {
		switch s.Result {
		case ResultSuccess:
			s.Task.Outcome = OutcomeFinished
		case ResultFailure:
			s.Task.Outcome = OutcomeFailed
		}
	}
	return s
}

// byItself reports whether an instance had ended before anybody stopped it.
func byItself(e *Exit) bool {
	return e != nil && (e.Reason == ExitCompleted || e.Reason == ExitFailed)
}

// longestRetry bounds how long a session waits before it is run again: it keeps its place meanwhile.
const longestRetry = time.Minute

// mayRetry reports whether a run that fails may be followed by another.
func (s Session) mayRetry() bool { return s.Type == TypeBatch && s.Task.Failures < s.Task.Retries }

// retry says whether a run that has ended is followed by another, and when. What could not be started will not start
// the next time either.
func retry(s Session, e Exit, now time.Time) (Signal, bool) {
	failed := e.Reason != ExitCompleted && e.Reason != ExitStopped && e.Reason != ExitStartFailed
	if !s.mayRetry() || !failed {
		return Signal{}, false
	}
	wait := min(Backoff(s.Task.Failures+1, 0), longestRetry)
	return Signal{
		Kind: SignalRestart, Exit: &e, NotBefore: now.Add(wait),
		Reason: fmt.Sprintf("run %d of %d failed, the next one is in %s: %s", s.Task.Failures+1, s.Task.Retries+1, wait, exitSentence(e)),
	}, true
}

// untilTimeout is a channel on which comes that a running session has run for as long as it may; nil: it may for ever. It
// counts from the start of the run, whichever daemon saw that.
func (s Session) untilTimeout(now time.Time) <-chan time.Time {
	if s.Task.Timeout <= 0 {
		return nil
	}
	return time.After(min(s.StartedAt.Add(s.Task.Timeout).Sub(now), s.Task.Timeout)) // the box's clock may have been set back
}

// personalEnv is what a person's session finds set beyond any other's.
func (s Session) personalEnv() map[string]string {
	ports, services := make([]string, len(s.Task.Ports)), make([]string, len(s.Task.Ports))
	for i, port := range s.Task.Ports {
		ports[i] = strconv.Itoa(port)
		services[i] = ports[i] + ":preopen:" + ports[i]
	}
	env := map[string]string{
		"BACKENDAI_PREOPEN_PORTS": strings.Join(ports, ","),
		"BACKENDAI_SERVICE_PORTS": strings.Join(services, ","),
		"BACKENDAI_USER_UUID":     nameUUID(s.CreatedBy),
		"BACKENDAI_USER_EMAIL":    "",
		"BACKENDAI_ACCESS_KEY":    s.CreatedBy,
		"HOME":                    HomeDir,
	}
	if cores := s.Demand.Slots.Cores(); cores > 0 {
		// Numeric libraries start a thread for each core of the box else, and those keep each other from the session's few.
		env["OMP_NUM_THREADS"] = strconv.Itoa(cores)
	}
	if a := s.Task.Array; a != nil {
		env["PALISADE_ARRAY_ID"], env["PALISADE_ARRAY_INDEX"] = a.ID, strconv.Itoa(a.Index)
	}
	return env
}

// HomeDir is where a person's session has its home, with the folders in it.
const HomeDir = "/home/work"

// nameUUID is the same UUID for the same name, everywhere: version 5 (RFC 9562), of a name of this program.
func nameUUID(name string) string {
	sum := sha1.Sum(slices.Concat([]byte("palisade.run/user/"), []byte(name))) //nolint:gosec // see above
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[0:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
