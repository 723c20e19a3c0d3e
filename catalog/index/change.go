package index

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// wait is how long one change may take, all that it fetches included.
const wait = 10 * time.Minute

// changes are the catalogs that somebody changes now, by name: each has one at a time. A place may be slow, and all that is
// fetched from it is fetched by who has its catalog alone; others are not held up by that. What is written for all to see
// (copies in use, rows, what is published) is written in turns, which are short: by then all that is needed is here.
type changes struct {
	turn chan struct{} // held by whoever writes

	mu  sync.Mutex
	now map[string]*change
}

type change struct {
	over chan struct{}
	stop context.CancelCauseFunc
}

func newChanges() changes {
	return changes{turn: make(chan struct{}, 1), now: map[string]*change{}}
}

// write waits for a turn.
func (c *changes) write(ctx context.Context) (free func(), err error) {
	select {
	case c.turn <- struct{}{}:
		return func() { <-c.turn }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting for another change of catalogs: %w", context.Cause(ctx))
	}
}

// own waits until nobody changes a catalog, and has it alone until free is called.
func (c *changes) own(ctx context.Context, name string, stop context.CancelCauseFunc) (free func(), err error) {
	for {
		other, free := c.try(name, stop)
		if other == nil {
			return free, nil
		}
		select {
		case <-other.over:
		case <-ctx.Done():
			return nil, fmt.Errorf("waiting for another change of catalog %s: %w", name, context.Cause(ctx))
		}
	}
}

// try has a catalog alone, or says who has it.
func (c *changes) try(name string, stop context.CancelCauseFunc) (other *change, free func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if other = c.now[name]; other != nil {
		return other, nil
	}
	mine := &change{over: make(chan struct{}), stop: stop}
	c.now[name] = mine
	return nil, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.now, name)
		close(mine.over)
	}
}

// end breaks off what changes a catalog.
func (c *changes) end(name string, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now[name]; now != nil {
		now.stop(why)
	}
}

// alone runs a change of one catalog with a bound, and publishes what came of it, though it failed: it may have got half way.
func (x *Index) alone(ctx context.Context, name string, change func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, wait, errors.New("it took longer than "+wait.String()))
	defer cancel()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	x.seen(ctx)
	free, err := x.changes.own(ctx, name, stop)
	if err != nil {
		return err
	}
	defer free()
	err = change(ctx)
	if ended, is := errors.AsType[*fault](context.Cause(ctx)); is && err != nil {
		err = ended
	}
	later, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	if unread := x.written(later, func(context.Context) error { return nil }); err == nil {
		err = unread
	}
	return err
}

// written runs what writes for all to see in a turn of its own, and publishes what came of it.
func (x *Index) written(ctx context.Context, write func(ctx context.Context) error) error {
	x.seen(ctx)
	free, err := x.changes.write(ctx)
	if err != nil {
		return err
	}
	defer free()
	err = write(ctx)
	if unread := x.publish(context.WithoutCancel(ctx)); err == nil {
		err = unread
	}
	return err
}

// sweep removes what no catalog uses, in a turn: own is the one that the caller has, or empty. Of those that others have, nothing
// is removed: they are being filled.
func (x *Index) sweep(ctx context.Context, own string) error {
	all, err := x.Store.Catalogs(ctx)
	if err != nil {
		return err
	}
	return x.snaps.sweep(all, func(name string) (free func(), is bool) {
		if name == own {
			return func() {}, true
		}
		other, free := x.changes.try(name, func(error) {})
		return free, other == nil
	})
}
