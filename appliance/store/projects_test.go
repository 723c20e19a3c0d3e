package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/appliance/store"
)

func TestProjectsAndMembersAreKept(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		rows, err := s.Projects(t.Context())
		if d := cmp.Diff([]people.Project{{Name: "default"}}, rows); d != "" || err != nil {
			t.Fatalf("at first: %v\n%s", err, d)
		}
		project := people.Project{Name: "red", Title: awkward, CreatedBy: awkward, CreatedAt: at.UTC(), RemovedAt: at.UTC()}
		must(t, s.SaveProject(t.Context(), project))
		project.Title, project.RemovedAt = "again", people.Project{}.RemovedAt
		must(t, s.SaveProject(t.Context(), project))
		rows, err = s.Projects(t.Context())
		must(t, err)
		if d := cmp.Diff([]people.Project{{Name: "default"}, project}, rows); d != "" {
			t.Error(d)
		}
		one := people.Membership{Project: "red", User: awkward, Role: people.Viewer, AddedBy: "root", AddedAt: at.UTC()}
		must(t, s.SaveMember(t.Context(), one))
		one.Role, one.AddedBy = people.Owner, "ada"
		must(t, s.SaveMember(t.Context(), one))
		same(t, s.Members, one)
		for range 2 {
			must(t, s.DeleteMember(t.Context(), "red", awkward))
		}
		if left, err := s.Members(t.Context()); len(left) != 0 || err != nil {
			t.Error(left, err)
		}
	})
}

// left fails unless the rows are these, in their order.
func left[T any](t *testing.T, list func(context.Context) ([]T, error), want ...T) {
	t.Helper()
	rows, err := list(t.Context())
	if d := cmp.Diff(want, rows); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
}

// TestWhatWasRemovedLeavesNothing: parts in projects, limits and log-ins go with whose they were, and only those.
func TestWhatWasRemovedLeavesNothing(t *testing.T) {
	eachStore(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		part := func(project, user string) people.Membership {
			m := people.Membership{Project: project, User: user, Role: people.Member, AddedBy: "root", AddedAt: at.UTC()}
			must(t, s.SaveMember(ctx, m))
			return m
		}
		limit := func(kind people.LimitKind, name string) people.LimitRow {
			row := people.LimitRow{Kind: kind, Name: name, Limits: people.Limits{Routes: 1}, ChangedBy: "root", ChangedAt: at.UTC()}
			must(t, s.SaveLimits(ctx, row))
			return row
		}
		logIn := func(id, user string) people.Session {
			v := people.Session{ID: id, Hash: id, User: user, Source: people.SourceLocal, CreatedAt: at.UTC(), LastSeen: at.UTC()}
			must(t, s.SaveLogIn(ctx, v))
			return v
		}
		ada, bob := people.User{Name: "ada", Source: people.SourceLocal, CreatedAt: at.UTC()}, people.User{Name: "bob", Source: people.SourceLocal, CreatedAt: at.UTC()}
		red := people.Project{Name: "red", CreatedAt: at.UTC()}
		must(t, s.SaveUser(ctx, ada))
		must(t, s.SaveUser(ctx, bob))
		must(t, s.SaveProject(ctx, red))
		part("red", "ada")
		bobs, adas := part("red", "bob"), part("default", "ada")
		logIn("one", "ada")
		stays := logIn("two", "bob")
		// Things of one name and of two kinds are two things.
		limit(people.LimitUser, "ada")
		ofBob, ofAda, ofRed := limit(people.LimitUser, "red"), limit(people.LimitProject, "ada"), limit(people.LimitProject, "red")
		ada.DisplayName = "Ada" // a change removes nothing
		must(t, s.SaveUser(ctx, ada))
		left(t, s.LogIns, people.Session{ID: "one", Hash: "one", User: "ada", Source: people.SourceLocal, CreatedAt: at.UTC(), LastSeen: at.UTC()}, stays)

		ada.RemovedAt = at.UTC()
		must(t, s.SaveUser(ctx, ada))
		left(t, s.Members, bobs)
		left(t, s.LogIns, stays)
		left(t, s.Limits, ofAda, ofRed, ofBob)
		elsewhere := part("default", "bob")
		red.RemovedAt = at.UTC()
		must(t, s.SaveProject(ctx, red))
		left(t, s.Members, elsewhere)
		left(t, s.Limits, ofAda, ofBob)

		// Nor does who had looked it up before.
		for what, err := range map[string]error{
			"a removed user":    s.SaveMember(ctx, adas),
			"a removed project": s.SaveMember(ctx, bobs),
			"limits of a user":  s.SaveLimits(ctx, people.LimitRow{Kind: people.LimitUser, Name: "ada", Limits: people.Limits{Routes: 1}}),
			"of a project":      s.SaveLimits(ctx, people.LimitRow{Kind: people.LimitProject, Name: "red", Limits: people.Limits{Routes: 1}}),
		} {
			if !errors.Is(err, people.ErrNotFound) {
				t.Errorf("%s: %v", what, err)
			}
		}
		left(t, s.Members, elsewhere)
		left(t, s.Limits, ofAda, ofBob)
		red.RemovedAt = time.Time{} // it is made anew
		must(t, s.SaveProject(ctx, red))
		limit(people.LimitProject, "red")
	})
}
