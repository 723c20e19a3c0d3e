package sessions_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// shared is a ClusterFiles that remembers.
type shared struct {
	mu   sync.Mutex
	made map[string][]string
	open map[string][]int
}

func newShared() *shared { return &shared{made: map[string][]string{}, open: map[string][]int{}} }

func (s *shared) Make(id string, hosts []string, _ []int) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[id] = hosts
	return "/clusters/" + id, nil
}

func (s *shared) Open(id string, run int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[id] = append(s.open[id], run)
	return nil
}

func (s *shared) Forget(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.made, id)
	return nil
}

func (s *shared) Keep(live []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.made {
		if !slices.Contains(live, id) {
			delete(s.made, id)
		}
	}
	return nil
}

// opened are the runs of a session that were let go on.
func (s *shared) opened(id string) []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.open[id])
}

func (s *shared) kept() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.made)
}

// of makes a request one for so many containers.
func of(count int, run sessions.ClusterRun) func(*sessions.SessionRequest) {
	return func(r *sessions.SessionRequest) {
		r.Cluster = &sessions.ClusterRequest{
			Size: count, Run: run, Sub: variants.LaunchSpec{Processes: []variants.Process{{Name: "main", Argv: []string{"stay"}}}},
		}
	}
}

// statuses are those of all containers of a session, by rank.
func (w *world) statuses(id string) string {
	w.t.Helper()
	all, err := w.m.Containers("default", id)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, s := range all {
		out = append(out, string(s.Status))
	}
	return strings.Join(out, " ")
}

func (w *world) wantStatuses(id string, want string) {
	w.t.Helper()
	if got := w.statuses(id); got != want {
		w.t.Fatalf("%s, want %s", got, want)
	}
}

// container is the id of a session's container.
func (w *world) container(id string, rank int) string {
	w.t.Helper()
	all, err := w.m.Containers("default", id)
	if err != nil || len(all) <= rank {
		w.t.Fatal(err, len(all))
	}
	return all[rank].ID
}

const (
	allRun  = "RUNNING RUNNING RUNNING"
	allOver = "TERMINATED TERMINATED TERMINATED"
)

// inCluster plays with a session of three containers on a box with eight devices.
func inCluster(t *testing.T, run sessions.ClusterRun, play func(t *testing.T, w *world, id string), change ...func(*sessions.SessionRequest)) {
	t.Helper()
	inWorld(t, func(t *testing.T, w *world) {
		w.node, w.shared = eight(), newShared()
		w.boot()
		change = append(change, of(3, run), func(r *sessions.SessionRequest) { r.Resources = map[string]string{"cuda.device": "2"} })
		s := w.create(job("fit", change...))
		w.after(time.Second)
		w.wantStatuses(s.ID, allRun)
		w.wantLedger()
		play(t, w, s.ID)
		if t.Failed() {
			return
		}
		w.after(3 * time.Minute)
		if strings.Contains(w.statuses(s.ID), "RUNNING") {
			return
		}
		w.wantLedger()
		if w.shared.kept() != 0 {
			t.Error("what they shared is left")
		}
	})
}

func TestClusterOfContainers(t *testing.T) {
	inCluster(t, sessions.ClusterRunMain, func(t *testing.T, w *world, id string) {
		if free := w.free("cuda.device"); free != 200 {
			t.Errorf("%d hundredths of devices are free, want 200", free)
		}
		if got := w.shared.opened(id); !slices.Equal(got, []int{0}) {
			t.Errorf("let go on: %v", got)
		}
		specs := w.runtime.Started()
		slices.SortFunc(specs, func(a, b sessions.Spec) int { return a.Cluster.Rank - b.Cluster.Rank })
		for rank, spec := range specs {
			want := []string{"main1", "sub1", "sub2"}[rank]
			if spec.Name != want || spec.Env["RANK"] != fmt.Sprint(rank) || spec.Env["BACKENDAI_CLUSTER_HOST"] != want || spec.Env["WORLD_SIZE"] != "3" ||
				spec.Env["BACKENDAI_CLUSTER_HOSTS"] != "main1,sub1,sub2" || spec.Env["BACKENDAI_CLUSTER_REPLICAS"] != "main:1,sub:2" ||
				spec.Env["BACKENDAI_SESSION_ID"] != id || spec.Env["BACKENDAI_SESSION_NAME"] != "fit" || spec.Env["MASTER_ADDR"] != "main1" {
				t.Errorf("%s: %v", want, spec.Env)
			}
			if got := spec.Mounts[len(spec.Mounts)-1]; got.Source != "/clusters/"+id || got.Target != sessions.ClusterDir || !got.ReadOnly {
				t.Errorf("%s does not see what they share: %+v", want, got)
			}
			if got := fmt.Sprint(spec.Cluster.Names); got != "[[main1 fit] [sub1 fit-sub1] [sub2 fit-sub2]]" || spec.Cluster.ID != id {
				t.Errorf("names %s", got)
			}
		}
		// It is one session: by whatever name it is asked for.
		if _, err := w.m.UpdateSession(t.Context(), "default", "fit-sub1", sessions.SessionUpdate{Name: new("fit2"), Priority: new(20)}); err != nil {
			t.Fatal(err)
		}
		if s, err := w.m.Session("default", "fit2-sub2"); err != nil || w.person(id, sessions.StatusRunning).Name != "fit2" {
			t.Errorf("%v %v", s.Name, err)
		}
		if err := w.m.TerminateSession(t.Context(), "default", "fit2-sub2", "ada", false); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute)
		w.wantStatuses(id, allOver)
		if s := w.person(id, sessions.StatusTerminated); s.Result != sessions.ResultUndefined {
			t.Errorf("its owner ended it: %s, %s", s.Result, s.Reason)
		}
	})
}

func TestClusterEndsWithItsMain(t *testing.T) {
	inCluster(t, sessions.ClusterRunMain, func(t *testing.T, w *world, id string) {
		w.exit(id, sessions.ExitCompleted, 0)
		w.after(time.Second)
		w.wantStatuses(id, allOver)
		if s := w.person(id, sessions.StatusTerminated); s.Result != sessions.ResultSuccess || s.Task.Outcome != sessions.OutcomeFinished {
			t.Errorf("%s %s", s.Result, s.Task.Outcome)
		}
	})
}

func TestClusterFailsWithOneOfIt(t *testing.T) {
	inCluster(t, sessions.ClusterRunMain, func(t *testing.T, w *world, id string) {
		w.exit(w.container(id, 2), sessions.ExitOutOfMemory, 137)
		w.after(time.Second)
		w.wantStatuses(id, allOver)
		s := w.person(id, sessions.StatusTerminated)
		if s.Result != sessions.ResultFailure || s.Exit.Code != 137 || s.Exit.Reason != sessions.ExitOutOfMemory || !strings.HasPrefix(s.Exit.Message, "sub2: ") {
			t.Errorf("%s %+v", s.Result, s.Exit)
		}
	})
}

// TestClusterWhereAllRun: those that are done are done; the last one has a minute after the main one.
func TestClusterWhereAllRun(t *testing.T) {
	inCluster(t, sessions.ClusterRunAll, func(t *testing.T, w *world, id string) {
		w.exit(w.container(id, 1), sessions.ExitCompleted, 0)
		w.after(time.Hour)
		w.wantStatuses(id, "RUNNING TERMINATED RUNNING")
		w.exit(id, sessions.ExitCompleted, 0)
		w.after(50 * time.Second)
		w.wantStatuses(id, "TERMINATED TERMINATED RUNNING")
		w.after(20 * time.Second)
		w.wantStatuses(id, allOver)
		if s := w.person(id, sessions.StatusTerminated); s.Result != sessions.ResultSuccess {
			t.Errorf("%s %s", s.Result, s.Reason)
		}
	})
	t.Run("one that is done cannot begin anew", func(t *testing.T) {
		inCluster(t, sessions.ClusterRunAll, func(t *testing.T, w *world, id string) {
			w.exit(w.container(id, 1), sessions.ExitCompleted, 0)
			w.exit(w.container(id, 2), sessions.ExitFailed, 3)
			w.after(time.Minute)
			w.wantStatuses(id, allOver)
			if s := w.person(id, sessions.StatusTerminated); s.Result != sessions.ResultFailure || s.Exit.Code != 3 {
				t.Errorf("%s %+v", s.Result, s.Exit)
			}
		}, func(r *sessions.SessionRequest) { r.Task.Retries = 3 })
	})
}

// TestClusterOfWhichOneIsDone: the rest is not run again without it, for they would wait for it until their owner looks.
func TestClusterOfWhichOneIsDone(t *testing.T) {
	t.Run("its owner wants it", func(t *testing.T) {
		inCluster(t, sessions.ClusterRunAll, func(t *testing.T, w *world, id string) {
			w.exit(w.container(id, 1), sessions.ExitCompleted, 0)
			if err := w.m.RestartSession(t.Context(), "default", "fit", "ada"); !errors.Is(err, sessions.ErrForbidden) {
				t.Errorf("%v", err)
			}
			w.after(time.Minute)
			w.wantStatuses(id, "RUNNING TERMINATED RUNNING")
			if err := w.m.TerminateSession(t.Context(), "default", "fit-sub1", "ada", false); err != nil {
				t.Error(err)
			}
			w.after(time.Minute)
			w.wantStatuses(id, allOver)
			if err := w.m.TerminateSession(t.Context(), "default", "fit-sub1", "ada", false); !errors.Is(err, sessions.ErrForbidden) {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("another one fails at the same time", func(t *testing.T) {
		inCluster(t, sessions.ClusterRunAll, func(t *testing.T, w *world, id string) {
			w.runtime.Exit(id, failed())
			w.exit(w.container(id, 1), sessions.ExitCompleted, 0)
			w.after(time.Minute)
			if w.statuses(id) == allRun { // the failure was seen first: all begin anew, who was done meanwhile, too
				for rank := range 3 {
					if s := w.session(w.container(id, rank)); s.Task.Restarts != 1 {
						t.Errorf("container %d is in run %d", rank, s.Task.Restarts)
					}
				}
				return
			}
			w.wantStatuses(id, allOver)
			if s := w.person(id, sessions.StatusTerminated); s.Result != sessions.ResultFailure {
				t.Errorf("%s %+v", s.Result, s.Exit)
			}
		}, func(r *sessions.SessionRequest) { r.Task.Retries = 1 })
	})
	t.Run("long ago", func(t *testing.T) {
		inCluster(t, sessions.ClusterRunAll, func(t *testing.T, w *world, id string) {
			w.exit(w.container(id, 1), sessions.ExitCompleted, 0)
			w.after(10 * 24 * time.Hour)
			w.wantStatuses(id, "RUNNING TERMINATED RUNNING")
		})
	})
}

// TestClusterIsRenamedWhole: or not at all, and again where the store failed in the middle.
func TestClusterIsRenamedWhole(t *testing.T) {
	inCluster(t, sessions.ClusterRunMain, func(t *testing.T, w *world, id string) {
		rename := func(name string, priority *int) error {
			_, err := w.m.UpdateSession(t.Context(), "default", "fit", sessions.SessionUpdate{Name: &name, Priority: priority})
			return err
		}
		want := func(names string) {
			t.Helper()
			all, _ := w.m.Containers("default", id)
			if got := fmt.Sprintf("%s %s %s", all[0].Name, all[1].Name, all[2].Name); got != names {
				t.Errorf("%s, want %s", got, names)
			}
		}
		w.create(job("new-sub2"))
		for name, err := range map[string]error{
			"a priority that cannot be": rename("better", new(1000)),
			"names too long for others": rename(strings.Repeat("x", 62), nil),
			"another one's name":        rename("new", nil),
		} {
			if err == nil {
				t.Error(name)
			}
			want("fit fit-sub1 fit-sub2")
		}
		w.store.failFrom(2)
		if rename("better", nil) == nil {
			t.Error("written to a store that is away")
		}
		w.store.failFrom(0)
		if err := rename("better", nil); err != nil {
			t.Error(err)
		}
		want("better better-sub1 better-sub2")
	})
}

func TestClusterRunsAgainAsOne(t *testing.T) {
	retries := func(r *sessions.SessionRequest) { r.Task.Retries = 1 }
	for name, again := range map[string]func(w *world, id string){
		"its owner wants it": func(w *world, id string) {
			if err := w.m.RestartSession(w.t.Context(), "default", "fit-sub1", "ada"); err != nil {
				w.t.Fatal(err)
			}
		},
		"the main one failed": func(w *world, id string) { w.exit(id, sessions.ExitFailed, 1) },
		"another one failed":  func(w *world, id string) { w.exit(w.container(id, 1), sessions.ExitFailed, 1) },
		"two failed at a time": func(w *world, id string) {
			w.runtime.Exit(id, failed())
			w.exit(w.container(id, 1), sessions.ExitFailed, 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inCluster(t, sessions.ClusterRunAll, func(t *testing.T, w *world, id string) {
				again(w, id)
				w.after(time.Minute)
				w.wantStatuses(id, allRun)
				all, _ := w.m.Containers("default", id)
				for _, s := range all {
					if s.Task.Restarts != 1 {
						t.Errorf("%s: run %d", s.Name, s.Task.Restarts)
					}
				}
				if got := w.shared.opened(id); !slices.Equal(got, []int{0, 1}) {
					t.Errorf("let go on: %v", got)
				}
				if n := len(w.runtime.Started()); n != 6 {
					t.Errorf("%d starts", n)
				}
				if name == "its owner wants it" {
					return
				}
				w.exit(w.container(id, 2), sessions.ExitFailed, 5) // the tries are those of all together
				w.after(time.Minute)
				w.wantStatuses(id, allOver)
				if s := w.person(id, sessions.StatusTerminated); s.Result != sessions.ResultFailure || s.Exit.Code != 5 {
					t.Errorf("%s %+v", s.Result, s.Exit)
				}
			}, retries)
		})
	}
}

func failed() sessions.Exit {
	return sessions.Exit{Reason: sessions.ExitFailed, Code: 1, Message: "Its process ended.", FinishedAt: time.Now()}
}

// TestClusterGivesWayAsOne: for a route of a service, and comes back whole.
func TestClusterGivesWayAsOne(t *testing.T) {
	inCluster(t, sessions.ClusterRunMain, func(t *testing.T, w *world, id string) {
		if _, err := w.m.CreateService(t.Context(), sessions.ServiceRequest{
			Name: "chat", Project: "default", Replicas: 1, Priority: new(50),
			Recipe: sessions.Recipe{Image: "host", Variant: "cmd", Resources: map[string]string{"cuda.device": "4"}},
		}); err != nil {
			t.Fatal(err)
		}
		w.after(2 * time.Minute)
		w.wantStatuses(id, "PENDING PENDING PENDING")
		if s := w.person(id, sessions.StatusPending); !strings.Contains(s.Reason, "for its 3 containers together") {
			t.Errorf("it waits: %s", s.Reason)
		}
		w.wantLedger()
		if err := w.m.DestroyService(t.Context(), "default", "chat", "ada"); err != nil {
			t.Fatal(err)
		}
		w.after(2 * time.Minute)
		w.wantStatuses(id, allRun)
		if got := w.shared.opened(id); !slices.Equal(got, []int{0, 1}) {
			t.Errorf("let go on: %v", got)
		}
	}, func(r *sessions.SessionRequest) { r.Preemptible = true })
}

// TestClusterThatDoesNotStartWhole: what one of them cannot do, none does.
func TestClusterThatDoesNotStartWhole(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node, w.shared = eight(), newShared()
		w.boot()
		w.runtime.OnStart(func(s sessions.Spec) error {
			if s.Name == "sub1" {
				return errors.New("there is no shell in the image")
			}
			return nil
		})
		s := w.create(job("fit", of(3, sessions.ClusterRunMain)))
		w.after(time.Minute)
		for status := range strings.FieldsSeq(w.statuses(s.ID)) {
			if status != "TERMINATED" && status != "CANCELLED" {
				t.Errorf("%s", w.statuses(s.ID))
			}
		}
		got, _ := w.m.Session("default", s.ID)
		if got.Result != sessions.ResultFailure || !strings.Contains(got.Exit.Message, "sub1: ") || !strings.Contains(got.Exit.Message, "no shell") {
			t.Errorf("%s %+v", got.Result, got.Exit)
		}
		w.wantLedger()
		if len(w.runtime.Running()) != 0 || w.shared.opened(s.ID) != nil {
			t.Error("half of it runs")
		}
	})
}

// TestClusterOutlivesItsDaemon: whenever that is killed, the next one has it whole, or ends it whole.
func TestClusterOutlivesItsDaemon(t *testing.T) {
	for writes := 1; writes <= 22; writes++ {
		t.Run(fmt.Sprint(writes), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node, w.shared = eight(), newShared()
				w.boot()
				w.store.failFrom(writes)
				made, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job("fit", of(3, sessions.ClusterRunAll), func(r *sessions.SessionRequest) {
					r.Resources = map[string]string{"cuda.device": "2"}
				})})
				synctest.Wait()
				w.after(100 * time.Millisecond)
				w.halt()
				w.store.failFrom(0)
				w.boot()
				w.after(5 * time.Minute)
				if err != nil {
					if n := len(w.m.Sessions("", sessions.SessionFilter{})); n != 0 {
						t.Fatalf("%d sessions of which its owner was told that they are not there", n)
					}
					return
				}
				w.wantStatuses(made[0].ID, allRun)
				w.wantLedger()
				if n := len(w.runtime.Running()); n != 3 {
					t.Errorf("%d run", n)
				}
			})
		})
	}
}

func TestClustersThatCannotBe(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.node, w.shared = eight(), newShared()
		w.boot()
		for name, req := range map[string]sessions.SessionRequest{
			"too many":      job("fit", of(65, sessions.ClusterRunMain)),
			"too much":      job("fit", of(5, sessions.ClusterRunMain), func(r *sessions.SessionRequest) { r.Resources = map[string]string{"cuda.device": "2"} }),
			"a long name":   job(strings.Repeat("x", 60), of(12, sessions.ClusterRunMain)),
			"depends on it": job("after", func(r *sessions.SessionRequest) { r.DependsOn = []string{"whole-sub1"} }),
		} {
			if name == "depends on it" {
				w.create(job("whole", of(2, sessions.ClusterRunMain)))
			}
			_, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{req})
			if _, ok := errors.AsType[catalog.Problems](err); !ok {
				t.Errorf("%s: %v", name, err)
			}
			t.Log(err)
		}
		if _, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job("whole-sub1")}); !errors.Is(err, sessions.ErrExists) {
			t.Errorf("two of one name: %v", err)
		}
		w.runtime.NoClusters(errors.New("no network"))
		if _, err := w.m.CreateSessions(t.Context(), []sessions.SessionRequest{job("more", of(2, sessions.ClusterRunMain))}); err == nil || !strings.Contains(err.Error(), "no network") {
			t.Errorf("%v", err)
		}
	})
}
