package agent

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// outbox brings reports to the cluster, of each session the newest, in the order in which they were made. While the cluster is
// away they wait.
type outbox struct {
	Deps
	filled chan struct{} // of size 1

	mu      sync.Mutex
	waiting map[string]*cluster.Report // nil: it is let go
	sending map[string]chan struct{}   // closed when it is out
}

func newOutbox(d Deps) *outbox {
	return &outbox{Deps: d, filled: make(chan struct{}, 1), waiting: map[string]*cluster.Report{}, sending: map[string]chan struct{}{}}
}

func (o *outbox) tell(id string, r cluster.Report) { o.put(id, &r) }

func (o *outbox) letGo(id string) { o.put(id, nil) }

func (o *outbox) put(id string, r *cluster.Report) {
	o.mu.Lock()
	o.waiting[id] = r
	if o.sending[id] == nil {
		o.sending[id] = make(chan struct{})
	}
	o.mu.Unlock()
	select {
	case o.filled <- struct{}{}:
	default:
	}
}

// takeIn says that a session is about to start, once all that was said of it before is out.
func (o *outbox) takeIn(ctx context.Context, w cluster.Wanted) error {
	o.mu.Lock()
	before := o.sending[w.Spec.ID]
	o.mu.Unlock()
	if before != nil {
		select {
		case <-before:
		case <-ctx.Done():
			return errNotTakenIn
		}
	}
	asking, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := o.Desk.TakeIn(asking, o.Node, w)
	if err != nil && !errors.Is(err, cluster.ErrTaken) {
		o.Log.Debug("a session cannot be taken in", "session", w.Spec.ID, "error", err)
		return errNotTakenIn
	}
	return err
}

// run sends until ctx ends.
func (o *outbox) run(ctx context.Context) {
	for wait := minPause; ; {
		select {
		case <-ctx.Done():
			return
		case <-o.filled:
		}
		for !o.flush(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
				wait = min(2*wait, 2*time.Second)
			}
		}
		wait = minPause
	}
}

// flush sends all that waits; false: not all of it.
func (o *outbox) flush(ctx context.Context) bool {
	o.mu.Lock()
	batch := maps.Clone(o.waiting)
	o.mu.Unlock()
	all := true
	for id, r := range batch {
		sending, cancel := context.WithTimeout(ctx, 5*time.Second)
		var err error
		if r == nil {
			err = o.Desk.LetGo(sending, o.Node, id)
		} else {
			err = o.Desk.Tell(sending, o.Node, id, *r)
		}
		cancel()
		if err != nil {
			return false // it is away: the others would fare no better
		}
		o.mu.Lock()
		if o.waiting[id] == r {
			delete(o.waiting, id)
			close(o.sending[id])
			delete(o.sending, id)
		} else {
			all = false
		}
		o.mu.Unlock()
	}
	return all
}
