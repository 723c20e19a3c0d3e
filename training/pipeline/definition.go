package pipeline

import (
	"regexp"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// Bounds of a pipeline.
const (
	MaxSteps      = 200 // tasks of a job, with all instances of matrices
	DefaultKeep   = 20  // ended jobs that are kept
	maxParameters = 100
	maxNotify     = 20
	maxPlanned    = 8 << 20 // bytes of all texts of a job: a few words name a parameter that is long, in every instance of a matrix
)

// Where a task finds what it reads and leaves what it writes.
const (
	OutputsDir = "/pipeline/outputs"
	InputDir   = "/pipeline/input" // with the number of the predecessor, from 1
)

var (
	pipelineName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,38}[a-z0-9]$`)
	taskName     = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$`)
	valueName    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_-]{0,62}$`) // of parameters and matrices
)

// Definition is a pipeline's file. Its texts may hold ${{ }}: Expand puts in what belongs there.
type Definition struct {
	Name        string
	Description string
	Parameters  []Parameter
	Tasks       []Task
	MaxParallel int // steps of a job at a time; 0: all
	KeepJobs    int // ended jobs that are kept
	Schedule    *Schedule
	Notify      []Notification

	doc *catalog.Document // where things are in the file
}

// Problems places what was found wrong later than the file was read. fields begin with tasks[i].
func (d *Definition) Problems(found catalog.Problems) catalog.Problems {
	for _, p := range found {
		d.doc.At(p.Field).Error(p.Hint, "%s", p.Message)
	}
	return d.doc.Problems().Strict()
}

// Parameter is what a run may be given.
type Parameter struct {
	Name        string
	Default     string
	Required    bool // it has no default
	Description string
	Choices     []string // nil: any value
}

// Task is one task of a file. Exactly one of Run and Serve is set.
type Task struct {
	Name        string
	DependsOn   []string
	Matrix      []Axis // nil: one instance
	MaxParallel int    // instances at a time; 0: all
	Run         *Run
	Serve       *Serve
}

// Axis is a name of a matrix with its values.
type Axis struct {
	Name   string
	Values []string
}

// Run is a task that runs a command in a session.
type Run struct {
	Image        string            `json:"image"`
	Command      string            `json:"command"`
	Env          map[string]string `json:"environ,omitempty"`
	Resources    map[string]string `json:"resources,omitempty"`
	ResourceOpts map[string]string `json:"resource_opts,omitempty"`
	Selector     map[string]string `json:"selector,omitempty"`
	Mounts       []Mount           `json:"mounts,omitempty"`
	Cluster      *Cluster          `json:"cluster,omitempty"` // nil: one container
	Timeout      time.Duration     `json:"timeout,omitempty"`
	Retries      int               `json:"retries,omitempty"`
	Priority     *int              `json:"priority,omitempty"`
	Preemptible  bool              `json:"preemptible,omitempty"`
	MinRuntime   time.Duration     `json:"min_runtime,omitempty"`
	Cache        bool              `json:"cache"`
}

// Mount is a folder that a task sees.
type Mount struct {
	Folder   string `json:"folder"`           // id or name
	Sub      string `json:"sub,omitempty"`    // directory in it; "": all of it
	Target   string `json:"target,omitempty"` // "": in the home, by the folder's name
	ReadOnly bool   `json:"read_only,omitempty"`
}

// Cluster has a task run in several containers.
type Cluster struct {
	Size int    `json:"size"`
	Mode string `json:"mode,omitempty"` // single-node; multi-node: on as few boxes as it can be
	Run  string `json:"run,omitempty"`  // main: the first container runs the command; all: each does
}

// Serve is a task that makes or updates a service.
type Serve struct {
	Service        string            `json:"service"`
	From           string            `json:"from"`           // task
	Path           string            `json:"path,omitempty"` // directory in its outputs; "": all
	Image          string            `json:"image"`
	Variant        string            `json:"runtime_variant"`
	DefinitionPath string            `json:"model_definition_path,omitempty"`
	ModelMount     string            `json:"model_mount_destination,omitempty"`
	Replicas       *int              `json:"replicas,omitempty"` // nil: as it is; 1 of a new one
	Public         *bool             `json:"open_to_public,omitempty"`
	Priority       *int              `json:"priority,omitempty"`
	Env            map[string]string `json:"environ,omitempty"`
	Resources      map[string]string `json:"resources,omitempty"`
	ResourceOpts   map[string]string `json:"resource_opts,omitempty"`
	Selector       map[string]string `json:"selector,omitempty"`
	Wait           time.Duration     `json:"wait"` // until the new revision must be healthy
	Smoke          *Smoke            `json:"smoke_test,omitempty"`
}

// Smoke is a request that a new revision must answer as expected.
type Smoke struct {
	Path    string            `json:"path"`
	Method  string            `json:"method"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	JSON    bool              `json:"json,omitempty"` // the body is JSON: expressions stand in its strings
	Expect  Expect            `json:"expect"`
	Timeout time.Duration     `json:"timeout"` // of one request
	Tries   int               `json:"tries"`
}

// Expect is what an answer must be.
type Expect struct {
	Status   int               `json:"status"`
	Contains []string          `json:"contains,omitempty"`
	Excludes []string          `json:"excludes,omitempty"`
	Matches  string            `json:"matches,omitempty"` // regular expression
	JSON     map[string]string `json:"json,omitempty"`    // choices.0.message.content: regular expression
}

// Overlap says what becomes of a scheduled run that is due while an earlier one still runs.
type Overlap string

// The policies.
const (
	OverlapSkip    Overlap = "skip"
	OverlapQueue   Overlap = "queue" // one waits
	OverlapReplace Overlap = "replace"
)

// Schedule has a pipeline run by itself.
type Schedule struct {
	Cron       string
	Zone       string // "": UTC
	Overlap    Overlap
	Parameters map[string]string
	Enabled    bool
}

// Notification is somebody who is told of a job's end. Exactly one of URL and URLEnv is set.
type Notification struct {
	URL    string   `json:"url,omitempty"`
	URLEnv string   `json:"url_env,omitempty"` // variable of the daemon's environment
	On     []string `json:"on"`                // success, failure, cancelled, recovery
}

// WebhookEnvPrefix begins the names of the variables that a file may name: any other of the daemon's is none of a file's
// business.
const WebhookEnvPrefix = "PALISADE_WEBHOOK_"
