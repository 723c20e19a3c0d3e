package private

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Config of a private containerd.
type Config struct {
	Dir     string // its own directory, made if missing; short, see newLayout
	Program string // containerd; "" looks for it in PATH
	// Patience is how long it may give no answer before it is taken to hang, and replaced; default 30 s.
	Patience time.Duration
	Log      *slog.Logger
}

// State is how the private containerd is now.
type State struct {
	Running  bool
	PID      int
	Version  string
	Since    time.Time // of Running
	Restarts int       // since Start
	Reason   string    // why it is not running
}

// Daemon is a private containerd under supervision. Its methods are safe for concurrent use.
type Daemon struct {
	layout   layout
	programs programs
	settings string
	log      *slog.Logger
	lock     *os.File
	patience time.Duration
	ending   context.CancelFunc
	over     chan struct{} // closed when supervision has ended

	mu    sync.Mutex
	state State
	last  *process // the newest one
	ended bool     // by Close or Stop
}

// How long things may take.
const (
	readyIn   = 30 * time.Second // until containerd answers: its database may be large, its disk slow
	adoptIn   = 10 * time.Second // the same of one that runs already
	endGrace  = 10 * time.Second // from SIGTERM to SIGKILL
	steadyFor = time.Minute      // a run of that length forgets the failures before it
	pollEvery = 10 * time.Millisecond
)

// Start takes over the containerd that runs in cfg.Dir, or starts one, and returns when it answers. When ctx ends
// before that, or it cannot be started, nothing that Start has started is left. Afterwards ctx means nothing: the
// supervision ends with Close or Stop.
//
//  1. One that answers, was started with the same settings and is of the program's version is taken over.
//  2. One that does not answer, or is of another version, is ended first: sessions do not notice.
//  3. Otherwise a new one is started.
func Start(ctx context.Context, cfg Config) (*Daemon, error) {
	d := &Daemon{log: cfg.Log, patience: cmp.Or(cfg.Patience, 30*time.Second), over: make(chan struct{})}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if err := d.prepare(ctx, cfg); err != nil {
		return nil, fmt.Errorf("starting a private containerd: %w", err)
	}
	p, err := d.adoptOrLaunch(ctx)
	if err != nil {
		d.lock.Close()
		return nil, fmt.Errorf("starting a private containerd: %w", err)
	}
	supervising, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.ending = cancel
	go func() {
		defer close(d.over)
		d.supervise(supervising, p)
	}()
	return d, nil
}

// prepare finds the programs, makes and locks the directory and writes the settings.
func (d *Daemon) prepare(ctx context.Context, cfg Config) (err error) {
	if os.Geteuid() != 0 {
		return &Error{errors.New("containerd takes root"), "start palisade as root, or use --runtime process"}
	}
	if d.layout, err = newLayout(cfg.Dir); err != nil {
		return err
	}
	if d.programs, err = findPrograms(ctx, cfg.Program); err != nil {
		return err
	}
	if err := os.MkdirAll(d.layout.dir, 0o711); err != nil {
		return err
	}
	d.lock, err = os.OpenFile(d.layout.at("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := unix.Flock(int(d.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.lock.Close()
		return &Error{fmt.Errorf("another palisade supervises the containerd in %s", d.layout.dir), "stop it, or choose another data directory"}
	}
	d.settings = settings(d.layout, d.programs.version)
	if err := d.writeSettings(); err != nil {
		d.lock.Close()
		return err
	}
	return nil
}

func (d *Daemon) writeSettings() error {
	if err := os.MkdirAll(d.layout.at("tmp"), 0o700); err != nil {
		return err
	}
	return writeFile(d.layout.settings(), []byte(d.settings))
}

// Address of its socket.
func (d *Daemon) Address() string { return d.layout.socket() }

// Version of it.
func (d *Daemon) Version() Version { return d.programs.version }

// State returns how it is now.
func (d *Daemon) State() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state
}

func (d *Daemon) publish(p *process, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state.Running, d.state.PID, d.state.Reason = p != nil, 0, reason
	d.state.Version = d.programs.version.Text
	if p != nil {
		d.state.PID, d.state.Since, d.last = p.pid, time.Now(), p
	}
}

// Close ends the supervision; containerd goes on, for the next palisade to take over.
func (d *Daemon) Close() { d.endSupervision(true) }

// Stop ends the supervision and containerd. Containers that run go on: their shims wait for the next containerd.
// When ctx ends during the grace, SIGKILL follows at once. Stopping what has been closed or stopped does nothing.
func (d *Daemon) Stop(ctx context.Context) error {
	p := d.endSupervision(false)
	if p == nil {
		return nil
	}
	defer d.lock.Close()
	defer p.release()
	if err := d.end(ctx, p); err != nil {
		return fmt.Errorf("stopping the private containerd: %w", err)
	}
	return nil
}

// endSupervision returns the process that is left, the first time.
func (d *Daemon) endSupervision(leave bool) *process {
	d.mu.Lock()
	first := !d.ended
	d.ended = true
	d.mu.Unlock()
	d.ending()
	<-d.over
	if !first {
		return nil
	}
	if leave {
		d.last.release()
		d.lock.Close()
	}
	return d.last
}

// end ends a process: SIGTERM, a grace, SIGKILL. It returns when the process is gone.
func (d *Daemon) end(ctx context.Context, p *process) error {
	if err := p.signal(unix.SIGTERM); err != nil {
		return err
	}
	grace, cancel := context.WithTimeout(ctx, endGrace)
	defer cancel()
	if p.await(grace) != nil {
		d.log.Warn("containerd does not end by SIGTERM: killing it", "pid", p.pid)
		if err := p.signal(unix.SIGKILL); err != nil {
			return err
		}
		killed, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), endGrace,
			fmt.Errorf("process %d is not gone %v after SIGKILL: its disk may hang", p.pid, endGrace))
		defer cancel()
		if err := p.await(killed); err != nil {
			return err
		}
	}
	return errors.Join(removed(d.layout.record()), removed(d.layout.socket()), removed(d.layout.ttrpc()))
}

// removed removes a file; that there is none is no error.
func removed(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
