package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"

	"github.com/palisade-run/palisade/sessions"
)

// Remove implements sessions.Runtime.
func (r *Runtime) Remove(ctx context.Context, id string) error {
	if err := r.remove(ctx, id); err != nil {
		return fmt.Errorf("removing %s: %w", id, err)
	}
	return nil
}

func (r *Runtime) remove(ctx context.Context, id string) error {
	if !validID(id) || r.isStarting(id) {
		return errors.New("there is no session of that name that has ended")
	}
	if _, err := os.Stat(r.dir(id)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_, ended, err := r.settle(id)
	switch {
	case errors.Is(err, sessions.ErrNoInstance): // half made
	case err != nil:
		return err
	case !ended:
		return errors.New("it runs: stop it first")
	}
	return r.discard(ctx, id)
}

// discard removes all of a session that is not to run any more.
func (r *Runtime) discard(ctx context.Context, id string) error {
	done, err := r.alone(id)
	if errors.Is(err, sessions.ErrNoInstance) {
		return nil
	}
	if err != nil {
		return err
	}
	defer done()
	return perform(r.in(ctx), r.discarding(id))
}

func perform(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := s.do(ctx); err != nil {
			return down(err)
		}
	}
	return nil
}

// discarding are the steps by which a session goes. Each can be done again. The directory leaves in one
// step, so that no half of one is ever listed, and leaves last: as long as it is there, somebody comes
// back for the rest.
func (r *Runtime) discarding(id string) []step {
	away := filepath.Join(r.removing(), id)
	return append(r.freeing(id),
		step{"clear the way", func(context.Context) error { return os.RemoveAll(away) }},
		step{"leave", func(context.Context) error {
			if err := os.Rename(r.dir(id), away); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}},
		step{"files", func(context.Context) error { return os.RemoveAll(away) }},
	)
}

// freeing are the steps by which all goes that a session holds outside of its directory.
func (r *Runtime) freeing(id string) []step {
	return []step{
		{"task", func(ctx context.Context) error { return r.endTask(ctx, id) }},
		{"container", func(ctx context.Context) error {
			return absent(r.client.ContainerService().Delete(ctx, id))
		}},
		{"snapshot", func(ctx context.Context) error {
			return absent(r.client.SnapshotService(r.cfg.Snapshotter).Remove(ctx, id))
		}},
		{"network", func(context.Context) error {
			if r.cfg.Network == nil {
				return nil
			}
			return r.cfg.Network.Remove(id)
		}},
	}
}

// release frees what a session that has ended holds: only its log and its exit stay until Remove, or a
// service that keeps failing would use up all addresses. What cannot be freed now, Remove tries again.
func (r *Runtime) release(ctx context.Context, id string) {
	if _, holds, err := readTask(r.dir(id)); err != nil || !holds {
		return // as most of the time
	}
	done, err := r.alone(id)
	if err != nil {
		return
	}
	defer done()
	if _, holds, err := readTask(r.dir(id)); err != nil || !holds {
		return
	}
	ctx, cancel := context.WithTimeout(r.in(context.WithoutCancel(ctx)), askFor)
	defer cancel()
	if _, known, _ := readJSON[sessions.Exit](r.dir(id), fileExit); !known {
		return // containerd has still to say how it ended
	}
	err = perform(ctx, r.freeing(id))
	if err == nil {
		err = os.Remove(filepath.Join(r.dir(id), fileTask))
	}
	if err != nil {
		r.log.Warn("what a session that ended held is not free yet", "session", id, "err", err)
	}
}

// endTask ends what there is of a container's processes, and has containerd forget them.
func (r *Runtime) endTask(ctx context.Context, id string) error {
	c, err := r.client.LoadContainer(ctx, id)
	if err != nil {
		return absent(err)
	}
	t, err := c.Task(ctx, nil)
	if err != nil {
		return absent(err)
	}
	_, err = t.Delete(ctx, client.WithProcessKill)
	return absent(err)
}

// absent makes no error of one that says that there is nothing of that name.
func absent(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
