package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// elsewhere is a runtime whose starts and stops go on without who asked, and that may not answer.
type elsewhere struct {
	far
	start func(context.Context) error // nil: it answers
	stop  func(context.Context) error
}

func (e *elsewhere) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	if e.start != nil {
		return sessions.Instance{}, e.start(ctx)
	}
	return e.Runtime.Start(ctx, spec)
}

func (e *elsewhere) Stop(ctx context.Context, id string, grace time.Duration) error {
	if e.stop != nil {
		return e.stop(ctx)
	}
	return e.Runtime.Stop(ctx, id, grace)
}

// A daemon that decides no more, and does not know it yet or waits for what goes on without it, writes nothing of a session down: the
// next one finds it as it was, and goes on. It waits for nobody when it stops.
func TestWhoDecidesNoMoreLeavesSessionsAsTheyAre(t *testing.T) {
	refused := func(context.Context) error { return fmt.Errorf("asking: %w", sessions.ErrAskerGone) }
	waits := func(ctx context.Context) error {
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), sessions.ErrAskerGone) {
			return fmt.Errorf("it is cut off by %w", context.Cause(ctx))
		}
		return ctx.Err()
	}
	for _, tt := range []struct {
		name        string
		start, stop func(context.Context) error
	}{
		{"a start is refused", refused, nil},
		{"a start is not answered", waits, nil},
		{"a stop is refused", nil, refused},
		{"a stop is not answered", nil, waits},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				box := &elsewhere{start: tt.start, stop: tt.stop}
				w.wrap = func(r sessions.Runtime) sessions.Runtime { box.Runtime = r; return box }
				w.seed("chat", 1)
				w.boot()
				w.after(5 * time.Second)
				want := sessions.StatusCreating
				if tt.stop != nil {
					w.wantUp("chat", 1)
					w.scale(sessions.Scale{By: "ada"})
					w.after(time.Second)
					want = sessions.StatusTerminating
				}
				began := time.Now()
				w.halt()
				if took := time.Since(began); took > time.Second {
					t.Errorf("it stops after %s", took)
				}
				for id, s := range w.store.sessions {
					if s.Status != want || s.Result == sessions.ResultFailure {
						t.Errorf("the next one finds %s %s (%s), want %s", id, s.Status, s.Reason, want)
					}
				}
				box.start, box.stop = nil, nil
				w.boot()
				w.after(10 * time.Second)
				if tt.start != nil {
					w.wantUp("chat", 1)
				}
				for id, s := range w.store.sessions {
					if s.Result == sessions.ResultFailure || tt.stop != nil && s.Status != sessions.StatusTerminated || len(w.store.sessions) != 1 {
						t.Errorf("it comes to %s of %d: %s (%s)", id, len(w.store.sessions), s.Status, s.Reason)
					}
				}
			})
		})
	}
}
