package admin

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/palisade-run/palisade/sessions"
)

// Lines are the connections that were taken over for the streams of commands. No http.Server knows of them any more, and
// they do not end with what else is watched: whoever stops the API waits for them, or ends them.
type Lines struct {
	// Opened is told of each that is opened in a session, and what it returns is called at its end. May be nil; set before use.
	Opened func(session string) (closed func())

	mu    sync.Mutex
	open  map[*openLine]struct{}
	quiet chan struct{} // closed while none is open
	ended error
}

type openLine struct {
	end     context.CancelCauseFunc
	session string
}

// How many there may be at a time: each is a connection, a few goroutines, and up to half a MiB that is under way.
const (
	mostLines        = 1024
	mostSessionLines = 256
)

// NewLines returns none.
func NewLines() *Lines {
	l := &Lines{open: map[*openLine]struct{}{}, quiet: make(chan struct{})}
	close(l.quiet)
	return l
}

// begin counts one more of a session, "" of none, until done is called. Its context ends with End, and when whoever has it
// may not any more.
func (l *Lines) begin(ctx context.Context, session string) (own context.Context, done func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended != nil {
		return nil, nil, fmt.Errorf("%w: %w", sessions.ErrUnavailable, l.ended)
	}
	if err := l.room(session); err != nil {
		return nil, nil, err
	}
	asked := ctx
	own, end := context.WithCancelCause(context.WithoutCancel(ctx))
	apart := context.AfterFunc(asked, func() {
		// That a client has gone is seen on the line itself. That its request may not go on is said by a cause.
		if cause := context.Cause(asked); !errors.Is(cause, context.Canceled) {
			end(cause)
		}
	})
	line := &openLine{end, session}
	if len(l.open) == 0 {
		l.quiet = make(chan struct{})
	}
	l.open[line] = struct{}{}
	closed := func() {}
	if l.Opened != nil && session != "" {
		closed = l.Opened(session)
	}
	return own, func() {
		apart()
		closed()
		l.mu.Lock()
		defer l.mu.Unlock()
		end(nil)
		delete(l.open, line)
		if len(l.open) == 0 {
			close(l.quiet)
		}
	}, nil
}

// room refuses one line too many. The caller holds mu.
func (l *Lines) room(session string) error {
	if len(l.open) >= mostLines {
		return &hinted{fmt.Errorf("%w: %d commands, terminals and tunnels are open on this box, and no more may be", sessions.ErrUnavailable, len(l.open)), "end some of them, and try again"}
	}
	own := 0
	for line := range l.open {
		if line.session == session && session != "" {
			own++
		}
	}
	if own >= mostSessionLines {
		return &hinted{fmt.Errorf("%w: %d commands, terminals and tunnels are open in the session, and no more may be", sessions.ErrForbidden, own), "end some of them, and try again"}
	}
	return nil
}

// Count is how many there are.
func (l *Lines) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open)
}

// Wait returns when there is none, or with ctx's cause.
func (l *Lines) Wait(ctx context.Context) error {
	l.mu.Lock()
	quiet := l.quiet
	l.mu.Unlock()
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// End tells those at the other ends why, and returns when they know or ctx ends. No more are begun.
func (l *Lines) End(ctx context.Context, why error) {
	l.mu.Lock()
	l.ended = why
	for line := range l.open {
		line.end(why)
	}
	l.mu.Unlock()
	_ = l.Wait(ctx)
}
