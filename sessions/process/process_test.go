package process_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/sessions/process"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

func program(acts ...runtimetest.Act) []string { return shell(runtimetest.Script(acts...)) }

func executable(t testing.TB) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func openNetwork(t testing.TB) *network.Network {
	t.Helper()
	n, err := network.Open(network.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Destroy(); err != nil {
			t.Error(err)
		}
		n.Close()
	})
	return n
}

func open(t testing.TB, cfg process.Config) *process.Runtime {
	t.Helper()
	cfg.Executable = executable(t)
	r, err := process.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// newRoot is a directory for a runtime.
func newRoot(t testing.TB) string {
	t.Helper()
	root := t.TempDir()
	t.Cleanup(func() { removeParents(t, root) })
	return root
}

// removeParents removes the cgroups that held those of the sessions of root: a runtime leaves them to the
// next one, where the last supervisor was still on its way out, but for a test's root there is none.
func removeParents(t testing.TB, root string) {
	sum := sha256.Sum256([]byte(root))
	name := "palisade/" + hex.EncodeToString(sum[:])[:12]
	for begin := time.Now(); ; {
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
		if time.Since(begin) > 10*time.Second {
			t.Errorf("cgroups are left: %v", left)
			return
		}
	}
}

// harness is the process runtime as it is on this box, for this user.
func harness(t *testing.T, own bool) runtimetest.Harness {
	const files, size = 3, 1 << 20
	can := open(t, process.Config{Root: newRoot(t)}).Capabilities()
	h := runtimetest.Harness{
		Image:   process.HostImage,
		Program: program,
		New: func(t *testing.T) func() runtimetest.Box {
			cfg := process.Config{Root: newRoot(t), LogFiles: files, LogSize: size}
			if own {
				cfg.Network = openNetwork(t)
			}
			return func() runtimetest.Box { return open(t, cfg) }
		},
		Can: runtimetest.Capabilities{
			Shell: shell, MemoryLimit: can.MemoryLimit, PidsLimit: true, // by RLIMIT_NPROC where not by a cgroup
			LogBound: files*size + 256<<10, Terminal: true,
		},
	}
	if own {
		h.Can.Listener = func(t *testing.T, port int, text string) ([]string, []sessions.Mount) {
			exe := executable(t)
			return []string{"/opt/test/" + filepath.Base(exe), "listen", strconv.Itoa(port), text},
				[]sessions.Mount{{Source: filepath.Dir(exe), Target: "/opt/test", ReadOnly: true}}
		}
	}
	return h
}

func TestProcessIsARuntime(t *testing.T) {
	runtimetest.Run(t, harness(t, os.Geteuid() == 0))
}

// TestProcessIsARuntimeForAnyone runs the suite, and what else needs no root, as another user: without
// cgroups and in the box's network.
func TestProcessIsARuntimeForAnyone(t *testing.T) {
	if os.Getenv(unprivileged) != "" || os.Getenv(mapped) != "" {
		runtimetest.Run(t, harness(t, false)) // this is that user
		return
	}
	dir, err := os.MkdirTemp("", "palisade")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const nobody = 65534
	if err := errors.Join(os.Chown(dir, nobody, nobody), copyFile(executable(t), filepath.Join(dir, "process.test"))); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "process.test"),
		"-test.run", "^(TestProcessIsARuntimeForAnyone|TestPortsOfASharedNetwork|TestTheDaemonIsKilled|TestTheSupervisorIsKilled|TestLongPaths)$")
	cmd.Env = append(os.Environ(), unprivileged+"=1", "TMPDIR="+dir, "HOME=/nonexistent")
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// BenchmarkStart is a session from nothing to its first process running, without its end.
func BenchmarkStart(b *testing.B) {
	r := open(b, process.Config{Root: newRoot(b), Network: openNetwork(b)})
	for i := 0; b.Loop(); i++ {
		s := spec(strconv.Itoa(i), "exec sleep 1000")
		s.Limits = sessions.Limits{MilliCPU: 1000, Memory: 256 << 20, Pids: 100}
		if _, err := r.Start(b.Context(), s); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := errors.Join(r.Stop(b.Context(), s.ID, 0), r.Remove(b.Context(), s.ID)); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
