package containerd

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
)

const (
	cleanIn  = 30 * time.Second
	leaseFor = 7 * 24 * time.Hour // no pull takes longer; sweepPulls ends those whose daemon died
)

// leaseOwner labels what a pull or an import holds on to, with whose it is.
const leaseOwner = "palisade.run/pull-of"

// hold makes ctx hold on to all content and snapshots that are made with it, until release, which also drops parts
// that were under way and, when it is given any (or an empty, non-nil list), waits until containerd has freed the space.
func (r *Runtime) hold(ctx context.Context) (held context.Context, release func(parts []string), err error) {
	lease, err := r.lease(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("holding on to what is fetched: %w", err)
	}
	release = func(parts []string) {
		cleaning, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanIn)
		defer cancel()
		r.drop(cleaning, lease, parts)
	}
	return leases.WithLease(ctx, lease.ID), release, nil
}

func (r *Runtime) lease(ctx context.Context) (leases.Lease, error) {
	return r.client.LeasesService().Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseFor),
		leases.WithLabels(map[string]string{leaseOwner: r.cfg.Root}))
}

// drop ends a lease. One that stays is ended by the next daemon, or by its time.
func (r *Runtime) drop(ctx context.Context, lease leases.Lease, parts []string) {
	r.abort(ctx, parts)
	var opts []leases.DeleteOpt
	if parts != nil {
		opts = append(opts, leases.SynchronousDelete)
	}
	if err := r.client.LeasesService().Delete(ctx, lease, opts...); err != nil && !errdefs.IsNotFound(err) {
		r.log.Warn("what an image's pull held is freed later", "lease", lease.ID, "err", err)
	}
}

// abort drops parts that are under way.
func (r *Runtime) abort(ctx context.Context, parts []string) {
	for _, ref := range parts {
		// One that is there no more was finished, or never begun.
		if err := r.client.ContentStore().Abort(ctx, ref); err != nil && !errdefs.IsNotFound(err) {
			r.log.Warn("a part of an image that was under way is left", "ref", ref, "err", err)
		}
	}
}

// sweepPulls ends what pulls and imports of a daemon that died have left: no pull outlives its daemon.
func (r *Runtime) sweepPulls(ctx context.Context) error {
	ctx = r.in(ctx)
	manager := r.client.LeasesService()
	found, err := manager.List(ctx, fmt.Sprintf("labels.%q==%q", leaseOwner, r.cfg.Root))
	if err != nil {
		return fmt.Errorf("looking for pulls that were cut short: %w", down(err))
	}
	for _, lease := range found {
		resources, err := manager.ListResources(ctx, lease)
		if err != nil && !errdefs.IsNotFound(err) {
			return fmt.Errorf("looking for pulls that were cut short: %w", down(err))
		}
		parts := []string{}
		for _, res := range resources {
			if res.Type == "ingests" {
				parts = append(parts, res.ID)
			}
		}
		r.log.Info("sweeping a pull that was cut short", "lease", lease.ID, "parts", len(parts))
		r.drop(ctx, lease, parts)
	}
	return nil
}

// collect waits for a run of containerd's collector, which the end of a lease can ask for.
func (r *Runtime) collect(ctx context.Context) error {
	ctx = r.in(ctx)
	lease, err := r.lease(ctx)
	if err != nil {
		return down(err)
	}
	return down(r.client.LeasesService().Delete(ctx, lease, leases.SynchronousDelete))
}

// collectSoon has containerd take from the disk, beside this, what was removed until now: one run for all who ask
// while one is under way. By itself containerd overlooks what is removed while it collects, until the next removal
// or the hundredth change.
func (r *Runtime) collectSoon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.litter = true
	if r.collecting || r.life.Err() != nil {
		return
	}
	r.collecting = true
	r.background.Go(func() {
		for r.moreLitter() {
			ctx, cancel := context.WithTimeout(r.life, cleanIn)
			err := r.collect(ctx)
			cancel()
			if err != nil && r.life.Err() == nil {
				r.log.Debug("what was removed is taken from the disk later", "err", err)
			}
		}
	})
}

// moreLitter reports whether something was removed since it was last asked; where not, who collects ends.
func (r *Runtime) moreLitter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.collecting = r.litter && r.life.Err() == nil
	r.litter = false
	return r.collecting
}
