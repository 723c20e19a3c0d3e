package outcome

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// Wait statuses as the kernel encodes them.
func exited(code int) syscall.WaitStatus             { return syscall.WaitStatus(code << 8) }
func signaled(sig syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(sig) }

func TestOf(t *testing.T) {
	now := time.Unix(1, 0)
	for _, c := range []struct {
		name   string
		e      pid1.Ending
		reason sessions.ExitReason
		code   int
		says   string
	}{
		{"by itself", pid1.Ending{Status: exited(0)}, sessions.ExitCompleted, 0, "ended by itself"},
		{"a failure", pid1.Ending{Status: exited(3)}, sessions.ExitFailed, 3, "exit code 3"},
		{"a crash", pid1.Ending{Status: signaled(syscall.SIGSEGV)}, sessions.ExitCrashed, 139, "SIGSEGV"},
		{"SIGTERM from elsewhere", pid1.Ending{Status: signaled(syscall.SIGTERM)}, sessions.ExitCrashed, 143, "SIGTERM"},
		{"SIGKILL from elsewhere", pid1.Ending{Status: signaled(syscall.SIGKILL)}, sessions.ExitKilled, 137, "SIGKILL"},
		{"out of memory", pid1.Ending{Status: signaled(syscall.SIGKILL), OOMKills: 1, Limit: 1 << 30}, sessions.ExitOutOfMemory, 137, "1 GiB"},
		{"a child out of memory", pid1.Ending{Status: exited(1), OOMKills: 2}, sessions.ExitOutOfMemory, 1, "2 processes"},
		{"it got over a child's end", pid1.Ending{Status: exited(0), OOMKills: 2}, sessions.ExitCompleted, 0, ""},
		{"stopped", pid1.Ending{Status: signaled(syscall.SIGTERM), Stopped: true}, sessions.ExitStopped, 143, "SIGTERM"},
		{"stopped, tidily", pid1.Ending{Status: exited(0), Stopped: true}, sessions.ExitStopped, 0, "Stopped"},
		{"stopped, out of memory meanwhile", pid1.Ending{Status: exited(1), Stopped: true, OOMKills: 1}, sessions.ExitStopped, 1, ""},
		{"stopped by force", pid1.Ending{Status: signaled(syscall.SIGKILL), Stopped: true, KilledBy: true}, sessions.ExitKilled, 137, "grace"},
		{"not started", pid1.Ending{Failed: "command x: not found"}, sessions.ExitStartFailed, 127, "Command x: not found."},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.What = "its process"
			got := Of(c.e, now)
			if got.Reason != c.reason || got.Code != c.code || !strings.Contains(got.Message, c.says) || !got.FinishedAt.Equal(now) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func FuzzWithTail(f *testing.F) {
	f.Add("It failed.", "a\nb\n")
	f.Add("", strings.Repeat("é", 3000))
	f.Fuzz(func(t *testing.T, message, tail string) {
		got := withTail(message, tail)
		if len(got) > MaxMessage || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%d bytes: %q", len(got), got)
		}
	})
}
