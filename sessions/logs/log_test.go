package logs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions/logs"
)

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func all(t *testing.T, dir string, tail int) (string, error) {
	t.Helper()
	r, err := logs.Read(t.Context(), openRoot(t, dir), tail, nil)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	root := openRoot(t, dir)
	defer root.Close()
	w := logs.NewWriter(root, 3, 100)
	for i := range 100 {
		fmt.Fprintf(w, "line %02d\n", i)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 3 {
		t.Errorf("%v, %v", files, err)
	}
	got, err := all(t, dir, 0)
	if err != nil || !strings.HasPrefix(got, "line ") || !strings.HasSuffix(got, "line 99\n") || len(got) > 3*108 {
		t.Errorf("%q, %v", got, err)
	}
	if got, err := all(t, dir, 20); err != nil || got[:8] != "line 80\n" || strings.Count(got, "\n") != 20 {
		t.Errorf("%q, %v", got, err)
	}
	if !strings.HasSuffix(w.Last(), "line 99\n") {
		t.Errorf("the last words: %q", w.Last())
	}
}

// TestStrangersFiles: what is no log file is not read, and blocks nobody.
func TestStrangersFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"a link":      func(p string) error { return os.Symlink(secret, p) },
		"to nowhere":  func(p string) error { return os.Symlink("nowhere", p) },
		"a pipe":      func(p string) error { return syscall.Mkfifo(p, 0o600) },
		"a directory": func(p string) error { return os.Mkdir(p, 0o700) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := put(filepath.Join(dir, "00000001")); err != nil {
				t.Fatal(err)
			}
			if got, err := all(t, dir, 0); err != nil || got != "" {
				t.Errorf("read %q, %v", got, err)
			}
		})
	}
	dir := t.TempDir()
	for _, name := range []string{"1", "+0000001", "0000000001", "log", "-0000001"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := all(t, dir, 0); err != nil || got != "" {
		t.Errorf("of other names: %q, %v", got, err)
	}
}

// TestStrangersLinkIsNoNextFile: one who follows waits for it no more than for a file that is not there.
func TestStrangersLinkIsNoNextFile(t *testing.T) {
	dir := t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "00000001"), []byte("x\n"), 0o600), os.Symlink("nowhere", filepath.Join(dir, "00000002"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, err := logs.Read(ctx, openRoot(t, dir), 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); err != nil || string(got) != "x\n" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestReadWhileItIsRotated: what is rotated away between the look and the opening is no error.
func TestReadWhileItIsRotated(t *testing.T) {
	dir := t.TempDir()
	root := openRoot(t, dir)
	defer root.Close()
	w := logs.NewWriter(root, 2, 1)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = io.WriteString(w, "line\n")
			}
		}
	})
	for i := range 500 {
		if got, err := all(t, dir, i%3); err != nil || strings.Trim(got, "line\n") != "" {
			t.Errorf("%q, %v", got, err)
			break
		}
	}
	close(stop)
	writing.Wait()
}

// TestTailOfWhatHasNoLines: a session may write a file of any size that takes no room.
func TestTailOfWhatHasNoLines(t *testing.T) {
	dir := t.TempDir()
	for i := range 8 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%08d", i+1)))
		if err == nil {
			err = errors.Join(f.Truncate(1<<40), f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	r, err := logs.Read(ctx, openRoot(t, dir), 10, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	if ctx.Err() != nil {
		t.Error("looking for its last lines takes forever")
	}
}

// TestFollow reads on as it is told that there is more, to the end of the log.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	root := openRoot(t, dir)
	defer root.Close()
	w := logs.NewWriter(root, 100, 50)
	tell, told := io.Pipe()
	r, err := logs.Read(t.Context(), openRoot(t, dir), 0, tell)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	go func() {
		for i := range 200 {
			line := fmt.Sprintf("line %d\n", i)
			_, _ = w.Write([]byte(line))
			if i%7 == 0 {
				_, _ = told.Write([]byte{'\n'})
			}
		}
		told.Close()
	}()
	for i := range 200 {
		fmt.Fprintf(&want, "line %d\n", i)
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want.String() {
		t.Errorf("%d bytes, want %d: %v", len(got), want.Len(), err)
	}
	r.Close()

	ctx, cancel := context.WithCancel(t.Context())
	tell, _ = io.Pipe()
	if r, err = logs.Read(ctx, openRoot(t, dir), 1, tell); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(make([]byte, 100)); n == 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	cancel()
	if _, err := r.Read(make([]byte, 100)); !errors.Is(err, context.Canceled) {
		t.Errorf("after its context: %v", err)
	}
}
