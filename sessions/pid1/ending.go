package pid1

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// Ending is all that is known when a session ends.
type Ending struct {
	What     string             `json:"what"`                // which process ended it, as people call it: "its process main"
	Status   syscall.WaitStatus `json:"status"`              // of that process
	Failed   string             `json:"failed,omitempty"`    // why it never started; "" when it did
	Stopped  bool               `json:"stopped,omitempty"`   // a stop was asked for before it ended
	KilledBy bool               `json:"killed_by,omitempty"` // the stop sent SIGKILL
	OOMKills int64              `json:"oom_kills,omitempty"` // processes that the kernel ended for the session's memory limit
	Limit    int64              `json:"-"`                   // of memory, in bytes; 0 none
	LogTail  string             `json:"log_tail,omitempty"`  // the last words
}

// How says how a process ended: "exit code 3", "SIGSEGV".
func How(ws syscall.WaitStatus) string {
	if ws.Signaled() {
		return unix.SignalName(ws.Signal())
	}
	return fmt.Sprintf("exit code %d", ws.ExitStatus())
}
