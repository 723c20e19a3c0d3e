package containerd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/outcome"
	"github.com/palisade-run/palisade/sessions/pid1"
)

const (
	// afterKill is how long what was sent SIGKILL may take to be gone: a process that waits for a dead
	// disk is not gone sooner than the disk answers.
	afterKill = 10 * time.Second
	// askAgain is how soon containerd is asked again that was away.
	askAgain = 250 * time.Millisecond
	// askFor bounds one question to it.
	askFor = 5 * time.Second
)

// settle returns how id ended, and whether it has:
//
//  1. that is written down;
//  2. its first process lives: it has not;
//  3. the first process has said how it went;
//  4. it was ended itself, before it could: containerd knows by what, or nobody does.
//
// ErrRuntimeDown where containerd must be asked and cannot.
func (r *Runtime) settle(id string) (sessions.Exit, bool, error) {
	dir := r.dir(id)
	if exit, found, err := readJSON[sessions.Exit](dir, fileExit); found || err != nil { // 1
		return exit, found, err
	}
	t, began, err := readTask(dir)
	if err != nil || !began {
		return sessions.Exit{}, false, cmp.Or(err, sessions.ErrNoInstance)
	}
	if t.alive() { // 2
		return sessions.Exit{}, false, nil
	}
	done, err := r.alone(id)
	if err != nil {
		return sessions.Exit{}, false, err
	}
	defer done()
	if exit, found, err := readJSON[sessions.Exit](dir, fileExit); found || err != nil {
		return exit, found, err
	}
	rec, err := r.record(id)
	if err != nil {
		return sessions.Exit{}, false, err
	}
	exit, err := r.judge(dir, rec, t)
	if err != nil {
		return sessions.Exit{}, false, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return sessions.Exit{}, false, err
	}
	defer root.Close()
	if err := pid1.Fill(root, fileSpare, fileExit, exit); err != nil {
		return sessions.Exit{}, false, fmt.Errorf("keeping the exit of %s: %w", id, err)
	}
	return exit, true, nil
}

// judge says how a session ended whose first process is gone.
func (r *Runtime) judge(dir string, rec record, t task) (sessions.Exit, error) {
	now := time.Now()
	if rep, found := readLeft[pid1.Report](dir, pid1.FileEnding); found { // 3
		if rep.At.Before(rec.CreatedAt) || rep.At.After(now) {
			rep.At = now
		}
		rep.Limit = rec.Spec.Limits.Memory
		return outcome.Of(rep.Ending, rep.At), nil
	}
	unknown := sessions.Exit{Reason: sessions.ExitUnknown, Code: -1, FinishedAt: now}
	if t.BootID != bootID() {
		unknown.Message = "The box was restarted while the session ran; how the session ended is not known."
		return unknown, nil
	}
	e, known, err := r.killed(rec)
	if err != nil {
		return unknown, err
	}
	if !known {
		unknown.Message = "The session's first process was ended from outside while containerd was away, and the session with it; by what is not known."
		return unknown, nil
	}
	_, stopErr := os.Stat(filepath.Join(dir, fileStopping))
	e.Stopped = stopErr == nil
	e.KilledBy = e.Stopped
	return outcome.Of(e, now), nil
}

// killed asks containerd how a first process ended that could not say so itself.
func (r *Runtime) killed(rec record) (pid1.Ending, bool, error) {
	if time.Now().UnixNano() < r.silentUntil.Load() {
		return pid1.Ending{}, false, fmt.Errorf("asking how %s ended: %w", rec.Spec.ID, hanging())
	}
	ctx, cancel := context.WithTimeout(r.in(context.Background()), askFor)
	defer cancel()
	c, err := r.client.LoadContainer(ctx, rec.Spec.ID)
	var t client.Task
	if err == nil {
		t, err = c.Task(ctx, nil)
	}
	var st client.Status
	if err == nil {
		st, err = awaitStopped(ctx, t)
	}
	if errdefs.IsNotFound(err) {
		return pid1.Ending{}, false, nil
	}
	if err != nil && ctx.Err() != nil { // those who ask next need not wait as long
		r.silentUntil.Store(time.Now().Add(askFor).UnixNano())
		err = hanging()
	}
	if err != nil {
		return pid1.Ending{}, false, fmt.Errorf("asking how %s ended: %w", rec.Spec.ID, down(err))
	}
	e := pid1.Ending{What: "its first process", Status: waitStatus(st.ExitStatus), Limit: rec.Spec.Limits.Memory}
	if u, err := r.usage(ctx, t); err == nil {
		e.OOMKills = u.oomKills
	}
	return e, true, nil
}

// awaitStopped waits for containerd to see what the kernel has told already.
func awaitStopped(ctx context.Context, t client.Task) (client.Status, error) {
	exited, err := t.Wait(ctx)
	if err != nil {
		return client.Status{}, err
	}
	select {
	case st := <-exited:
		return client.Status{Status: client.Stopped, ExitStatus: st.ExitCode()}, st.Error()
	case <-ctx.Done():
		return client.Status{}, ctx.Err()
	}
}

// waitStatus makes a wait status of an exit code as runc tells it: 128+n for signal n.
func waitStatus(code uint32) syscall.WaitStatus {
	if code > 128 && code < 128+65 {
		return syscall.WaitStatus(code - 128)
	}
	return syscall.WaitStatus(code << 8)
}

// Wait implements sessions.Runtime.
func (r *Runtime) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	exit, err := r.ended(ctx, id)
	if err != nil {
		return sessions.Exit{}, fmt.Errorf("waiting for %s: %w", id, err)
	}
	return exit, nil
}

// ended waits until id has ended, and frees what it held. It waits for containerd as well, where that
// alone can tell how.
func (r *Runtime) ended(ctx context.Context, id string) (sessions.Exit, error) {
	if err := r.known(id); err != nil {
		return sessions.Exit{}, err
	}
	for {
		exit, ended, err := r.settle(id)
		if ended {
			r.release(ctx, id)
			return exit, nil
		}
		if err != nil && !errors.Is(err, sessions.ErrRuntimeDown) {
			return exit, err
		}
		if err == nil {
			t, _, readErr := readTask(r.dir(id))
			if readErr != nil {
				return exit, readErr
			}
			if err := t.await(ctx); err != nil {
				return exit, err
			}
			continue
		}
		select {
		case <-ctx.Done():
			return exit, errors.Join(ctx.Err(), err)
		case <-time.After(askAgain):
		}
	}
}

// Stop implements sessions.Runtime. It does not need containerd: what must be freed there then goes with
// Remove, or when the appliance starts next.
func (r *Runtime) Stop(ctx context.Context, id string, grace time.Duration) error {
	for _, s := range r.stopping(id, grace) {
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("stopping %s: %w", id, err)
		}
	}
	return nil
}

// stopping are the steps of a stop.
func (r *Runtime) stopping(id string, grace time.Duration) []step {
	var t task
	signal := func(sig unix.Signal, wait time.Duration, hurried bool) func(context.Context) error {
		return func(ctx context.Context) error {
			if t.PID == 0 || wait <= 0 && sig == unix.SIGTERM {
				return nil
			}
			if err := t.signal(sig); err != nil {
				return fmt.Errorf("%s: %w", unix.SignalName(sig), err)
			}
			bound := context.WithoutCancel(ctx)
			if hurried {
				bound = ctx
			}
			bound, cancel := context.WithTimeout(bound, wait)
			defer cancel()
			if t.await(bound) == nil {
				t = task{}
			}
			return nil
		}
	}
	return []step{
		{"note", func(ctx context.Context) (err error) {
			if t, err = r.noteStop(id); err == nil {
				_ = r.thaw(r.in(ctx), id) // what stands still does not end; where containerd is away it is killed all the same
			}
			return err
		}},
		{"ask", signal(unix.SIGTERM, grace, true)},
		{"kill", signal(unix.SIGUSR1, afterKill, false)},
		{"force", signal(unix.SIGKILL, afterKill, false)},
		{"settle", func(context.Context) error {
			if t.PID != 0 {
				return fmt.Errorf("process %d does not end, though it was killed: it waits for a device, perhaps", t.PID)
			}
			_, _, err := r.settle(id)
			if errors.Is(err, sessions.ErrRuntimeDown) {
				return nil // it has ended; how, Wait will know
			}
			return err
		}},
		{"release", func(ctx context.Context) error { r.release(ctx, id); return nil }},
	}
}

// noteStop writes down that a stop was asked for, and returns what is to be stopped: nothing, where it has
// ended.
func (r *Runtime) noteStop(id string) (task, error) {
	if err := r.known(id); err != nil {
		return task{}, err
	}
	_, ended, err := r.settle(id)
	if ended || errors.Is(err, sessions.ErrRuntimeDown) {
		return task{}, nil
	}
	if err != nil {
		return task{}, err
	}
	if err := os.WriteFile(filepath.Join(r.dir(id), fileStopping), nil, 0o600); err != nil {
		return task{}, err
	}
	t, _, err := readTask(r.dir(id))
	return t, err
}
