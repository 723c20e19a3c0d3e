// Package containerdtest finds and starts the containerds that tests run against: Debian's, and the newest one, which
// .ci/containerd builds. It runs tests in namespaces of their own, where nothing that they make is ever seen by the box
// and nothing that they start outlives them.
package containerdtest

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/sessions/containerd/private"
)

// Program is one containerd.
type Program struct {
	Name string // for subtests: debian, newest
	Path string
}

// Find returns the containerds that everything must hold on.
func Find() ([]Program, error) {
	debian, err := exec.LookPath("containerd")
	if err != nil {
		return nil, errors.New("containerd is not installed: .ci/deps test")
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	build := exec.Command(filepath.Join(root, ".ci/containerd/build"))
	var stderr bytes.Buffer
	build.Stderr = &stderr
	out, err := build.Output()
	if err != nil {
		return nil, fmt.Errorf("building containerd: %w\n%s", err, &stderr)
	}
	return []Program{{"debian", debian}, {"newest", filepath.Join(strings.TrimSpace(string(out)), "containerd")}}, nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil && dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.Join(errors.New("no go.mod above the tests"), err)
}

// Programs is Find for a test.
func Programs(t testing.TB) []Program {
	t.Helper()
	programs, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	return programs
}

// Dir makes a directory with a path short enough for sockets. In Main's namespaces it is in memory.
func Dir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/run", "pal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// What a test left mounted goes with the namespace; it must not be emptied through its mount point.
		if os.Getenv(within) == "" {
			_ = os.RemoveAll(dir)
		}
	})
	return dir
}

// Start starts a containerd that ends with the test.
func Start(t testing.TB, p Program) *private.Daemon {
	t.Helper()
	return StartIn(t, p, Dir(t))
}

// StartIn is Start in a directory of the test's.
func StartIn(t testing.TB, p Program, dir string) *private.Daemon {
	t.Helper()
	d, err := private.Start(t.Context(), private.Config{Dir: dir, Program: p.Path, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Stop(contextOf(t)); err != nil {
			t.Error(err)
		}
	})
	return d
}
