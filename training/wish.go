package training

import (
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// Wish is a session as a person asks for it.
type Wish struct {
	Name      string // "" for one that is made up; of an array, the names begin with it
	Project   string
	CreatedBy string
	Type      sessions.Type // "": interactive, or batch where there is a command to run
	Image     string        // reference, or "host" on the process runtime
	// Command is what it runs, a line for a shell. "" is a shell that is kept, of an interactive session alone.
	Command string
	Env     map[string]string
	Mounts  []Mount
	Ports   []int // on which it will answer

	Resources    map[string]string // slot to amount as written
	ResourceOpts map[string]string // shmem
	Selector     map[string]string
	Priority     *int // nil: the default
	Preemptible  bool
	MinRuntime   time.Duration
	StartsAt     time.Time
	DependsOn    []string // ids or names
	Timeout      time.Duration
	IdleTimeout  time.Duration // of an interactive session: it is ended when nobody has used it for so long
	MaxLifetime  time.Duration // of an interactive session
	Retries      int
	// ClusterSize is how many containers the session has; 0 is 1. ClusterMode is single-node, or "": all on one box; or multi-node. ClusterRun
	// says which of them run the command: "" the main one, else sessions.ClusterRunMain or ClusterRunAll.
	ClusterSize int
	ClusterMode sessions.ClusterMode
	ClusterRun  sessions.ClusterRun
	Array       string // "1-100", "0-9%3", "1,5,9"; "": one session
	Origin      string // what it is for, where no person asks: see sessions.Task
}

// Mount is a folder in a session.
type Mount struct {
	Folder   string // id or name; NAME/SUB is the same as Sub
	Sub      string // a directory in the folder, which alone is mounted; "": all of it
	Target   string // absolute; "": in the home, by the name of the folder, or of the directory
	ReadOnly bool
}
