package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

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
	free := r.freeing(id)
	if r.freed(id) {
		free = nil
	}
	return append(free,
		step{"clear the way", func(context.Context) error { return removeTree(away) }},
		step{"leave", func(context.Context) error {
			if err := os.Rename(r.dir(id), away); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		}},
		step{"files", func(context.Context) error { return removeTree(away) }},
	)
}

// freed reports whether a session that has ended holds nothing any more beside its directory.
func (r *Runtime) freed(id string) bool {
	_, ended, err := readJSON[sessions.Exit](r.dir(id), fileExit)
	_, holds, taskErr := readTask(r.dir(id))
	return ended && !holds && err == nil && taskErr == nil
}

// freeing are the steps by which all goes that a session holds outside of its directory.
func (r *Runtime) freeing(id string) []step {
	return []step{
		{"task", func(ctx context.Context) error { return r.endTask(ctx, id) }},
		{"container", func(ctx context.Context) error {
			return absent(r.client.ContainerService().Delete(ctx, id))
		}},
		{"what runc knows", func(context.Context) error { return os.RemoveAll(filepath.Join(r.runcRoot(), r.cfg.Namespace, id)) }},
		{"cgroups", func(ctx context.Context) error { return r.removeGroups(ctx, id) }},
		{"snapshot", func(ctx context.Context) error {
			err := absent(r.client.SnapshotService(r.cfg.Snapshotter).Remove(ctx, id))
			r.collectSoon()
			return err
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
// service that keeps failing would use up all addresses.
func (r *Runtime) release(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), afterKill)
	defer cancel()
	if err := r.free(ctx, id); err != nil {
		r.log.Warn("what a session that ended held is not free yet", "session", id, "err", err)
		r.later(id, func(ctx context.Context) error { return r.free(ctx, id) })
	}
}

// free frees what id holds beside its directory. fileTask says that it holds something.
func (r *Runtime) free(ctx context.Context, id string) error {
	holds := func() bool {
		_, found, err := readTask(r.dir(id))
		return found && err == nil
	}
	if !holds() {
		return nil // as most of the time
	}
	done, err := r.alone(id)
	if errors.Is(err, sessions.ErrNoInstance) {
		return nil
	}
	if err != nil {
		return err
	}
	defer done()
	if !holds() {
		return nil
	}
	if err := perform(r.in(ctx), r.freeing(id)); err != nil {
		return err
	}
	return os.Remove(filepath.Join(r.dir(id), fileTask))
}

// endTask ends what there is of a container's processes, and has containerd forget them.
func (r *Runtime) endTask(ctx context.Context, id string) error {
	c, err := r.client.LoadContainer(ctx, id)
	var t client.Task
	if err == nil {
		t, err = c.Task(ctx, nil)
	}
	if errdefs.IsNotFound(err) {
		_, err = r.endShims(id)
		return err
	}
	if err != nil {
		return err
	}
	begun := time.Now()
	if _, err = t.Delete(ctx, client.WithProcessKill); absent(err) == nil && time.Since(begun) > shimPatience {
		_, err = r.endShims(id)
	}
	return absent(err)
}

// shimPatience is less than what containerd has with a shim that it wants to end. After that it forgets it.
const shimPatience = 2 * time.Second

// absent makes no error of one that says that there is nothing of that name.
func absent(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}
