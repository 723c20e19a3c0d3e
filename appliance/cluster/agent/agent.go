package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// Desk is where a node finds what it should run, and says what became of it. *cluster.Agreement is one.
type Desk interface {
	FollowWanted(ctx context.Context, node string, f func(map[string]cluster.Wanted))
	Reports(ctx context.Context, node string) (map[string]cluster.Report, error)
	TakeIn(ctx context.Context, node string, w cluster.Wanted) error
	Tell(ctx context.Context, node, session string, r cluster.Report) error
	LetGo(ctx context.Context, node, session string) error
}

// Deps are what an agent needs of others.
type Deps struct {
	Node    string
	Desk    Desk
	Runtime sessions.Runtime
	// Prepare makes of what the leader wants what this node starts: with its own paths and the devices that it grants. It is
	// called when the session was taken in; an error refuses it. Nil: it is started as it is wanted.
	Prepare func(context.Context, sessions.Spec) (sessions.Spec, error)
	// Heard is when etcd is known to have heard of this node last, or until when it keeps the node's lease: what may not run on
	// unseen is ended by it. A process that was started again has to know it of the one before, else it says the zero time. It is
	// called often.
	Heard func() time.Time
	Log   *slog.Logger
	// Grace is for what nobody wants any more: from SIGTERM to SIGKILL.
	Grace time.Duration
}

// Agent makes a node run what it should. One goroutine for each session does what is to be done with it, one thing after the other.
type Agent struct {
	Deps
	out *outbox

	mu      sync.Mutex
	wanted  map[string]cluster.Wanted // by session; nil: not known yet
	before  map[string]cluster.Report // by session, until its worker has it
	workers map[string]*worker
	given   bool          // see GiveUp
	synced  chan struct{} // closed when what is wanted was acted on for the first time; see Synced
	wg      sync.WaitGroup
}

// New makes an agent that does nothing before Run.
func New(d Deps) *Agent {
	return &Agent{Deps: d, out: newOutbox(d), workers: map[string]*worker{}, synced: make(chan struct{})}
}

// Run works until ctx ends; what runs then goes on. It fails at once where it cannot learn what runs here. Until etcd says what is
// wanted, it ends what may not run on unseen, and nothing else.
func (a *Agent) Run(ctx context.Context) error {
	here, err := a.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("finding what runs here: %w", err)
	}
	defer a.wg.Wait()
	a.wg.Go(func() { a.out.run(ctx) })
	a.adopt(ctx, here)
	told, err := a.reported(ctx)
	if err != nil {
		return err
	}
	a.Desk.FollowWanted(ctx, a.Node, func(all map[string]cluster.Wanted) { a.want(ctx, all, told) })
	return nil
}

// reported is what the node said last, once etcd says so.
func (a *Agent) reported(ctx context.Context) (map[string]cluster.Report, error) {
	for wait := minPause; ; wait = min(2*wait, 2*time.Second) {
		asking, cancel := context.WithTimeout(ctx, 5*time.Second)
		told, err := a.Desk.Reports(asking, a.Node)
		cancel()
		if err == nil || ctx.Err() != nil {
			return told, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// GiveUp has the node end all that runs here, and begin nothing, whatever is wanted: it is no node any more, and what it ran may have been
// begun elsewhere. It is called while Run works, and ctx is to last as long.
func (a *Agent) GiveUp(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.given = true
	a.wanting(ctx, map[string]cluster.Wanted{}, map[string]cluster.Report{})
}

// Synced is closed once the node has begun to do what is wanted of it: before, it had better not say that it is there.
func (a *Agent) Synced() <-chan struct{} { return a.synced }

// adopt takes over what runs here.
func (a *Agent) adopt(ctx context.Context, here []sessions.Instance) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range here {
		w := newWorker(a, in.ID)
		w.here, w.instance = runs, in
		if !in.Running {
			w.here = ended
		}
		a.work(ctx, w)
	}
}

// want is told of all that is wanted; told is what the node had said before the first time.
func (a *Agent) want(ctx context.Context, all map[string]cluster.Wanted, told map[string]cluster.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.given {
		a.wanting(ctx, all, told)
	}
}

// wanting is want; a.mu is held.
func (a *Agent) wanting(ctx context.Context, all map[string]cluster.Wanted, told map[string]cluster.Report) {
	if a.wanted == nil {
		a.before = told
		for id := range told {
			if a.workers[id] == nil {
				a.work(ctx, newWorker(a, id))
			}
		}
		close(a.synced)
	}
	a.wanted = maps.Clone(all)
	for id := range all {
		if a.workers[id] == nil {
			a.work(ctx, newWorker(a, id))
		}
	}
	for _, w := range a.workers {
		w.kick()
	}
}

// work starts a worker. a.mu is held.
func (a *Agent) work(ctx context.Context, w *worker) {
	a.workers[w.id] = w
	a.wg.Go(func() { w.run(ctx) })
}

// wants is how a session is wanted now; nil: not at all. False: nobody knows yet.
func (a *Agent) wants(id string) (*cluster.Wanted, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w, ok := a.wanted[id]; ok {
		return &w, true
	}
	return nil, a.wanted != nil
}

// reportedBefore is what was said of a session by whoever was here before; it is asked for once.
func (a *Agent) reportedBefore(id string) *cluster.Report {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.before[id]
	if !ok {
		return nil
	}
	delete(a.before, id)
	return &r
}

// done forgets a worker that has nothing left to do. False: it has.
func (a *Agent) done(w *worker) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, wanted := a.wanted[w.id]; wanted {
		return false
	}
	delete(a.workers, w.id)
	return true
}

// Spec is what a session of this node was wanted as; false: it is not wanted here, or that is not known yet.
func (a *Agent) Spec(id string) (sessions.Spec, bool) {
	w, _ := a.wants(id)
	if w == nil {
		return sessions.Spec{}, false
	}
	return w.Spec, true
}
