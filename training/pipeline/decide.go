package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Seen is how a step's session, or its roll-out, stands.
type Seen struct {
	Ended  bool
	Well   bool
	Undone bool   // somebody ended it: neither well nor failed
	Reason string // one sentence
	Code   *int   // exit code
}

// Kind of an action.
type Kind string

// The kinds.
const (
	ActionStart Kind = "start" // a step's session, or its roll-out
	ActionStop  Kind = "stop"  // what a step has running
)

// Action is something to be done for a job. Doing it twice is doing it once.
type Action struct {
	Kind   Kind
	Key    string // of the step
	Reason string
}

// String is a sentence for the log.
func (a Action) String() string { return string(a.Kind) + " " + a.Key + ": " + a.Reason }

// Decide says how a job stands, seeing how its steps that run do (by key; one that is not there is still under way), and
// what is to be done for it. before names an earlier job that it waits for, or is "".
//  1. One that waits for another job goes on waiting, unless it is cancelled.
//  2. What has ended is taken over from what is seen.
//  3. Of a job that was cancelled, nothing more starts, and what runs is stopped.
//  4. What needs a step that did not end well is skipped.
//  5. What has all that it needs starts, as far as the limits allow.
//  6. When nothing runs or waits, the job has ended.
func Decide(j *Job, seen map[string]Seen, before string, now time.Time) (State, []Action) {
	s := j.Clone()
	if s.Status.Ended() {
		return s, nil
	}
	if s.Status == StatusQueued && s.CancelledBy == "" { // 1
		if before != "" {
			s.Reason = "waits until " + before + " has ended"
			return s, nil
		}
		s.Status, s.Reason, s.StartedAt = StatusRunning, "its tasks run", now
	}
	for i := range s.Steps { // 2
		if one, is := seen[s.Steps[i].Key]; is && s.Steps[i].Status == StepRunning {
			s.Steps[i].take(one, now)
		}
	}
	d := decision{plan: &j.Plan, state: &s, now: now}
	if s.CancelledBy != "" { // 3
		d.cancel()
	}
	d.skip()                 // 4
	if s.CancelledBy == "" { // 5
		d.start()
	}
	if !slices.ContainsFunc(s.Steps, func(p Progress) bool { return !p.Status.Ended() }) { // 6
		d.end()
	}
	return s, d.actions
}

// take says of a step that runs what is seen of it.
func (p *Progress) take(one Seen, now time.Time) {
	if !one.Ended {
		if one.Reason != "" {
			p.Reason = one.Reason
		}
		return
	}
	p.Reason, p.ExitCode, p.EndedAt, p.TryAt, p.Tries = one.Reason, one.Code, now, time.Time{}, 0
	switch {
	case one.Well:
		p.Status = StepSucceeded
	case one.Undone:
		p.Status = StepCancelled
	default:
		p.Status = StepFailed
	}
}

// decision is one in the making.
type decision struct {
	plan    *Plan
	state   *State
	now     time.Time
	actions []Action
}

func (d *decision) act(kind Kind, key, reason string) {
	d.actions = append(d.actions, Action{kind, key, reason})
}

func (d *decision) cancel() {
	why := "the job was cancelled by " + d.state.CancelledBy
	for i := range d.state.Steps {
		p := &d.state.Steps[i]
		switch {
		case p.Status == StepWaiting, p.Status == StepRunning && p.Session == "" && p.Rollout == nil:
			p.Status, p.Reason, p.EndedAt = StepCancelled, why, d.now
		case p.Status == StepRunning:
			d.act(ActionStop, p.Key, why)
		}
	}
}

// skip goes on until nothing more follows from what has been skipped: steps may stand in any order.
func (d *decision) skip() {
	for again := true; again; {
		again = false
		for i, step := range d.plan.Steps {
			p := &d.state.Steps[i]
			if p.Status != StepWaiting {
				continue
			}
			for _, key := range step.Needs() {
				if need := d.state.Of(key); need.Status.Ended() && !need.Status.Well() {
					p.Status, p.EndedAt, again = StepSkipped, d.now, true
					p.Reason = fmt.Sprintf("%s was %s", key, strings.ToLower(string(need.Status)))
					if need.Status == StepFailed {
						p.Reason = key + " has failed"
					}
					break
				}
			}
		}
	}
}

// start has steps begin that may. One that runs and has neither session nor roll-out is still to be started.
func (d *decision) start() {
	running, ofTask := 0, map[string]int{}
	for i, step := range d.plan.Steps {
		if d.state.Steps[i].Status == StepRunning {
			running++
			ofTask[step.Task]++
		}
	}
	for i, step := range d.plan.Steps {
		p := &d.state.Steps[i]
		switch p.Status {
		case StepRunning:
			if p.Session == "" && p.Rollout == nil && !p.TryAt.After(d.now) {
				d.act(ActionStart, p.Key, "it is to run, and nothing is known to")
			}
			continue
		case StepWaiting:
		default:
			continue
		}
		missing := slices.DeleteFunc(step.Needs(), func(key string) bool { return d.state.Of(key).Status.Well() })
		switch {
		case len(missing) > 0:
			p.Reason = "waits for " + list(missing)
			continue
		case d.plan.MaxParallel > 0 && running >= d.plan.MaxParallel:
			p.Reason = fmt.Sprintf("waits for another task of the job: %d of at most %d run", running, d.plan.MaxParallel)
			continue
		case step.MaxParallel > 0 && ofTask[step.Task] >= step.MaxParallel:
			p.Reason = fmt.Sprintf("waits for another instance of %s: %d of at most %d run", step.Task, ofTask[step.Task], step.MaxParallel)
			continue
		}
		running++
		ofTask[step.Task]++
		p.Status, p.Reason, p.StartedAt = StepRunning, "is being started", d.now
		d.act(ActionStart, p.Key, "all that it needs is there")
	}
}

// list is some words, and how many more there are.
func list(words []string) string {
	const most = 4
	if len(words) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(words[:most], ", "), len(words)-most)
	}
	return strings.Join(words, ", ")
}

func (d *decision) end() {
	s := d.state
	s.EndedAt, s.Reason = d.now, s.summary()
	well := !slices.ContainsFunc(s.Steps, func(p Progress) bool { return !p.Status.Well() })
	failed := slices.ContainsFunc(s.Steps, func(p Progress) bool { return p.Status == StepFailed })
	switch {
	case well:
		s.Status = StatusSucceeded
	case s.CancelledBy != "":
		s.Status, s.Reason = StatusCancelled, "cancelled by "+s.CancelledBy
	case failed:
		s.Status = StatusFailed
	default: // somebody ended a session of it
		s.Status = StatusCancelled
	}
}

// Blocked is why a step could not be started, and when it is tried again: soon at first.
func (p *Progress) Blocked(why error, now time.Time) {
	p.Tries++
	wait := min(time.Second<<min(p.Tries-1, 6), time.Minute)
	p.TryAt = now.Add(wait)
	p.Reason = fmt.Sprintf("could not be started yet, the next try is in %s: %v", wait, why)
}
