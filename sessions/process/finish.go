package process

import (
	"fmt"
	"os"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/outcome"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// stop begins the end: SIGTERM now, SIGKILL after grace. Of several, the shortest grace counts.
func (s *supervisor) stop(grace time.Duration) {
	s.crew.Stop()
	if grace <= 0 {
		s.crew.Kill()
		return
	}
	timer := time.AfterFunc(grace, s.crew.Kill)
	go func() {
		<-s.ended
		timer.Stop()
	}()
}

// finish ends what is left of the session, and keeps how it ended. onThread runs a function on the
// spawner's thread.
func (s *supervisor) finish(e pid1.Ending, onThread func(func())) {
	s.clear()
	if s.group != nil {
		e.OOMKills = s.group.oomKills()
	}
	e.Limit = s.rec.Spec.Limits.Memory
	e.LogTail = s.log.Last()
	exit := outcome.Of(e, time.Now())
	if exit.Reason == sessions.ExitStartFailed {
		fmt.Fprintf(s.log, "[palisade: the session did not start: %s]\n", e.Failed)
	}
	if s.group != nil {
		onThread(func() { _ = s.home.joinThread() }) // else its own thread keeps the group busy
		s.group.remove()
	}
	s.keepExit(exit)
	s.mu.Lock()
	s.exit = exit
	s.mu.Unlock()
	close(s.ended)
}

// clear sends SIGKILL to all that is left until nothing is, and sees the log to its end.
func (s *supervisor) clear() {
	s.crew.Clear()
	if s.out[1] == nil {
		return // nothing has been started
	}
	s.out[1].Close()
	select {
	case <-s.read:
	case <-time.After(2 * time.Second): // somebody outside the session holds the pipe
	}
}

// keepExit writes the exit to the disk. That can fail only where the disk itself does: the room was
// taken before the start.
func (s *supervisor) keepExit(exit sessions.Exit) {
	for range 30 {
		err := writeExit(s.dir, exit)
		if err == nil {
			return
		}
		fmt.Fprintln(os.Stderr, "keeping the session's exit:", err)
		time.Sleep(time.Second)
	}
}
