package door_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/door/doortest"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// TestMain is two programs: the supervisor that the runtime starts, and the tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "supervise" {
		syscall.Exit(process.SuperviseMain(os.Args[2:])) // os.Exit takes a second under the race detector
	}
	os.Exit(m.Run())
}

// throughDoor is a runtime that is watched through a door.
type throughDoor struct {
	sessions.Runtime
	far door.Box
}

func (b throughDoor) Pull(ctx context.Context, image string, tell func(sessions.Progress)) error {
	return b.far.Pull(ctx, image, tell)
}

func (b throughDoor) Inspect(ctx context.Context, id string) (sessions.Instance, error) {
	return b.far.Inspect(ctx, id)
}

func (b throughDoor) Logs(ctx context.Context, id string, opts sessions.LogOptions) (io.ReadCloser, error) {
	return b.far.Logs(ctx, id, opts)
}

func (b throughDoor) Stats(ctx context.Context, id string) (sessions.Stats, error) {
	return b.far.Stats(ctx, id)
}

func (b throughDoor) Exec(ctx context.Context, id string, cmd sessions.ExecSpec) (sessions.Exit, error) {
	return b.far.Exec(ctx, id, cmd)
}

// What a box is asked through its door it answers as if it were here: logs, commands and terminals of real processes.
func TestABoxIsARuntime(t *testing.T) {
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	runtimetest.Run(t, runtimetest.Harness{
		New: func(t *testing.T) func() runtimetest.Box {
			root := newRoot(t)
			return func() runtimetest.Box {
				r, err := process.New(process.Config{Root: root, Executable: executable})
				if err != nil {
					t.Fatal(err)
				}
				return throughDoor{r, doortest.New(t, door.Rooms{Box: r}).Client.Box("one")}
			}
		},
		Image: process.HostImage, Program: func(acts ...runtimetest.Act) []string { return shell(runtimetest.Script(acts...)) },
		Can: runtimetest.Capabilities{Shell: shell, PidsLimit: true, Terminal: true},
	})
}

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

// newRoot is a directory for a runtime. Its cgroups are gone at the end.
func newRoot(t *testing.T) string {
	root := t.TempDir()
	t.Cleanup(func() {
		sum := sha256.Sum256([]byte(root))
		name := "palisade/" + hex.EncodeToString(sum[:])[:12]
		for begin := time.Now(); time.Since(begin) < patience; {
			var left []string
			for _, pattern := range []string{"/sys/fs/cgroup/" + name, "/sys/fs/cgroup/*/" + name} {
				found, _ := filepath.Glob(pattern)
				left = append(left, found...)
			}
			for _, dir := range left {
				_ = os.Remove(filepath.Join(dir, "supervisors"))
				_ = os.Remove(dir)
			}
			if len(left) == 0 {
				return
			}
		}
		t.Errorf("cgroups of %s are left", root)
	})
	return root
}
