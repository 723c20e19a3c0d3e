package process

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/logs"
	"github.com/palisade-run/palisade/sessions/pid1"
)

// SuperviseMain is `palisade supervise DIR`: it holds the session of DIR until that has ended, and
// returns the exit code. It is started by a Runtime, as the first process of namespaces made for it,
// with descriptors that only a Runtime hands over.
//
// main must call it before it does anything else: no goroutine may have been started, and every
// session pays for what is loaded before it.
func SuperviseMain(args []string) int {
	runtime.LockOSThread() // this thread becomes the spawner's
	if len(args) == 1 && args[0] == probeArg {
		return probe()
	}
	if len(args) != 1 || os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "palisade supervise holds a session; palisade serve starts it, people do not")
		return 2
	}
	for _, fd := range []int{fdLock, fdListen, fdReady} {
		unix.CloseOnExec(fd) // they are not the session's
	}
	ready := os.NewFile(fdReady, "ready")
	s, err := openSupervisor(args[0], ready)
	if err == nil {
		err = s.setUp(args[0])
	}
	if err != nil {
		if s != nil {
			s.finish(pid1.Ending{Failed: err.Error()}, func(leave func()) { leave() })
		}
		answer(ready, reply{Error: err.Error()})
		return 1
	}
	go s.live()
	s.crew.Spawner.Loop()
	s.partWithClients()
	_ = unix.Close(fdLock) // it would go with the process: a moment later, and somebody waits
	return 0
}

// partWithClients lets answers that are on their way reach who waits for them.
func (s *supervisor) partWithClients() {
	done := make(chan struct{})
	go func() {
		s.clients.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
}

// supervisor holds one session.
type supervisor struct {
	rec   record
	dir   *os.Root // the session's directory
	self  int      // this process, as the box sees it
	ready *os.File
	proc  int // descriptor of the box's /proc
	group *group
	home  *group // the supervisors'
	crew  *pid1.Crew
	log   *logs.Writer
	out   [2]*os.File   // the pipe into the log
	read  chan struct{} // closed once all of the pipe is in the log
	null  *os.File

	clients sync.WaitGroup

	mu       sync.Mutex
	state    state
	underWay chan struct{} // closed with state, or with exit
	exit     sessions.Exit
	ended    chan struct{} // closed once exit is written
}

func openSupervisor(dir string, ready *os.File) (*supervisor, error) {
	rec, found, err := readJSON[record](dir, fileRecord)
	if err != nil || !found {
		return nil, fmt.Errorf("reading what to run: %w", errors.Join(err, os.ErrNotExist))
	}
	s := &supervisor{
		rec: rec, ready: ready, crew: pid1.NewCrew(),
		underWay: make(chan struct{}), ended: make(chan struct{}), read: make(chan struct{}),
	}
	if s.dir, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	logDir, err := s.dir.OpenRoot(dirLog)
	if err != nil {
		return nil, err
	}
	s.log = logs.NewWriter(logDir, rec.LogFiles, rec.LogSize)
	return s, nil
}

// setUp shuts this process into the session. After it, paths are those of the session.
func (s *supervisor) setUp(dir string) (err error) {
	unix.Umask(0o022)
	if s.proc, err = unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("opening /proc: %w", err)
	}
	s.self = ownHostPID(s.proc)
	if s.null, err = os.OpenFile("/dev/null", os.O_RDWR, 0); err != nil {
		return err
	}
	if s.home, err = openGroup(s.rec.Keepers); err != nil {
		return fmt.Errorf("opening the supervisors' cgroups: %w", err)
	}
	joined := make(chan error, 1) // the kernel takes its time: the root is built meanwhile
	go func() { joined <- s.home.joinProcess() }()
	if s.group, err = openGroup(s.rec.Groups); err != nil {
		return fmt.Errorf("opening the session's cgroups: %w", err)
	}
	if err := errors.Join(enterRoot(dir, s.rec), <-joined); err != nil {
		return err
	}
	// The spawner's thread has no more rights than the session: without this the session could look into
	// this process by it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing the supervisor to the session: %w", err)
	}
	forker, err := newForker(s.proc, s.rec, s.group)
	if err != nil {
		return err
	}
	if err := enter(s.group, s.rec.Spec.Limits.CPUs); err != nil {
		return err
	}
	if err := s.openLog(); err != nil {
		return err
	}
	s.assemble(forker)
	listener, err := net.FileListener(os.NewFile(fdListen, "socket"))
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	socket, ok := listener.(*net.UnixListener)
	if !ok {
		return errors.New("listening: what was handed over is no socket of files")
	}
	go s.signals()
	go s.serve(socket)
	return nil
}

// assemble hands the crew what it works with.
func (s *supervisor) assemble(f *forker) {
	c := s.crew
	c.Processes, c.Env = s.rec.Spec.Processes, maps.Clone(s.rec.BaseEnv)
	maps.Copy(c.Env, s.rec.Spec.Env)
	c.Reaper = pid1.NewReaper()
	c.Spawner = pid1.NewSpawner(c.Reaper, f.fork)
	c.Log, c.Null, c.Out = s.log, s.null, s.out[1]
	c.Begun = func(first *pid1.Child) {
		if first == nil {
			s.announce(0)
			return
		}
		s.announce(first.Host)
	}
}

// openLog makes the pipe that the session writes into, and copies it into the log.
func (s *supervisor) openLog() error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("making the log's pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 256<<10)
	s.out = [2]*os.File{os.NewFile(uintptr(p[0]), "log"), os.NewFile(uintptr(p[1]), "log")}
	go func() {
		defer close(s.read)
		_, _ = io.CopyBuffer(struct{ io.Writer }{s.log}, struct{ io.Reader }{s.out[0]}, make([]byte, 64<<10))
	}()
	return nil
}

// signals waits for what ends, and takes SIGTERM, which a box that shuts down sends to all, for a Stop.
// The other signals that would end a program do nothing: they are caught, not ignored, because what is
// ignored stays so in the children.
func (s *supervisor) signals() {
	ch := make(chan os.Signal, 64)
	signal.Notify(ch, unix.SIGCHLD, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE)
	s.crew.Reaper.Reap()
	for sig := range ch {
		switch sig {
		case unix.SIGCHLD:
			s.crew.Reaper.Reap()
		case unix.SIGTERM:
			s.stop(10 * time.Second)
		}
	}
}

// live is the session's life: its processes from the first to the end of all.
func (s *supervisor) live() {
	e := s.crew.Play()
	s.crew.Linger()
	s.finish(e, s.crew.Spawner.Do)
	s.begun(reply{Error: cmp.Or(e.Failed, s.exit.Message)})
	s.crew.Spawner.Close()
}

// begun tells who waits that the session is under way, or never will be. The first call counts.
func (s *supervisor) begun(r reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.underWay:
		return
	default:
	}
	answer(s.ready, r)
	close(s.underWay)
}

// announce keeps and tells where the session is. pid is the first process's; until there is one, this
// process stands for it.
func (s *supervisor) announce(pid int) {
	s.mu.Lock()
	if s.state.StartedAt.IsZero() {
		s.state.StartedAt = time.Now()
	}
	s.state.PID, s.state.Supervisor = pid, s.self
	if s.state.PID == 0 {
		s.state.PID = s.self
	}
	st := s.state
	s.mu.Unlock()
	if err := s.keepState(st); err != nil {
		fmt.Fprintln(os.Stderr, "keeping the session's state:", err)
	}
	s.begun(reply{State: &st})
}

func (s *supervisor) keepState(st state) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	if err := s.dir.WriteFile(fileState+".tmp", b, 0o600); err != nil {
		return err
	}
	return s.dir.Rename(fileState+".tmp", fileState)
}

func answer(w io.Writer, r reply) {
	b, err := json.Marshal(r)
	if err != nil {
		b = []byte(`{"error":"the answer cannot be said in JSON"}`)
	}
	_, _ = w.Write(append(b, '\n'))
	if c, ok := w.(io.Closer); ok {
		c.Close()
	}
}

func ownHostPID(proc int) int {
	b := make([]byte, 32)
	n, err := unix.Readlinkat(proc, "self", b)
	if err != nil {
		return 0
	}
	var pid int
	_, _ = fmt.Sscan(string(b[:n]), &pid)
	return pid
}
