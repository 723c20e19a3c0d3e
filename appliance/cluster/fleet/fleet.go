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
	FollowOrders(ctx context.Context, f func(orders []cluster.Order, all bool))
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
	orders  map[string]map[string]order          // by node and session, those that may not have been reported; nil: not known yet
	waits   map[at]*wait
	known   chan struct{} // closed once reports and orders are

	untaken *gate // of starts
}

// at is a session on a node.
type at struct{ node, session string }

// wait is for the next that is said of one session. There may be one for each session: nobody is woken for another's.
type wait struct {
	changed chan struct{} // closed when it comes
	waiting int
}

// order is what a List has to know of what is wanted.
type order struct {
	round  string
	labels map[string]string
	fence  time.Duration
}

// New makes a fleet of which nothing is known before Run.
func New(d Deps) *Fleet {
	return &Fleet{Deps: d, waits: map[at]*wait{}, known: make(chan struct{}), untaken: newGate()}
}

// Run hears of the nodes until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { f.Desk.FollowOrders(ctx, f.order) })
	f.Desk.FollowReports(ctx, f.take)
	all.Wait()
}

func (f *Fleet) take(told []cluster.Told, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.reports
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
		f.wake(at{t.Node, t.Session})
	}
	if all {
		f.wakeAll()
	}
	f.heard(before == nil && f.orders != nil)
}

// order is told what is wanted.
func (f *Fleet) order(orders []cluster.Order, all bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before := f.orders
	if all || f.orders == nil {
		f.orders = map[string]map[string]order{}
	}
	for _, o := range orders {
		of := f.orders[o.Node]
		if of == nil {
			of = map[string]order{}
			f.orders[o.Node] = of
		}
		if o.Wanted == nil {
			delete(of, o.Session)
		} else {
			of[o.Session] = order{o.Wanted.Round, o.Wanted.Spec.Labels, o.Wanted.Fence}
		}
		f.wake(at{o.Node, o.Session})
	}
	if all {
		f.wakeAll()
	}
	f.heard(before == nil && f.reports != nil)
}

// heard notes that all is known now for the first time. mu is held.
func (f *Fleet) heard(first bool) {
	if first {
		close(f.known)
	}
}

// wake has those look again who wait for what is said of a session. mu is held.
func (f *Fleet) wake(k at) {
	if w := f.waits[k]; w != nil {
		close(w.changed)
		delete(f.waits, k)
	}
}

// wakeAll is wake for all, where one may be gone that was there before. mu is held.
func (f *Fleet) wakeAll() {
	for k := range f.waits {
		f.wake(k)
	}
}

// ready waits until all that is reported and wanted was read once.
func (f *Fleet) ready(ctx context.Context) error {
	select {
	case <-f.known:
		return nil // for one who waits no more, too
	default:
	}
	select {
	case <-f.known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// until waits for a report of a session to be such as enough says; it is asked with nil where there is none.
func (f *Fleet) until(ctx context.Context, node, id string, enough func(*cluster.Report) bool) (*cluster.Report, error) {
	return f.untilBoth(ctx, node, id, func(r *cluster.Report, _ *order) bool { return enough(r) })
}

// untilBoth waits for a report of a session and what is wanted of it to be such as enough says; nil is for what is not there. One of
// both may be heard of before the other, whichever was written first.
func (f *Fleet) untilBoth(ctx context.Context, node, id string, enough func(*cluster.Report, *order) bool) (*cluster.Report, error) {
	if err := f.ready(ctx); err != nil {
		return nil, err
	}
	k := at{node, id}
	for {
		r, w := f.look(k, enough)
		if w == nil {
			return r, nil
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
			f.leave(k, w)
			return nil, ctx.Err()
		}
	}
}

// look finds the report of a session; where what is known is not enough there is something to wait for.
func (f *Fleet) look(k at, enough func(*cluster.Report, *order) bool) (*cluster.Report, *wait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var r *cluster.Report
	var o *order
	if one, ok := f.reports[k.node][k.session]; ok {
		r = &one
	}
	if one, ok := f.orders[k.node][k.session]; ok {
		o = &one
	}
	if enough(r, o) {
		return r, nil
	}
	w := f.waits[k]
	if w == nil {
		w = &wait{changed: make(chan struct{})}
		f.waits[k] = w
	}
	w.waiting++
	return nil, w
}

// leave forgets what nobody waits for any more.
func (f *Fleet) leave(k at, w *wait) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if w.waiting--; w.waiting == 0 && f.waits[k] == w {
		delete(f.waits, k)
	}
}

// Node is a node's runtime.
func (f *Fleet) Node(name string) *Node { return &Node{fleet: f, name: name} }
