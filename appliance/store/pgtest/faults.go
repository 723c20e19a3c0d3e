package pgtest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// enter has this thread be in the server's network for good.
func (s *Server) enter() error {
	if s.Network == "" {
		return nil
	}
	f, err := os.Open(s.Network)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering %s: %w", s.Network, err)
	}
	return nil
}

// Kill ends the server without a word: all of its processes. Its databases stay, as they are on the disk.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		return
	}
	if err := s.signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-s.ended
	s.stop = nil
}

// Freeze stops all processes of the server where they are, or has them go on.
func (s *Server) Freeze(t testing.TB, is bool) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.signal(map[bool]syscall.Signal{true: syscall.SIGSTOP, false: syscall.SIGCONT}[is]); err != nil {
		t.Fatal(err)
	}
}

// signal is for all processes. The first one is stopped before its children are looked for, and killed after them: it makes no more of
// them, and they write nothing for want of it.
func (s *Server) signal(sig syscall.Signal) error {
	stop := syscall.Kill(s.pid, syscall.SIGSTOP)
	err := errors.Join(stop, s.signalChildren(syscall.SIGSTOP))
	if sig == syscall.SIGSTOP {
		return err
	}
	return errors.Join(err, s.signalChildren(sig), syscall.Kill(s.pid, sig))
}

func (s *Server) signalChildren(sig syscall.Signal) (err error) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, gone := os.ReadFile(path)
		if gone != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(text), ") ") // behind its name, which may be anything
		if fields := strings.Fields(rest); len(fields) < 2 || fields[1] != strconv.Itoa(s.pid) {
			continue
		}
		pid, failed := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if failed == nil {
			failed = syscall.Kill(pid, sig)
		}
		if !errors.Is(failed, syscall.ESRCH) {
			err = errors.Join(err, failed)
		}
	}
	return err
}
