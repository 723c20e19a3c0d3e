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
	"time"

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
	for _, child := range s.children() {
		if failed := syscall.Kill(child.pid, sig); !errors.Is(failed, syscall.ESRCH) {
			err = errors.Join(err, failed)
		}
	}
	return err
}

// process is one of the server's: fields are those of its stat from its state on.
type process struct {
	pid    int
	fields []string
}

func (s *Server) children() (all []process) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		if p, ok := processOf(path); ok && p.fields[1] == strconv.Itoa(s.pid) {
			all = append(all, p)
		}
	}
	return all
}

func processOf(path string) (p process, ok bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return p, false // it has ended
	}
	_, rest, _ := strings.Cut(string(text), ") ") // behind its name, which may be anything
	p.fields = strings.Fields(rest)
	p.pid, err = strconv.Atoi(filepath.Base(filepath.Dir(path)))
	return p, err == nil && len(p.fields) > 14
}

// Processor is the processor time that the server has used, with its connections that have ended.
func (s *Server) Processor(t testing.TB) time.Duration {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	first, ok := processOf("/proc/" + strconv.Itoa(s.pid) + "/stat")
	if !ok {
		t.Fatal("the server does not run")
	}
	all := first.fields[11:15]
	for _, child := range s.children() {
		all = append(all, child.fields[11:13]...)
	}
	var ticks int64
	for _, field := range all {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
