package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// turn is one time in which this box leads.
type turn struct {
	reign cluster.Reign
	ctx   context.Context // ends when another may lead
	over  chan struct{}   // closed when nothing is decided any more
	works chan struct{}   // closed when a life decides
	// declined is why none is to; nil: one is. It is said before over is closed.
	declined error
}

func newTurn(ctx context.Context, r cluster.Reign) *turn {
	return &turn{reign: r, ctx: ctx, over: make(chan struct{}), works: make(chan struct{})}
}

// leads tells whether another may not lead yet.
func (t *turn) leads(now time.Time) bool { return t.ctx.Err() == nil && !t.reign.Over(now) }

// beginWithin is how long a life that has taken a turn may need until it decides. It says all the while that this box leads, so that nobody
// else can.
const beginWithin = 30 * time.Second

// last returns when nothing is decided in the turn any more: errNotTaken where nothing has been, since no life came to it in time.
func (t *turn) last() error {
	late := time.NewTimer(beginWithin)
	defer late.Stop()
	select {
	case <-t.works:
		<-t.over
	case <-t.over:
	case <-late.C:
		return fmt.Errorf("%w: it has not come to decide within %s", errNotTaken, beginWithin)
	}
	return t.declined
}

// turns brings each turn to the life that waits for one. A box without such a life does not stand for election: it would lead, and nobody
// would decide.
type turns struct {
	given   chan *turn
	waiting atomic.Pointer[context.Context] // ends when the life waits no more; nil: none has yet
}

func newTurns() *turns { return &turns{given: make(chan *turn)} }

// wait has this box stand for election until noMore is called, or a turn was taken from given.
func (t *turns) wait() (given <-chan *turn, noMore context.CancelFunc) {
	waiting, noMore := context.WithCancel(context.Background())
	t.waiting.Store(&waiting)
	return t.given, noMore
}

// errNotTaken says that this box was elected, and nobody in it decides.
var errNotTaken = errors.New("this box was elected, and lets another one lead")

// elected is called by an election, and returns when the turn is over.
type elected = func(context.Context, cluster.Reign) error

// stand stands for election once, where a life waits for that. lead is Agreement.Lead of this box; begun is told of a turn that was taken.
func (t *turns) stand(ctx context.Context, lead func(context.Context, elected) error, begun func(*turn)) error {
	waiting := t.waiting.Load()
	if waiting == nil || (*waiting).Err() != nil {
		return nil
	}
	standing, withdraw := context.WithCancel(ctx)
	defer withdraw()
	keep := context.AfterFunc(*waiting, withdraw)
	defer keep()
	return lead(standing, func(ctx context.Context, r cluster.Reign) error {
		if !keep() { // who takes the turn waits no more, and it goes on
			return nil
		}
		one := newTurn(ctx, r)
		taken, err := t.give(one)
		if taken {
			begun(one)
			err = one.last()
		}
		return err
	})
}

// give returns when the turn is taken, or over, or nobody took it within the time after which the others take a silent box's place:
// errNotTaken.
func (t *turns) give(one *turn) (taken bool, err error) {
	select {
	case <-one.ctx.Done(): // it may be both: over, and waited for
		return false, nil
	default:
	}
	select {
	case t.given <- one:
		return true, nil
	case <-one.ctx.Done():
		return false, nil
	case <-time.After(cluster.LeaseTime):
		return false, fmt.Errorf("%w: it is about something else", errNotTaken)
	}
}

// stand stands for election, again and again. Who leads gives that up when it stops to decide.
func (s *seat) stand(ctx context.Context) {
	lead := func(ctx context.Context, f elected) error { return s.agreement.Lead(ctx, s.name(), f) }
	for ctx.Err() == nil {
		err := s.turns.stand(ctx, lead, func(t *turn) {
			s.loops.run(func(context.Context) { s.arrange(t.ctx, t.reign) })
			s.loops.run(func(context.Context) { s.admit(t.ctx, t.reign) })
			s.loops.run(func(context.Context) { s.tend(t.ctx) })
		})
		pause := s.standPause()
		switch {
		case ctx.Err() != nil:
			return
		case errors.Is(err, errNotTaken):
			s.log.Warn("standing for election", "error", err)
			pause = standCalmly
		case err != nil:
			s.log.Debug("standing for election", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}
