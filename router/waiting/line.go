package waiting

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Why a wait ended without a route.
var (
	ErrFull    = errors.New("too many requests wait already")
	ErrTimeout = errors.New("no route became free in time")
)

// Settings of a line.
type Settings struct {
	Most    int           // at most so many wait; 0: nobody does, who finds no route is told ErrFull at once
	Timeout time.Duration // and no longer than this; 0: as long as their context
	Paced   bool          // nothing else bounds what a route gets at once: Pace does when routes come back
}

// Outcome is what came of a waiter's Try.
type Outcome int

// The outcomes.
const (
	NotYet  Outcome = iota // nothing is free: it, and all behind it, wait on
	Taken                  // it has a route
	Refused                // it will never have one, and knows why: it waits no longer
)

// Ask is one request that wants a route.
type Ask struct {
	Token string // whose it is: requests of one token are first in, first out
	Now   time.Time
	// Try takes a route for it if one is free. It is called until it says other than NotYet, by any goroutine
	// while Wait has not returned, under the line's lock: it must be quick and must not call the line.
	Try func(now time.Time) Outcome
	// Waits, where it is not nil, is called when the request is in the line and has to wait, once, without the lock.
	Waits func()
	// Still, where it is not nil, is called after each Every of waiting, by the goroutine that waits. An error
	// ends the wait: the client has gone.
	Still func() error
	Every time.Duration
}

// Line is the requests of one service that wait. Its zero value holds nobody: see Set.
type Line struct {
	depth atomic.Int64 // as many as all queues hold: read without the lock by those who need not wait

	mu       sync.Mutex
	settings Settings
	closed   error
	ready    int // routes that may be given something
	queues   map[string]*queue
	turn     *queue // whose turn it is; the queues are a ring
	pace     pace
	drip     *time.Timer // goes off when the pace lets go on; nil before the first
	rate     rate
	stats    Stats
}

// Stats are counts since the line was made.
type Stats struct {
	Held     uint64 // those that could not go at once, and were kept
	Released uint64 // of those: went on, with a route or with a reason of their own
	Left     uint64 // their client went
	TimedOut uint64 // waited to the end of their time
	Full     uint64 // were told ErrFull
	Closed   uint64 // were sent away with the line
}

// Set changes the line's settings. Those that wait keep their place and their time.
func (l *Line) Set(s Settings) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.settings = s
	if !s.Paced {
		l.pace = pace{}
		l.pump(time.Now())
	}
}

// Waiting tells whether somebody waits: a new request must then go behind them, by Wait.
func (l *Line) Waiting() bool { return l.depth.Load() > 0 }

// Depth is how many wait.
func (l *Line) Depth() int { return int(l.depth.Load()) }

// Wait returns nil when a.Try said Taken or Refused: at once, or when it is a's turn. That holds also where ctx
// ended at that moment, since what was taken is there to be given back. Else it returns ErrFull, ErrTimeout, the
// cause of ctx's end, the error of a.Still, or that of Close.
func (l *Line) Wait(ctx context.Context, a *Ask) error {
	w, timeout := l.enter(ctx, a)
	if w.ended == nil {
		return w.err
	}
	if a.Waits != nil {
		a.Waits()
	}
	var out, beat <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		out = t.C
	}
	if a.Still != nil && a.Every > 0 {
		t := time.NewTicker(a.Every)
		defer t.Stop()
		beat = t.C
	}
	for {
		select {
		case <-w.ended:
			return w.err
		case <-ctx.Done():
			return l.leave(w, context.Cause(ctx), &l.stats.Left)
		case <-out:
			return l.leave(w, fmt.Errorf("%w: waited %s", ErrTimeout, timeout), &l.stats.TimedOut)
		case <-beat:
			if err := a.Still(); err != nil {
				return l.leave(w, err, &l.stats.Left)
			}
		}
	}
}

// enter puts a into the line and lets go who can go, which may be a itself: the place in the line is taken before
// the look, so that nothing that becomes free meanwhile finds nobody. One that has not to wait comes back without ended, and with what is to be
// said in err.
func (l *Line) enter(ctx context.Context, a *Ask) (w *waiter, timeout time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	w = &waiter{ask: a, ctx: ctx, since: a.Now}
	if l.closed != nil {
		l.stats.Closed++
		w.err = l.closed
		return w, 0
	}
	l.push(w)
	l.pump(a.Now)
	if w.done {
		return w, 0
	}
	if l.Depth() > l.settings.Most {
		out := l.last(w)
		l.stats.Full++
		l.end(out, ErrFull)
		if out == w {
			return w, 0
		}
	}
	l.stats.Held++
	w.held = true
	w.ended = make(chan struct{})
	return w, l.settings.Timeout
}

// leave takes w out of the line for a reason of its own, unless it was let go at that moment.
func (l *Line) leave(w *waiter, why error, count *uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.done {
		return w.err
	}
	*count++
	l.end(w, why)
	// It may have stood in front of one that can go: as when only its own wish could not be met.
	l.pump(time.Now())
	return w.err
}

// Freed says that a request gave its route back. began tells whether that request's answer had begun: Began was
// called for it then. Call it after what it had is free again; it costs one load where nobody waits.
func (l *Line) Freed(now time.Time, began bool) {
	if l.depth.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !began {
		l.pace.back(1)
	}
	l.pump(now)
}

// Began says that a route began to answer a request: it takes more. Call it once for each request at most.
func (l *Line) Began(now time.Time) {
	if l.depth.Load() == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.pace.back(perAnswer) {
		l.pump(now)
	}
}

// Changed says that who can answer has changed: so many routes may be given something now. Call it after the
// change is in force, also where the number stays: limits and policies may be others.
func (l *Line) Changed(now time.Time, ready int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.ready
	l.ready = ready
	if l.settings.Paced && len(l.queues) > 0 {
		l.pace.routes(now, before, ready)
	}
	l.pump(now)
}

// Close sends away all that wait, and all that come later, with err: the service is gone.
func (l *Line) Close(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = err
	for l.turn != nil {
		l.stats.Closed++
		l.end(l.turn.head, err)
	}
}

// Stats of the line.
func (l *Line) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// RetryAfter is when token may come again with some hope, in whole seconds from 1 to 60: as long as those that
// would be let go before it take at the rate of late.
func (l *Line) RetryAfter(now time.Time, token string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	ahead, others := 0, len(l.queues)
	if q := l.queues[token]; q != nil {
		ahead, others = q.length, others-1
	}
	return l.rate.seconds(now, min(int(l.depth.Load()), (ahead+1)*(others+1)))
}

// pump lets go whoever can go, in turn, until the pace or a Try says not yet. The caller holds mu.
func (l *Line) pump(now time.Time) {
	for l.turn != nil {
		w := l.turn.head
		if w.ctx.Err() != nil { // it is about to leave: nothing is taken for it
			if w.held {
				l.stats.Left++
			}
			l.end(w, context.Cause(w.ctx))
			continue
		}
		if !l.pace.may(now) {
			l.wake(l.pace.next.Sub(now))
			return
		}
		outcome := w.ask.Try(now)
		if outcome == NotYet {
			return
		}
		if outcome == Taken {
			l.pace.took()
			l.rate.add(now)
		}
		if w.held {
			l.stats.Released++
		}
		l.turn = l.turn.next
		l.end(w, nil)
	}
}

// wake lets pump run again after d, for a pace that goes on with time.
func (l *Line) wake(d time.Duration) {
	if l.drip != nil {
		l.drip.Reset(d)
		return
	}
	l.drip = time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.pump(time.Now())
	})
}
