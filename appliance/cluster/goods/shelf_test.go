package goods_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/sessions"
)

// age has a file be an hour old.
func age(t *testing.T, name string) {
	t.Helper()
	past := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, past, past); err != nil {
		t.Fatal(err)
	}
}

func isThere(t *testing.T, want bool, names ...string) {
	t.Helper()
	for _, name := range names {
		if _, err := os.Lstat(name); (err == nil) != want {
			t.Errorf("%s is there: %v, it should be: %v", name, err == nil, want)
		}
	}
}

// What was half put together, or half removed, when the program was killed, is gone after the next start.
func TestHalvesAreSwept(t *testing.T) {
	w := newWorld(t, "a", "b")
	b := w.boxes["b"]
	whole := must[string](t)(b.Folder(t.Context(), w.make("a", "fld-1", true, model()), nil))
	trees := filepath.Dir(whole)
	halves := []string{filepath.Join(trees, "fld-2@1234"), filepath.Join(trees, "fld-3@1234.json.new"), whole + ".json.new", filepath.Join(trees, ".making-1")}
	for _, half := range halves {
		if err := os.MkdirAll(filepath.Join(half, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	b.again()
	isThere(t, false, halves...)
	isThere(t, true, whole, whole+".json")
}

// A tree whose manifest cannot be written down is not left behind.
func TestATreeThatCannotBeListed(t *testing.T) {
	w := newWorld(t, "a", "b", "c")
	want := w.make("a", "fld-1", true, model())
	name := filepath.Base(must[string](t)(w.boxes["c"].Folder(t.Context(), want, nil)))
	b := w.boxes["b"]
	tree := filepath.Join(b.dir, "goods", "trees", name)
	if err := os.MkdirAll(filepath.Join(tree+".json.new", "x"), 0o755); err != nil {
		t.Fatal(err)
	}
	if dir, err := b.Folder(t.Context(), want, nil); err == nil {
		t.Errorf("it is at %s", dir)
	}
	isThere(t, false, tree, tree+".json")
	holds(t, must[string](t)(b.Folder(t.Context(), want, nil)), model())
}

// What cannot be looked at just now is no damage: the tree stays.
func TestATreeThatCannotBeLookedAt(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", true, model())
	b := w.boxes["b"]
	tree := must[string](t)(b.Folder(t.Context(), want, nil))
	away := filepath.Join(b.dir, "away.json")
	if err := errors.Join(os.Rename(tree+".json", away), os.Mkdir(tree+".json", 0o755)); err != nil { // reading it fails
		t.Fatal(err)
	}
	b.again()
	_, err := b.Folder(t.Context(), want, nil)
	hinted(t, err, sessions.ErrRuntimeDown)
	holds(t, tree, model())
	if err := errors.Join(os.Remove(tree+".json"), os.Rename(away, tree+".json")); err != nil {
		t.Fatal(err)
	}
	w.boxes["a"].shut()
	holds(t, must[string](t)(b.Folder(t.Context(), want, nil)), model())
}

// A session that was started with a tree that has been damaged since keeps what is left of it, for as long as it lives.
func TestADamagedTreeThatIsUsed(t *testing.T) {
	w := newWorld(t, "a", "b")
	want := w.make("a", "fld-1", true, model())
	b := w.boxes["b"]
	at := must[sessions.Spec](t)(b.Prepare(t.Context(), sessions.Spec{ID: "ses-1", Mounts: []sessions.Mount{mount(want, "", true)}})).Mounts[0].Source
	mounted := must[*os.Root](t)(os.OpenRoot(at))
	defer mounted.Close()
	if err := os.Remove(filepath.Join(at, "start.sh")); err != nil {
		t.Fatal(err)
	}
	b.again()
	holds(t, must[string](t)(b.Folder(t.Context(), want, nil)), model())
	lives := true
	for _, there := range []bool{true, false} {
		lives = there
		age(t, filepath.Join(b.dir, "goods", "uses", "ses-1"))
		if err := b.Sweep(t.Context(), func(string) bool { return lives }); err != nil {
			t.Fatal(err)
		}
		if _, err := mounted.Stat("config.json"); (err == nil) != there {
			t.Errorf("it lives: %v, and it has its file: %v", there, err)
		}
	}
	holds(t, at, model())
}

// What is here for a session that is being prepared stays until it is known that the session uses it.
func TestASweepWhileASessionIsPrepared(t *testing.T) {
	w := newWorld(t, "a", "b")
	changes, slow := w.make("a", "fld-1", false, map[string][]byte{"x": []byte("1")}), w.make("a", "fld-2", true, model())
	b := w.boxes["b"]
	comes, goes := make(chan struct{}), make(chan struct{})
	var held atomic.Bool
	boxes := b.Boxes
	b.Boxes = func() []goods.Box {
		if len(b.Has()) > 0 && held.CompareAndSwap(false, true) { // the first one is here, and the second one is looked for
			close(comes)
			<-goes
		}
		return boxes()
	}
	done := make(chan sessions.Spec)
	go func() {
		spec, err := b.Prepare(t.Context(), sessions.Spec{ID: "ses-1", Mounts: []sessions.Mount{mount(changes, "", true), mount(slow, "", true)}})
		if err != nil {
			t.Error(err)
		}
		done <- spec
	}()
	<-comes
	put(t, w.rows["fld-1"].Path, map[string][]byte{"x": []byte("22")})
	newer := must[string](t)(b.Folder(t.Context(), changes, nil))
	sweep := func() {
		t.Helper()
		if err := b.Sweep(t.Context(), func(session string) bool { return session == "ses-1" }); err != nil {
			t.Fatal(err)
		}
	}
	sweep()
	close(goes)
	spec := <-done
	sweep()
	isThere(t, true, newer, spec.Mounts[0].Source, spec.Mounts[1].Source)
	if spec.Mounts[0].Source == newer {
		t.Error("nothing has changed meanwhile")
	}
}
