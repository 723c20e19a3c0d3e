package simulation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
)

// show has the table written as it is now.
func (h *house) show() {
	h.showing.Lock()
	defer h.showing.Unlock()
	h.mu.Lock()
	rows := h.rows.Of(h.table, func(*sessions.ServiceRoutes) bool { return false }, func(id, addr string) (string, string) { return h.at[id], addr })
	h.mu.Unlock()
	h.publisher.Publish(rows)
}

func (h *house) put(ctx context.Context, rows map[string]*cluster.Row) (int64, error) {
	revision, err := h.desk.PutTable(ctx, h.reign, rows)
	h.mu.Lock()
	h.wrote += int64(len(rows))
	for id, row := range rows {
		if delete(h.told, id); row != nil && err == nil {
			h.told[id] = len(row.Service.Routes)
		}
	}
	h.mu.Unlock()
	return revision, err
}

// observe sees the devices of nodes that live, as they say it of themselves: all that was there of sessions that have ended is gone.
func (h *house) observe(ctx context.Context) {
	tick := time.NewTicker(observeEvery)
	defer tick.Stop()
	for turn := 0; ; turn++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := time.Now()
		for i, n := range h.roster.Nodes() {
			if n.Alive == nil || n.Inventory == nil || i%observeTurns != turn%observeTurns && h.ledger.Leaving(n.Name) == 0 {
				continue
			}
			samples := make([]accel.Sample, len(n.Inventory.Node.Devices))
			for i, d := range n.Inventory.Node.Devices {
				samples[i] = accel.Sample{Device: d.ID, At: now}
			}
			h.ledger.Observe(n.Name, samples, func(int) (string, bool) { return "", false }, now)
		}
	}
}

// Nodes look at their devices in turns of observeEvery, each of them every observeTurns, or sooner where sessions have ended.
const (
	observeEvery = time.Second
	observeTurns = 15
)

// stands says how far all is. To go through all sessions takes longer than what else is looked at here: that is done where it is wanted, else
// once a second, and when all routes are there.
func (h *house) stands(anew bool) standing {
	v, fresh := h.routes()
	if anew || v.Healthy >= h.Services*h.Replicas || !fresh {
		alive, example := 0, ""
		h.managing.Load().EachSession("", sessions.SessionFilter{}, func(s *sessions.Session) {
			if s.Alive() {
				alive++
				if s.Status != sessions.StatusRunning && example == "" {
					example = fmt.Sprintf("%s: %s: %s %v", s.ID, s.Status, s.Reason, s.Waits)
				}
			}
		})
		h.mu.Lock()
		h.alive, h.example, h.counted = alive, example, time.Now()
		h.mu.Unlock()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	v.Other, v.Example = h.alive-v.Healthy-v.OnDead, h.example
	return v
}

// routes counts those that there are; fresh: it is not long ago that sessions were counted.
func (h *house) routes() (v standing, fresh bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.Silent, v.Newest = len(h.silent), h.publisher.Newest()
	v.Written, fresh = h.wrote, time.Since(h.counted) < time.Second
	for _, n := range h.told {
		v.Told += n
	}
	for _, s := range h.table {
		for _, r := range s.Routes {
			switch _, silent := h.silent[h.at[r.ID]]; {
			case r.Draining:
			case silent:
				v.OnDead++
			default:
				v.Healthy++
			}
		}
	}
	return v, fresh
}

// node is where a session is.
func (h *house) node(id string) (*fleet.Node, string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	name := h.at[id]
	if name == "" {
		name, _ = h.fleet.Has(id)
	}
	if name == "" {
		return nil, "", fmt.Errorf("%s: %w", id, sessions.ErrNoInstance)
	}
	return h.fleet.Node(name), name, nil
}

// unlessGone is a context that ends when nobody waits for a node any more.
func (h *house) unlessGone(ctx context.Context, node string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for !h.away(node).Gone {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
		}
		cancel()
	}()
	return ctx, cancel
}

// Pull implements sessions.Runtime: images are there.
func (*house) Pull(context.Context, string, func(sessions.Progress)) error { return nil }

// Start implements sessions.Runtime.
func (h *house) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	var claim accel.Claim
	if err := json.Unmarshal([]byte(spec.Labels[sessions.LabelClaim]), &claim); err != nil {
		return sessions.Instance{}, err
	}
	h.mu.Lock()
	h.at[spec.ID] = claim.Node
	h.mu.Unlock()
	spec.Labels = maps.Clone(spec.Labels)
	spec.Labels[orderedLabel] = time.Now().Format(time.RFC3339Nano)
	ctx, cancel := h.unlessGone(ctx, claim.Node)
	defer cancel()
	return h.fleet.Node(claim.Node).Start(ctx, spec)
}

// Resume implements sessions.Resumer.
func (h *house) Resume(ctx context.Context, id string) (sessions.Instance, error) {
	n, name, err := h.node(id)
	if err != nil {
		return sessions.Instance{}, err
	}
	ctx, cancel := h.unlessGone(ctx, name)
	defer cancel()
	return n.Resume(ctx, id)
}

// Wait implements sessions.Runtime.
func (h *house) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	n, _, err := h.node(id)
	if err != nil {
		return sessions.Exit{}, err
	}
	given := h.wait(id).ctx
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(given, cancel)()
	exit, err := n.Wait(waiting, id)
	if err != nil && given.Err() != nil {
		err = context.Cause(given)
	}
	return exit, err
}

// waited is what those who wait for a session's end look to: it is done when the session is given up with its node.
type waited struct {
	ctx    context.Context
	giveUp context.CancelCauseFunc
}

func (h *house) wait(id string) *waited {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waits[id]
	if w == nil {
		w = &waited{}
		w.ctx, w.giveUp = context.WithCancelCause(context.Background())
		h.waits[id] = w
	}
	return w
}

// Stop implements sessions.Runtime. What is on a node that is gone is not waited for.
func (h *house) Stop(ctx context.Context, id string, grace time.Duration) error {
	n, name, err := h.node(id)
	if err != nil {
		return err
	}
	if !h.away(name).Gone {
		bound, cancel := h.unlessGone(ctx, name)
		err := n.Stop(bound, id, grace)
		if cancel(); err == nil || !h.away(name).Gone {
			return err
		}
	}
	noting, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // who has no patience left wants just this
	defer cancel()
	if err := h.desk.Unwant(noting, h.reign, name, id); err != nil {
		return err
	}
	h.wait(id).giveUp(fmt.Errorf("%s: %w", id, sessions.ErrNoInstance))
	return nil
}

// Remove implements sessions.Runtime.
func (h *house) Remove(ctx context.Context, id string) error {
	n, name, err := h.node(id)
	switch {
	case errors.Is(err, sessions.ErrNoInstance):
		return nil
	case err != nil || h.away(name).Gone:
		return err
	}
	ctx, cancel := h.unlessGone(ctx, name)
	defer cancel()
	return n.Remove(ctx, id)
}

// List implements sessions.Runtime.
func (h *house) List(ctx context.Context) (all []sessions.Instance, err error) {
	for _, n := range h.roster.Nodes() {
		list, err := h.fleet.Node(n.Name).List(ctx)
		if err != nil {
			return nil, err
		}
		h.mu.Lock()
		for _, in := range list {
			h.at[in.ID] = n.Name
		}
		h.mu.Unlock()
		all = append(all, list...)
	}
	return all, nil
}

// Inspect implements sessions.Observer.
func (*house) Inspect(_ context.Context, id string) (sessions.Instance, error) {
	return sessions.Instance{ID: id, Running: true, PID: 7}, nil
}

// Logs implements sessions.Observer.
func (*house) Logs(context.Context, string, sessions.LogOptions) (io.ReadCloser, error) {
	return nil, sessions.ErrNotSupported
}

// Stats implements sessions.Observer.
func (*house) Stats(context.Context, string) (sessions.Stats, error) {
	return sessions.Stats{}, sessions.ErrNotSupported
}

// Exec implements sessions.Observer.
func (*house) Exec(context.Context, string, sessions.ExecSpec) (sessions.Exit, error) {
	return sessions.Exit{}, sessions.ErrNotSupported
}
