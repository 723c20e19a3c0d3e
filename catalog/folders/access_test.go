package folders

import (
	"strings"
	"testing"
)

func TestAccess(t *testing.T) {
	f := Folder{ID: "fld-a", Project: "home"}
	grants := []Grant{
		{FolderID: "fld-a", Person: "ann", Permission: ReadOnly},
		{FolderID: "fld-a", Person: "bob", Permission: WriteDelete},
		{FolderID: "fld-a", Project: "team", Permission: ReadWrite},
		{FolderID: "fld-b", Person: "eve", Permission: WriteDelete},
	}
	for _, c := range []struct {
		who  Who
		want Permission
	}{
		{Who{"anybody", "home"}, Owner},
		{Who{"ann", "home"}, Owner}, // what is shared with them takes nothing away
		{Who{"ann", "else"}, ReadOnly},
		{Who{"ann", "team"}, ReadWrite}, // the wider of the two
		{Who{"bob", "team"}, WriteDelete},
		{Who{"bob", "else"}, WriteDelete},
		{Who{"zoe", "team"}, ReadWrite},
		{Who{"zoe", "else"}, NoPermission},
		{Who{"eve", "else"}, NoPermission}, // another folder's grant
		{Who{"", "else"}, NoPermission},    // nobody is no person that it is shared with
		{Who{"bob", ""}, WriteDelete},
		{Who{"", ""}, NoPermission},
		{Who{"team", "bob"}, NoPermission}, // a person is no project
	} {
		if got := Access(f, grants, c.who); got != c.want {
			t.Errorf("%+v: %q, want %q", c.who, got, c.want)
		}
	}
	all := []Permission{NoPermission, ReadOnly, ReadWrite, WriteDelete, Owner}
	for i, p := range all {
		for k, want := range all {
			if got := p.Allows(want); got != (i >= k) {
				t.Errorf("%q allows %q: %v", p, want, got)
			}
		}
	}
	if Permission("all").Allows(ReadOnly) {
		t.Error("a permission that there is not allows something")
	}
}

func TestReach(t *testing.T) {
	fo, _, _ := newFolders(t)
	mine := create(t, fo, "data")
	made := map[string]Folder{}
	for _, project := range []string{"a", "b"} {
		for _, name := range []string{"data", "weights"} {
			f, err := fo.Create(t.Context(), Spec{Name: name, Project: project})
			if err != nil {
				t.Fatal(err)
			}
			made[f.Ref("p")] = f
		}
	}
	ann := Who{"ann", "p"}
	share := func(ref, person, project string, p Permission) {
		t.Helper()
		if _, err := fo.Share(t.Context(), made[ref], Grant{Person: person, Project: project, Permission: p, CreatedBy: "o"}); err != nil {
			t.Fatal(err)
		}
	}
	reach := func(ref string, want Permission) (Reached, error) { return fo.Reach(t.Context(), ann, ref, want) }

	_, err := reach("weights", ReadOnly)
	wantError(t, err, ErrNotFound, "there is no folder")
	_, err = reach(made["weights@a"].ID, ReadOnly)
	wantError(t, err, ErrNotFound, "there is no folder") // whoever knows the id of a folder has it no more than others

	share("weights@a", "ann", "", ReadOnly)
	share("data@a", "", "p", ReadWrite)
	for _, ref := range []string{"weights", "weights@a", made["weights@a"].ID} {
		if r, err := reach(ref, ReadOnly); err != nil || r.ID != made["weights@a"].ID || r.Permission != ReadOnly {
			t.Errorf("%s: %+v, %v", ref, r, err)
		}
	}
	if r, err := reach("data", Owner); err != nil || r.ID != mine.ID {
		t.Errorf("the project's own folder comes first: %+v, %v", r, err)
	}
	if r, err := reach("data@a", ReadWrite); err != nil || r.Ref("p") != "data@a" {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = reach("data@b", ReadOnly)
	wantError(t, err, ErrNotFound, "did you mean data@a")
	_, err = reach("weights", ReadWrite)
	wantError(t, err, ErrDenied, "folder weights is shared with you as ro: writing there needs rw (ask somebody of project a")
	_, err = reach("data@a", WriteDelete)
	wantError(t, err, ErrDenied, "shared with you as rw: deleting and renaming there needs wd")
	_, err = reach("data@a", Owner)
	wantError(t, err, ErrDenied, "that is for its owners, project a; work there with --project a")

	share("weights@b", "ann", "", WriteDelete)
	_, err = reach("weights", ReadOnly)
	wantError(t, err, ErrInvalid, "several projects share a folder weights with you (name one of them: weights@a, weights@b)")
	share("weights@a", "ann", "", WriteDelete) // replaces
	if r, err := reach("weights@a", WriteDelete); err != nil || r.Permission != WriteDelete {
		t.Errorf("%+v, %v", r, err)
	}
	if grants, err := fo.Grants(t.Context(), made["weights@a"]); err != nil || len(grants) != 1 {
		t.Errorf("%+v, %v", grants, err)
	}
	list, err := fo.Reachable(t.Context(), ann)
	var refs []string
	for _, r := range list {
		refs = append(refs, r.Ref("p"))
	}
	if got := strings.Join(refs, " "); err != nil || got != "data data@a weights@a weights@b" {
		t.Errorf("%s, %v", got, err)
	}

	if err := fo.Unshare(t.Context(), made["weights@a"], "ann", ""); err != nil {
		t.Fatal(err)
	}
	wantError(t, fo.Unshare(t.Context(), made["weights@a"], "ann", ""), ErrNotFound, "folder weights is not shared with person ann")
	wantError(t, fo.Unshare(t.Context(), made["weights@a"], "", "x"), ErrNotFound, "not shared with project x")
	_, err = reach("weights@a", ReadOnly)
	wantError(t, err, ErrNotFound, "there is no folder")
	// Nobody reaches what is in the trash, whoever it was shared with.
	if err := fo.Remove(t.Context(), "a", "data", "o"); err != nil {
		t.Fatal(err)
	}
	_, err = reach("data@a", ReadOnly)
	wantError(t, err, ErrNotFound, "there is no folder")
	for words, g := range map[string]Grant{
		"with a person or with a project":        {Permission: ReadOnly},
		"shared with a person or with":           {Person: "x", Project: "y", Permission: ReadOnly},
		`unknown permission "owner"`:             {Person: "x", Permission: Owner},
		`unknown permission ""`:                  {Person: "x"},
		"folder data is project p's own":         {Project: "p", Permission: ReadOnly},
		`is no name`:                             {Person: "a\x1b[2J", Permission: ReadOnly},
		`xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`: {Person: strings.Repeat("x", 129), Permission: ReadOnly},
	} {
		_, err := fo.Share(t.Context(), mine, g)
		wantError(t, err, ErrInvalid, words)
	}
}
