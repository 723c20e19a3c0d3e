package sessions_test

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// far is a runtime on another box: a start goes on there though the daemon that asked for it is gone.
type far struct {
	sessions.Runtime
	mu      sync.Mutex
	asked   chan sessions.Spec // of size 1: what is to be started; nobody hears what comes of it
	begun   []sessions.Instance
	resumed func(ctx context.Context, id string) (sessions.Instance, error)
	starts  int
}

func (f *far) Start(ctx context.Context, spec sessions.Spec) (sessions.Instance, error) {
	f.mu.Lock()
	asked := f.asked
	f.starts++
	f.mu.Unlock()
	if asked == nil {
		return f.Runtime.Start(ctx, spec)
	}
	asked <- spec
	<-ctx.Done()
	return sessions.Instance{}, sessions.ErrRuntimeDown
}

func (f *far) List(ctx context.Context) ([]sessions.Instance, error) {
	list, err := f.Runtime.List(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	return append(list, f.begun...), err
}

func (f *far) Resume(ctx context.Context, id string) (sessions.Instance, error) {
	return f.resumed(ctx, id)
}

// A daemon finds a start under way that the one before has asked for, and goes on with it; where that comes to nothing, it
// begins anew.
func TestAStartThatIsUnderWay(t *testing.T) {
	for name, fails := range map[string]bool{"it comes up": false, "it fails": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				box := &far{asked: make(chan sessions.Spec, 1)}
				w.wrap = func(r sessions.Runtime) sessions.Runtime { box.Runtime = r; return box }
				w.seed("chat", 1)
				w.boot()
				spec := <-box.asked
				w.after(time.Second)
				// The daemon dies here, and what it does afterwards is of no effect.
				old, kept := w.store, newMemory()
				old.mu.Lock()
				kept.services, kept.revisions, kept.sessions = maps.Clone(old.services), maps.Clone(old.revisions), maps.Clone(old.sessions)
				old.mu.Unlock()
				if got := kept.sessions[spec.ID].Status; got != sessions.StatusCreating {
					t.Fatalf("it is %s", got)
				}
				w.halt()
				w.store = kept
				box.mu.Lock()
				box.asked, box.starts = nil, 0
				box.begun = []sessions.Instance{{ID: spec.ID, Labels: spec.Labels, Running: true}}
				box.mu.Unlock()
				box.resumed = func(_ context.Context, _ string) (sessions.Instance, error) {
					time.Sleep(time.Minute)
					box.mu.Lock()
					box.begun = nil
					box.mu.Unlock()
					if fails {
						return sessions.Instance{}, errors.New("the box was started again")
					}
					return w.runtime.Start(context.Background(), spec)
				}
				w.boot()
				w.after(30 * time.Second)
				if got := w.session(spec.ID).Status; got != sessions.StatusCreating {
					t.Errorf("while it is under way it is %s", got)
				}
				w.after(time.Minute)
				w.wantUp("chat", 1)
				list, err := w.runtime.List(t.Context())
				if err != nil || len(list) != 1 || list[0].ID != spec.ID {
					t.Fatalf("there are %+v, %v", list, err)
				}
				if at := w.session(spec.ID).Address; at != list[0].Address+":8000" {
					t.Errorf("its address is %q, and it is at %q", at, list[0].Address)
				}
				if want := map[bool]int{false: 0, true: 1}[fails]; box.starts != want {
					t.Errorf("it was started anew %d times, want %d", box.starts, want)
				}
			})
		})
	}
}

// Who waits for a start that is under way waits no more when the daemon stops, or somebody ends the session. The start goes on in the
// first case, and is taken back in the other.
func TestAStartIsWaitedForNoMore(t *testing.T) {
	for name, stops := range map[string]bool{"the daemon stops": true, "the service is stopped": false} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				box := &far{asked: make(chan sessions.Spec, 1)}
				w.wrap = func(r sessions.Runtime) sessions.Runtime { box.Runtime = r; return box }
				w.seed("chat", 1)
				w.boot()
				spec := <-box.asked
				w.after(time.Second)
				old, kept := w.store, newMemory()
				old.mu.Lock()
				kept.services, kept.revisions, kept.sessions = maps.Clone(old.services), maps.Clone(old.revisions), maps.Clone(old.sessions)
				old.mu.Unlock()
				w.halt()
				w.store = kept
				box.mu.Lock()
				box.asked = nil
				box.begun = []sessions.Instance{{ID: spec.ID, Labels: spec.Labels, Running: true}}
				box.mu.Unlock()
				left := make(chan error, 1)
				box.resumed = func(ctx context.Context, _ string) (sessions.Instance, error) {
					<-ctx.Done()
					box.mu.Lock()
					box.begun = nil
					box.mu.Unlock()
					left <- context.Cause(ctx)
					return sessions.Instance{}, ctx.Err()
				}
				w.boot()
				w.after(time.Second)
				began := time.Now()
				if stops {
					w.halt()
				} else {
					w.scale(sessions.Scale{By: "ada"})
				}
				cause := <-left
				if took := time.Since(began); took > time.Second {
					t.Errorf("it was waited for %v more", took)
				}
				if got := errors.Is(cause, sessions.ErrAskerGone); got != stops {
					t.Errorf("the start is left for %v", cause)
				}
				if stops {
					if got := w.store.sessions[spec.ID].Status; got != sessions.StatusCreating {
						t.Errorf("the next one finds it %s", got)
					}
					w.boot()
				}
			})
		})
	}
}
