package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"

	"github.com/palisade-run/palisade/sessions"
)

// sweep removes what was half made or half removed when a daemon ended, frees what sessions hold that
// have ended since, and removes what a lost root has left in containerd.
func (r *Runtime) sweep(ctx context.Context) error {
	ctx = r.in(ctx)
	half, err := os.ReadDir(r.removing())
	if err != nil {
		return err
	}
	for _, e := range half {
		if err := removeTree(filepath.Join(r.removing(), e.Name())); err != nil { // no reason not to start
			r.log.Warn("files of a session that was removed are left; the next start tries again", "session", e.Name(), "err", err)
		}
	}
	entries, err := os.ReadDir(r.instances())
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	var swept []string
	for _, e := range entries {
		id := e.Name()
		if !validID(id) {
			continue
		}
		_, ended, err := r.settle(id)
		switch {
		case errors.Is(err, sessions.ErrNoInstance):
			r.log.Info("sweeping a session that was half made", "session", id)
			err = r.discard(ctx, id)
			swept = append(swept, id)
		case ended:
			r.release(ctx, id)
		case err == nil:
			if err := r.thaw(ctx, id); err != nil {
				return fmt.Errorf("session %s: it was made to stand still: %w", id, err)
			}
		}
		if err != nil && !errors.Is(err, sessions.ErrNoInstance) {
			return fmt.Errorf("session %s: %w", id, err)
		}
		kept[id] = true
	}
	strays, err := r.sweepStrays(ctx, kept)
	r.endLateShims(append(swept, strays...))
	return err
}

// sweepStrays removes containers and snapshots of ours that no directory knows, and tells which.
func (r *Runtime) sweepStrays(ctx context.Context, kept map[string]bool) (swept []string, err error) {
	ours := fmt.Sprintf("labels.%q==%s", labelOwner, r.owner)
	containers, err := r.client.ContainerService().List(ctx, ours)
	if err != nil {
		return nil, err
	}
	strays := map[string]bool{}
	for _, c := range containers {
		strays[c.ID] = !kept[c.ID]
	}
	err = r.client.SnapshotService(r.cfg.Snapshotter).Walk(ctx, func(_ context.Context, s snapshots.Info) error {
		strays[s.Name] = !kept[s.Name]
		return nil
	}, ours)
	if err != nil {
		return nil, err
	}
	for id, stray := range strays {
		if !stray {
			continue
		}
		r.log.Info("sweeping a container that no session has", "container", id)
		if err := perform(ctx, r.freeing(id)); err != nil {
			return swept, fmt.Errorf("container %s: %w", id, err)
		}
		swept = append(swept, id)
	}
	return swept, nil
}
