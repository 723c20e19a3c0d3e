package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/variants"
)

var errStopped = errors.New("the session is being stopped")

// play runs the session: all pre-start actions, then all processes, and returns when the first process
// has ended, or another has failed, or something did not start.
func (s *supervisor) play() ending {
	for i, p := range s.rec.Spec.Processes {
		for k := range p.PreStart {
			if i+k == 0 || s.unannounced() {
				s.announce(0)
			}
			if err := s.act(p, k); err != nil {
				return s.failed(p, fmt.Errorf("pre-start action %d, %s: %w", k+1, p.PreStart[k].Name, err))
			}
		}
	}
	type end struct {
		i  int
		ch *child
	}
	ends := make(chan end, len(s.rec.Spec.Processes))
	for i, p := range s.rec.Spec.Processes {
		ch, err := s.launch(command{
			argv: p.Argv, fallback: p.ShellFallback, env: s.env(p.Env), dir: p.WorkDir,
			files: [3]uintptr{s.null.Fd(), s.out[1].Fd(), s.out[1].Fd()},
		})
		if err != nil {
			return s.failed(p, err)
		}
		if i == 0 {
			s.announce(ch.host)
		}
		go func() {
			<-ch.done
			ends <- end{i, ch}
		}()
	}
	for e := range ends {
		if e.i == 0 || !e.ch.ws.Exited() || e.ch.ws.ExitStatus() != 0 {
			return s.note(ending{What: called(s.rec.Spec.Processes[e.i], len(s.rec.Spec.Processes)), Status: e.ch.ws})
		}
	}
	return ending{} // not reached: ends is never closed
}

func (s *supervisor) unannounced() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.StartedAt.IsZero()
}

// note adds to an ending whether Stop was asked for by now. Later is no matter: it ended before.
func (s *supervisor) note(e ending) ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Stopped = s.stopped
	e.KilledBy = s.killed && e.Status.Signaled() && e.Status.Signal() == unix.SIGKILL
	return e
}

func (s *supervisor) failed(p variants.Process, err error) ending {
	e := s.note(ending{What: "the start", Failed: err.Error()})
	if e.Stopped { // that, and not what it led to, is how it ended
		e.Failed, e.Status = "", 0
		return e
	}
	if len(s.rec.Spec.Processes) > 1 && p.Name != "" {
		e.Failed = "process " + p.Name + ": " + e.Failed
	}
	return e
}

func called(p variants.Process, of int) string {
	if of == 1 || p.Name == "" {
		return "its process"
	}
	return "its process " + p.Name
}

// launch starts c, unless the session is ending.
func (s *supervisor) launch(c command) (*child, error) {
	s.procs.Lock()
	defer s.procs.Unlock()
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	if s.shut || stopped {
		return nil, errStopped
	}
	if len(c.argv) == 0 {
		return nil, errors.New("it has no command, and image host has none of its own: the definition must give a start_command")
	}
	ch, err := s.spawn.start(c)
	if err == nil {
		s.groups = append(s.groups, ch.pid)
	}
	return ch, err
}

// linger gives the rest of the grace to those that Stop's SIGTERM was sent to along with the first
// process: an engine below a shell that ends before it.
func (s *supervisor) linger() {
	s.mu.Lock()
	stopped := s.stopped
	s.mu.Unlock()
	for stopped {
		s.reap.reap()
		next := s.reap.next() // taken after this reap, which closes the one before, and before the look
		if !s.groupsLeft() {
			return
		}
		select {
		case <-next:
		case <-time.After(50 * time.Millisecond):
			s.remind()
		case <-s.killing:
			return
		}
	}
}

// remind sends SIGTERM again to what would have ended by it, had it been sent a moment later: a shell's
// child that was between fork and exec then. What catches or ignores the signal is left alone.
func (s *supervisor) remind() {
	s.procs.Lock()
	defer s.procs.Unlock()
	for pid, p := range readProc("/proc") {
		if slices.Contains(s.groups, p.group) && p.endsBy(unix.SIGTERM) {
			_ = unix.Kill(pid, unix.SIGTERM)
		}
	}
}

func (s *supervisor) groupsLeft() bool {
	s.procs.Lock()
	defer s.procs.Unlock()
	for _, g := range s.groups {
		if unix.Kill(-g, 0) == nil {
			return true
		}
	}
	return false
}

// env is what a process sees: of the box, of the session, its own; the later ones win.
func (s *supervisor) env(own map[string]string) map[string]string {
	env := maps.Clone(s.rec.BaseEnv)
	maps.Copy(env, s.rec.Spec.Env)
	maps.Copy(env, own)
	return env
}

// act does the k-th pre-start action of p. Files are written with the session's rights.
func (s *supervisor) act(p variants.Process, k int) (err error) {
	select {
	case <-s.stopping:
		return errStopped
	default:
	}
	a := p.PreStart[k].Args
	switch name := p.PreStart[k].Name; name {
	case "run_command":
		return s.runCommand(p, k)
	case "write_file", "write_tempfile":
		s.spawn.do(func() { err = writeFile(inDir(p.WorkDir, a.Filename), a.Body, a.Mode, a.Append) })
	case "mkdir":
		s.spawn.do(func() { err = os.MkdirAll(inDir(p.WorkDir, a.Path), 0o755) })
	case "log":
		_, err = io.WriteString(s.log, a.Message+"\n")
	default:
		return fmt.Errorf("there is no action of that name: %q", name)
	}
	if errors.Is(err, unix.EROFS) {
		return fmt.Errorf("%w: write to /tmp or to a scratch directory", err)
	}
	return err
}

func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join("/", dir, path)
}

func writeFile(path string, lines []string, mode string, appending bool) error {
	perm := uint64(0o644)
	if mode != "" {
		var err error
		if perm, err = strconv.ParseUint(mode, 8, 12); err != nil {
			return fmt.Errorf("mode %q: not octal", mode)
		}
	}
	how := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if appending {
		how = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	f, err := os.OpenFile(path, how, fs.FileMode(perm))
	if err != nil {
		return err
	}
	for _, l := range lines {
		if _, err = f.WriteString(l + "\n"); err != nil {
			break
		}
	}
	return errors.Join(err, unix.Fchmod(int(f.Fd()), uint32(perm)), f.Close())
}

func (s *supervisor) runCommand(p variants.Process, k int) error {
	a := p.PreStart[k].Args
	out, said := s.out[1], func() string { return "" }
	if !a.Echo {
		w, text, err := tailPipe()
		if err != nil {
			return err
		}
		defer w.Close()
		out, said = w, text
	}
	dir := p.WorkDir
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		dir = "/"
	}
	ch, err := s.launch(command{argv: a.Command, env: s.env(p.Env), dir: dir,
		files: [3]uintptr{s.null.Fd(), out.Fd(), out.Fd()}})
	if err != nil {
		if a.IgnoreError && !errors.Is(err, errStopped) {
			fmt.Fprintf(s.log, "[palisade: pre-start action %d, run_command: %v; it may fail]\n", k+1, err)
			return nil
		}
		return err
	}
	if out != s.out[1] {
		out.Close()
	}
	<-ch.done
	s.forget(ch.pid)
	if ch.ws.Exited() && ch.ws.ExitStatus() == 0 {
		return nil
	}
	exit := execExit(ch.ws, time.Now())
	how := fmt.Sprintf("exit code %d", exit.Code)
	if exit.Signal != "" {
		how = exit.Signal
	}
	if a.IgnoreError {
		fmt.Fprintf(s.log, "[palisade: %s: %s; it may fail]\n", strings.Join(a.Command, " "), how)
		return nil
	}
	if text := strings.TrimSpace(said()); text != "" {
		fmt.Fprintln(s.log, text)
		how += ": " + text
	}
	return fmt.Errorf("%s: %s", strings.Join(a.Command, " "), how)
}

// tailPipe returns the writing end of a pipe, and a function that returns the last words written to
// it once its writers have gone, or soon after.
func tailPipe() (*os.File, func() string, error) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, err
	}
	r, w := os.NewFile(uintptr(p[0]), "output"), os.NewFile(uintptr(p[1]), "output")
	var mu sync.Mutex
	var tail []byte
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.Close()
		b := make([]byte, 4096)
		for {
			n, err := r.Read(b)
			mu.Lock()
			tail = append(tail, b[:n]...)
			tail = tail[max(0, len(tail)-maxMessage/2):]
			mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return w, func() string {
		select {
		case <-done:
		case <-time.After(200 * time.Millisecond):
		}
		mu.Lock()
		defer mu.Unlock()
		return string(bytes.ToValidUTF8(tail, []byte("?")))
	}, nil
}
