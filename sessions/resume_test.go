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
	resumed func(id string) (sessions.Instance, error)
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

func (f *far) Resume(_ context.Context, id string) (sessions.Instance, error) { return f.resumed(id) }

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
				box.resumed = func(id string) (sessions.Instance, error) {
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
