package index_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/palisade-run/palisade/catalog/index"
	"github.com/palisade-run/palisade/catalog/signature"
)

func TestWhoIsBelieved(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	refused(t, "a key that nobody trusts", b.add(index.Request{Name: "team", URL: m.dir}), signature.ErrUntrusted)
	b.trust(m.key)
	v := b.mustAdd(index.Request{Name: "team", URL: m.dir})
	if v.SignedBy != m.key.Key().ID() || v.Serial != 1 || v.Unsigned {
		t.Errorf("added: %+v", v)
	}

	// What was signed never comes unsigned again.
	m.write("one", "2")
	m.remove(index.IndexFile)
	m.remove(index.MinisignFile)
	_, err := b.Update(t.Context(), "team", index.Trust{})
	refused(t, "without a signature", err, signature.ErrUnsigned)
	b.expect("kept", "team/one@1")

	// Nor from somebody else, though they are believed for something of theirs.
	other := newKey(t)
	b.trust(other)
	m.file(index.IndexFile, "")
	m.remove(index.IndexFile)
	m.sign(func(w *index.Making) { w.Signer, w.Serial = other, 2 })
	_, err = b.Update(t.Context(), "team", index.Trust{})
	refused(t, "by another key", err, index.ErrOtherKey)
	u, err := b.Update(t.Context(), "team", index.Trust{Key: other.Key().ID()})
	if err != nil || u.Signed != other.Key().ID() {
		t.Errorf("the owner takes the other key: %+v, %v", u, err)
	}
	b.expect("by the other key", "team/one@2")

	refused(t, "a key in use", b.Untrust(t.Context(), other.Key().ID(), false), index.ErrInUse)
	if err := b.Untrust(t.Context(), other.Key().ID(), true); err != nil {
		t.Fatal(err)
	}
	b.expect("its key is not believed any more", "")
	if v, err := b.Catalog(t.Context(), "team"); err != nil || v.Refused == "" {
		t.Errorf("it is not told why: %+v, %v", v, err)
	}
	b.trust(other)
	b.expect("believed again", "team/one@2")
	refused(t, "a key that is not trusted", b.Untrust(t.Context(), "nobody", false), index.ErrNotFound)
	if keys := b.Keys(t.Context()); len(keys) != 2 {
		t.Errorf("keys: %+v", keys)
	}
}

func TestAddWithAKey(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	b.mustAdd(index.Request{Name: "team", URL: m.dir, PublicKey: m.key.Key().String()})
	b.expect("added", "team/one@1")
	if keys := b.Keys(t.Context()); len(keys) != 1 || keys[0].Name != "team" {
		t.Errorf("keys: %+v", keys)
	}
	_, err := b.Trust(t.Context(), "not a key", "", "ann")
	if err == nil {
		t.Error("something that is no key is trusted")
	}
}

func TestNothingGoesBack(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	m.sign()
	old := map[string][]byte{}
	for _, name := range []string{index.IndexFile, index.MinisignFile, "one/recipe.yaml"} {
		src, err := os.ReadFile(filepath.Join(m.dir, name))
		if err != nil {
			t.Fatal(err)
		}
		old[name] = src
	}
	b.trust(m.key)
	first := b.mustAdd(index.Request{Name: "team", URL: m.dir})
	m.write("one", "2")
	if made := m.sign(); made.Serial != 2 {
		t.Fatalf("the serial after a change is %d", made.Serial)
	}
	if made := m.sign(); made.Serial != 2 {
		t.Fatalf("the serial without a change is %d", made.Serial)
	}
	b.mustUpdate("team")
	b.expect("updated", "team/one@2")

	for name, src := range old { // somebody shows what was signed before
		m.file(name, string(src))
	}
	_, err := b.Update(t.Context(), "team", index.Trust{})
	refused(t, "an old index", err, index.ErrOlder)
	b.restart()
	_, err = b.Update(t.Context(), "team", index.Trust{})
	refused(t, "an old index after a restart", err, index.ErrOlder)
	b.expect("kept", "team/one@2")

	m.write("one", "3")
	m.remove(index.IndexFile)
	m.sign(func(w *index.Making) { w.Serial = 2 })
	_, err = b.Update(t.Context(), "team", index.Trust{})
	refused(t, "two indexes of one serial", err, index.ErrOlder)

	// The owner may go back to what is still here, and stays there until they say so.
	u, err := b.Pin(t.Context(), "team", first.Revision)
	if err != nil || !u.Pinned {
		t.Fatalf("going back: %+v, %v", u, err)
	}
	b.expect("pinned", "team/one@1")
	m.write("one", "4")
	m.sign(func(w *index.Making) { w.Serial = 7 })
	if u := b.mustUpdate("team"); !u.Pinned || len(u.Changes) != 0 {
		t.Errorf("an update of what is pinned: %+v", u)
	}
	if u, err := b.Compare(t.Context(), "team", index.Trust{}); err != nil || !u.Pinned || len(u.Changes) != 1 {
		t.Errorf("what it would bring: %+v, %v", u, err)
	}
	b.restart()
	b.expect("pinned, after a restart", "team/one@1")
	if err := b.Unpin(t.Context(), "team"); err != nil {
		t.Fatal(err)
	}
	b.mustUpdate("team")
	b.expect("following again", "team/one@4")
}

func TestWhatIsNotSignedIsNotTaken(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one", "two")
	m.sign()
	b.trust(m.key)
	m.write("three", "1") // not in the index
	m.file("one/icon.svg", `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>`)
	b.mustAdd(index.Request{Name: "team", URL: m.dir})
	b.expect("added", "team/one@1 team/two@1")
	for _, e := range b.Collection(t.Context()).All() {
		if e.Name == "one" && e.Icon != nil {
			t.Error("an icon that nobody signed was taken")
		}
	}
	m.write("two", "2") // its index says otherwise
	_, err := b.Update(t.Context(), "team", index.Trust{})
	refused(t, "a file that is not what was signed", err, index.ErrChecksum)
	m.file(index.IndexFile, "kind: palisade-catalog\nschema: 1\nserial: 9\nrecipes: []\n")
	_, err = b.Update(t.Context(), "team", index.Trust{})
	refused(t, "an altered index", err, signature.ErrAltered)
	_, err = b.Update(t.Context(), "team", index.Trust{Unsigned: true})
	refused(t, "an altered index, though unsigned ones are allowed", err, signature.ErrAltered)
	b.expect("kept", "team/one@1 team/two@1")
}

func TestUnsignedOnceSignedLater(t *testing.T) {
	b, m := newBox(t), newMaker(t, "one")
	b.mustAdd(index.Request{Name: "team", URL: m.dir, Trust: index.Trust{Unsigned: true}})
	m.sign()
	b.mustUpdate("team") // by a key that nobody trusts: as good as unsigned
	b.trust(m.key)
	m.write("one", "2")
	m.sign()
	b.mustUpdate("team")
	if v, err := b.Catalog(t.Context(), "team"); err != nil || v.Unsigned || v.Key != m.key.Key().ID() {
		t.Errorf("from now on it must be signed: %+v, %v", v, err)
	}
	m.remove(index.MinisignFile)
	_, err := b.Update(t.Context(), "team", index.Trust{})
	refused(t, "unsigned again", err, signature.ErrUnsigned)
}

func TestAnotherKeyWithTheSameID(t *testing.T) {
	b := newBox(t)
	// Two public keys of minisign's with one number: whoever makes keys chooses it.
	one := "RWQAAAAAAAAAAAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"
	two := "RWQAAAAAAAAAAAICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIC"
	if _, err := b.Trust(t.Context(), one, "one", "ann"); err != nil {
		t.Fatal(err)
	}
	_, err := b.Trust(t.Context(), two, "two", "ann")
	refused(t, "the same ID", err, index.ErrExists)
	if k, err := b.Trust(t.Context(), one, "renamed", "ann"); err != nil || k.Name != "renamed" {
		t.Errorf("the same key again: %+v, %v", k, err)
	}
}

func TestSignRefusesWhatCannotBeUsed(t *testing.T) {
	m := newMaker(t, "one")
	m.file("bad/recipe.yaml", "schema: 1\n")
	root, err := os.OpenRoot(m.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if _, problems, err := index.Sign(root, index.Making{Signer: m.key}); err == nil || problems.Err() == nil {
		t.Errorf("a bad recipe was signed: %v", err)
	}
	if _, err := os.Stat(filepath.Join(m.dir, index.IndexFile)); err == nil {
		t.Error("an index was written all the same")
	}
	m.remove("bad")
	m.remove("one")
	if _, _, err := index.Sign(root, index.Making{Signer: m.key}); err == nil {
		t.Error("an empty catalog was signed")
	}
}
