package process

import (
	"github.com/palisade-run/palisade/sessions"
)

// The words on a supervisor's socket: one request a connection, one JSON line each way. A supervisor
// may be older than the daemon that talks to it: fields are added, never changed.
const (
	opStatus = "status" // answered once the session is under way, with its state
	opWait   = "wait"   // answered once all of it is gone, with its exit
	opStop   = "stop"   // the same
	opStats  = "stats"
	// opExec comes with three descriptors: stdin, stdout, stderr. Closing the connection kills. With Terminal it
	// comes with none, closing hangs up before it kills, and a reply with the terminal's other end precedes the exit.
	opExec   = "exec"
	opFollow = "follow" // answered with a byte now and after each growth of the log
)

type request struct {
	Op      string            `json:"op"`
	GraceMS int64             `json:"grace_ms,omitempty"`
	Argv    []string          `json:"argv,omitempty"`
	Env     map[string]string `json:"env,omitempty"`
	WorkDir string            `json:"work_dir,omitempty"`

	Terminal *sessions.Window `json:"terminal,omitempty"` // exec: on one of that size, instead of three descriptors
	Signals  bool             `json:"signals,omitempty"`  // exec: each byte that follows is the number of a signal for the command
}

type reply struct {
	Error string          `json:"error,omitempty"`
	State *state          `json:"state,omitempty"`
	Exit  *sessions.Exit  `json:"exit,omitempty"`
	Stats *sessions.Stats `json:"stats,omitempty"`

	Terminal bool `json:"terminal,omitempty"` // its descriptor comes with this
}

// The descriptors that a daemon hands to the supervisor it starts.
const (
	fdLock   = 3 + iota // the lock file, locked
	fdListen            // the socket, listening
	fdReady             // takes one reply: State, or Error
	fdCount  = iota
)
