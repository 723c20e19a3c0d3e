package fleet

import (
	"context"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// Desk is where a leader says what nodes should run, and hears what became of it. *cluster.Agreement is one.
type Desk interface {
	Want(ctx context.Context, r cluster.Reign, node string, w cluster.Wanted) error
	WantStop(ctx context.Context, r cluster.Reign, node, id string, s cluster.Stop) (there bool, err error)
	Unwant(ctx context.Context, r cluster.Reign, node, id string) error
	UnwantRound(ctx context.Context, r cluster.Reign, node, id, round string) error
	FollowReports(ctx context.Context, f func(told []cluster.Told, all bool))
}

// Box is what is asked of a node itself.
type Box interface {
	sessions.Observer
	Pull(ctx context.Context, image string, progress func(sessions.Progress)) error
}

// Deps are what a fleet needs of others.
type Deps struct {
	Desk  Desk
	Reign cluster.Reign // in which it decides; what it says after that is refused
	// Door reaches a node for what is not agreed on: its images, logs and commands.
	Door func(node string) (Box, error)
	// Fence is how long a session may run on unseen; see cluster.Wanted. Nil: for ever.
	Fence func(sessions.Spec) time.Duration
}

// Fleet is all nodes of a cluster, in one reign.
type Fleet struct {
	Deps

	mu      sync.Mutex
	reports map[string]map[string]cluster.Report // by node and session; nil: not known yet
	changed chan struct{}                        // closed and replaced at every change
}

// New makes a fleet of which nothing is known before Run.
func New(d Deps) *Fleet { return &Fleet{Deps: d, changed: make(chan struct{})} }

// Run hears of the nodes until ctx ends.
func (f *Fleet) Run(ctx context.Context) { f.Desk.FollowReports(ctx, f.take) }

func (f *Fleet) take(told []cluster.Told, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if all || f.reports == nil {
		f.reports = map[string]map[string]cluster.Report{}
	}
	for _, t := range told {
		of := f.reports[t.Node]
		if of == nil {
			of = map[string]cluster.Report{}
			f.reports[t.Node] = of
		}
		if t.Report == nil {
			delete(of, t.Session)
		} else {
			of[t.Session] = *t.Report
		}
	}
	close(f.changed)
	f.changed = make(chan struct{})
}

// until waits for a report of a session to be such as enough says; it is asked with nil where there is none.
func (f *Fleet) until(ctx context.Context, node, id string, enough func(*cluster.Report) bool) (*cluster.Report, error) {
	for {
		f.mu.Lock()
		known, changed := f.reports != nil, f.changed
		var r *cluster.Report
		if one, ok := f.reports[node][id]; ok {
			r = &one
		}
		f.mu.Unlock()
		if known && enough(r) {
			return r, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// Node is a node's runtime.
func (f *Fleet) Node(name string) *Node { return &Node{fleet: f, name: name} }
