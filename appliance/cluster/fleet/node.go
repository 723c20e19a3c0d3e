package fleet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// Node is one node as a sessions.Runtime and sessions.Observer. Where the node is silent, what is asked of it waits for as long as
// the caller does.
type Node struct {
	fleet *Fleet
	name  string
}

// undoing bounds how long what is broken off is still tended.
const undoing = 10 * time.Second

// Pull implements sessions.Runtime.
func (n *Node) Pull(ctx context.Context, image string, progress func(sessions.Progress)) error {
	box, err := n.fleet.Door(n.name)
	if err != nil {
		return err
	}
	return box.Pull(ctx, image, progress)
}

// Start implements sessions.Runtime. An id is taken while any node has it.
func (n *Node) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	w := cluster.Wanted{Round: rand.Text(), Spec: spec}
	if n.fleet.Fence != nil {
		w.Fence = n.fleet.Fence(spec)
	}
	pass, err := n.held(ctx)
	if err != nil {
		return sessions.Instance{}, n.away(ctx, spec.ID, err)
	}
	defer pass.leave()
	switch err := n.fleet.Desk.Want(ctx, n.fleet.Reign, n.name, w); {
	case errors.Is(err, cluster.ErrTaken):
		return sessions.Instance{}, fmt.Errorf("%s: %w", spec.ID, sessions.ErrInstanceExists)
	case err != nil:
		pass.leave()
		if !left(ctx, err) {
			n.undo(ctx, spec.ID, w.Round) // it may be written nevertheless
		}
		return sessions.Instance{}, n.away(ctx, spec.ID, err)
	}
	pass.written()
	defer time.AfterFunc(takenWithin, pass.silent).Stop()
	return n.begun(ctx, spec.ID, w.Round, pass.taken)
}

// held waits at the gate.
func (n *Node) held(ctx context.Context) (*pass, error) {
	waiting, cancel := context.WithTimeoutCause(ctx, heldFor, errHeld)
	defer cancel()
	return n.fleet.untaken.enter(waiting, n.name)
}

// Resume implements sessions.Resumer: whoever led before has said that it is to be started, and did not hear what came of it.
func (n *Node) Resume(ctx context.Context, id string) (sessions.Instance, error) {
	if err := n.fleet.ready(ctx); err != nil {
		return sessions.Instance{}, n.away(ctx, id, err)
	}
	n.fleet.mu.Lock()
	o, wanted := n.fleet.orders[n.name][id]
	n.fleet.mu.Unlock()
	if !wanted {
		return sessions.Instance{}, missing(id)
	}
	return n.begun(ctx, id, o.round, func() {})
}

// begun waits for what comes of a start, and says when its node has taken it in.
func (n *Node) begun(ctx context.Context, id, round string, taken func()) (sessions.Instance, error) {
	r, err := n.fleet.until(ctx, n.name, id, func(r *cluster.Report) bool {
		if r == nil || r.Round != round {
			return false
		}
		taken()
		return r.State != cluster.Starting
	})
	if err == nil { // what it came from is known, too, from here on: that it is not is that it is gone
		_, err = n.fleet.untilBoth(ctx, n.name, id, func(r *cluster.Report, o *order) bool {
			return o != nil && o.round == round || r == nil || r.Round != round
		})
	}
	switch {
	case err != nil:
		if !left(ctx, err) {
			n.undo(ctx, id, round)
		}
		return sessions.Instance{}, n.away(ctx, id, err)
	case r.State == cluster.Refused:
		n.undo(ctx, id, round)
		if r.Fault == nil {
			return sessions.Instance{}, fmt.Errorf("%s has refused %s", n.name, id)
		}
		return sessions.Instance{}, r.Fault.Remote()
	}
	return r.Instance, nil
}

// left tells whether err is that who asks decides no more: what it asked for is the next leader's to go on with.
func left(ctx context.Context, err error) bool {
	return errors.Is(err, sessions.ErrAskerGone) || errors.Is(context.Cause(ctx), sessions.ErrAskerGone)
}

// away says that a start did not come about for want of an answer: it may be tried again, here or by who leads next.
func (n *Node) away(ctx context.Context, id string, err error) error {
	switch {
	case left(ctx, err):
		err = fmt.Errorf("%w: %w", sessions.ErrAskerGone, err)
	case ctx.Err() == nil:
		err = fmt.Errorf("%w: %w", sessions.ErrRuntimeDown, err)
	}
	return fmt.Errorf("starting %s on %s: %w", id, n.name, err)
}

// undo takes a start back, and waits a while for what came of it to be gone.
func (n *Node) undo(ctx context.Context, id, round string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	if n.fleet.Desk.UnwantRound(ctx, n.fleet.Reign, n.name, id, round) == nil {
		_ = n.gone(ctx, id, round) // it will be, when the node can
	}
}

// gone waits until nothing is reported of a session, and what was wanted in a round is not wanted any more.
func (n *Node) gone(ctx context.Context, id, round string) error {
	_, err := n.fleet.untilBoth(ctx, n.name, id, func(r *cluster.Report, o *order) bool {
		return r == nil && (o == nil || o.round != round)
	})
	return err
}

// Wait implements sessions.Runtime.
func (n *Node) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	r, err := n.fleet.until(ctx, n.name, id, func(r *cluster.Report) bool { return r == nil || over(r) })
	switch {
	case err != nil:
		return sessions.Exit{}, err
	case r == nil || r.Instance.Exit == nil:
		return sessions.Exit{}, missing(id)
	}
	return *r.Instance.Exit, nil
}

func over(r *cluster.Report) bool { return r.State == cluster.Ended || r.State == cluster.Refused }

func missing(id string) error { return fmt.Errorf("%s: %w", id, sessions.ErrNoInstance) }

// Stop implements sessions.Runtime.
func (n *Node) Stop(ctx context.Context, id string, grace time.Duration) error {
	r, err := n.fleet.until(ctx, n.name, id, func(*cluster.Report) bool { return true })
	switch {
	case err != nil:
		return err
	case r != nil && over(r):
		return nil
	}
	// It may be wanted, and the node be silent since.
	there, err := n.fleet.Desk.WantStop(ctx, n.fleet.Reign, n.name, id, cluster.Stop{Grace: grace})
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case err == nil && !there && r == nil:
		return missing(id)
	}
	gone := func(now *cluster.Report) bool { return now == nil && r != nil || now != nil && over(now) }
	if _, err = n.fleet.until(ctx, n.name, id, gone); err == nil {
		return nil
	}
	if left(ctx, err) {
		return fmt.Errorf("ending %s on %s: %w: %w", id, n.name, sessions.ErrAskerGone, err) // with its grace
	}
	// SIGKILL follows at once.
	killing, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoing)
	defer cancel()
	if _, err := n.fleet.Desk.WantStop(killing, n.fleet.Reign, n.name, id, cluster.Stop{}); err != nil {
		return err
	}
	if _, err := n.fleet.until(killing, n.name, id, gone); err != nil {
		return fmt.Errorf("ending %s: %s does not say that it is gone: %w", id, n.name, err)
	}
	return nil
}

// Remove implements sessions.Runtime.
func (n *Node) Remove(ctx context.Context, id string) error {
	round := ""
	r, err := n.fleet.untilBoth(ctx, n.name, id, func(_ *cluster.Report, o *order) bool {
		if o != nil {
			round = o.round
		}
		return true
	})
	switch {
	case err != nil:
		return err
	case r != nil && !over(r):
		return fmt.Errorf("%s runs on %s: end it first", id, n.name)
	}
	if err := n.fleet.Desk.Unwant(ctx, n.fleet.Reign, n.name, id); err != nil {
		return fmt.Errorf("removing %s: %w", id, err)
	}
	return n.gone(ctx, id, round)
}

// List implements sessions.Runtime: what the node has reported last, though it may be silent now, and what it is to start and has not
// said more of: see sessions.Resumer.
func (n *Node) List(ctx context.Context) ([]sessions.Instance, error) {
	if err := n.fleet.ready(ctx); err != nil {
		return nil, err
	}
	n.fleet.mu.Lock()
	defer n.fleet.mu.Unlock()
	var out []sessions.Instance
	reports := n.fleet.reports[n.name]
	for _, r := range reports {
		if r.State == cluster.Running || r.State == cluster.Ended {
			out = append(out, r.Instance)
		}
	}
	for id, o := range n.fleet.orders[n.name] {
		if r, said := reports[id]; !said || r.State == cluster.Starting || r.State == cluster.Refused || r.Round != o.round && o.round != "" {
			out = append(slices.DeleteFunc(out, func(in sessions.Instance) bool { return in.ID == id }), sessions.Instance{ID: id, Labels: o.labels, Running: true})
		}
	}
	return out, nil
}

// Inspect implements sessions.Observer.
func (n *Node) Inspect(ctx context.Context, id string) (sessions.Instance, error) {
	box, err := n.fleet.Door(n.name)
	if err != nil {
		return sessions.Instance{}, err
	}
	return box.Inspect(ctx, id)
}

// Logs implements sessions.Observer.
func (n *Node) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	box, err := n.fleet.Door(n.name)
	if err != nil {
		return nil, err
	}
	return box.Logs(ctx, id, opts)
}

// Stats implements sessions.Observer.
func (n *Node) Stats(ctx context.Context, id string) (sessions.Stats, error) {
	box, err := n.fleet.Door(n.name)
	if err != nil {
		return sessions.Stats{}, err
	}
	return box.Stats(ctx, id)
}

// Exec implements sessions.Observer.
func (n *Node) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	box, err := n.fleet.Door(n.name)
	if err != nil {
		return sessions.Exit{}, err
	}
	return box.Exec(ctx, id, cmd)
}
