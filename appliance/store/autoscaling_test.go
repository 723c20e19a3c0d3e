package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/store"
	"github.com/palisade-run/palisade/autoscaler"
)

var _ autoscaler.Store = (*store.Store)(nil)

// kept saves a policy and returns it with its new version.
func kept(t *testing.T, s *store.Store, k autoscaler.Kept) autoscaler.Kept {
	t.Helper()
	version, err := s.SavePolicy(t.Context(), k)
	must(t, err)
	k.Version = version
	return k
}

// Every field of a policy, its memory and a decision comes back: one that is added there and left out of its JSON fails.
func TestPoliciesAndDecisionsAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		full := filled[autoscaler.Kept]()
		full.Version = 0
		full = kept(t, s, full)
		bare := kept(t, s, autoscaler.Kept{ServiceID: "svc-bare"})
		odd := kept(t, s, autoscaler.Kept{ServiceID: "svc-odd", EditedBy: awkward, Policy: autoscaler.Policy{Max: 3, Rules: []autoscaler.Rule{{
			ID: "rul-1", Name: awkward, Kind: autoscaler.KindTarget, Metric: autoscaler.Metric{Source: autoscaler.SourcePrometheus, Name: awkward}, Target: 0.1,
		}}}})
		check := func(want ...autoscaler.Kept) {
			t.Helper()
			got, err := s.Policies(t.Context())
			must(t, err)
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("policies (-saved +read):\n%s", d)
			}
		}
		check(full, bare, odd)

		// A decision brings the memory of its service up to date, and of no other.
		decision := filled[autoscaler.Decision]()
		must(t, s.AddDecision(t.Context(), bare.ServiceID, decision))
		bare.Memory = decision.Memory
		check(full, bare, odd)
		got, err := s.Decisions(t.Context(), bare.ServiceID, 1)
		must(t, err)
		if d := cmp.Diff([]autoscaler.Decision{decision}, got); d != "" {
			t.Errorf("decisions (-saved +read):\n%s", d)
		}

		// An edit leaves the memory alone: a decision may have come since the policy was read.
		edit := bare
		edit.Policy, edit.EditedBy, edit.EditedAt, edit.Memory = full.Policy, "another", at, autoscaler.Memory{}
		edit = kept(t, s, edit)
		edit.Memory = bare.Memory
		check(full, edit, odd)
	})
}

func TestPolicyVersions(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		k := kept(t, s, autoscaler.Kept{ServiceID: "svc-1"})
		stale := k
		k = kept(t, s, k)
		if k.Version != 2 {
			t.Errorf("version %d, want 2", k.Version)
		}
		for _, old := range []autoscaler.Kept{stale, {ServiceID: "svc-1"}, {ServiceID: "svc-1", Version: 9}} {
			_, err := s.SavePolicy(t.Context(), old)
			wantError(t, err, autoscaler.ErrConflict)
		}
		_, err := s.SavePolicy(t.Context(), autoscaler.Kept{ServiceID: "svc-2", Version: 1})
		wantError(t, err, autoscaler.ErrNotFound)
	})
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		for version := range int64(3) {
			oneWins(t, race(8, func(i int) error {
				_, err := s[i%2].SavePolicy(t.Context(), autoscaler.Kept{ServiceID: "svc-1", Version: version, EditedBy: fmt.Sprint(i)})
				return err
			}), autoscaler.ErrConflict)
		}
	})
}

// Of each service the newest decisions stay, in the order in which they were saved.
func TestDecisionsAreBounded(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		kept(t, s, autoscaler.Kept{ServiceID: "svc-1"})
		kept(t, s, autoscaler.Kept{ServiceID: "svc-2"})
		must(t, s.AddDecision(t.Context(), "svc-2", autoscaler.Decision{Reason: "another's"}))
		const more = 5
		for i := range autoscaler.DecisionsKept + more {
			// Of one moment, as those of a clock that stands: the order is that of saving.
			must(t, s.AddDecision(t.Context(), "svc-1", autoscaler.Decision{At: at.UTC(), Replicas: i}))
		}
		all, err := s.Decisions(t.Context(), "svc-1", 0)
		must(t, err)
		if len(all) != autoscaler.DecisionsKept || all[0].Replicas != autoscaler.DecisionsKept+more-1 || all[len(all)-1].Replicas != more {
			t.Errorf("%d decisions, from %d to %d", len(all), all[len(all)-1].Replicas, all[0].Replicas)
		}
		some, err := s.Decisions(t.Context(), "svc-1", 3)
		must(t, err)
		if d := cmp.Diff(all[:3], some); d != "" {
			t.Error(d)
		}
		others, err := s.Decisions(t.Context(), "svc-2", 10)
		must(t, err)
		if len(others) != 1 {
			t.Errorf("%d of another service", len(others))
		}
	})
}

// What goes with a service goes wholly, and a decision that comes late brings nothing of it back.
func TestPolicyIsRemoved(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		kept(t, s, autoscaler.Kept{ServiceID: "svc-1"})
		other := kept(t, s, autoscaler.Kept{ServiceID: "svc-2"})
		must(t, s.AddDecision(t.Context(), "svc-1", autoscaler.Decision{Replicas: 1}))
		for range 2 {
			must(t, s.DeletePolicy(t.Context(), "svc-1"))
		}
		wantError(t, s.AddDecision(t.Context(), "svc-1", autoscaler.Decision{Replicas: 2}), autoscaler.ErrNotFound)
		left, err := s.Decisions(t.Context(), "svc-1", 0)
		must(t, err)
		same(t, s.Policies, other)
		kept(t, s, autoscaler.Kept{ServiceID: "svc-1"}) // and another may have its place
		if len(left) != 0 {
			t.Errorf("%+v is left", left)
		}
	})
	// Whoever comes first: decisions are there only where the policy is.
	eachPair(t, func(t *testing.T, s [2]*store.Store) {
		for range 5 {
			kept(t, s[0], autoscaler.Kept{ServiceID: "svc-1"})
			for _, err := range race(6, func(i int) error {
				if i == 3 {
					return s[1].DeletePolicy(t.Context(), "svc-1")
				}
				return s[i%2].AddDecision(t.Context(), "svc-1", autoscaler.Decision{Replicas: i})
			}) {
				if err != nil {
					wantError(t, err, autoscaler.ErrNotFound)
				}
			}
			left, err := s[0].Decisions(t.Context(), "svc-1", 0)
			must(t, err)
			if len(left) != 0 {
				t.Fatalf("%d decisions of a service without a policy", len(left))
			}
		}
	})
}

// What another version wrote is read as far as this one knows it.
func TestPolicyOfAnotherVersion(t *testing.T) {
	onBoth(t, func(t *testing.T, dsn string) {
		s := open(t, dsn)
		k := kept(t, s, autoscaler.Kept{ServiceID: "svc-1"})
		must(t, s.AddDecision(t.Context(), "svc-1", autoscaler.Decision{}))
		db := raw(t, dsn)
		for policy, want := range map[string]autoscaler.Policy{
			`{}`: {},
			`{"max_replicas":4,"colour":{"a":[1]},"rules":[{"id":"rul-1","kind":"oracle","magic":true}]}`: {Max: 4, Rules: []autoscaler.Rule{{ID: "rul-1", Kind: "oracle"}}},
		} {
			_, err := db.Exec("UPDATE autoscaling SET memory = '{\"mood\":1}', policy = '" + policy + "'")
			must(t, err)
			_, err = db.Exec(`UPDATE decisions SET body = '{"reason":"so","weather":"fine","wishes":[{"rule":"r","strength":3}]}'`)
			must(t, err)
			k.Policy = want
			same(t, s.Policies, k)
			got, err := s.Decisions(t.Context(), "svc-1", 1)
			must(t, err)
			if d := cmp.Diff([]autoscaler.Decision{{Reason: "so", Wishes: []autoscaler.Wish{{Rule: "r"}}}}, got); d != "" {
				t.Error(d)
			}
		}
	})
}

// Who decides tries again later where the database is away, and only then.
func TestAutoscalingKnowsThatTheStoreIsAway(t *testing.T) {
	for err, want := range map[error]bool{store.ErrUnavailable: true, store.ErrFull: false, store.ErrClosed: false} {
		if got := errors.Is(&store.Error{Kind: err}, autoscaler.ErrUnavailable); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}

// A moment of a decision may be one of any zone: it is the same moment when it comes back.
func TestDecisionTimes(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		kept(t, s, autoscaler.Kept{ServiceID: "svc-1"})
		must(t, s.AddDecision(t.Context(), "svc-1", autoscaler.Decision{At: at, Next: at.Add(time.Minute)}))
		got, err := s.Decisions(t.Context(), "svc-1", 1)
		must(t, err)
		if !got[0].At.Equal(at) || !got[0].Next.Equal(at.Add(time.Minute)) {
			t.Errorf("%v, %v", got[0].At, got[0].Next)
		}
	})
}
