package door

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Where a box is asked whether it lives, while anything is open to it.
const (
	pingEvery    = time.Second
	pingPatience = 1500 * time.Millisecond
	doubtedAfter = 1 // pings that failed: who can do without the box gives it nothing new
	silentAfter  = 2 // pings that failed: new connections are refused at once, and what it was asked others are
	cutAfter     = 6 // what has not moved meanwhile is cut
)

// lifelines watch the boxes to which something is open that may stand still for long, and be right to: whether they live cannot be
// told by it then. The kernel of one that is frozen acknowledges all the same.
type lifelines struct {
	ping func(ctx context.Context, name string) error
	// doubt is told when a box begins to be doubted, when it is silent, and when that is over; nil: nobody asks.
	doubt func()

	mu sync.Mutex
	of map[string]*lifeline
}

// watched is what is open to a box: a tunnel, or a request.
type watched interface {
	still(now time.Time) time.Duration // for how long nothing has come
	Break()
}

// lifeline is one box.
type lifeline struct {
	open   map[watched]struct{}
	failed int // pings, one after the other
	since  time.Time
	why    error
}

// errGone says that a box is no node any more: nobody asks it whether it lives, and what is open to it is cut.
var errGone = errors.New("no node any more")

// line is that of a box. l.mu is held.
func (l *lifelines) line(name string) *lifeline {
	one := l.of[name]
	if one == nil {
		one = &lifeline{open: map[watched]struct{}{}}
		l.of[name] = one
		time.AfterFunc(pingEvery, func() { l.look(name, one) })
	}
	return one
}

// missed says that a box let somebody wait in vain: others need not until it is heard of.
func (l *lifelines) missed(name string, began time.Time, why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.line(name)
	if one.failed < silentAfter {
		one.failed, one.since, one.why = silentAfter, began, why
		if l.doubt != nil {
			go l.doubt()
		}
	}
}

// add watches a connection until what it returns is called.
func (l *lifelines) add(name string, c watched) (over func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.line(name)
	one.open[c] = struct{}{}
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(one.open, c)
	}
}

// silent says that a box does not answer, where that is known.
func (l *lifelines) silent(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one := l.of[name]; one != nil && one.failed >= silentAfter && !errors.Is(one.why, syscall.ECONNREFUSED) { // which is an answer, and comes at once
		return &Error{fmt.Errorf("box %s: %w: it has not answered since %s: %w", name, errAway, one.since.Format(time.TimeOnly), one.why), "palisade cluster status"}
	}
	return nil
}

// doubted tells whether a box did not answer so many times when it was asked last.
func (l *lifelines) doubted(name string, times int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.of[name]
	return one != nil && one.failed >= times
}

// look asks the box, and again after a while for as long as anything is open.
func (l *lifelines) look(name string, one *lifeline) {
	began := time.Now()
	ctx, cancel := context.WithTimeoutCause(context.WithValue(context.Background(), pinging{}, true), pingPatience, fmt.Errorf("no answer within %s", pingPatience))
	defer cancel()
	err := l.ping(ctx, name)
	l.mu.Lock()
	defer l.mu.Unlock()
	before := one.failed
	defer func() {
		if l.doubt != nil && min(before, silentAfter) != min(one.failed, silentAfter) {
			go l.doubt()
		}
	}()
	switch {
	case err == nil:
		one.failed = 0
	case one.failed == 0:
		one.since = began
		fallthrough
	default:
		one.failed++
		one.why = err
	}
	gone := errors.Is(err, errGone)
	if one.failed >= cutAfter || gone {
		for c := range one.open {
			if gone || c.still(time.Now()) > time.Since(one.since) {
				delete(one.open, c)
				go c.Break() // which says that it is over
			}
		}
	}
	if len(one.open) == 0 && one.failed == 0 || gone {
		delete(l.of, name)
		return
	}
	time.AfterFunc(pingEvery, func() { l.look(name, one) })
}

// pinging is in the context of a question whether a box lives: it is to be asked though it did not answer.
type pinging struct{}
