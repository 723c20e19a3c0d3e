package sessions_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
)

// overBoxes plays with a session of three containers, each of which takes more than half of a box, on three boxes.
func overBoxes(t *testing.T, kind sessions.NetKind, play func(t *testing.T, w *world, id string), change ...func(*sessions.SessionRequest)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		named := func(name string) accel.Node {
			n := *eight()
			n.Name = name
			for i := range n.Devices {
				n.Devices[i].ID = name + n.Devices[i].ID
			}
			return n
		}
		first := named("a")
		w.node, w.more, w.shared = &first, []accel.Node{named("b"), named("c")}, newShared()
		w.nets = sessions.ClusterNets{
			Pool: netip.MustParsePrefix("10.208.0.0/13"), Port: 4789,
			Reach: func(node string) (sessions.NetKind, netip.Addr) {
				return kind, netip.AddrFrom4([4]byte{10, 0, 0, node[0]})
			},
		}
		w.boot()
		change = append(change, of(3, sessions.ClusterRunAll), func(r *sessions.SessionRequest) {
			r.Resources, r.Cluster.Mode = map[string]string{"cuda.device": "5"}, sessions.ClusterMultiNode
		})
		s := w.create(job("fit", change...))
		w.after(time.Second)
		w.wantStatuses(s.ID, allRun)
		w.wantLedger()
		play(t, w, s.ID)
		w.wantLedger()
	})
}

// places are the boxes of a session's containers, by rank.
func (w *world) places(id string) string {
	w.t.Helper()
	all, err := w.m.Containers("default", id)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		if s.Claim == nil {
			out = append(out, "-")
			continue
		}
		out = append(out, s.Claim.Node)
	}
	return strings.Join(out, " ")
}

func TestContainersOnSeveralBoxes(t *testing.T) {
	for _, kind := range []sessions.NetKind{sessions.NetVXLAN, sessions.NetHost} {
		overBoxes(t, kind, func(t *testing.T, w *world, id string) {
			if at := w.places(id); at != "a b c" {
				t.Errorf("on %s", at)
			}
			specs := w.runtime.Started()
			slices.SortFunc(specs, func(a, b sessions.Spec) int { return a.Cluster.Rank - b.Cluster.Rank })
			for rank, spec := range specs {
				net := spec.Cluster.Net
				if net == nil || net.Kind != kind || fmt.Sprint(net.At) != "[0 1 2]" || fmt.Sprint(net.Boxes) != "[{a 10.0.0.97} {b 10.0.0.98} {c 10.0.0.99}]" || net != specs[0].Cluster.Net && fmt.Sprint(*net) != fmt.Sprint(*specs[0].Cluster.Net) {
					t.Errorf("rank %d: %+v", rank, net)
				}
				master, ssh := "29500", "2200"
				if kind == sessions.NetHost {
					master, ssh = fmt.Sprint(net.Ports+64), fmt.Sprint(net.Ports+rank)
				}
				e, last := spec.Env, spec.Processes[len(spec.Processes)-1]
				if e["MASTER_PORT"] != master || e["NNODES"] != "3" || e["NODE_RANK"] != fmt.Sprint(rank) || e["MASTER_ADDR"] != "main1" || last.Argv[3] != ssh || (last.Port > 0) != (kind == sessions.NetHost) {
					t.Errorf("rank %d: %v %+v", rank, e, last)
				}
			}
			// Another one has nothing in common with it.
			if kind == sessions.NetVXLAN {
				w.exit(id, sessions.ExitCompleted, 0)
				w.exit(w.container(id, 1), sessions.ExitCompleted, 0)
				w.exit(w.container(id, 2), sessions.ExitCompleted, 0)
				w.after(time.Second)
				w.wantStatuses(id, allOver)
			}
			w.halt()
			w.boot() // what there is of it is known to the next daemon
			if s, err := w.m.Session("default", id); err != nil || s.Task.Cluster.Net == nil || s.Task.Cluster.Net.Kind != kind {
				t.Errorf("%+v %v", s.Task.Cluster, err)
			}
		})
	}
}

// TestContainersLeaveABoxAsOne: a box is lost, or is to be empty, and all containers go back to the queue; when there is room they have
// their places, and a network, anew.
func TestContainersLeaveABoxAsOne(t *testing.T) {
	overBoxes(t, sessions.NetVXLAN, func(t *testing.T, w *world, id string) {
		var lost atomic.Bool
		w.halt()
		w.away = func(node string) sessions.Vacancy {
			if node == "b" && lost.Load() {
				return sessions.Vacancy{Why: "its box b is silent", Gone: true}
			}
			return sessions.Vacancy{}
		}
		w.boot()
		w.wantStatuses(id, allRun)
		lost.Store(true)
		w.m.Look()
		w.after(time.Second)
		lost.Store(false)
		w.after(5 * time.Minute)
		w.wantStatuses(id, allRun)
		all, err := w.m.Containers("default", id)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range all {
			if s.Task.Restarts == 0 || s.Task.Restarts != all[0].Task.Restarts || s.Task.Cluster.Net == nil || fmt.Sprint(*s.Task.Cluster.Net) != fmt.Sprint(*all[0].Task.Cluster.Net) {
				t.Errorf("%s has run %d times before; %+v", s.Name, s.Task.Restarts, s.Task.Cluster.Net)
			}
		}
		if opened := w.shared.opened(id); opened[len(opened)-1] != all[0].Task.Restarts {
			t.Errorf("let go on: %v", opened)
		}
	})
}

func TestContainersThatNeverFitOverBoxes(t *testing.T) {
	overBoxes(t, sessions.NetVXLAN, func(t *testing.T, w *world, _ string) {
		req := job("big", of(4, sessions.ClusterRunAll), func(r *sessions.SessionRequest) {
			r.Resources, r.Cluster.Mode = map[string]string{"cuda.device": "5"}, sessions.ClusterMultiNode
		})
		_, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{req})
		if err == nil || !strings.Contains(err.Error(), "asks for 4 containers, each with 5 cuda.device: nodes that reach each other have room for 3 when they are empty") {
			t.Error(err)
		}
		req.Cluster.Size = 3
		if f, problems := w.m.Foresee(t.Context(), req); problems.Err() != nil || f.Node != "" || len(f.Waits) == 0 {
			t.Errorf("%+v %v", f, problems)
		}
	})
}

// TestContainersWithoutANetwork: a session for which there is room, and no network, says so, and keeps no room from others; it has its
// places when there is a network.
func TestContainersWithoutANetwork(t *testing.T) {
	overBoxes(t, sessions.NetVXLAN, func(t *testing.T, w *world, id string) {
		first, err := w.m.Session("default", id)
		if err != nil {
			t.Fatal(err)
		}
		w.halt()
		w.nets.Pool = first.Task.Cluster.Net.Range // the only one, which is in use
		w.boot()
		three := func(r *sessions.SessionRequest) { r.Resources = map[string]string{"cuda.device": "3"} }
		spread := w.create(job("spread", of(3, sessions.ClusterRunAll), three, func(r *sessions.SessionRequest) { r.Cluster.Mode = sessions.ClusterMultiNode }))
		other := w.create(job("other", three))
		w.after(5 * time.Second)
		s, err := w.m.Session("default", spread.ID)
		if err != nil || s.Status != sessions.StatusPending || !strings.Contains(s.Reason, "no network for its containers") || s.Waits[0].Predicate != sessions.PredicateNetwork {
			t.Errorf("%v: %s, %q", err, s.Status, s.Reason)
		}
		if s, err := w.m.Session("default", other.ID); err != nil || s.Status != sessions.StatusRunning {
			t.Errorf("who comes after it: %v: %s, %q", err, s.Status, s.Reason)
		}
		for _, of := range []string{id, w.container(id, 1), w.container(id, 2), other.ID} {
			w.exit(of, sessions.ExitCompleted, 0)
		}
		w.after(time.Minute)
		w.wantStatuses(spread.ID, allRun)
	})
}
