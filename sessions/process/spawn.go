package process

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts the session's processes, all from one thread: that thread, and so all that it starts,
// is in the session's cgroups, has no more capabilities than a container has, and will get no new ones.
// The supervisor's other threads are and have what the supervisor is and has.
type spawner struct {
	jobs chan func()
	v2   int // descriptor of the version 2 cgroup that children are born in; -1 none
	rec  record
	reap *reaper
}

func newSpawner(rec record, g *group, reap *reaper) (*spawner, error) {
	s := &spawner{jobs: make(chan func()), v2: -1, rec: rec, reap: reap}
	for i, d := range g.dirs {
		if !d.V2 {
			continue
		}
		dir, err := g.roots[i].Open(".")
		if err != nil {
			return nil, err
		}
		s.v2 = int(dir.Fd())
		reap.keep = append(reap.keep, dir)
	}
	return s, nil
}

// enter gives the calling thread, which is locked, to the spawner, for good.
func (s *spawner) enter(g *group) error {
	if err := g.joinThread(); err != nil {
		return err
	}
	return dropCapabilities()
}

// loop does what is asked for on the calling thread, until the jobs are closed.
func (s *spawner) loop() {
	for job := range s.jobs {
		job()
	}
}

// do runs fn on the spawner's thread: with a session's rights.
func (s *spawner) do(fn func()) {
	done := make(chan struct{})
	s.jobs <- func() {
		defer close(done)
		fn()
	}
	<-done
}

// command is one process to start.
type command struct {
	argv     []string
	fallback string // in place of argv[0] where that is not there
	env      map[string]string
	dir      string
	files    [3]uintptr
}

// child is a process that was started.
type child struct {
	pid  int // as the session sees it, and its process group's
	host int // as the box sees it; 0 unknown
	done chan struct{}
	ws   syscall.WaitStatus // once done is closed
}

// start starts c. Its error is a sentence for the owner of the session.
func (s *spawner) start(c command) (*child, error) {
	var ch *child
	var err error
	s.do(func() { ch, err = s.fork(c) })
	return ch, err
}

func (s *spawner) fork(c command) (*child, error) {
	dir := cmp.Or(c.dir, "/")
	if st, err := os.Stat(dir); err != nil {
		return nil, fmt.Errorf("working directory %s: %w", dir, plain(err))
	} else if !st.IsDir() {
		return nil, fmt.Errorf("working directory %s: it is a file", dir)
	}
	path, err := lookPath(c.argv[0], c.env["PATH"], dir)
	if err != nil && c.fallback != "" {
		path, err = lookPath(c.fallback, c.env["PATH"], dir)
	}
	if err != nil {
		return nil, err
	}
	pidfd := -1
	attr := &syscall.ProcAttr{
		Dir: dir, Env: flatten(c.env), Files: c.files[:],
		Sys: &syscall.SysProcAttr{Setsid: true, PidFD: &pidfd, UseCgroupFD: s.v2 >= 0, CgroupFD: max(0, s.v2)},
	}
	ch, err := s.reap.start(func() (int, error) {
		return s.limited(func() (int, error) { return syscall.ForkExec(path, c.argv, attr) })
	})
	if err != nil {
		return nil, fmt.Errorf("command %s: %w", path, execError(err))
	}
	if pidfd >= 0 {
		ch.host = s.reap.hostPID(pidfd)
		unix.Close(pidfd)
	}
	return ch, nil
}

// ownThreads is how many threads of the supervisor the kernel counts, at most, along with the session's.
const ownThreads = 16

// limited runs fork with what stands in for cgroup limits that this box does not let us set. The number
// of processes is limited before there is one that could make others. Memory is limited right after: such
// a limit could end the supervisor.
func (s *spawner) limited(fork func() (int, error)) (int, error) {
	if n := s.rec.RlimitProc; n > 0 {
		var own unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NPROC, &own); err != nil {
			return 0, err
		}
		low := unix.Rlimit{Cur: min(own.Max, uint64(n+ownThreads)), Max: own.Max}
		if err := unix.Setrlimit(unix.RLIMIT_NPROC, &low); err != nil {
			return 0, err
		}
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_NPROC, &own) }()
	}
	pid, err := fork()
	if err != nil {
		return 0, err
	}
	for resource, n := range map[int]int64{unix.RLIMIT_DATA: s.rec.RlimitData, unix.RLIMIT_NPROC: s.rec.RlimitProc} {
		if resource == unix.RLIMIT_NPROC {
			n += ownThreads * min(n, 1)
		}
		if n > 0 { // also what it may raise it to
			_ = unix.Prlimit(pid, resource, &unix.Rlimit{Cur: uint64(n), Max: uint64(n)}, nil)
		}
	}
	return pid, nil
}

func execError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return errors.New("it is there, but the interpreter or loader that it names is not")
	case errors.Is(err, unix.ENOEXEC):
		return errors.New("it is not a program of this machine, nor a script with a #! line")
	case errors.Is(err, unix.EAGAIN):
		return errors.New("the session's limit of processes is reached")
	}
	return err
}

// plain leaves the path out of an error that is about to name it.
func plain(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return errors.New("no such directory in the session")
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// lookPath finds the program name as a shell in dir with that PATH would.
func lookPath(name, path, dir string) (string, error) {
	if name == "" {
		return "", errors.New("the command is empty")
	}
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			name = filepath.Join(dir, name)
		}
		return name, executable(name)
	}
	var refused error
	for _, p := range filepath.SplitList(path) {
		if !filepath.IsAbs(p) {
			continue
		}
		full := filepath.Join(p, name)
		err := executable(full)
		if err == nil {
			return full, nil
		}
		if !errors.Is(err, errMissing) && refused == nil {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fmt.Errorf("command %s: %w in PATH (%s)", name, errMissing, cmp.Or(path, "which is empty"))
}

var errMissing = errors.New("not found")

func executable(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("command %s: %w in the session", path, errMissing)
	case errors.Is(err, fs.ErrPermission): // of a directory above it: whether it is there cannot be told
		return fmt.Errorf("command %s: %w in the session, which may not look there", path, errMissing)
	case err != nil:
		return fmt.Errorf("command %s: %w", path, plain(err))
	case st.IsDir():
		return fmt.Errorf("command %s: it is a directory", path)
	case st.Mode()&0o111 == 0:
		return fmt.Errorf("command %s: the file is not executable", path)
	}
	return nil
}

func flatten(env map[string]string) []string {
	var list []string
	for k, v := range env {
		list = append(list, k+"="+v)
	}
	slices.Sort(list)
	return list
}

// reaper is the part of a session's first process that every first process has: it waits for every
// process that ends, its own and those orphaned to it.
type reaper struct {
	proc int // descriptor of the box's /proc
	keep []*os.File

	mu       sync.Mutex
	children map[int]*child
	reaped   chan struct{} // closed, and replaced, when processes were waited for
}

func newReaper(proc int) *reaper {
	return &reaper{proc: proc, children: map[int]*child{}, reaped: make(chan struct{})}
}

// start forks and remembers the child before its end can be seen.
func (r *reaper) start(fork func() (int, error)) (*child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, err := fork()
	if err != nil {
		return nil, err
	}
	ch := &child{pid: pid, done: make(chan struct{})}
	r.children[pid] = ch
	return ch, nil
}

// reap waits for all that has ended, without waiting for what has not. It returns true when there is no
// process left to wait for.
func (r *reaper) reap() (none bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			none = errors.Is(err, syscall.ECHILD)
			break
		}
		if ch := r.children[pid]; ch != nil {
			delete(r.children, pid)
			ch.ws = ws
			close(ch.done)
		}
	}
	close(r.reaped)
	r.reaped = make(chan struct{})
	return none
}

// next returns a channel that is closed after the next reap.
func (r *reaper) next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reaped
}

// hostPID asks the box's /proc for the process id behind a pidfd; 0 when it does not say.
func (r *reaper) hostPID(pidfd int) int {
	b, err := readAt(r.proc, fmt.Sprintf("self/fdinfo/%d", pidfd))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(b) {
		if text, found := strings.CutPrefix(line, "Pid:"); found {
			var pid int
			_, _ = fmt.Sscan(text, &pid)
			return max(0, pid)
		}
	}
	return 0
}

func readAt(dir int, path string) (string, error) {
	fd, err := unix.Openat(dir, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	return string(b[:max(0, n)]), err
}
