package sessions_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// takes has a route's containers ask for so many devices each.
func takes(devices string) func(*sessions.ServiceRequest) {
	return func(r *sessions.ServiceRequest) { r.Recipe.Resources = map[string]string{"cuda.device": devices} }
}

// TestNetsOfOnePass: sessions that get their places in one pass have nothing in common of what their containers reach each other by.
func TestNetsOfOnePass(t *testing.T) {
	for kind, c := range map[sessions.NetKind]struct {
		count int
		cpu   string // of 64: two that ask for more than half have a box each
	}{sessions.NetVXLAN: {13, "33"}, sessions.NetHost: {45, "1"}} {
		onBoxes(t, "a b c d e f g h i j k l m n o p q r s t u v w x y z", func(t *testing.T, w *world) {
			w.halt()
			w.nets.Pool = netip.MustParsePrefix("10.208.0.0/20") // 16 ranges
			w.nets.Reach = func(node string) (sessions.NetKind, netip.Addr) {
				return kind, netip.AddrFrom4([4]byte{10, 0, 0, node[0]})
			}
			w.boot()
			var all []sessions.SessionRequest
			for i := range c.count {
				all = append(all, job(fmt.Sprintf("fit%d", i), of(2, sessions.ClusterRunAll), func(r *sessions.SessionRequest) {
					r.Resources, r.Cluster.Mode = map[string]string{"cpu": c.cpu}, sessions.ClusterMultiNode
				}))
			}
			w.create(all...)
			w.after(5 * time.Second)
			if n := len(w.runtime.Running()); n != 2*c.count {
				t.Errorf("%d containers run", n)
			}
			whose := map[string]string{}
			for _, spec := range w.runtime.Started() {
				net := spec.Cluster.Net
				has := fmt.Sprint("ports ", net.Ports)
				if kind == sessions.NetVXLAN {
					has = fmt.Sprint("range ", net.Range)
				}
				if other := whose[has]; other != "" && other != spec.Cluster.ID {
					t.Errorf("%s and %s have %s", other, spec.Cluster.ID, has)
				}
				whose[has] = spec.Cluster.ID
			}
		})
	}
}

// TestRouteThatItsServiceLeavesNoRoomFor: it says so, and nothing is kept for it.
func TestRouteThatItsServiceLeavesNoRoomFor(t *testing.T) {
	scale := func(w *world, to int) {
		if _, err := w.m.ScaleService(w.t.Context(), "default", "big", sessions.Scale{To: to, By: "ada"}); err != nil {
			w.t.Fatal(err)
		}
		w.after(10 * time.Second)
	}
	onBoxes(t, "a b c", func(t *testing.T, w *world) {
		w.serves(big(2, takes("8")))
		scale(w, 2)
		if v := w.service("big"); !strings.Contains(v.Sentence, "there is room for 1 route of service big on all boxes together, with nothing else there: each asks for 2 containers, each with 8 cuda.device; scale it to 1") {
			t.Error(v.Sentence)
		}
		s := w.create(job("small", func(r *sessions.SessionRequest) { r.Resources = map[string]string{"cuda.device": "1"} }))
		w.after(time.Second)
		if s, err := w.m.Session("default", s.ID); err != nil || s.Status != sessions.StatusRunning {
			t.Errorf("%v: %s, %s", err, s.Status, s.Reason)
		}
	})
	onBoxes(t, "a", func(t *testing.T, w *world) { // and where they are on one box
		one := func(r *sessions.ServiceRequest) { r.Recipe.ClusterMode = "" }
		w.serves(big(2, takes("2"), one))
		scale(w, 3)
		w.wantUp("big", 2)
		if v := w.service("big"); !strings.Contains(v.Sentence, "there is room for 2 routes of service big on a, with nothing else there") {
			t.Error(v.Sentence)
		}
	})
}

// TestRouteWhoseWorkerGivesUp: that is a failed start, which is told and waited after; when what was away is back it comes up.
func TestRouteWhoseWorkerGivesUp(t *testing.T) {
	onBoxes(t, "a b", func(t *testing.T, w *world) {
		var away atomic.Bool
		away.Store(true)
		w.runtime.OnStart(func(s sessions.Spec) error {
			if s.Name == "sub1" && away.Load() {
				return fmt.Errorf("%w: for a while", sessions.ErrRuntimeDown)
			}
			return nil
		})
		if _, err := w.m.CreateService(t.Context(), big(2)); err != nil {
			t.Fatal(err)
		}
		w.after(30 * time.Minute)
		v := w.service("big")
		heads := len(w.told("started"))
		if v.Failures < 2 || v.Failures > heads || v.Failures < heads-1 || v.RetryAt.IsZero() || !strings.HasPrefix(v.LastError, "sub1 was not started: ") || !strings.Contains(v.LastError, "for a while") {
			t.Errorf("%d failures of %d heads, again at %v: %s", v.Failures, heads, v.RetryAt, v.LastError)
		}
		away.Store(false)
		w.after(10 * time.Minute)
		w.wantStatuses(w.wantUp("big", 1)[0], "RUNNING RUNNING")
		if v := w.service("big"); v.Failures != 0 {
			t.Errorf("%d failures", v.Failures)
		}
	})
}

// TestRouteGivesWayWhole: what another service would have of its end is what all its containers hold.
func TestRouteGivesWayWhole(t *testing.T) {
	onBoxes(t, "a b", func(t *testing.T, w *world) {
		w.serves(big(2, takes("8")))
		waiting, err := w.m.CreateService(t.Context(), big(2, takes("8"), func(r *sessions.ServiceRequest) { r.Name = "more" }))
		if err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Second)
		giver := w.service("big").ID
		if !w.m.Frees(waiting.ID, giver, 1) {
			t.Errorf("its end frees nothing: %s", w.m.PoolWait(waiting.ID))
		}
		if w.m.Frees(giver, waiting.ID, 1) {
			t.Error("one that waits frees something")
		}
	})
}

// TestLoadTimeOfSeveralContainers: it is that of the load, however long the other boxes fetch before, and whatever becomes of the
// daemon meanwhile.
func TestLoadTimeOfSeveralContainers(t *testing.T) {
	onBoxes(t, "a b", func(t *testing.T, w *world) {
		var fetching atomic.Bool
		fetching.Store(true)
		w.runtime.OnStart(func(s sessions.Spec) error {
			if s.Name == "sub1" && fetching.Load() {
				return fmt.Errorf("%w: for a while", sessions.ErrRuntimeDown)
			}
			return nil
		})
		w.setSick("*", "503 Service Unavailable: loading")
		made, err := w.m.CreateService(t.Context(), big(2))
		if err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		fetching.Store(false)
		w.after(40 * time.Second) // a try comes within 32 s
		w.halt()
		w.after(10 * time.Second)
		w.boot()
		w.after(30 * time.Second)
		w.setSick("*", "")
		w.after(10 * time.Second)
		w.wantUp("big", 1)
		if took, known := w.m.LoadTime(made.ID); !known || took < 45*time.Second || took > 90*time.Second {
			t.Errorf("loads take %v, %v", took, known)
		}
	})
}

// silent is a runtime one of whose instances cannot be stopped for now.
type silent struct {
	*runtimetest.Fake
	id *atomic.Value
}

func (s silent) Stop(ctx context.Context, id string, grace time.Duration) error {
	if s.id.Load() == id {
		return fmt.Errorf("%w: its box is silent", sessions.ErrRuntimeDown)
	}
	return s.Fake.Stop(ctx, id, grace)
}

// TestServiceIsThereWhileAnyOfItRuns: it is removed when its workers have ended too, and until then what it reads is in use.
func TestServiceIsThereWhileAnyOfItRuns(t *testing.T) {
	onBoxes(t, "a b", func(t *testing.T, w *world) {
		w.halt()
		var id atomic.Value
		w.wrap = func(sessions.Runtime) sessions.Runtime { return silent{w.runtime, &id} }
		w.boot()
		route := w.serves(big(2, func(r *sessions.ServiceRequest) {
			r.Recipe.Mounts = []sessions.FolderMount{{Folder: "model", Target: "/data"}}
		}))
		worker := w.container(route, 1)
		id.Store(worker)
		if err := w.m.DestroyService(t.Context(), "default", "big", "ada"); err != nil {
			t.Fatal(err)
		}
		w.after(10 * time.Minute)
		for range 2 { // the next daemon knows it too
			if s, err := w.m.Session("default", route); err != nil || !s.Status.Terminal() {
				t.Errorf("%v: the head is %s", err, s.Status)
			}
			if v := w.service("big"); v.Status != sessions.ServiceDestroying || v.Sentence != "0 routes and 1 container of others left to end" {
				t.Errorf("%s: %s", v.Status, v.Sentence)
			}
			if by, used := w.m.FolderUsedBy("model"); !used || by != "service big" {
				t.Errorf("its folder is used by %q", by)
			}
			w.halt()
			w.boot()
			w.after(time.Minute)
		}
		id.Store("")
		w.after(10 * time.Minute)
		if v, err := w.m.Service("default", "big"); err == nil {
			t.Errorf("it is there: %s", v.Sentence)
		}
		if by, used := w.m.FolderUsedBy("model"); used {
			t.Errorf("its folder is used by %q", by)
		}
	})
}

// TestFolderOfAnEarlierRevisionIsUsedByItsWorkers: what an update has left is in use until all that read it has ended.
func TestFolderOfAnEarlierRevisionIsUsedByItsWorkers(t *testing.T) {
	onBoxes(t, "a b c d", func(t *testing.T, w *world) {
		w.halt()
		var id atomic.Value
		w.wrap = func(sessions.Runtime) sessions.Runtime { return silent{w.runtime, &id} }
		w.boot()
		route := w.serves(big(2, func(r *sessions.ServiceRequest) {
			r.Recipe.Mounts = []sessions.FolderMount{{Folder: "model", Target: "/data"}}
		}))
		id.Store(w.container(route, 1))
		recipe := w.service("big").Recipe
		recipe.Mounts = nil
		if _, err := w.m.UpdateService(t.Context(), "default", "big", sessions.ServiceUpdate{Recipe: &recipe, By: "ada"}); err != nil {
			t.Fatal(err)
		}
		w.after(5 * time.Minute)
		if up := w.wantUp("big", 1); up[0] == route {
			t.Fatal("it was not updated")
		}
		if _, used := w.m.FolderUsedBy("model"); !used {
			t.Error("its folder is free")
		}
		id.Store("")
		w.after(10 * time.Minute)
		if by, used := w.m.FolderUsedBy("model"); used {
			t.Errorf("its folder is used by %q", by)
		}
	})
}
