// Package outcome owns how what is known of a session's end becomes what its owner is told: the reason,
// the code and one sentence. All of it is pure. Both runtimes use it.
package outcome

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// MaxMessage bounds a message, the last of the log in it, in bytes.
const MaxMessage = 2 << 10

// Of says how a session ended:
//
//  1. it never started: start-failed;
//  2. Stop was asked for: killed where that took SIGKILL, else stopped, whatever the exit code;
//  3. exit code 0: completed;
//  4. the kernel ended a process of it for its memory limit: out-of-memory, also where the process that
//     was ended is another than the first, which then failed for want of it;
//  5. SIGKILL: killed; another signal: crashed; else failed.
func Of(e pid1.Ending, now time.Time) sessions.Exit {
	x := sessions.Exit{FinishedAt: now}
	ws := e.Status
	x.Code = ws.ExitStatus()
	if ws.Signaled() {
		x.Code, x.Signal = 128+int(ws.Signal()), unix.SignalName(ws.Signal())
	}
	how := pid1.How(ws)
	switch {
	case e.Failed != "":
		x.Reason, x.Message = sessions.ExitStartFailed, sentence(e.Failed)
		if x.Code == 0 && x.Signal == "" {
			x.Code = 127
		}
	case e.Stopped && e.KilledBy:
		x.Reason, x.Message = sessions.ExitKilled, "Stopped with SIGKILL: it had not ended within the grace."
		return x
	case e.Stopped:
		x.Reason, x.Message = sessions.ExitStopped, fmt.Sprintf("Stopped: %s ended with %s.", e.What, how)
		return x
	case ws.Exited() && x.Code == 0:
		x.Reason, x.Message = sessions.ExitCompleted, sentence(e.What+" ended by itself")
		return x
	case e.OOMKills > 0:
		x.Reason = sessions.ExitOutOfMemory
		limit := "memory"
		if e.Limit > 0 {
			limit = bytesize.Format(e.Limit)
		}
		x.Message = fmt.Sprintf("Out of memory: the session reached its limit of %s and the kernel ended %s; %s ended with %s.",
			limit, count(e.OOMKills, "process"), e.What, how)
	case ws.Signaled() && ws.Signal() == syscall.SIGKILL:
		x.Reason, x.Message = sessions.ExitKilled, sentence(e.What+" was ended by SIGKILL from outside the session's runtime")
	case ws.Signaled():
		x.Reason, x.Message = sessions.ExitCrashed, sentence(e.What+" was ended by "+x.Signal)
	default:
		x.Reason, x.Message = sessions.ExitFailed, sentence(e.What+" ended with "+how)
	}
	x.Message = withTail(x.Message, e.LogTail)
	return x
}

// OfCommand says how a command of Exec ended.
func OfCommand(ws syscall.WaitStatus, now time.Time) sessions.Exit {
	return Of(pid1.Ending{What: "the command", Status: ws}, now)
}

// withTail adds the last words of the log, so that all of it has at most MaxMessage bytes. Whole lines
// are kept, if one fits.
func withTail(message, tail string) string {
	tail = strings.TrimSpace(strings.ToValidUTF8(tail, "?"))
	message = strings.ToValidUTF8(message, "?")
	if len(message) > MaxMessage {
		return strings.ToValidUTF8(message[:MaxMessage], "")
	}
	const intro = " The last of its log:\n"
	room := MaxMessage - len(message) - len(intro)
	if tail == "" || room < 80 {
		return message
	}
	if len(tail) > room {
		tail = tail[len(tail)-room:]
		if _, rest, found := strings.Cut(tail, "\n"); found && rest != "" {
			tail = rest
		}
		tail = strings.ToValidUTF8(tail, "")
	}
	return message + intro + tail
}

func sentence(s string) string {
	s = strings.TrimSpace(s)
	if s == "" {
		return s
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

func count(n int64, what string) string {
	if n == 1 {
		return "a " + what
	}
	return fmt.Sprintf("%d %ses", n, what)
}
