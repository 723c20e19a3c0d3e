package pid1

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions/logs"
)

// Run is the first process of a container: it does what the Plan at PathPlan says, from the first action
// to the end of all, and keeps at PathOut what it knows. SIGTERM asks the session to end, SIGUSR1 ends it;
// other signals do nothing. It returns the exit code of this process, which says nothing of the session.
//
// main must call it before it does anything else.
func Run() int {
	runtime.LockOSThread() // this thread stays root, so that no process of the session may signal it
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "palisade-init is the first process of a session's container; palisade serve puts it there, people do not start it")
		return 2
	}
	f := &first{crew: NewCrew(), ended: make(chan struct{})}
	f.crew.Reaper = NewReaper()
	if err := f.open(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	e := Ending{}
	if err := f.begin(); err != nil {
		e.Failed = err.Error()
	} else {
		e = f.crew.Play()
		f.crew.Linger()
	}
	return f.finish(e)
}

const fileRoom = "ending.new"

// first is the first process.
type first struct {
	plan  Plan
	out   *os.Root
	log   *logs.Writer
	pipe  [2]*os.File   // into the log
	read  chan struct{} // closed once all of the pipe is in the log
	crew  *Crew
	state State
	ended chan struct{}
}

// open makes what it takes to tell how things went.
func (f *first) open() (err error) {
	unix.Umask(0o022)
	// It has no more rights than the session's root user: without this that could look into it.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("closing the first process to the session: %w", err)
	}
	if f.out, err = os.OpenRoot(PathOut); err != nil {
		return err
	}
	if err := Reserve(f.out, fileRoom); err != nil {
		return fmt.Errorf("taking room for how the session ends: %w", err)
	}
	if err := f.out.Mkdir(DirLog, 0o700); err != nil {
		return err
	}
	dir, err := f.out.OpenRoot(DirLog)
	if err != nil {
		return err
	}
	b, err := os.ReadFile(PathPlan)
	if err == nil {
		err = json.Unmarshal(b, &f.plan)
	}
	if err != nil {
		return fmt.Errorf("reading what to run: %w", err)
	}
	f.log = logs.NewWriter(dir, f.plan.LogFiles, f.plan.LogSize)
	f.obey() // before there is anything whose end could be missed
	return nil
}

// begin makes what it takes to start processes.
func (f *first) begin() error {
	user, err := userOf(f.plan.User)
	if err != nil {
		return err
	}
	f.state.User = user
	for _, dir := range f.plan.Own {
		if err := os.Lchown(dir, int(user.UID), int(user.GID)); err != nil {
			return fmt.Errorf("giving %s to the image's user: %w", dir, err)
		}
	}
	c := f.crew
	c.Processes, c.Env, c.Log, c.Begun = f.plan.Processes, f.plan.Env, f.log, f.begun
	if c.Env["HOME"] == "" {
		c.Env["HOME"] = user.Home
	}
	if c.Null, err = os.OpenFile("/dev/null", os.O_RDWR, 0); err != nil {
		return err
	}
	if err := f.openPipe(); err != nil {
		return err
	}
	c.Out = f.pipe[1]
	c.Spawner = NewSpawner(c.Reaper, ForkExec)
	became := make(chan error)
	go func() {
		runtime.LockOSThread() // and never back
		err := user.become()
		became <- err
		if err == nil {
			c.Spawner.Loop()
		}
	}()
	return <-became
}

func (f *first) openPipe() error {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return fmt.Errorf("making the log's pipe: %w", err)
	}
	_, _ = unix.FcntlInt(uintptr(p[1]), unix.F_SETPIPE_SZ, 256<<10)
	// A process may open it anew, as /dev/stdout: it must be the user's.
	if err := unix.Fchown(p[1], int(f.state.User.UID), int(f.state.User.GID)); err != nil {
		return fmt.Errorf("giving the log's pipe to the image's user: %w", err)
	}
	f.pipe = [2]*os.File{os.NewFile(uintptr(p[0]), "log"), os.NewFile(uintptr(p[1]), "log")}
	f.read = make(chan struct{})
	go func() {
		defer close(f.read)
		_, _ = io.CopyBuffer(struct{ io.Writer }{f.log}, struct{ io.Reader }{f.pipe[0]}, make([]byte, 64<<10))
	}()
	return nil
}

// obey does what signals ask for from now on. Those that would end a program are caught, not ignored: what
// is ignored stays so in the children.
func (f *first) obey() {
	ch := make(chan os.Signal, 64)
	signal.Notify(ch, unix.SIGCHLD, unix.SIGTERM, unix.SIGUSR1, unix.SIGINT, unix.SIGHUP, unix.SIGPIPE, unix.SIGQUIT, unix.SIGUSR2)
	go func() {
		for {
			select {
			case sig := <-ch:
				f.signal(sig)
			case <-f.ended:
				return
			}
		}
	}()
}

func (f *first) signal(sig os.Signal) {
	switch sig {
	case unix.SIGCHLD:
		f.crew.Reaper.Reap()
	case unix.SIGTERM:
		f.crew.Stop()
	case unix.SIGUSR1:
		f.crew.Stop()
		f.crew.Kill()
	}
}

// begun keeps what is known once something runs.
func (f *first) begun(ch *Child) {
	if f.state.StartedAt.IsZero() {
		f.state.StartedAt = time.Now()
	}
	if ch != nil {
		f.state.First = ch.PID
	}
	b, err := json.Marshal(f.state)
	if err == nil {
		err = f.out.WriteFile(FileState+".new", b, 0o600)
	}
	if err == nil {
		err = f.out.Rename(FileState+".new", FileState)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keeping what is known of the session:", err)
	}
}

// finish ends what is left of the session, and keeps how it ended.
func (f *first) finish(e Ending) int {
	f.crew.Clear()
	if f.pipe[1] != nil {
		f.pipe[1].Close()
		select {
		case <-f.read:
		case <-time.After(2 * time.Second): // a command from outside holds it
		}
	}
	e.OOMKills = oomKills()
	if e.Failed != "" {
		fmt.Fprintf(f.log, "[palisade: the session did not start: %s]\n", e.Failed)
		e.Failed = strings.ToValidUTF8(e.Failed[:min(len(e.Failed), 2<<10)], "?")
	} else {
		e.LogTail = strings.ToValidUTF8(f.log.Last(), "?")
	}
	close(f.ended)
	err := Fill(f.out, fileRoom, FileEnding, Report{Ending: e, At: time.Now()})
	if err != nil { // the session made something of that name
		_ = f.out.RemoveAll(FileEnding)
		err = errors.Join(f.out.RemoveAll(fileRoom), Fill(f.out, fileRoom, FileEnding, Report{Ending: e, At: time.Now()}))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "keeping how the session ended:", err)
		return 1
	}
	return 0
}

// oomKills counts the processes that the kernel ended for the container's memory limit, as its own view of
// its cgroup tells: of version 1 or 2.
func oomKills() int64 {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		b, err := os.ReadFile(filepath.Join("/sys/fs/cgroup", name))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if key, value, found := strings.Cut(strings.TrimSpace(line), " "); found && key == "oom_kill" {
				n, _ := strconv.ParseInt(value, 10, 64)
				return n
			}
		}
	}
	return 0
}
