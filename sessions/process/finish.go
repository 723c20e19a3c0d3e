package process

import (
	"fmt"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// stop begins the end: SIGTERM now, SIGKILL after grace. Of several, the shortest grace counts.
func (s *supervisor) stop(grace time.Duration) {
	s.mu.Lock()
	first := !s.stopped
	s.stopped = true
	s.mu.Unlock()
	if first {
		close(s.stopping)
		s.signalGroups(unix.SIGTERM)
	}
	if grace <= 0 {
		s.kill()
		return
	}
	timer := time.AfterFunc(grace, s.kill)
	go func() {
		<-s.ended
		timer.Stop()
	}()
}

// kill ends all of it now.
func (s *supervisor) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed {
		return
	}
	s.killed = true
	close(s.killing)
	_ = unix.Kill(-1, unix.SIGKILL)
}

func (s *supervisor) signalGroups(sig syscall.Signal) {
	s.procs.Lock()
	defer s.procs.Unlock()
	for _, g := range s.groups {
		_ = unix.Kill(-g, sig)
	}
}

// finish ends what is left of the session, and keeps how it ended. onThread runs a function on the
// spawner's thread.
func (s *supervisor) finish(e ending, onThread func(func())) {
	s.clear()
	if s.group != nil {
		e.OOMKills = s.group.oomKills()
	}
	e.Limit = s.rec.Spec.Limits.Memory
	e.LogTail = s.log.last()
	exit := decideExit(e, time.Now())
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
	s.procs.Lock()
	s.shut = true
	s.procs.Unlock()
	if s.reap == nil || s.out[1] == nil {
		return // nothing has been started
	}
	for {
		_ = unix.Kill(-1, unix.SIGKILL)
		if s.reap.reap() {
			break
		}
		select {
		case <-s.reap.next():
		case <-time.After(20 * time.Millisecond):
		}
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
