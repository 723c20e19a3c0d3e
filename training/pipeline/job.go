package pipeline

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// jobPrefix begins the ids of jobs.
const jobPrefix = "job-"

// Status of a job.
type Status string

// The statuses of a job.
const (
	StatusQueued    Status = "QUEUED"    // waits for an earlier job of its pipeline
	StatusRunning   Status = "RUNNING"   // steps of it run, or may
	StatusSucceeded Status = "SUCCEEDED" // every step has ended well
	StatusFailed    Status = "FAILED"    // one has not, and nothing else can run
	StatusCancelled Status = "CANCELLED" // somebody ended it
)

// Ended reports whether nothing follows s, but for a resume.
func (s Status) Ended() bool { return s != StatusQueued && s != StatusRunning }

// StepStatus is where one step of a job is.
type StepStatus string

// The statuses of a step.
const (
	StepWaiting   StepStatus = "WAITING"   // for others
	StepRunning   StepStatus = "RUNNING"   // it is being started, is in the queue, or runs
	StepSucceeded StepStatus = "SUCCEEDED" // and its outputs are there
	StepCached    StepStatus = "CACHED"    // an earlier job left what it would leave
	StepFailed    StepStatus = "FAILED"
	StepSkipped   StepStatus = "SKIPPED" // one that it needs has failed
	StepCancelled StepStatus = "CANCELLED"
)

// Ended reports whether nothing follows s, but for a resume.
func (s StepStatus) Ended() bool { return s != StepWaiting && s != StepRunning }

// Well reports whether those that need the step may start.
func (s StepStatus) Well() bool { return s == StepSucceeded || s == StepCached }

// Job is a run of a pipeline. Its keeper is the only writer.
type Job struct {
	Naming
	Project    string
	CreatedBy  string
	CreatedAt  time.Time
	DueAt      time.Time // the moment of the schedule that it is for; zero: somebody asked for it
	NoCache    bool
	Source     string // the file, as it was
	Parameters map[string]string
	Plan       Plan
	State
}

// State is what has become of a job so far.
type State struct {
	Status      Status     `json:"status"`
	Reason      string     `json:"reason"` // one sentence
	StartedAt   time.Time  `json:"started_at,omitzero"`
	EndedAt     time.Time  `json:"ended_at,omitzero"`
	CancelledBy string     `json:"cancelled_by,omitempty"` // who asked for its end
	Resumes     int        `json:"resumes,omitempty"`
	Steps       []Progress `json:"steps"` // one for each of the plan, in its order
	Notices     []Notice   `json:"notices,omitempty"`
}

// Progress is what has become of one step.
type Progress struct {
	Key       string     `json:"key"`
	Status    StepStatus `json:"status"`
	Reason    string     `json:"reason,omitempty"`
	Attempt   int        `json:"attempt"` // from 1; one more after each resume
	Session   string     `json:"session,omitempty"`
	ExitCode  *int       `json:"exit_code,omitempty"`
	StartedAt time.Time  `json:"started_at,omitzero"`
	EndedAt   time.Time  `json:"ended_at,omitzero"`
	TryAt     time.Time  `json:"try_at,omitzero"` // it could not be started: not before
	Tries     int        `json:"tries,omitempty"`
	// Output is where it writes, or wrote, in the pipeline's folder: 3/train-2.1. Of a cached one, where an earlier job did.
	Output     string   `json:"output,omitempty"`
	Cache      string   `json:"cache,omitempty"`       // what it depends on, as one word; "": it is not to be used again
	CachedFrom string   `json:"cached_from,omitempty"` // the job
	Rollout    *Rollout `json:"rollout,omitempty"`     // of one that serves
}

// Phase is where a roll-out is.
type Phase string

// The phases, in their order.
const (
	PhaseCopy   Phase = "copy"    // the model is copied into a folder of its own
	PhaseUpdate Phase = "update"  // the service is made, or told of it
	PhaseWait   Phase = "wait"    // its routes start and are asked, and older ones go
	PhaseBack   Phase = "go back" // what it was before is wanted again
)

// Rollout is what a step that serves has done, for whoever goes on with it.
type Rollout struct {
	Phase    Phase     `json:"phase"`
	Folder   string    `json:"folder,omitempty"`  // id
	Service  string    `json:"service,omitempty"` // id
	Made     bool      `json:"made,omitempty"`    // the step made the service
	Before   int       `json:"before,omitempty"`  // the revision that was wanted before; 0: none was good
	Revision int       `json:"revision,omitempty"`
	Until    time.Time `json:"until,omitzero"` // it must be healthy before
	Passed   []string  `json:"passed,omitempty"`
	Fault    string    `json:"fault,omitempty"` // why it goes back
}

// Notice is one notification of a job's end.
type Notice struct {
	To     int       `json:"to"` // index in Plan.Notify
	Event  string    `json:"event"`
	Tries  int       `json:"tries,omitempty"`
	NextAt time.Time `json:"next_at,omitzero"`
	SentAt time.Time `json:"sent_at,omitzero"`
	Fault  string    `json:"fault,omitempty"` // of the last try
	Lost   bool      `json:"lost,omitempty"`  // given up
}

// Fresh is the state of a job that has just been asked for.
func (p Plan) Fresh() State {
	s := State{Status: StatusQueued, Reason: "it has just been asked for"}
	for _, step := range p.Steps {
		s.Steps = append(s.Steps, Progress{Key: step.Key, Status: StepWaiting, Attempt: 1})
	}
	return s
}

// Step finds a step of the plan.
func (p Plan) Step(key string) (Step, bool) {
	i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Key == key })
	if i < 0 {
		return Step{}, false
	}
	return p.Steps[i], true
}

// Of finds what has become of a step; nil where there is none of that key.
func (s *State) Of(key string) *Progress {
	i := slices.IndexFunc(s.Steps, func(p Progress) bool { return p.Key == key })
	if i < 0 {
		return nil
	}
	return &s.Steps[i]
}

// Clone is a copy that shares nothing that is ever changed.
func (s State) Clone() State {
	s.Steps, s.Notices = slices.Clone(s.Steps), slices.Clone(s.Notices)
	for i := range s.Steps {
		if r := s.Steps[i].Rollout; r != nil {
			copied := *r
			copied.Passed = slices.Clone(r.Passed)
			s.Steps[i].Rollout = &copied
		}
	}
	return s
}

// Resume is the state of a job that goes on at what failed, was cancelled or skipped.
func Resume(j Job, by string, now time.Time) (State, error) {
	if !j.Status.Ended() {
		return State{}, fmt.Errorf("%w: job %s is %s; only one that has ended is resumed", ErrState, j.Name(), j.Status)
	}
	s := j.Clone()
	again := 0
	for i := range s.Steps {
		p := &s.Steps[i]
		if p.Status.Well() {
			continue
		}
		again++
		attempt := p.Attempt
		if p.Status != StepSkipped && (!p.StartedAt.IsZero() || p.Session != "") { // it had begun
			attempt++
		}
		s.Steps[i] = Progress{Key: p.Key, Status: StepWaiting, Attempt: attempt}
	}
	if again == 0 {
		return State{}, fmt.Errorf("%w: every task of job %s has ended well; nothing is left to do", ErrState, j.Name())
	}
	s.Status, s.Reason, s.EndedAt, s.CancelledBy, s.Notices = StatusRunning, "resumed by "+by, time.Time{}, "", nil
	s.Resumes++
	if s.StartedAt.IsZero() {
		s.StartedAt = now
	}
	return s, nil
}

// summary is one sentence on a job whose steps have ended.
func (s *State) summary() string {
	count, why := map[StepStatus]int{}, ""
	for _, p := range s.Steps {
		count[p.Status]++
		if p.Status == StepFailed && why == "" {
			why = p.Key + " failed: " + p.Reason
		}
	}
	words := []string{}
	switch {
	case why != "":
		words = append(words, why)
	case count[StepSucceeded]+count[StepCached] == len(s.Steps):
		words = append(words, fmt.Sprintf("all %d tasks ended well", len(s.Steps)))
	}
	for _, one := range []struct {
		status StepStatus
		word   string
	}{{StepFailed, "failed"}, {StepSkipped, "skipped"}, {StepCancelled, "cancelled"}, {StepCached, "did not run, for nothing of them had changed"}} {
		if n := count[one.status]; n > 0 && (one.status != StepFailed || n > 1) {
			words = append(words, fmt.Sprintf("%d of %d %s", n, len(s.Steps), one.word))
		}
	}
	return strings.Join(words, "; ")
}
