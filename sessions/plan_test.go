package sessions_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/sessions"
)

var t0 = time.Unix(1_700_000_000, 0)

// wanted is an active service of revision 1 that has been healthy.
func wanted(replicas int, change ...func(*sessions.Service)) sessions.Service {
	s := sessions.Service{
		ID: "svc-1", Name: "chat", Lifecycle: sessions.LifecycleActive, Replicas: replicas,
		Revision: 1, GoodRevision: 1, Policy: sessions.DefaultPolicy(),
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func route(id string, status sessions.RouteStatus, change ...func(*sessions.RouteState)) sessions.RouteState {
	r := sessions.RouteState{ID: id, Revision: 1, Status: status, Since: t0.Add(-time.Second)}
	if status == sessions.RouteHealthy {
		r.HealthyAt = r.Since
	}
	for _, c := range change {
		c(&r)
	}
	return r
}

func busy(n int) func(*sessions.RouteState) { return func(r *sessions.RouteState) { r.InFlight = n } }
func ofRevision(n int) func(*sessions.RouteState) {
	return func(r *sessions.RouteState) { r.Revision = n }
}
func since(ago time.Duration) func(*sessions.RouteState) {
	return func(r *sessions.RouteState) { r.Since = t0.Add(-ago) }
}
func healthyFor(d time.Duration) func(*sessions.RouteState) {
	return func(r *sessions.RouteState) { r.HealthyAt = t0.Add(-d) }
}

// told is what a plan would do, without the sentences.
func told(actions []sessions.PlanAction) []string {
	var out []string
	for _, a := range actions {
		switch {
		case a.Route != "":
			out = append(out, fmt.Sprintf("%s %s", a.Kind, a.Route))
		case a.Revision != 0:
			out = append(out, fmt.Sprintf("%s %d", a.Kind, a.Revision))
		default:
			out = append(out, string(a.Kind))
		}
	}
	return out
}

func moving(r *sessions.RouteState) { r.Moving = "its box is to be empty" }

func TestPlan(t *testing.T) {
	const (
		up, starting, sick, leaving = sessions.RouteHealthy, sessions.RouteProvisioning, sessions.RouteUnhealthy, sessions.RouteDraining
	)
	failing := func(n int, in time.Duration) func(*sessions.Service) {
		return func(s *sessions.Service) { s.Failures, s.LastError, s.RetryAt = n, "exit 1", t0.Add(in) }
	}
	revision := func(n int) func(*sessions.Service) { return func(s *sessions.Service) { s.Revision = n } }
	tests := []struct {
		name    string
		service sessions.Service
		routes  []sessions.RouteState
		want    []string
		again   time.Duration // from now; 0 none
	}{
		{"nothing runs", wanted(2), nil, []string{"start 1", "start 1"}, 0},
		{"enough run", wanted(1), []sessions.RouteState{route("a", up, healthyFor(time.Hour))}, nil, 0},
		{"those that start count", wanted(2), []sessions.RouteState{route("a", starting), route("b", starting)}, nil, 30*time.Minute - time.Second},
		{"those that leave do not", wanted(1), []sessions.RouteState{route("a", leaving)}, []string{"start 1"}, 0},
		{"scaled in: the least busy goes", wanted(2), []sessions.RouteState{route("a", up, busy(3), healthyFor(time.Hour)), route("b", up, busy(1), healthyFor(time.Hour)), route("c", up, busy(2), healthyFor(time.Hour))}, []string{"retire b"}, 0},
		{"scaled in: who waits for a place goes before who has one", wanted(1), []sessions.RouteState{
			route("a", sessions.RouteProvisioning, since(time.Hour), func(r *sessions.RouteState) { r.Waiting = true }), route("b", starting),
		}, []string{"retire a"}, 30*time.Minute - time.Second},
		{"not yet healthy before unhealthy before healthy", wanted(1), []sessions.RouteState{route("a", up, healthyFor(time.Hour)), route("b", sick), route("c", starting, busy(9))}, []string{"retire c", "retire b"}, 59 * time.Second},
		{"to zero", wanted(0), []sessions.RouteState{route("a", up, healthyFor(time.Hour))}, []string{"retire a"}, 0},
		{"a first healthy route proves the revision", wanted(1, func(s *sessions.Service) { s.GoodRevision = 0 }), []sessions.RouteState{route("a", up)}, []string{"accept 1"}, 0},
		{"unhealthy too long", wanted(1), []sessions.RouteState{route("a", sick, since(2*time.Minute))}, []string{"give up a", "start 1"}, 0},
		{"unhealthy, held for a person to look at", wanted(1, func(s *sessions.Service) { s.Policy.OnUnhealthy = "hold" }), []sessions.RouteState{route("a", sick, since(time.Hour))}, nil, 0},
		{"never healthy in all its time", wanted(1), []sessions.RouteState{route("a", starting, since(time.Hour))}, []string{"give up a", "start 1"}, 0},
		{"back-off", wanted(1, failing(3, 4*time.Second)), nil, nil, 4 * time.Second},
		{"back-off over: one at a time", wanted(3, failing(3, 0)), nil, []string{"start 1"}, 0},
		{"after a failure the next waits for the first", wanted(3, failing(3, 0)), []sessions.RouteState{route("a", starting)}, nil, 30*time.Minute - time.Second},
		{"all well again", wanted(1, failing(3, -time.Hour)), []sessions.RouteState{route("a", up, healthyFor(time.Hour))}, []string{"settle"}, 0},
		{"not settled before a minute", wanted(1, failing(3, -time.Hour)), []sessions.RouteState{route("a", up)}, nil, 59 * time.Second},
		{"a new revision: one more than wanted", wanted(2, revision(2)), []sessions.RouteState{route("a", up), route("b", up)}, []string{"start 2"}, 0},
		{"the old one goes when the new one is up", wanted(2, revision(2)), []sessions.RouteState{route("a", up, busy(1)), route("b", up), route("c", up, ofRevision(2))}, []string{"accept 2", "retire b", "start 2"}, 0},
		{"no surge, one may miss", wanted(2, revision(2), func(s *sessions.Service) { s.Policy.MaxSurge, s.Policy.MaxUnavailable = 0, 1 }), []sessions.RouteState{route("a", up), route("b", up)}, []string{"retire a", "start 2"}, 0},
		{"old ones that serve nobody go at once", wanted(1, revision(2)), []sessions.RouteState{route("a", sick)}, []string{"retire a", "start 2"}, 59 * time.Second},
		{"one that is to move: another comes first", wanted(1), []sessions.RouteState{route("a", up, healthyFor(time.Hour), moving)}, []string{"start 1"}, 0},
		{"and it goes when the other one is up", wanted(1), []sessions.RouteState{route("a", up, healthyFor(time.Hour), moving), route("b", up, healthyFor(time.Hour))}, []string{"retire a"}, 0},
		{"a new revision that fails once is tried again", wanted(1, revision(2), failing(1, 0)), []sessions.RouteState{route("a", up)}, []string{"start 2"}, 0},
		{"and then rolled back", wanted(1, revision(2), failing(2, time.Second)), []sessions.RouteState{route("a", up)}, []string{"roll back 1"}, 0},
		{"nothing to roll back to", wanted(1, func(s *sessions.Service) { s.GoodRevision = 0 }, failing(9, time.Second)), nil, nil, time.Second},
		{"updated at zero", wanted(0, revision(2)), []sessions.RouteState{route("a", up)}, []string{"retire a"}, 0},
		{"removed: everything goes", wanted(2, func(s *sessions.Service) { s.Lifecycle = sessions.LifecycleDestroying }), []sessions.RouteState{route("a", up), route("b", leaving)}, []string{"retire a"}, 0},
		{"removed: nothing is left", wanted(2, func(s *sessions.Service) { s.Lifecycle = sessions.LifecycleDestroying }), nil, []string{"destroy"}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			actions, again := sessions.Plan(sessions.ServiceState{Service: tt.service, Routes: tt.routes}, t0)
			if diff := cmp.Diff(tt.want, told(actions)); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if got := again.Sub(t0); (tt.again == 0) != again.IsZero() || tt.again != 0 && got != tt.again {
				t.Errorf("looks again in %s, want %s", got, tt.again)
			}
			for _, a := range actions {
				if a.Reason == "" {
					t.Errorf("%s has no reason", a)
				}
			}
		})
	}
}

// FuzzPlan holds for any service and routes: it never ends more healthy routes than the policy lets,
// never starts more than the surge lets, never acts twice on one route, and comes to rest.
func FuzzPlan(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 16, 17, 18}, 3, 2, 1, 0, 0)
	f.Fuzz(func(t *testing.T, routes []byte, replicas, revision, surge, missing, failures int) {
		if replicas < 0 || replicas > 20 || revision < 1 || revision > 3 || surge < 0 || missing < 0 || surge > 5 || missing > 5 || surge+missing == 0 || failures < 0 || len(routes) > 30 {
			return // not a service that can be written down
		}
		statuses := []sessions.RouteStatus{sessions.RouteHealthy, sessions.RouteProvisioning, sessions.RouteUnhealthy, sessions.RouteDraining}
		s := sessions.ServiceState{Service: wanted(replicas)}
		s.Service.Revision, s.Service.Failures, s.Service.Policy.MaxSurge, s.Service.Policy.MaxUnavailable = revision, failures, surge, missing
		healthy := map[string]bool{}
		live := 0
		for i, b := range routes {
			r := route(fmt.Sprint(i), statuses[b%4], ofRevision(int(b/4)%3+1), busy(int(b/16)))
			s.Routes = append(s.Routes, r)
			healthy[r.ID] = r.Status == sessions.RouteHealthy
			if r.Status != sessions.RouteDraining {
				live++
			}
		}
		actions, _ := sessions.Plan(s, t0)
		var ended []string
		starts, healthyEnded, healthyBefore := 0, 0, 0
		for _, h := range healthy {
			if h {
				healthyBefore++
			}
		}
		for _, a := range actions {
			switch a.Kind {
			case sessions.PlanStart:
				starts++
			case sessions.PlanRetire, sessions.PlanGiveUp:
				if slices.Contains(ended, a.Route) {
					t.Fatalf("%s is ended twice", a.Route)
				}
				ended = append(ended, a.Route)
				if healthy[a.Route] {
					healthyEnded++
				}
			}
		}
		if floor := min(healthyBefore, max(0, replicas-missing)); healthyBefore-healthyEnded < floor {
			t.Fatalf("%d of %d healthy routes are ended, %d are wanted: %v", healthyEnded, healthyBefore, replicas, told(actions))
		}
		if starts > 0 && live-len(ended)+starts > replicas+surge {
			t.Fatalf("%d live, %d ended, %d started: more than %d+%d: %v", live, len(ended), starts, replicas, surge, told(actions))
		}
	})
}

func TestBackoff(t *testing.T) {
	for failures, want := range map[int]time.Duration{1: time.Second, 2: 2 * time.Second, 6: 32 * time.Second, 9: 256 * time.Second, 10: 5 * time.Minute, 1 << 40: 5 * time.Minute} {
		if got := sessions.Backoff(failures, 0); got != want {
			t.Errorf("after %d failures %s, want %s", failures, got, want)
		}
		if got := sessions.Backoff(failures, 0.999); got < want*79/100 || got > want {
			t.Errorf("with jitter %s, want within a fifth below %s", got, want)
		}
	}
}
