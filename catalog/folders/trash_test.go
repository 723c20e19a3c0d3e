package folders

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/folders/foldertest"
)

func TestRestore(t *testing.T) {
	fo, store, _ := newFolders(t)
	f := create(t, fo, "llama")
	if err := put(t, fo, f, "x", 3); err != nil {
		t.Fatal(err)
	}
	if err := fo.Remove(t.Context(), "p", "llama", "ann"); err != nil {
		t.Fatal(err)
	}
	trash, err := fo.Trash(t.Context(), "p")
	if err != nil || len(trash) != 1 || trash[0].TrashedBy != "ann" || !fo.KeptUntil(trash[0]).Equal(trash[0].TrashedAt.Add(7*24*time.Hour)) {
		t.Fatalf("%+v, %v", trash, err)
	}
	create(t, fo, "llama") // the name is free
	_, err = fo.Restore(t.Context(), "p", f.ID, "")
	wantError(t, err, ErrExists, "there is a folder llama already (give it another name: --name)")
	if _, err := os.Stat(filepath.Join(fo.root, trashDir, f.ID, "x")); err != nil {
		t.Errorf("refused, and moved: %v", err)
	}
	_, err = fo.Restore(t.Context(), "q", f.ID, "")
	wantError(t, err, ErrNotFound, "in the trash")
	_, err = fo.Restore(t.Context(), "p", f.ID, "../x")
	wantError(t, err, ErrInvalid, "cannot be the name")
	store.fail = errors.New("disk on fire")
	if _, err := fo.Restore(t.Context(), "p", f.ID, "old"); !errors.Is(err, store.fail) {
		t.Error(err)
	}
	store.fail = nil
	_, err = fo.Restore(t.Context(), "p", "lama", "old")
	wantError(t, err, ErrNotFound, "did you mean llama")
	back, err := fo.Restore(t.Context(), "p", "llama", "old")
	if err != nil || back.Name != "old" || !back.TrashedAt.IsZero() || back.TrashedBy != "" || back.Path != f.Path {
		t.Fatalf("%+v, %v", back, err)
	}
	wantFile(t, back, "x", []byte("xxx"))
	_, err = fo.Restore(t.Context(), "p", "llama", "")
	wantError(t, err, ErrNotFound, "palisade folder trash shows what is in it")
}

func TestSweepTrash(t *testing.T) {
	fo, _, _ := newFolders(t)
	dir := foldertest.Tree(t, map[string]string{"x": "x"})
	imported, err := fo.Import(t.Context(), Spec{Name: "imported", Project: "p"}, dir)
	if err != nil {
		t.Fatal(err)
	}
	kept := create(t, fo, "kept")
	old := create(t, fo, "old")
	for _, f := range []Folder{imported, old} {
		if err := fo.Remove(t.Context(), "p", f.ID, "me"); err != nil {
			t.Fatal(err)
		}
	}
	sweep := func(after time.Duration, want ...string) {
		t.Helper()
		if err := fo.Sweep(t.Context(), time.Now().Add(after)); err != nil {
			t.Fatal(err)
		}
		if got := places(t, fo); !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	sweep(7*24*time.Hour-time.Minute, trashDir+"/"+old.ID, kept.ID)
	sweep(7*24*time.Hour+time.Minute, kept.ID)
	if all, _ := fo.store.Folders(t.Context()); len(all) != 1 {
		t.Errorf("%+v", all)
	}
	if _, err := os.Stat(dir + "/x"); err != nil {
		t.Errorf("what was imported is deleted: %v", err)
	}
}

// Wherever a daemon is killed in a move, the next finds the directory where its row says.
func TestMovesAreSettled(t *testing.T) {
	for name, from := range map[string]string{"restored": trashDir + "/%s", "cloned": cloningPrefix + "%s", "purged, live": removedPrefix + "%s"} {
		t.Run(name, func(t *testing.T) {
			fo, _, _ := newFolders(t)
			f := create(t, fo, "f")
			if err := put(t, fo, f, "x", 1); err != nil {
				t.Fatal(err)
			}
			other := filepath.Join(fo.root, fmt.Sprintf(from, f.ID))
			if err := errors.Join(os.MkdirAll(filepath.Dir(other), 0o700), os.Rename(f.Path, other)); err != nil {
				t.Fatal(err)
			}
			next := again(fo)
			if err := next.sweepRemoved(t.Context()); err != nil { // a purge, before the first sweep has come so far
				t.Fatal(err)
			}
			if err := next.Sweep(t.Context(), time.Now()); err != nil {
				t.Fatal(err)
			}
			wantFile(t, f, "x", []byte("x"))
		})
	}
	for _, from := range []string{"%s", removedPrefix + "%s"} {
		fo, _, _ := newFolders(t)
		f := create(t, fo, "f")
		if err := errors.Join(put(t, fo, f, "x", 1), fo.Remove(t.Context(), "p", "f", "me")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(fo.root, trashDir, f.ID), filepath.Join(fo.root, fmt.Sprintf(from, f.ID))); err != nil {
			t.Fatal(err)
		}
		next := again(fo)
		if err := next.Sweep(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
		back, err := next.Restore(t.Context(), "p", "f", "")
		if err != nil {
			t.Fatal(err)
		}
		wantFile(t, back, "x", []byte("x"))
	}
}

// Of a purge and a restore at once one wins, and a folder that is there has its row and its files.
func TestPurgeAndRestoreAtOnce(t *testing.T) {
	fo, _, _ := newFolders(t)
	for i := range 30 {
		f := create(t, fo, fmt.Sprint("f", i))
		if err := errors.Join(put(t, fo, f, "x", 1), fo.Remove(t.Context(), "p", f.ID, "me")); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		var purged, swept, restored error
		group.Go(func() { purged = fo.Purge(t.Context(), "p", f.ID) })
		group.Go(func() { swept = fo.Sweep(t.Context(), time.Now().Add(8*24*time.Hour)) })
		group.Go(func() { _, restored = fo.Restore(t.Context(), "p", f.ID, "") })
		group.Wait()
		_, found := fo.Find(t.Context(), "p", f.ID)
		_, lost := os.Stat(f.Path + "/x")
		if (restored == nil) != (found == nil) || (found == nil) != (lost == nil) || swept != nil {
			t.Fatalf("purged: %v, swept: %v, restored: %v; row: %v, file: %v", purged, swept, restored, found, lost)
		}
	}
}

// Nobody else on the box gets to what is in folders, whatever lets them into the data directory.
func TestFoldersAreShut(t *testing.T) {
	fo, _, _ := newFolders(t)
	if err := os.MkdirAll(fo.root, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, do := range map[string]func() error{
		"a new folder": func() error { create(t, fo, "f"); return nil },
		"a sweep":      func() error { return fo.Sweep(t.Context(), time.Now()) },
	} {
		if err := errors.Join(os.Chmod(fo.root, 0o755), do()); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(fo.root); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("after %s: %v, %v", name, info.Mode(), err)
		}
	}
}

func TestMoveEntry(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "f")
	for _, name := range []string{"a", "dir/b", "dir/c"} {
		if err := put(t, fo, f, name, 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", f.Path+"/out"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		from, to string
		kind     error
		words    string
	}{
		{"none", "x", ErrNotFound, "none is not in the folder"},
		{"none", "x/y", ErrNotFound, "none is not in the folder"},
		{"a", "dir", ErrExists, "dir is there already (remove it first"},
		{"a", "dir/b", ErrExists, "dir/b is there already"},
		{"a", "a", ErrInvalid, "is itself or in it"},
		{"dir", "dir/x/y", ErrInvalid, "is itself or in it"},
		{"a", "/", ErrInvalid, "the folder itself is not renamed this way (palisade folder rename f NAME)"},
		{".", "x", ErrInvalid, "the folder itself is not renamed this way"},
		{"a", "../x", ErrInvalid, "leaves the folder"},
		{"../a", "x", ErrInvalid, "leaves the folder"},
		{"a", "out/x", ErrInvalid, "leaves the folder"},
		{"out/passwd", "x", ErrInvalid, "leaves the folder"},
		{"a", "dir/b/x", ErrInvalid, "a file is in the way"},
		{"a", partsDir, ErrInvalid, "where uploads are on their way"},
		{partsDir + "/upl-x", "x", ErrInvalid, "where uploads are on their way"},
	} {
		wantError(t, fo.MoveEntry(f, c.from, c.to), c.kind, c.words)
	}
	if err := errors.Join(fo.MoveEntry(f, "dir", "new/deep/dir"), fo.MoveEntry(f, "/a", "new\nline"), fo.MoveEntry(f, "out", "link")); err != nil {
		t.Fatal(err)
	}
	wantFile(t, f, "new/deep/dir/b", []byte("x"))
	wantFile(t, f, "new\nline", []byte("x"))
	if err := fo.RemoveEntry(f, partsDir); err == nil {
		t.Error("all uploads were removed as a directory")
	}
	// Of many who choose one name, one has it, and the others what they had.
	var group sync.WaitGroup
	var won atomic.Int64
	for i := range 20 {
		name := fmt.Sprint("from", i)
		if err := put(t, fo, f, name, 1); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			if err := fo.MoveEntry(f, name, "target"); err == nil {
				won.Add(1)
			} else if !errors.Is(err, ErrExists) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if left, _ := filepath.Glob(f.Path + "/from*"); won.Load() != 1 || len(left) != 19 {
		t.Errorf("%d moved, %d are left", won.Load(), len(left))
	}
}

func TestClone(t *testing.T) {
	fo, store, _ := newFolders(t)
	f, err := fo.Create(t.Context(), Spec{Name: "from", Project: "q", Usage: UsageData})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2020, 1, 2, 3, 4, 5, 6000, time.UTC)
	if err := errors.Join(
		put(t, fo, f, "dir/a", 100), os.Chmod(f.Path+"/dir/a", 0o4750), os.Chtimes(f.Path+"/dir/a", at, at),
		os.Link(f.Path+"/dir/a", f.Path+"/b"), os.Symlink("/etc/passwd", f.Path+"/out"), os.Chmod(f.Path+"/dir", 0o555),
	); err != nil {
		t.Fatal(err)
	}
	begin(t, fo, f, "coming", 5)
	clone, c, err := fo.Clone(t.Context(), f, Spec{Name: "to", Project: "p", CreatedBy: "me"}, nil)
	if err != nil || c.Files != 3 || c.Bytes != 100 || clone.Usage != UsageData || clone.CreatedBy != "me" || clone.Imported {
		t.Fatalf("%+v, %+v, %v", clone, c, err)
	}
	info, err := os.Stat(clone.Path + "/dir/a")
	if err != nil || info.Mode() != 0o750 || !info.ModTime().Equal(at) {
		t.Errorf("%v, %v", info, err)
	}
	if same, err := os.Stat(clone.Path + "/b"); err != nil || !os.SameFile(info, same) {
		t.Errorf("one file has become two: %v", err)
	}
	if target, err := os.Readlink(clone.Path + "/out"); err != nil || target != "/etc/passwd" {
		t.Errorf("%s, %v", target, err)
	}
	if _, err := os.Stat(filepath.Join(clone.Path, partsDir)); err == nil {
		t.Error("what is on its way was cloned")
	}
	if n := held(t, fo, clone); n != 100 {
		t.Errorf("holds %d", n)
	}
	_, _, err = fo.Clone(t.Context(), f, Spec{Name: "to", Project: "p"}, nil)
	wantError(t, err, ErrExists, "there is a folder to already")

	// Whole, or not at all.
	before := places(t, fo)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	whole := fo.Settings
	for name, try := range map[string]func() error{
		"the client goes": func() error { _, _, err := fo.Clone(gone, f, Spec{Name: "x", Project: "p"}, nil); return err },
		"no row": func() error {
			store.fail = errors.New("disk on fire")
			_, _, err := fo.Clone(t.Context(), f, Spec{Name: "x", Project: "p"}, nil)
			store.fail = nil
			return err
		},
		"a quota": func() error {
			_, _, err := fo.Clone(t.Context(), f, Spec{Name: "x", Project: "p", Quota: 99}, nil)
			wantError(t, err, ErrQuota, "do not fit")
			return err
		},
		"the project's quota": func() error {
			fo.Settings.Quotas = map[string]int64{"p": 199}
			_, _, err := fo.Clone(t.Context(), f, Spec{Name: "x", Project: "p"}, nil)
			fo.Settings = whole
			wantError(t, err, ErrQuota, "project p may hold 199 B and holds 100 B: 100 B more do not fit")
			return err
		},
	} {
		if err := try(); err == nil {
			t.Errorf("%s: cloned", name)
		}
		if after := places(t, fo); !slices.Equal(before, after) {
			t.Errorf("%s: left %v", name, after)
		}
	}
	if len(fo.accounts) > 3 {
		t.Errorf("%d accounts of 2 folders", len(fo.accounts))
	}
	// Of many at once with one name, one is made; and no more than fit.
	fo.Settings.Quotas = map[string]int64{"p": 350}
	var group sync.WaitGroup
	var made atomic.Int64
	for i := range 12 {
		group.Go(func() {
			_, _, err := fo.Clone(t.Context(), f, Spec{Name: fmt.Sprint("many", i/2), Project: "p"}, nil)
			switch {
			case err == nil:
				made.Add(1)
			case !errors.Is(err, ErrExists) && !errors.Is(err, ErrQuota):
				t.Error(err)
			}
		})
	}
	group.Wait()
	list, err := fo.List(t.Context(), "p")
	if err != nil || made.Load() > 2 || made.Load() < 1 || len(list) != 1+int(made.Load()) || len(places(t, fo)) != len(before)+int(made.Load()) {
		t.Errorf("%d were made, %d are there, %v", made.Load(), len(list), places(t, fo))
	}
}

// Directories that become links, and links that become directories, lead nobody out.
func TestExchangedMidway(t *testing.T) {
	fo, _, _ := newFolders(t)
	f := create(t, fo, "f")
	outsideDir := foldertest.Tree(t, map[string]string{"secret": "secret"})
	if err := errors.Join(os.Mkdir(f.Path+"/real", 0o777), os.WriteFile(f.Path+"/real/secret", []byte("mine"), 0o666), os.Symlink(outsideDir, f.Path+"/link")); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = os.Rename(f.Path+"/real", f.Path+"/x")
			_ = os.Rename(f.Path+"/link", f.Path+"/real")
			_ = os.Rename(f.Path+"/real", f.Path+"/link")
			_ = os.Rename(f.Path+"/x", f.Path+"/real")
		}
	})
	for i := range 200 {
		if file, err := fo.Open(f, "real/secret"); err == nil {
			got := make([]byte, 6)
			n, _ := file.Read(got)
			_ = file.Close()
			if !bytes.Equal(got[:n], []byte("mine")) {
				t.Fatalf("read %q", got[:n])
			}
		}
		_, _ = fo.Write(t.Context(), f, "real/new", Content{Reader: strings.NewReader("pwned")})
		_ = fo.MoveEntry(f, "real/new", fmt.Sprint("real/moved", i))
		_ = fo.MakeDirectory(f, fmt.Sprint("real/made", i))
		_ = fo.RemoveEntry(f, fmt.Sprint("real/moved", i))
	}
	clone, _, err := fo.Clone(t.Context(), f, Spec{Name: "copy", Project: "p"}, nil)
	close(stop)
	group.Wait()
	if err == nil {
		if got, err := os.ReadFile(clone.Path + "/real/secret"); err == nil && string(got) == "secret" {
			if info, _ := os.Lstat(clone.Path + "/real"); info.Mode()&os.ModeSymlink == 0 {
				t.Error("what is outside was cloned")
			}
		}
	}
	left, err := os.ReadDir(outsideDir)
	if got, _ := os.ReadFile(outsideDir + "/secret"); err != nil || len(left) != 1 || string(got) != "secret" {
		t.Errorf("outside: %v, %q, %v", left, got, err)
	}
}

// A folder whose home was removed from the cluster has nothing but a name: it can be removed, and keeps nothing else from going on.
func TestOrphans(t *testing.T) {
	fo, store, _ := newFolders(t)
	fo.Settings.Box = "box-1"
	gone := map[string]bool{}
	fo.Settings.Known = func(box string) bool { return !gone[box] }
	made := map[string]Folder{}
	for _, name := range []string{"live", "trashed", "old"} {
		f := create(t, fo, name)
		f.Home = "box-2"
		if name != "live" {
			f.TrashedAt = time.Now().Add(-time.Hour)
		}
		if name == "old" {
			f.TrashedAt = time.Now().Add(-365 * 24 * time.Hour)
		}
		if err := store.UpdateFolder(t.Context(), f); err != nil {
			t.Fatal(err)
		}
		made[name] = f
	}
	if err := fo.Remove(t.Context(), "p", "live", "ann"); !errors.Is(err, ErrNotFound) {
		t.Errorf("its home is away, and may be back: %v", err)
	}
	gone["box-2"] = true
	if use, err := fo.Use(t.Context(), made["live"], 0); err != nil || use.Bytes != 0 {
		t.Errorf("%+v %v", use, err)
	}
	_, err := fo.Restore(t.Context(), "p", "trashed", "")
	wantError(t, err, ErrNotFound, "are gone with box box-2")
	if err := fo.Sweep(t.Context(), time.Now()); err != nil {
		t.Error(err)
	}
	if trash, err := fo.Trash(t.Context(), "p"); err != nil || len(trash) != 1 || trash[0].Name != "trashed" {
		t.Errorf("%+v %v", trash, err)
	}
	if err := errors.Join(fo.Purge(t.Context(), "p", "trashed"), fo.Discard(t.Context(), "p", "live")); err != nil {
		t.Error(err)
	}
	if all, err := store.Folders(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v %v", all, err)
	}
}
