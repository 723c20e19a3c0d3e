package pid1

import (
	"time"

	"github.com/palisade-run/palisade/variants"
)

// Where Run finds what it needs and leaves what it knows, as the container sees it.
const (
	PathInit = "/.palisade/init"
	PathPlan = "/.palisade/plan"
	PathOut  = "/.palisade/out"
)

// What is in PathOut. The session's root user may write there too: who reads it believes nothing.
const (
	FileState  = "state"  // State; there once something of the session runs
	FileEnding = "ending" // Report; there once nothing of it does
	DirLog     = "log"
)

// Plan is what a container's first process is told to run.
type Plan struct {
	Processes []variants.Process `json:"processes"` // with the image's own command filled in
	Env       map[string]string  `json:"env"`       // of all of them
	User      string             `json:"user"`      // who they run as, as an image says it: "", "app", "1000:1000"
	Own       []string           `json:"own"`       // directories that are given to that user
	LogFiles  int                `json:"log_files"`
	LogSize   int64              `json:"log_size"` // bytes of each
}

// State is what is known of a session that is under way.
type State struct {
	First     int       `json:"first"` // the first process as the session sees it; 0 during pre-start actions
	StartedAt time.Time `json:"started_at"`
	User      User      `json:"user"`
}

// Report is what is known of a session that has ended.
type Report struct {
	Ending
	At time.Time `json:"at"`
}
