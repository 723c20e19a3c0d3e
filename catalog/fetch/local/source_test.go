package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/fetchtest"
	"github.com/palisade-run/palisade/catalog/fetch/local"
)

func put(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	name = filepath.Join(dir, filepath.FromSlash(name))
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func at(path string) fetch.Ref { return fetch.Ref{Scheme: "file", Where: path} }

func TestSource(t *testing.T) {
	fetchtest.Run(t, func(t *testing.T, files map[string][]byte) fetchtest.Place {
		dir := t.TempDir()
		for name, data := range files {
			put(t, dir, name, data)
		}
		return fetchtest.Place{
			Source: local.New(), Ref: at(dir), Missing: at(dir + "/nothing"),
			Change: func(name string, data []byte) { put(t, dir, name, data) },
		}
	})
}

func TestOneFile(t *testing.T) {
	fetchtest.RunOne(t, "weights.gguf", func(t *testing.T, files map[string][]byte) fetchtest.Place {
		dir := t.TempDir()
		put(t, dir, "weights.gguf", files["weights.gguf"])
		put(t, dir, "other", nil)
		return fetchtest.Place{Source: local.New(dir), Ref: at(dir + "/weights.gguf"), Missing: at(dir + "/weights.gguf/x")}
	})
}

func TestWhatIsNoFile(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, outside, "secret", []byte("s"))
	put(t, dir, "a", []byte("a"))
	put(t, dir, ".git/config", []byte("x"))
	put(t, dir, "sub/run.sh", []byte("x"))
	if err := errors.Join(
		os.Chmod(filepath.Join(dir, "sub/run.sh"), 0o755), syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("a", filepath.Join(dir, "b")), os.Symlink(".", filepath.Join(dir, "round")),
	); err != nil {
		t.Fatal(err)
	}
	in, err := local.New().List(t.Context(), at(dir))
	names := []string{}
	for _, f := range in.Files {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); err != nil || got != "a b sub/run.sh" || !in.Files[2].Run || in.Files[0].Run {
		t.Errorf("%s, %v", got, err)
	}
	for name, target := range map[string]string{"out": outside + "/secret", "nowhere": "nothing", "up": "../x"} {
		link := filepath.Join(dir, name)
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if _, err := local.New().List(t.Context(), at(dir)); !errors.Is(err, fetch.ErrRefused) || !strings.Contains(err.Error(), name) {
			t.Errorf("a link %s to %s: %v", name, target, err)
		}
		if err := os.Remove(link); err != nil {
			t.Fatal(err)
		}
	}
	// A file that becomes a link out, or a pipe, between the list and the copy.
	name := filepath.Join(dir, "a")
	if err := errors.Join(os.Remove(name), os.Symlink(outside+"/secret", name)); err != nil {
		t.Fatal(err)
	}
	if _, err := local.New().Open(t.Context(), in, in.Files[0], 0, -1); err == nil {
		t.Error("a link out of the directory was followed")
	}
	if err := errors.Join(os.Remove(name), syscall.Mkfifo(name, 0o600)); err != nil {
		t.Fatal(err)
	}
	if _, err := local.New().Open(t.Context(), in, in.Files[0], 0, -1); !errors.Is(err, fetch.ErrChanged) {
		t.Errorf("a pipe in a file's place: %v", err)
	}
}

func TestWhereModelsMayBeTakenFrom(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	put(t, dir, "a", nil)
	put(t, outside, "b", nil)
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{outside, outside + "/b", dir + "/link", dir + "-x", "/proc/self/environ", "/dev/zero"} {
		if _, err := local.New(dir).List(t.Context(), at(path)); !errors.Is(err, fetch.ErrDenied) && !errors.Is(err, fetch.ErrNotFound) {
			t.Errorf("%s: %v", path, err)
		}
	}
	for _, path := range []string{"/proc/self/environ", "/dev/zero", "/sys/kernel"} {
		if _, err := local.New().List(t.Context(), at(path)); !errors.Is(err, fetch.ErrDenied) {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := local.New(dir).List(t.Context(), at(dir+"/a")); err != nil {
		t.Error(err)
	}
}
