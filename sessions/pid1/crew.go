package pid1

import (
	"errors"
	"maps"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions/logs"
	"github.com/palisade-run/palisade/variants"
)

// ErrStopped says that nothing is started any more: the session is being stopped, or has ended.
var ErrStopped = errors.New("the session is being stopped")

// Crew is the processes of one session, as its first process sees them. All fields are set once, before
// the first use.
type Crew struct {
	Processes []variants.Process
	Env       map[string]string // of all of them
	Spawner   *Spawner
	Reaper    *Reaper
	Log       *logs.Writer
	Null, Out *os.File // what they read, and the pipe into the log
	// Begun is called once there is something that runs, and again when the first process does: then
	// first is that.
	Begun func(first *Child)

	procs  sync.Mutex // held while one is started
	groups []int      // process groups that SIGTERM goes to
	shut   bool       // nothing may start any more

	mu       sync.Mutex
	begun    bool
	stopped  bool
	killed   bool
	stopping chan struct{} // closed with stopped
	killing  chan struct{} // closed with killed
}

// NewCrew returns a Crew whose fields are to be set.
func NewCrew() *Crew {
	return &Crew{stopping: make(chan struct{}), killing: make(chan struct{})}
}

// Stop asks all processes to end: SIGTERM to each one's group.
func (c *Crew) Stop() {
	c.mu.Lock()
	first := !c.stopped
	c.stopped = true
	c.mu.Unlock()
	if !first {
		return
	}
	close(c.stopping)
	c.procs.Lock()
	defer c.procs.Unlock()
	for _, g := range c.groups {
		_ = unix.Kill(-g, unix.SIGTERM)
	}
}

// Kill ends all of it now: the grace of a Stop is over.
func (c *Crew) Kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return
	}
	c.killed = true
	close(c.killing)
	_ = unix.Kill(-1, unix.SIGKILL)
}

// Launch starts a command, unless the session is ending.
func (c *Crew) Launch(cmd Command) (*Child, error) {
	c.procs.Lock()
	defer c.procs.Unlock()
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	if c.shut || stopped {
		return nil, ErrStopped
	}
	if len(cmd.Argv) == 0 {
		return nil, errors.New("it has no command, and its image has none of its own: the definition must give a start_command")
	}
	ch, err := c.Spawner.start(cmd)
	if err == nil {
		c.groups = append(c.groups, ch.PID)
	}
	return ch, err
}

// Forget takes a process that has ended from those that Stop asks to end: its number may go to another.
func (c *Crew) Forget(ch *Child) {
	c.procs.Lock()
	defer c.procs.Unlock()
	c.groups = slices.DeleteFunc(c.groups, func(g int) bool { return g == ch.PID })
}

// Linger gives the rest of the grace to those that Stop's SIGTERM was sent to along with the first
// process: an engine below a shell that ends before it.
func (c *Crew) Linger() {
	c.mu.Lock()
	stopped := c.stopped
	c.mu.Unlock()
	for stopped {
		c.Reaper.Reap()
		next := c.Reaper.Next() // taken after this reap, which closes the one before, and before the look
		if !c.groupsLeft() {
			return
		}
		select {
		case <-next:
		case <-time.After(50 * time.Millisecond):
			c.remind()
		case <-c.killing:
			return
		}
	}
}

// remind sends SIGTERM again to what would have ended by it, had it been sent a moment later: a shell's
// child that was between fork and exec then. What catches or ignores the signal is left alone.
func (c *Crew) remind() {
	c.procs.Lock()
	defer c.procs.Unlock()
	for pid, p := range ReadProc("/proc") {
		if slices.Contains(c.groups, p.Group) && p.endsBy(unix.SIGTERM) {
			_ = unix.Kill(pid, unix.SIGTERM)
		}
	}
}

func (c *Crew) groupsLeft() bool {
	c.procs.Lock()
	defer c.procs.Unlock()
	for _, g := range c.groups {
		if unix.Kill(-g, 0) == nil {
			return true
		}
	}
	return false
}

// Clear sends SIGKILL to all that is left until nothing is. Nothing starts any more.
func (c *Crew) Clear() {
	c.procs.Lock()
	c.shut = true
	c.procs.Unlock()
	if c.Reaper == nil {
		return // nothing has been started
	}
	for {
		_ = unix.Kill(-1, unix.SIGKILL)
		if c.Reaper.Reap() {
			return
		}
		select {
		case <-c.Reaper.Next():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// note adds to an ending whether Stop was asked for by now. Later is no matter: it ended before.
func (c *Crew) note(e Ending) Ending {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.Stopped = c.stopped
	e.KilledBy = c.killed && e.Status.Signaled() && e.Status.Signal() == syscall.SIGKILL
	return e
}

// EnvOf is what a process sees: of the session, then its own.
func (c *Crew) EnvOf(own map[string]string) map[string]string {
	env := maps.Clone(c.Env)
	if env == nil {
		env = map[string]string{}
	}
	maps.Copy(env, own)
	return env
}
