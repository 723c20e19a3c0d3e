package store_test

import (
	"testing"

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
