package store

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
)

// together writes what several callers ask for at one time in one transaction: where a rack has died a thousand small writes are asked
// for at once, and a transaction each is most of what they cost.
type together struct {
	mu      sync.Mutex
	waiting []*part
	busy    bool // somebody writes, and will come to what waits
	closed  bool
	writers sync.WaitGroup
}

// part is what one caller asks for.
type part struct {
	ctx  context.Context
	op   string
	fn   func(context.Context, *tx) error
	done chan error // of size 1
}

// partsAtOnce is how many are written in one transaction at most: all of them wait for it.
const partsAtOnce = 64

// writeTogether is write for what may be in one transaction with what others write: a few statements, in which nobody is waited for.
// Of several callers each gets what became of its own part. What is asked for after another is written after it, and what its caller
// has left before it was begun is not written. fn may be run after its caller has left: it keeps nothing that the caller changes.
func (s *Store) writeTogether(ctx context.Context, op string, fn func(context.Context, *tx) error) error {
	p := &part{ctx, op, fn, make(chan error, 1)}
	t := &s.together
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return &Error{Kind: ErrClosed, Op: op}
	}
	t.waiting = append(t.waiting, p)
	if !t.busy {
		t.busy = true
		t.writers.Go(s.writeParts)
	}
	t.mu.Unlock()
	select {
	case err := <-p.done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-p.done:
		if _, ours := errors.AsType[*Error](err); err == nil || ours {
			return err
		}
	default:
	}
	return s.wrap(ctx, op, context.Cause(ctx)) // and not that nobody waits any more
}

// close refuses what is asked for from now on, and waits for what was.
func (t *together) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.writers.Wait()
}

// writeParts writes what waits until nothing does.
func (s *Store) writeParts() {
	t := &s.together
	for {
		t.mu.Lock()
		t.waiting = slices.DeleteFunc(t.waiting, func(p *part) bool { return p.ctx.Err() != nil })
		n := min(len(t.waiting), partsAtOnce)
		if n == 0 {
			t.busy = false
			t.mu.Unlock()
			return
		}
		parts := slices.Clone(t.waiting[:n])
		t.waiting = slices.Delete(t.waiting, 0, n)
		t.mu.Unlock()
		s.writeSome(parts)
	}
}

// writeSome writes parts, all in one transaction. Where that fails for what is in one of them, each is written alone.
func (s *Store) writeSome(parts []*part) {
	ctx, done := whileAnyWaits(parts)
	defer done()
	ctx, cancel := context.WithTimeoutCause(ctx, opTimeout, errNoAnswer)
	defer cancel()
	var refused bool // by a part, and not by the database
	err := s.try(ctx, "saving for several", func(ctx context.Context) error {
		refused = false
		return s.transact(ctx, func(ctx context.Context, t *tx) error {
			for _, p := range parts {
				if err := p.fn(ctx, t); err != nil {
					_, kind := s.dialect.kind(err)
					refused = kind == nil || errors.Is(kind, ErrExists) || errors.Is(kind, ErrCorrupt) || errors.Is(kind, ErrDenied) // a row's page, a table
					return err
				}
			}
			return nil
		})
	})
	if err != nil && refused && ctx.Err() == nil && len(parts) > 1 {
		for _, p := range parts {
			if p.ctx.Err() == nil {
				p.done <- s.write(p.ctx, p.op, p.fn)
			}
		}
		return
	}
	for _, p := range parts {
		p.done <- s.wrap(ctx, p.op, err)
	}
}

// whileAnyWaits is a context that ends when the callers of all parts have left, or at done.
func whileAnyWaits(parts []*part) (ctx context.Context, done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var left atomic.Int32
	stops := make([]func() bool, len(parts))
	for i, p := range parts {
		stops[i] = context.AfterFunc(p.ctx, func() {
			if int(left.Add(1)) == len(parts) {
				cancel()
			}
		})
	}
	return ctx, func() {
		for _, stop := range stops {
			stop()
		}
		cancel()
	}
}
