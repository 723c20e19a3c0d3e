package checkpoints_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/palisade-run/palisade/training/checkpoints"
)

func TestKeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "checkpoints")
	k := checkpoints.New(dir)
	if u, err := k.Use("ses-1"); err != nil || u != (checkpoints.Use{}) {
		t.Errorf("%+v %v", u, err)
	}
	at, err := k.Make("ses-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(at, "epoch-1"), make([]byte, 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	// A link out of it is no way out: neither counted nor removed.
	outside := filepath.Join(t.TempDir(), "mine")
	if err := errors.Join(os.WriteFile(outside, make([]byte, 1<<20), 0o600), os.Symlink(outside, filepath.Join(at, "link"))); err != nil {
		t.Fatal(err)
	}
	again, err := k.Make("ses-1") // the next run
	if err != nil || again != at {
		t.Fatalf("%s %v", again, err)
	}
	if u, err := k.Use("ses-1"); err != nil || u.Files != 1 || u.Bytes < 10_000 || u.Bytes > 64<<10 || u.More {
		t.Errorf("%+v %v", u, err)
	}
	for name, want := range map[string]fs.FileMode{dir: 0o700, at: 0o777} {
		if st, err := os.Stat(name); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v", name, st, err)
		}
	}
	if err := errors.Join(k.Forget("ses-1"), k.Forget("ses-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(at); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is there still: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/b", "/etc"} {
		if _, err := k.Make(bad); err == nil {
			t.Errorf("%q was made", bad)
		}
		if err := k.Forget(bad); err == nil {
			t.Errorf("%q was removed", bad)
		}
	}
}
