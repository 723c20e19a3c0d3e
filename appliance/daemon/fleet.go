package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
)

// fleetRunner is the runtime of who leads: what it is asked for a session it asks of the box where that is. Sessions on other
// boxes have addresses here by which they are reached as if they were on this one.
type fleetRunner struct {
	seat  *seat
	fleet *fleet.Fleet
	reign cluster.Reign
	// lost tells whether a box has been silent for so long that what ran there, with a fence or (0) without, is not waited for.
	lost func(node string, fence time.Duration) bool

	mu sync.Mutex
	at map[string]*located // by session
}

var _ runner = (*fleetRunner)(nil)

// located is where a session is.
type located struct {
	node   string
	ports  []int  // that others may want to reach
	ip     string // on its own box; "": not known
	fenced bool   // it ends by itself where its box is not heard of for long enough
	given  chan struct{}
	gone   bool // it was given up: given is closed
}

func newFleetRunner(s *seat, reign cluster.Reign) *fleetRunner {
	f := &fleetRunner{seat: s, reign: reign, at: map[string]*located{}}
	f.fleet = fleet.New(fleet.Deps{Desk: s.agreement, Reign: reign, Door: f.door, Fence: f.fence})
	return f
}

// fenceMargin is for clocks that do not go alike, for leases that lasted longer than etcd kept them, and for what takes a while to end.
const fenceMargin = 30 * time.Second

// patience is for how long a box may be silent until what ran there is not waited for any more. What has a fence may run there until
// then, under the id with which it would be begun again.
func patience(grace, fence time.Duration) time.Duration {
	if fence > 0 {
		return max(grace, fence+fenceMargin)
	}
	return grace
}

// fence is how long a session may run on unseen that is started now. A route has none, for another one takes its place under another id.
func (f *fleetRunner) fence(spec sessions.Spec) time.Duration {
	if spec.Labels[sessions.LabelType] == string(sessions.TypeInference) {
		return 0
	}
	return f.seat.Config.Cluster.Fence
}

// fenceOf is how long a session runs on unseen: what was said when it was started, which may have been another setting. Where that is
// not known it is the longest that is likely.
func (f *fleetRunner) fenceOf(node, id string, fenced bool) time.Duration {
	if !fenced {
		return 0
	}
	switch fence, known := f.fleet.FenceOf(node, id); {
	case known && fence > 0:
		return fence
	case known: // it was begun by a box alone, and nothing ends it
		return endless
	}
	return max(f.seat.Config.Cluster.Fence, unknownFence)
}

const (
	unknownFence = 10 * time.Minute           // that of boxes for which nothing is set
	endless      = 100 * 365 * 24 * time.Hour // until somebody removes the box
)

func (f *fleetRunner) door(node string) (fleet.Box, error) { return f.box(node) }

// box is what is asked of a box itself.
func (f *fleetRunner) box(node string) (fleetBox, error) {
	if node == f.seat.name() {
		return f.seat.runtime.runner, nil
	}
	return f.seat.doors.Box(node), nil
}

// fleetBox is the part of a runner that is asked through a door.
type fleetBox interface {
	sessions.Observer
	sessions.Dialer
	sessions.Committer
	Pull(ctx context.Context, image string, progress func(sessions.Progress)) error
}

// know notes where the sessions are that the store knows.
func (f *fleetRunner) know(all []sessions.Session) {
	there := map[string]bool{}
	for _, n := range f.seat.roster.Nodes() {
		there[n.Name] = true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range all {
		if s.Claim == nil || s.Status.Terminal() {
			continue
		}
		l := newLocated("") // of a box that has another name by now: where it is reported
		if there[s.Claim.Node] {
			l.node = s.Claim.Node
		}
		l.fenced = s.Type != sessions.TypeInference
		for _, p := range s.Launch.Processes {
			l.ports = append(l.ports, p.Port)
		}
		l.ports = append(append(l.ports, s.Port(), s.Launch.Metrics.Port), s.Task.Ports...)
		f.at[s.ID] = l
	}
}

func newLocated(node string) *located { return &located{node: node, given: make(chan struct{})} }

// where is the place of a session: as it was started, else as a box has reported it.
func (f *fleetRunner) where(id string) (*located, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if l := f.at[id]; l != nil && l.node != "" {
		return l, nil
	}
	node, ok := f.fleet.Has(id)
	if l := f.at[id]; l != nil && ok {
		l.node = node
		return l, nil
	}
	if ok {
		l := newLocated(node)
		f.at[id] = l
		return l, nil
	}
	return nil, fmt.Errorf("session %s: %w", id, sessions.ErrNoInstance)
}

// here is an instance with an address by which this box reaches it.
func (f *fleetRunner) here(in sessions.Instance, l *located) sessions.Instance {
	f.mu.Lock()
	l.ip = in.Address
	ports := slices.Clone(l.ports)
	f.mu.Unlock()
	if in.Address == "" || l.node == f.seat.name() {
		return in
	}
	ip, err := f.seat.relays.Host(l.node, in.ID, ports...)
	if err != nil {
		f.seat.log.Error("a session of another box cannot be reached from this one", "session", in.ID, "error", err)
		return in
	}
	in.Address = ip
	return in
}

// there is what an address of this box's is on the box of the session.
func (f *fleetRunner) there(id, addr string) (node, own string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.at[id]
	if l == nil {
		return f.seat.name(), addr
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil || l.ip == "" {
		return l.node, addr
	}
	return l.node, net.JoinHostPort(l.ip, port)
}

// CheckImage implements sessions.ImageChecker: all boxes are taken to be alike.
func (f *fleetRunner) CheckImage(image string) error { return f.seat.runtime.CheckImage(image) }

// CheckCluster implements sessions.ClusterChecker.
func (f *fleetRunner) CheckCluster(image string) error { return f.seat.runtime.CheckCluster(image) }

// Pull implements sessions.Runtime, for this box.
func (f *fleetRunner) Pull(ctx context.Context, image string, progress func(sessions.Progress)) error {
	return f.seat.runtime.Pull(ctx, image, progress)
}

// Fetch implements sessions.Fetcher.
func (f *fleetRunner) Fetch(ctx context.Context, s sessions.Session, progress func(sessions.Progress)) error {
	if s.Claim == nil {
		return f.Pull(ctx, s.Image, progress)
	}
	box, err := f.box(s.Claim.Node)
	if err != nil {
		return err
	}
	if err := box.Pull(ctx, s.Image, progress); err != nil {
		return err
	}
	return f.bring(ctx, s, progress)
}

// Start implements sessions.Runtime: on the box that the session's claim names.
func (f *fleetRunner) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	l := newLocated(f.seat.name())
	if claim, ok := claimIn(spec.ID, spec.Labels); ok {
		l.node = claim.Node
	}
	l.ports, l.fenced = portsOf(spec), f.fence(spec) > 0
	f.mu.Lock()
	if before := f.at[spec.ID]; before != nil {
		l.ports = append(l.ports, before.ports...)
	}
	f.at[spec.ID] = l
	f.mu.Unlock()
	spec.Labels = maps.Clone(spec.Labels)
	spec.Labels[labelData] = f.seat.Config.Data
	in, gone, err := unlessGone(ctx, f.givenUp(l, spec.ID), func(ctx context.Context) (sessions.Instance, error) {
		return f.fleet.Node(l.node).Start(ctx, spec)
	})
	if gone {
		return sessions.Instance{}, fmt.Errorf("starting it on %s: %w: the box is silent", l.node, sessions.ErrRuntimeDown)
	}
	if err != nil {
		return in, err
	}
	return f.here(in, l), nil
}

// Resume implements sessions.Resumer.
func (f *fleetRunner) Resume(ctx context.Context, id string) (sessions.Instance, error) {
	l, err := f.where(id)
	if err != nil {
		return sessions.Instance{}, err
	}
	in, gone, err := unlessGone(ctx, f.givenUp(l, id), func(ctx context.Context) (sessions.Instance, error) {
		return f.fleet.Node(l.node).Resume(ctx, id)
	})
	if gone {
		return sessions.Instance{}, fmt.Errorf("starting it on %s: %w: the box is silent", l.node, sessions.ErrRuntimeDown)
	}
	if err != nil {
		return in, err
	}
	return f.here(in, l), nil
}

// givenUp is asked again and again whether a session is not to be waited for.
func (f *fleetRunner) givenUp(l *located, id string) func() bool {
	return func() bool { return f.lost(l.node, f.fenceOf(l.node, id, l.fenced)) }
}

// lostEvery is how often it is looked whether a box that is waited for is lost.
const lostEvery = 250 * time.Millisecond

// unlessGone does what may wait for a box for as long as ctx lasts, and stops to wait when the box is given up.
func unlessGone[T any](ctx context.Context, gone func() bool, do func(context.Context) (T, error)) (value T, gaveUp bool, err error) {
	if gone() {
		return value, true, nil
	}
	bound, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		v, err := do(bound)
		done <- outcome{v, err}
	}()
	tick := time.NewTicker(lostEvery)
	defer tick.Stop()
	for {
		select {
		case o := <-done:
			return o.value, false, o.err
		case <-tick.C:
			if gone() {
				return value, true, nil
			}
		}
	}
}

// givingUp bounds how long etcd is asked to note that a session is given up.
const givingUp = 10 * time.Second

// giveUp takes a session from a box that is silent: whatever is left of it there the box ends when it is back.
func (f *fleetRunner) giveUp(ctx context.Context, l *located, id string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), givingUp) // who has no patience left wants just this
	defer cancel()
	var err error
	if l.fenced {
		err = f.seat.agreement.Abandon(ctx, f.reign, l.node, id)
	} else {
		err = f.seat.agreement.Unwant(ctx, f.reign, l.node, id)
	}
	if err != nil {
		return fmt.Errorf("giving up session %s on %s: %w", id, l.node, err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !l.gone {
		l.gone = true
		close(l.given)
	}
	return nil
}

func (f *fleetRunner) wasGiven(l *located) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return l.gone
}

// Wait implements sessions.Runtime.
func (f *fleetRunner) Wait(ctx context.Context, id string) (sessions.Exit, error) {
	l, err := f.where(id)
	if err != nil {
		return sessions.Exit{}, err
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-l.given:
			cancel()
		case <-waiting.Done():
		}
	}()
	exit, err := f.fleet.Node(l.node).Wait(waiting, id)
	if err != nil && ctx.Err() == nil && f.wasGiven(l) {
		return sessions.Exit{}, fmt.Errorf("session %s: %w", id, sessions.ErrNoInstance)
	}
	return exit, err
}

// Stop implements sessions.Runtime.
func (f *fleetRunner) Stop(ctx context.Context, id string, grace time.Duration) error {
	l, err := f.where(id)
	if err != nil {
		return err
	}
	if f.wasGiven(l) {
		return fmt.Errorf("session %s: %w", id, sessions.ErrNoInstance)
	}
	_, gone, err := unlessGone(ctx, f.givenUp(l, id), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.fleet.Node(l.node).Stop(ctx, id, grace)
	})
	if gone {
		return f.giveUp(ctx, l, id)
	}
	return err
}

// Remove implements sessions.Runtime.
func (f *fleetRunner) Remove(ctx context.Context, id string) error {
	l, err := f.where(id)
	if errors.Is(err, sessions.ErrNoInstance) {
		return nil
	}
	if f.wasGiven(l) {
		f.forget(l, id)
		return nil
	}
	_, gone, err := unlessGone(ctx, f.givenUp(l, id), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, f.fleet.Node(l.node).Remove(ctx, id)
	})
	if gone {
		err = f.giveUp(ctx, l, id)
	}
	if err == nil {
		f.forget(l, id)
	}
	return err
}

func (f *fleetRunner) forget(l *located, id string) {
	f.mu.Lock()
	if f.at[id] == l {
		delete(f.at, id)
	}
	f.mu.Unlock()
	f.seat.forgetWay(id)
}

// List implements sessions.Runtime: of all boxes, what they reported last.
func (f *fleetRunner) List(ctx context.Context) ([]sessions.Instance, error) {
	var all []sessions.Instance
	for _, n := range f.seat.roster.Nodes() {
		list, err := f.fleet.Node(n.Name).List(ctx)
		if err != nil {
			return nil, err
		}
		for _, in := range list {
			f.mu.Lock()
			l := f.at[in.ID]
			if l == nil {
				l = newLocated(n.Name)
				f.at[in.ID] = l
			}
			if l.node == "" {
				l.node = n.Name
			}
			f.mu.Unlock()
			if l.node != n.Name {
				continue // of before it was moved: that box ends it
			}
			all = append(all, f.here(in, l))
		}
	}
	return all, nil
}

// Inspect implements sessions.Observer.
func (f *fleetRunner) Inspect(ctx context.Context, id string) (sessions.Instance, error) {
	l, err := f.where(id)
	if err != nil {
		return sessions.Instance{}, err
	}
	in, err := f.fleet.Node(l.node).Inspect(ctx, id)
	if err != nil {
		return in, err
	}
	return f.here(in, l), nil
}

// Logs implements sessions.Observer.
func (f *fleetRunner) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	l, err := f.where(id)
	if err != nil {
		return nil, err
	}
	return f.fleet.Node(l.node).Logs(ctx, id, opts)
}

// Stats implements sessions.Observer.
func (f *fleetRunner) Stats(ctx context.Context, id string) (sessions.Stats, error) {
	l, err := f.where(id)
	if err != nil {
		return sessions.Stats{}, err
	}
	return f.fleet.Node(l.node).Stats(ctx, id)
}

// Exec implements sessions.Observer.
func (f *fleetRunner) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	l, err := f.where(id)
	if err != nil {
		return sessions.Exit{}, err
	}
	return f.fleet.Node(l.node).Exec(ctx, id, cmd)
}

// Dial implements sessions.Dialer.
func (f *fleetRunner) Dial(ctx context.Context, id string, port int) (net.Conn, error) {
	l, err := f.where(id)
	if err != nil {
		return nil, err
	}
	box, err := f.box(l.node)
	if err != nil {
		return nil, err
	}
	return box.Dial(ctx, id, port)
}

// Commit implements sessions.Committer.
func (f *fleetRunner) Commit(ctx context.Context, id string, c sessions.Commit, progress func(sessions.Progress)) (sessions.Image, error) {
	l, err := f.where(id)
	if err != nil {
		return sessions.Image{}, err
	}
	box, err := f.box(l.node)
	if err != nil {
		return sessions.Image{}, err
	}
	return box.Commit(ctx, id, c, progress)
}
