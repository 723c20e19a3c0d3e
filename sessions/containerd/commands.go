package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"github.com/palisade-run/palisade/sessions"
)

// underWay is what is kept of a command while it runs: its streams end in a daemon, and where that is killed another one
// must know.
type underWay struct {
	Daemon   task `json:"daemon"`
	Terminal bool `json:"terminal,omitempty"`
}

func (r *Runtime) fifos() string { return filepath.Join(r.cfg.Root, "exec") }

// noteCommand is called before the command can be there, forgetCommand after it has gone.
func (r *Runtime) noteCommand(id, name string, terminal bool) error {
	dir := filepath.Join(r.dir(id), dirCommands)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		if errors.Is(err, os.ErrNotExist) {
			return sessions.ErrNoInstance
		}
		return err
	}
	return writeJSON(dir, name, underWay{Daemon: r.self, Terminal: terminal})
}

func (r *Runtime) forgetCommand(id, name string) {
	// One that stays is looked for in vain by the next daemon, or goes with the session.
	_ = os.Remove(filepath.Join(r.dir(id), dirCommands, name))
}

// sweepCommands ends, in the background, the commands whose daemon has been killed, or will be: one that takes its time to
// retire is watched, for it ends its own.
func (r *Runtime) sweepCommands() {
	files, err := filepath.Glob(filepath.Join(r.instances(), "*", dirCommands, "exec-*"))
	if err != nil {
		return
	}
	for _, file := range files {
		dir, name := filepath.Split(file)
		id := filepath.Base(filepath.Dir(filepath.Clean(dir)))
		u, found, err := readJSON[underWay](dir, name)
		if err != nil || !found || filepath.Ext(name) != "" {
			_ = os.Remove(file) // half written: before the command was there
			continue
		}
		r.background.Go(func() {
			if err := u.Daemon.await(r.life); err != nil {
				return // we retire first
			}
			if _, err := os.Stat(file); err != nil {
				return
			}
			r.log.Info("ending a command whose daemon was killed", "session", id, "command", name)
			if err := r.endCommand(r.in(r.life), id, name, u); err != nil {
				r.log.Warn("a command whose daemon was killed may still run; the next start looks again", "session", id, "command", name, "err", err)
			}
		})
	}
}

// afterInput is how long a command without a terminal may take to end once its input has, which it did with its daemon.
const afterInput = 10 * time.Second

// endCommand ends a command of another daemon's and removes what is left of it.
func (r *Runtime) endCommand(ctx context.Context, id, name string, u underWay) error {
	if _, err := r.running(id); err != nil {
		r.forgetCommand(id, name)
		return nil //nolint:nilerr // it went with its session
	}
	t, err := r.load(ctx, id)
	if err != nil {
		return err
	}
	p, err := t.LoadProcess(ctx, name, nil)
	if err == nil {
		err = r.endProcess(ctx, id, p, u)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("ending it: %w", err)
	}
	left, err := filepath.Glob(filepath.Join(r.fifos(), "*", name+"-*"))
	if err != nil {
		return err
	}
	for _, fifo := range left {
		if err := os.RemoveAll(filepath.Dir(fifo)); err != nil {
			return err
		}
	}
	r.forgetCommand(id, name)
	return nil
}

func (r *Runtime) endProcess(ctx context.Context, id string, p client.Process, u underWay) error {
	exited, err := p.Wait(ctx)
	if err != nil {
		return err
	}
	st, err := r.client.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id, ExecID: p.ID()}) // p does not know its number
	if err != nil {
		return errgrpc.ToNative(err)
	}
	if st.GetProcess().GetStatus() == tasktypes.Status_RUNNING {
		late := time.NewTimer(afterInput)
		defer late.Stop()
		if u.Terminal {
			late.Reset(0)
		}
		select {
		case <-exited:
		case <-late.C:
			end(int(st.GetProcess().GetPid()), u.Terminal, exited)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	_, err = p.Delete(ctx, client.WithProcessKill)
	return err
}
