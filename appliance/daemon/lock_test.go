package daemon

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/config"
)

func TestLockData(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "data")
	first, err := lockData(t.Context(), config.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(dir); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("the data directory is %v, %v; it holds secrets", st.Mode(), err)
	}
	_, err = lockData(t.Context(), config.Config{Data: dir})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) || adviceOf(err) == "" {
		t.Errorf("a second daemon was told %v, hint %q", err, adviceOf(err))
	}
	first.release()
	again, err := lockData(t.Context(), config.Config{Data: dir})
	if err != nil {
		t.Fatalf("after the first is gone: %v", err)
	}
	again.release()
}

// A daemon that was killed leaves its file, with a longer number than the next one's.
func TestLockLeftBehind(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "lock"), []byte("123456789012345\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := lockData(t.Context(), config.Config{Data: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer first.release()
	got, err := os.ReadFile(filepath.Join(dir, "lock"))
	if want := fmt.Sprintf("%d\n", os.Getpid()); err != nil || string(got) != want {
		t.Errorf("it says %q, %v; want %q", got, err, want)
	}
}

func TestLockWhereThereCanBeNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(t.Context(), config.Config{Data: filepath.Join(file, "data")}); err == nil || adviceOf(err) == "" {
		t.Errorf("below a file: %v, hint %q", err, adviceOf(err))
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := lockData(t.Context(), config.Config{Data: dir}); err == nil || adviceOf(err) == "" {
		t.Errorf("where a directory is in the way: %v, hint %q", err, adviceOf(err))
	}
}
