package mps

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// Program is what NVIDIA's driver installs.
const Program = "nvidia-cuda-mps-control"

// elsewhere is where programs look for a service by default, and so where somebody else's is.
const elsewhere = "/tmp/nvidia-mps"

// ErrNone is a box whose driver brings no MPS: parts of devices are granted, and nothing holds a session to them.
var ErrNone = errors.New("no " + Program + " here")

// Config says where the service lives.
type Config struct {
	Dir     string // absolute; pipes and logs are below it. Sessions see the pipes at the same path
	Program string // "": Program, from PATH
	Log     *slog.Logger

	// Elsewhere is where to look for a service that somebody else runs; "" is where NVIDIA's programs look.
	Elsewhere string
	// Shm is what MPS and its clients share memory through: they must see the same. "" is /dev/shm.
	Shm string
}

// Daemon looks after the service. Its methods may be called from several goroutines.
type Daemon struct {
	own, other control
	shm        string
	log        *slog.Logger

	acting sync.Mutex // nobody starts one while another is being started or stopped
}

// New finds the program. ErrNone where the driver does not bring it.
func New(c Config) (*Daemon, error) {
	if c.Program == "" {
		c.Program = Program
	}
	program, err := exec.LookPath(c.Program)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if !filepath.IsAbs(c.Dir) {
		return nil, fmt.Errorf("MPS in %q: the directory must be absolute", c.Dir)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Elsewhere == "" {
		c.Elsewhere = elsewhere
	}
	if c.Shm == "" {
		c.Shm = "/dev/shm"
	}
	return &Daemon{
		own:   control{program, filepath.Join(c.Dir, "pipe"), filepath.Join(c.Dir, "log")},
		other: control{program: program, pipes: c.Elsewhere, logs: filepath.Join(c.Dir, "log")},
		shm:   c.Shm, log: c.Log,
	}, nil
}

// Run keeps a service running until the context ends. It leaves it running then: sessions go on, and so does what
// they are clients of. Stop ends it.
func (d *Daemon) Run(ctx context.Context) {
	var s state
	for ctx.Err() == nil {
		s = d.look(ctx, s)
		timer := time.NewTimer(time.Until(s.next))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
		}
	}
}

func (d *Daemon) look(ctx context.Context, s state) state {
	d.acting.Lock()
	defer d.acting.Unlock()
	first := s == state{}
	var seen sight
	if seen.own = d.own.answers(ctx); !seen.own {
		seen.other = d.others(ctx)
	}
	next, do := step(s, seen, time.Now())
	if ctx.Err() != nil {
		return next // what does not answer was not given the time to
	}
	switch {
	case do == start:
		if err := d.own.start(ctx); err != nil {
			d.log.Warn("MPS does not start; parts of devices are not enforced", "error", err, "again", next.next)
			return next
		}
		d.log.Info("MPS runs", "pipes", d.own.pipes)
		next, _ = step(next, sight{own: true}, time.Now())
	case first && seen.other:
		d.log.Info("MPS of somebody else is used", "pipes", d.other.pipes)
	case first:
		d.log.Info("MPS runs already", "pipes", d.own.pipes)
	}
	return next
}

// others tells whether somebody else's service answers that sessions may be clients of. Every user of the box may be the first
// to take the name of its directory, and what stands behind it sees what its clients do: so it must be root's, or ours.
func (d *Daemon) others(ctx context.Context) bool {
	info, err := os.Lstat(d.other.pipes)
	if err != nil {
		return false
	}
	st, is := info.Sys().(*syscall.Stat_t)
	if !is || !info.IsDir() || st.Uid != 0 && int(st.Uid) != os.Geteuid() {
		d.log.Debug("a directory of MPS is another user's, and is not looked into", "pipes", d.other.pipes)
		return false
	}
	return d.other.answers(ctx)
}

// Answers tells where a service answers now: its directory of pipes, or "" where there is none.
func (d *Daemon) Answers(ctx context.Context) string {
	switch {
	case d.own.answers(ctx):
		return d.own.pipes
	case d.others(ctx):
		return d.other.pipes
	}
	return ""
}

// Grant is what makes a session a client that is held to its shares. Where no service answers, it is nothing, and not
// enforced: the session runs all the same, as it would without MPS.
func (d *Daemon) Grant(shares []accel.Share) (accel.Grant, error) {
	if len(shares) == 0 {
		return accel.Grant{Enforced: true}, nil
	}
	pipes := d.Answers(context.Background())
	if pipes == "" {
		d.log.Warn("MPS does not answer; a session's part of a device is not enforced")
		return accel.Grant{}, nil
	}
	env := Limits(shares)
	env["CUDA_MPS_PIPE_DIRECTORY"] = pipes
	return accel.Grant{Env: env, Mounts: map[string]string{pipes: pipes, d.shm: "/dev/shm"}, Enforced: true}, nil
}

// Stop ends the service that we started, in this life or an earlier one; somebody else's is left alone. Its clients
// end with it: it is for when the box is taken out of use.
func (d *Daemon) Stop(ctx context.Context) error {
	d.acting.Lock()
	defer d.acting.Unlock()
	if !d.own.answers(ctx) {
		return nil
	}
	if _, err := d.own.say(ctx, "quit"); err != nil {
		return err
	}
	for d.own.answers(ctx) {
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("stopping MPS: %w", context.Cause(ctx))
		}
	}
	d.log.Info("MPS has ended")
	return nil
}
