package daemon

import (
	"context"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/store"
)

// archived is a backup of an appliance that has these files, and some rows.
func archived(t *testing.T, head backup.Head, files map[string]string, listed ...string) (string, backup.Keys) {
	t.Helper()
	data := t.TempDir()
	for name, text := range files {
		path := filepath.Join(data, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	dsn := config.Config{Data: data}.DSN()
	s, err := store.Open(t.Context(), store.Options{DSN: dsn})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// One file of a model has a name in a folder too.
	if blobs, err := filepath.Glob(filepath.Join(data, "blobs/sha256/*/*")); err != nil || len(blobs) > 0 && errors.Join(os.MkdirAll(filepath.Join(data, "folders/m"), 0o700), os.Link(blobs[0], filepath.Join(data, "folders/m/weights"))) != nil {
		t.Fatal(err)
	}
	head.MadeAt, head.Data = time.Now(), data
	in := &inBackup{run: &backupRun{head: head}, data: data, files: map[string][]byte{vaultKey: []byte("new key")}, blobs: map[blobID]string{}, listed: map[string]bool{}}
	defer in.Close()
	for _, sum := range listed {
		in.listed[sum] = true
		in.models = append(in.models, backup.Model{Name: "m", From: "hf:a/m", Digests: []string{sum}})
	}
	if in.rows, err = store.TakeSnapshot(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	in.run.head.Schema = in.rows.Version()
	secret, public, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "x.backup"))
	if err != nil {
		t.Fatal(err)
	}
	if err := in.count(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := in.write(t.Context(), f, backup.Seal{Recipients: []string{public}}); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return f.Name(), backup.Keys{Secret: secret}
}

// TestRestoreOfOddNames: names of files are bytes.
func TestRestoreOfOddNames(t *testing.T) {
	files := map[string]string{"folders/a/caf\xe9.txt": "one", "folders/a/d\xff/x": "two", "folders/a/\n": "three", "checkpoints/é/c": "four"}
	archive, keys := archived(t, backup.Head{Folders: true}, files)
	data := t.TempDir()
	if _, err := RestoreBackup(t.Context(), BackupRestore{Config: config.Config{Data: data}, Archive: archive, Keys: keys}); err != nil {
		t.Fatal(err)
	}
	files[vaultKey] = "new key"
	for name, want := range files {
		if text, err := os.ReadFile(filepath.Join(data, name)); err != nil || string(text) != want {
			t.Errorf("%q is %q: %v", name, text, err)
		}
	}
}

// TestRestoreOfModelsFiles: a file of a model that is to be fetched again is not in the backup; another one is, as nobody could bring it.
func TestRestoreOfModelsFiles(t *testing.T) {
	sum := strings.Repeat("ab", 32)
	blob := filepath.Join("blobs/sha256/ab", sum)
	for name, c := range map[string]struct {
		listed []string
		there  bool // on the box
		want   string
	}{
		"uploaded":           {nil, false, "weights"},
		"fetched":            {[]string{sum}, false, ""},
		"fetched, and there": {[]string{sum}, true, "weights"},
	} {
		t.Run(name, func(t *testing.T) {
			archive, keys := archived(t, backup.Head{Folders: true}, map[string]string{blob: "weights"}, c.listed...)
			data := t.TempDir()
			if c.there {
				if err := errors.Join(os.MkdirAll(filepath.Join(data, filepath.Dir(blob)), 0o700), os.WriteFile(filepath.Join(data, blob), []byte("weights"), 0o600)); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := RestoreBackup(t.Context(), BackupRestore{Config: config.Config{Data: data}, Archive: archive, Keys: keys, Replace: true}); err != nil {
				t.Fatal(err)
			}
			text, err := os.ReadFile(filepath.Join(data, "folders/m/weights"))
			if string(text) != c.want || (c.want == "") != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%q: %v", text, err)
			}
		})
	}
}

// decided is a restore that is to be put in its place, where something is in the way of "tls".
func decided(t *testing.T, c config.Config) (*restoring, string) {
	t.Helper()
	archive, keys := archived(t, backup.Head{}, map[string]string{"tls/cert": "new"})
	for name, text := range map[string]string{vaultKey: "old key", "tls/cert": "old", databaseFile: "old", databaseFile + "-wal": "old"} {
		path := filepath.Join(c.Data, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	f, size, err := openBackup(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r := &restoring{BackupRestore: BackupRestore{Config: c, Archive: archive, Keys: keys, Replace: true}, stage: filepath.Join(c.Data, restoreStage), began: time.Now()}
	if r.head, r.manifest, err = backup.Verify(t.Context(), f, size, &keys, nil); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.mayBegin(), r.fill(t.Context(), f, size, nil)); err != nil {
		t.Fatal(err)
	}
	block := filepath.Join(c.Data, restoreAside+r.began.UTC().Format("20060102T150405Z"), "tls", "in the way")
	if err := errors.Join(os.MkdirAll(filepath.Dir(block), 0o700), os.WriteFile(block, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	return r, block
}

// TestRestoreThatFailsAtItsEnd: what is decided is not lost, nobody starts with half of it, and it is gone on with once it can be.
func TestRestoreThatFailsAtItsEnd(t *testing.T) {
	c := config.Config{Data: t.TempDir()}
	r, block := decided(t, c)
	for range 2 {
		if _, err := r.takeOver(t.Context()); err == nil || !strings.Contains(adviceOf(err), "gone on with") {
			t.Fatalf("%v, hint %q", err, adviceOf(err))
		}
		r.tidy()
		if _, err := lockData(t.Context(), c); err == nil {
			t.Fatal("it was started with half of it")
		}
	}
	if err := os.RemoveAll(filepath.Dir(block)); err != nil {
		t.Fatal(err)
	}
	lock, err := lockData(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.release()
	for name, want := range map[string]string{vaultKey: "new key", "tls/cert": "new"} {
		if text, err := os.ReadFile(filepath.Join(c.Data, name)); err != nil || string(text) != want {
			t.Errorf("%s is %q: %v", name, text, err)
		}
	}
	s, err := store.Open(t.Context(), store.Options{DSN: c.DSN()})
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	aside := filepath.Dir(filepath.Dir(block))
	if text, err := os.ReadFile(filepath.Join(aside, databaseFile+"-wal")); err != nil || string(text) != "old" {
		t.Errorf("the log of before: %q %v", text, err)
	}
}

// TestRestoreWithoutItsStage: what was to take its place is gone, and that is said.
func TestRestoreWithoutItsStage(t *testing.T) {
	c := config.Config{Data: t.TempDir()}
	r, _ := decided(t, c)
	if _, err := r.takeOver(t.Context()); err == nil {
		t.Fatal("nothing was in the way")
	}
	if err := os.RemoveAll(r.stage); err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(t.Context(), c); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestRowsElsewhereComeLast: a database that is not in the data directory is none that may be used before the files are in their places.
func TestRowsElsewhereComeLast(t *testing.T) {
	c := config.Config{Data: t.TempDir(), Database: "sqlite:" + filepath.Join(t.TempDir(), "rows.db")}
	half := func(when string) {
		t.Helper()
		if _, err := store.Open(t.Context(), store.Options{DSN: c.DSN()}); !errors.Is(err, store.ErrHalf) {
			t.Errorf("%s: %v", when, err)
		}
	}
	r, block := decided(t, c)
	half("all is here")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.takeOver(gone); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := os.Lstat(filepath.Join(c.Data, restoreJournal)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it was cancelled, and decided: %v", err)
	}
	if _, err := r.takeOver(t.Context()); err == nil {
		t.Fatal("nothing was in the way")
	}
	half("files are not in their places")
	if err := os.RemoveAll(filepath.Dir(block)); err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(t.Context(), config.Config{Data: c.Data}); err == nil || !strings.Contains(adviceOf(err), "--database") {
		t.Errorf("with another database: %v", err)
	}
	half("with another database")
	for range 2 {
		lock, err := lockData(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		lock.release()
		s, err := store.Open(t.Context(), store.Options{DSN: c.DSN()})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	if text, err := os.ReadFile(filepath.Join(c.Data, databaseFile)); err != nil || string(text) != "old" {
		t.Errorf("what is not in the backup stays: %q %v", text, err)
	}
}

func TestMountedAt(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string][2]bool{"/proc": {true, true}, filepath.Join(dir, "x"): {}, filepath.Join(dir, "none"): {}, "/proc/self/status": {}, filepath.Join(dir, "link"): {false, true}} {
		if got := [2]bool{mountedAt(path, false), mountedAt(path, true)}; got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// TestTree: a directory that becomes another thing while it is looked at is told of, and the others are looked at all the same.
func TestTree(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a/x", "b/x", "c/x", "skipped/x", strings.Repeat("d/", 2*deepestRoot) + "x"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	var seen, lost []string
	w := &tree{
		skip: func(name string) bool { return name == "skipped" },
		lost: func(name string, _ error) error { lost = append(lost, name); return nil },
		fn: func(one inTree) error {
			seen = append(seen, one.name)
			switch one.name {
			case "a": // becomes a link to where others' files are
				return errors.Join(os.RemoveAll(filepath.Join(dir, "a")), os.Symlink("/etc", filepath.Join(dir, "a")))
			case "b": // goes
				return os.RemoveAll(filepath.Join(dir, "b"))
			}
			return nil
		},
	}
	if err := w.walk(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(lost, []string{"a"}) || !slices.Equal(seen[:4], []string{"a", "b", "c", "c/x"}) || len(seen) != 4+2*deepestRoot+1 || filepath.Base(seen[len(seen)-1]) != "x" {
		t.Errorf("lost %v, seen %v", lost, seen)
	}
	if err := w.walk(t.Context(), filepath.Join(dir, "none")); err != nil {
		t.Error(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.walk(over, dir); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestSumOf(t *testing.T) {
	if !sumOf(hex.EncodeToString(make([]byte, 32))) || sumOf("../x") || sumOf("") {
		t.Error("what is a checksum?")
	}
}
