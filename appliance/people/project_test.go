package people

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// projectRows are a store of projects in memory.
type projectRows struct {
	projects map[string]Project
	members  map[[2]string]Membership
	fail     error
}

func (r *projectRows) Projects(context.Context) (out []Project, err error) {
	for _, p := range r.projects {
		out = append(out, p)
	}
	return out, r.fail
}

func (r *projectRows) SaveProject(_ context.Context, p Project) error {
	if r.fail == nil {
		r.projects[p.Name] = p
		maps.DeleteFunc(r.members, func(key [2]string, _ Membership) bool { return key[0] == p.Name && !p.RemovedAt.IsZero() })
	}
	return r.fail
}

func (r *projectRows) Members(context.Context) (out []Membership, err error) {
	for _, m := range r.members {
		out = append(out, m)
	}
	return out, r.fail
}

func (r *projectRows) SaveMember(_ context.Context, m Membership) error {
	if r.fail == nil {
		r.members[[2]string{m.Project, m.User}] = m
	}
	return r.fail
}

func (r *projectRows) DeleteMember(_ context.Context, project, user string) error {
	if r.fail == nil {
		delete(r.members, [2]string{project, user})
	}
	return r.fail
}

func newProjects(t *testing.T) (*Projects, *projectRows) {
	t.Helper()
	rows := &projectRows{projects: map[string]Project{}, members: map[[2]string]Membership{}}
	ps, err := OpenProjects(t.Context(), rows, func() time.Time { return time.Unix(1_800_000_000, 0) })
	if err != nil {
		t.Fatal(err)
	}
	return ps, rows
}

// like fails unless an error is of a kind, and says some words.
func like(t *testing.T, what string, err, kind error, words string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), words) {
		t.Errorf("%s: %v, want %v with %q", what, err, kind, words)
	}
}

func TestProjects(t *testing.T) {
	ps, rows := newProjects(t)
	ctx := t.Context()
	if _, there := ps.Find(DefaultProject); !there || len(rows.projects) != 1 {
		t.Fatal("the default project is not there")
	}
	for _, name := range []string{"", "x", "-a", "a b", "a/b", "ä1", strings.Repeat("x", 65)} {
		_, err := ps.Create(ctx, name, "", "root")
		like(t, "name "+name, err, ErrInvalid, "no name")
	}
	_, err := ps.Create(ctx, "red", "two\nlines", "root")
	like(t, "a title of two lines", err, ErrInvalid, "one line")
	if _, err := ps.Create(ctx, "red", "Reds", "root"); err != nil {
		t.Fatal(err)
	}
	_, err = ps.Create(ctx, "red", "", "root")
	like(t, "twice", err, ErrExists, "already")
	if p, err := ps.Retitle(ctx, "red", "The reds"); err != nil || p.Title != "The reds" || rows.projects["red"].Title != "The reds" {
		t.Error(p, err)
	}
	_, err = ps.Retitle(ctx, "blue", "")
	like(t, "another title for nothing", err, ErrNotFound, "no project")

	none := func(string) ([]string, error) { return nil, nil }
	full := func(string) ([]string, error) { return []string{"2 services", "1 folder"}, nil }
	like(t, "removing what has things", ps.Remove(ctx, "red", full), ErrState, "2 services, 1 folder")
	like(t, "removing the default one", ps.Remove(ctx, "default", none), ErrState, "always")
	like(t, "removing nothing", ps.Remove(ctx, "blue", none), ErrNotFound, "")
	if _, err := ps.SetMember(ctx, Membership{Project: "red", User: "ada", Role: Owner}, false); err != nil {
		t.Fatal(err)
	}
	if err := ps.Remove(ctx, "red", none); err != nil {
		t.Fatal(err)
	}
	if _, there := ps.Find("red"); there || ps.RoleOf("ada", "red") != None || len(rows.members) != 0 {
		t.Error("it is there after it was removed")
	}
	again, err := OpenProjects(ctx, rows, time.Now)
	if err != nil || len(again.List()) != 1 {
		t.Fatal(again, err)
	}
	if _, err := again.Create(ctx, "red", "", "root"); err != nil || again.RoleOf("ada", "red") != None {
		t.Error("made again: ", err)
	}
}

func TestMembers(t *testing.T) {
	ps, rows := newProjects(t)
	ctx := t.Context()
	set := func(user string, r Role, last bool) error {
		_, err := ps.SetMember(ctx, Membership{Project: "default", User: user, Role: r, AddedBy: "root"}, last)
		return err
	}
	like(t, "no role", set("ada", None, true), ErrInvalid, "no role")
	like(t, "a role beyond all", set("ada", Owner+1, true), ErrInvalid, "no role")
	_, err := ps.SetMember(ctx, Membership{Project: "none", User: "ada", Role: Viewer}, true)
	like(t, "of nothing", err, ErrNotFound, "no project")
	for user, r := range map[string]Role{"ada": Owner, "bob": Member, "cy": Viewer} {
		if err := set(user, r, false); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for _, m := range ps.Members("default") {
		names = append(names, m.User)
	}
	if !slices.Equal(names, []string{"ada", "bob", "cy"}) || ps.RoleOf("bob", "default") != Member || ps.RoleOf("bob", "other") != None || ps.RoleOf("", "default") != None {
		t.Error(names)
	}
	like(t, "the last owner becomes less", set("ada", Member, false), ErrState, "last owner")
	like(t, "the last owner goes", ps.RemoveMember(ctx, "default", "ada", false), ErrState, "last owner")
	like(t, "nobody goes", ps.RemoveMember(ctx, "default", "eve", false), ErrNotFound, "no part")
	rows.fail = errors.New("disk full")
	if set("bob", Owner, false) == nil || ps.RoleOf("bob", "default") != Member {
		t.Error("what is not kept counts")
	}
	if ps.RemoveMember(ctx, "default", "bob", false) == nil || ps.RoleOf("bob", "default") != Member {
		t.Error("what is not kept counts")
	}
	rows.fail = nil
	if err := errors.Join(set("bob", Owner, false), set("ada", Viewer, false), ps.RemoveMember(ctx, "default", "bob", true)); err != nil {
		t.Error(err)
	}
	if ps.Forget("cy"); len(ps.Parts("cy")) != 0 || len(ps.Members("default")) != 1 {
		t.Error(err, ps.Members("default"))
	}
}

func TestRoleWords(t *testing.T) {
	for i, word := range Roles() {
		if r, err := ParseRole(word); err != nil || int(r) != i+1 || r.String() != word {
			t.Error(word, r, err)
		}
	}
	for _, word := range []string{"none", "admin", "", "Owner"} {
		_, err := ParseRole(word)
		like(t, word, err, ErrInvalid, "no role")
	}
}
