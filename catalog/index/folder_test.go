package index_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/signature"
)

func TestFolder(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one", "two")
	refused(t, "unsigned", b.add(index.Request{Name: "team", URL: m.dir}), signature.ErrUnsigned)
	b.expect("refused", "")
	v := b.mustAdd(index.Request{Name: "team", URL: m.dir, Trust: index.Trust{Unsigned: true}})
	if v.Kind != index.Folder || v.Recipes != 2 || v.SignedBy != "" || !v.Unsigned || v.AddedBy != "ann" {
		t.Errorf("added: %+v", v)
	}
	b.expect("added", "team/one@1 team/two@1")
	refused(t, "twice", b.add(index.Request{Name: "team", URL: m.dir, Trust: index.Trust{Unsigned: true}}), index.ErrExists)
	if u := b.mustUpdate("team"); len(u.Changes) != 0 || u.From != u.To {
		t.Errorf("nothing changed: %+v", u)
	}

	m.write("two", "2")
	m.write("three", "1")
	m.remove("one")
	u, err := b.Compare(t.Context(), "team", index.Trust{})
	if err != nil || len(u.Changes) != 3 {
		t.Fatalf("what an update would bring: %+v, %v", u, err)
	}
	b.expect("only compared", "team/one@1 team/two@1")
	if u = b.mustUpdate("team"); len(u.Changes) != 3 || u.Changes[0].Kind != "removed" || u.Changes[1].Kind != "added" || u.Changes[2].Kind != "changed" {
		t.Errorf("update: %+v", u)
	}
	want := []index.Field{{"version", "1", "2"}, {"variants[gguf].images[0].reference", "example.org/llama:1", "example.org/llama:2"}}
	if got := u.Changes[2].Fields; len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("fields that changed: %+v", got)
	}
	b.expect("updated", "team/three@1 team/two@2")

	m.remove("") // the disk is away
	_, err = b.Update(t.Context(), "team", index.Trust{})
	refused(t, "gone", err, index.ErrUnreachable)
	b.restart()
	b.expect("gone, after a restart", "team/three@1 team/two@2")
	if v, err := b.Catalog(t.Context(), "team"); err != nil || !strings.Contains(v.Problem, "not all came from") || v.CheckedAt.IsZero() {
		t.Errorf("it is not told that nothing came: %+v, %v", v, err)
	}
	if err := b.Remove(t.Context(), "team"); err != nil {
		t.Fatal(err)
	}
	b.expect("removed", "")
	if left, _ := os.ReadDir(filepath.Join(b.dir, "catalogs")); len(left) != 0 {
		t.Errorf("%v is left", left)
	}
	refused(t, "removed twice", b.Remove(t.Context(), "team"), index.ErrNotFound)
}

func TestOneBadRecipeSpoilsOnlyItself(t *testing.T) {
	b, m := newBox(t), newMaker(t, "good", "bad", "huge", "linked", "future")
	m.file("bad/recipe.yaml", "schema: 1\nname: bad\nversion: one\n")
	m.file("huge/recipe.yaml", source("huge", "1")+strings.Repeat("# more\n", 200_000))
	m.file("future/recipe.yaml", source("future", "1")+"flavour: vanilla\n")
	m.file("Bad Name/recipe.yaml", source("x", "1"))
	m.file(".git/config", "[core]\n")
	m.remove("linked/recipe.yaml")
	if err := os.Symlink("/etc/passwd", filepath.Join(m.dir, "linked/recipe.yaml")); err != nil {
		t.Fatal(err)
	}
	v := b.mustAdd(index.Request{Name: "team", URL: m.dir, Trust: index.Trust{Unsigned: true}})
	b.expect("added", "team/future@1 team/good@1")
	if len(v.Problems) == 0 || v.Problems.Err() == nil {
		t.Errorf("what is wrong is not told: %v", v.Problems)
	}
	m.remove("good")
	m.remove("future")
	_, err := b.Update(t.Context(), "team", index.Trust{})
	refused(t, "nothing good is left", err, index.ErrBroken)
	b.expect("kept", "team/future@1 team/good@1")
}

func TestACopyThatWasChangedHere(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one", "two")
	m.sign()
	b.trust(m.key)
	v := b.mustAdd(index.Request{Name: "team", URL: m.dir})
	at := filepath.Join(b.dir, "catalogs", "team", strings.TrimPrefix(v.Revision, "sha256:"))
	if err := os.WriteFile(filepath.Join(at, "one/recipe.yaml"), []byte(source("one", "9")), 0o644); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.expect("a changed file", "team/two@1")
	b.mustUpdate("team")
	b.expect("taken anew", "team/one@1 team/two@1")
	if err := os.RemoveAll(at); err != nil {
		t.Fatal(err)
	}
	b.restart()
	b.expect("a copy that is gone", "")
	b.mustUpdate("team")
	b.expect("taken anew", "team/one@1 team/two@1")
}

func TestNamesAndPlaces(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	for _, name := range []string{"", "palisade", "Team", "a/b", "..", "-x", strings.Repeat("a", 33)} {
		refused(t, name, b.add(index.Request{Name: name, URL: m.dir, Trust: index.Trust{Unsigned: true}}), index.ErrInvalid)
	}
	refused(t, "a branch of a folder", b.add(index.Request{Name: "team", URL: m.dir, Track: "main", Trust: index.Trust{Unsigned: true}}), index.ErrInvalid)
	refused(t, "an update of nothing", func() error { _, err := b.Update(t.Context(), "team", index.Trust{}); return err }(), index.ErrNotFound)
	tests := []struct {
		url, dir string
		kind     index.Kind // empty: refused
		where    string
	}{
		{"https://example.org/a/b.git", "", index.Git, "https://example.org/a/b.git"},
		{"git+https://example.org/a/b", "recipes", index.Git, "https://example.org/a/b"},
		{"https://github.com/a/b", "", index.Git, "https://github.com/a/b"},
		{"https://github.com/a/b/archive/main.tar.gz", "", index.Archive, "https://github.com/a/b/archive/main.tar.gz"},
		{"https://example.org/catalog", "", index.HTTP, "https://example.org/catalog/index.yaml"},
		{"https://example.org/catalog/index.yaml", "", index.HTTP, "https://example.org/catalog/index.yaml"},
		{"/srv/catalog/", "a/b", index.Folder, "/srv/catalog"},
		{"file:///srv/catalog", "", index.Folder, "/srv/catalog"},
		{"/", "", "", ""},
		{"catalog", "", "", ""},
		{"ftp://example.org/x", "", "", ""},
		{"https://", "", "", ""},
		{"https://ann:secret@example.org/x.git", "", "", ""},
		{"https://example.org/x.git#main", "", "", ""},
		{"https://example.org/x\n.git", "", "", ""},
		{"/srv/catalog", "../x", "", ""},
		{"https://example.org/catalog", "part", "", ""},
	}
	for _, tt := range tests {
		p, err := index.ParsePlace(tt.url, tt.dir)
		if tt.kind == "" {
			refused(t, tt.url, err, index.ErrInvalid)
		} else if err != nil || p.Kind != tt.kind || p.Ref.Where != tt.where {
			t.Errorf("%s: %+v, %v", tt.url, p, err)
		}
	}
	_, err := index.ParsePlace("https://ann:secret@example.org/x.git", "")
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("a password is shown: %v", err)
	}
}
