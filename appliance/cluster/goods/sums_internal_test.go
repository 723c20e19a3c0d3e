package goods

import (
	"context"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/folders"
)

// newSums are sums that know nothing, and an empty folder.
func newSums(t *testing.T) (*sums, folders.Folder) {
	t.Helper()
	store, err := blobs.Open(filepath.Join(t.TempDir(), "blobs"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return &sums{dir: t.TempDir(), blobs: store}, folders.Folder{ID: "fld-1", Name: "data", Path: t.TempDir()}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (s *sums) list(t *testing.T, f folders.Folder) map[string]string {
	t.Helper()
	m, err := s.manifest(t.Context(), f, nil)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, one := range m.Files {
		out[one.Name] = one.SHA256
	}
	return out
}

// A file that is changed in the very tick of the clock in which it was listed leaves no trace: it is read again.
func TestChangedWithinATick(t *testing.T) {
	s, f := newSums(t)
	path := filepath.Join(f.Path, "x")
	write(t, path, "first")
	before := s.list(t, f)["x"]
	write(t, path, "other")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	known := s.known[f.ID]["x"]
	known.Stamp, _ = stampOf(info) // as if the clock had not moved
	s.known[f.ID]["x"] = known
	if now := s.list(t, f)["x"]; now == before {
		t.Error("it is listed as what it was")
	}
}

func TestFreshAt(t *testing.T) {
	now := time.Unix(1000, 0)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixNano() }
	for name, c := range map[string]struct {
		modified, changed int64
		want              bool
	}{
		"long ago":                 {ago(time.Hour), ago(time.Hour), false},
		"just now":                 {ago(time.Millisecond), ago(time.Millisecond), true},
		"it says long ago itself":  {ago(time.Hour), ago(time.Second), true},
		"a disk whose clock is on": {ago(-time.Hour), ago(-time.Hour), true},
		"it says a date to come":   {ago(-time.Hour), ago(time.Hour), false},
		"three seconds":            {ago(3 * time.Second), ago(3 * time.Second), false},
	} {
		if got := (stamp{Modified: c.modified, Changed: c.changed}).freshAt(now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What has gone between the look at a folder and the reading of it is left out, and keeps nobody waiting: neither a file, nor what
// was put in its place.
func TestGoneSince(t *testing.T) {
	s, f := newSums(t)
	for _, name := range []string{"stays", "goes", "pipe", "held", "link", "dir"} {
		write(t, filepath.Join(f.Path, name), "text of "+name)
	}
	root, err := f.OpenRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	m, todo, err := s.walk(t.Context(), root, f.ID)
	if err != nil || len(todo) != 6 {
		t.Fatal(len(todo), err)
	}
	for _, name := range []string{"goes", "pipe", "held", "link", "dir"} {
		if err := os.Remove(filepath.Join(f.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"pipe", "held"} {
		if err := syscall.Mkfifo(filepath.Join(f.Path, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	writer, err := os.OpenFile(filepath.Join(f.Path, "held"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	if err := errors.Join(os.Symlink("/etc/hostname", filepath.Join(f.Path, "link")), os.Mkdir(filepath.Join(f.Path, "dir"), 0o755)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	files, err := s.read(&reading{ctx: ctx, root: root, buffer: make([]byte, 100)}, m, todo)
	if err != nil || len(files) != 1 || files[0].Name != "stays" || files[0].SHA256 == "" {
		t.Errorf("%+v, %v", files, err)
	}
}

// A file that grows as fast as it is read is read as long as it was.
func TestAFileThatGrows(t *testing.T) {
	_, f := newSums(t)
	path := filepath.Join(f.Path, "log")
	write(t, path, "begin")
	root, err := f.OpenRoot()
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	grown := 0
	r := &reading{ctx: t.Context(), root: root, buffer: make([]byte, 5), tell: func(int64, int64) {
		if grown++; grown > 100 {
			t.Fatal("it does not end")
		}
		file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = file.WriteString("more!")
		_ = file.Close()
	}}
	if n, err := r.into(sha256.New(), "log"); err != nil || n != 5 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// Directories of which nothing is listed are listed themselves.
func TestEmptyDirectories(t *testing.T) {
	s, f := newSums(t)
	write(t, filepath.Join(f.Path, "full", "x"), "x")
	for _, d := range []string{"pipes", "nothing/in/it", "links"} {
		if err := os.MkdirAll(filepath.Join(f.Path, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(syscall.Mkfifo(filepath.Join(f.Path, "pipes", "p"), 0o600), os.Symlink("x", filepath.Join(f.Path, "links", "l"))); err != nil {
		t.Fatal(err)
	}
	m, err := s.manifest(t.Context(), f, nil)
	if want := []string{"nothing/in/it", "pipes"}; err != nil || !slices.Equal(m.Dirs, want) || len(m.Files) != 1 || len(m.Links) != 1 {
		t.Errorf("%+v, %v", m, err)
	}
}
