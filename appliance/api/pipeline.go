package api

import "time"

// Pipeline is a pipeline that is kept by name.
type Pipeline struct {
	Name        string              `json:"name"`
	Project     string              `json:"project"`
	Description string              `json:"description,omitempty"`
	Definition  string              `json:"definition,omitempty"` // the file; left out of one that was never applied, and of lists
	AppliedBy   string              `json:"applied_by,omitempty"`
	AppliedAt   *time.Time          `json:"applied_at,omitempty"` // left out: it was never applied, and is known by its jobs alone
	Parameters  []PipelineParameter `json:"parameters,omitempty"`
	Schedule    *PipelineSchedule   `json:"schedule,omitempty"`
	Tasks       []PipelineTask      `json:"tasks"`
	LastJob     *Job                `json:"last_job,omitempty"` // without its tasks
}

// PipelineParameter is what a run may be given.
type PipelineParameter struct {
	Name        string   `json:"name"`
	Default     string   `json:"default"`
	Required    bool     `json:"required"` // it has no default
	Description string   `json:"description,omitempty"`
	Choices     []string `json:"choices,omitempty"`
}

// PipelineSchedule is when a pipeline runs by itself.
type PipelineSchedule struct {
	Cron    string     `json:"cron"`
	Zone    string     `json:"zone"`
	Overlap string     `json:"overlap"` // skip, queue, replace
	Enabled bool       `json:"enabled"`
	Next    *time.Time `json:"next,omitempty"` // when it comes next
}

// PipelineTask is one task of a file.
type PipelineTask struct {
	Name      string   `json:"name"`
	DependsOn []string `json:"depends_on,omitempty"`
	Instances int      `json:"instances"`
	Service   string   `json:"service,omitempty"` // of one that serves
}

// PipelineApply is a file that is to be kept, or checked.
type PipelineApply struct {
	Definition string            `json:"definition"`     // the file's text
	File       string            `json:"file,omitempty"` // its name, for messages
	Project    string            `json:"project,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"` // to be checked with; of validate alone
}

// JobCreate asks for a job: of a file, or of a pipeline that is kept.
type JobCreate struct {
	Pipeline   string            `json:"pipeline,omitempty"`
	Definition string            `json:"definition,omitempty"` // the file's text
	File       string            `json:"file,omitempty"`       // its name, for messages
	Project    string            `json:"project,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	NoCache    bool              `json:"no_cache,omitempty"` // every task runs, whatever earlier jobs left
}

// Job is a run of a pipeline.
type Job struct {
	ID            string            `json:"id"`
	Name          string            `json:"name"` // PIPELINE.NUMBER
	Number        int               `json:"number"`
	Pipeline      string            `json:"pipeline"`
	Project       string            `json:"project"`
	Status        string            `json:"status"` // QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED
	Reason        string            `json:"reason"`
	CreatedBy     string            `json:"created_by"`
	CreatedAt     time.Time         `json:"created_at"`
	DueAt         *time.Time        `json:"due_at,omitempty"` // the moment of the schedule that it is for
	StartedAt     *time.Time        `json:"started_at,omitempty"`
	EndedAt       *time.Time        `json:"ended_at,omitempty"`
	Parameters    map[string]string `json:"parameters,omitempty"`
	NoCache       bool              `json:"no_cache,omitempty"`
	Resumes       int               `json:"resumes,omitempty"`
	Tasks         []JobTask         `json:"tasks"`
	Notifications []JobNotification `json:"notifications,omitempty"`
}

// JobTask is one task of a job, or one instance of it.
type JobTask struct {
	Name       string            `json:"name"` // unique in the job
	Task       string            `json:"task"` // as the file calls it
	Matrix     map[string]string `json:"matrix,omitempty"`
	DependsOn  []string          `json:"depends_on,omitempty"`
	Status     string            `json:"status"` // WAITING, RUNNING, SUCCEEDED, CACHED, FAILED, SKIPPED, CANCELLED
	Reason     string            `json:"reason"`
	Attempt    int               `json:"attempt"` // from 1; one more after each resume
	SessionID  string            `json:"session_id,omitempty"`
	ExitCode   *int              `json:"exit_code,omitempty"`
	StartedAt  *time.Time        `json:"started_at,omitempty"`
	EndedAt    *time.Time        `json:"ended_at,omitempty"`
	Outputs    string            `json:"outputs,omitempty"`     // FOLDER/DIRECTORY
	CachedFrom string            `json:"cached_from,omitempty"` // the job that left the outputs
	Service    string            `json:"service,omitempty"`     // of one that serves
	Revision   int               `json:"revision,omitempty"`    // of the service, that it rolls out
}

// JobNotification is how a notification of a job's end goes.
type JobNotification struct {
	To     string     `json:"to"` // host, or the name of the variable that has the address
	Event  string     `json:"event"`
	Tries  int        `json:"tries"`
	SentAt *time.Time `json:"sent_at,omitempty"`
	NextAt *time.Time `json:"next_at,omitempty"` // of the next try
	Fault  string     `json:"fault,omitempty"`   // of the last try
	Lost   bool       `json:"lost,omitempty"`    // given up
}
