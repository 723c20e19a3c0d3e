package containerd

import (
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// A shim of the tests is this program again, under a shim's name, until nobody holds its input any more.
func init() {
	if os.Getenv("PALISADE_TEST_SHIM") != "" {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
}

func shimOf(t *testing.T, address, id, bundle string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe")
	c.Args = []string{"/usr/bin/containerd-shim-runc-v2", "-namespace", "palisade", "-id", id, "-address", address}
	c.Env, c.Dir = append(os.Environ(), "PALISADE_TEST_SHIM=1"), bundle
	in, err := c.StdinPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = c.Wait() // how it ended is what the test is about
	})
	return c
}

// What containerd made for a shim of which it knows nothing goes with it, and nothing of another session's, or of another containerd's.
func TestAShimThatContainerdForgot(t *testing.T) {
	dir := t.TempDir()
	address := filepath.Join(dir, "c.sock")
	r := &Runtime{cfg: Config{Namespace: "palisade", Address: "unix://" + address}, log: slog.New(slog.DiscardHandler)}
	bundle := func(id string) string {
		path, work := filepath.Join(dir, "state", id), filepath.Join(dir, "work", id)
		for _, d := range []string{path + "/rootfs", work} {
			if err := os.MkdirAll(d, 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Symlink(work, path+"/work"); err != nil {
			t.Fatal(err)
		}
		return path
	}
	gone, other := bundle("ses-gone"), bundle("ses-other")
	shim := shimOf(t, address, "ses-gone", gone)
	shimOf(t, address, "ses-other", other)
	elsewhere := shimOf(t, address+".other", "ses-gone", other)

	ended, err := r.endShims("ses-gone", "ses-none")
	if err != nil || !slices.Equal(ended, []string{"ses-gone"}) {
		t.Fatalf("ended are %q, %v", ended, err)
	}
	if state, err := shim.Process.Wait(); err != nil || state.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
		t.Errorf("the shim ended with %v, %v", state, err)
	}
	if err := elsewhere.Process.Signal(unix.Signal(0)); err != nil {
		t.Errorf("the shim of another containerd: %v", err)
	}
	left, err := filepath.Glob(dir + "/*/*")
	if want := []string{dir + "/state/ses-other", dir + "/work/ses-other"}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left are %q, %v; want %q", left, err, want)
	}
	if ended, err := r.endShims("ses-gone", "ses-none"); err != nil || len(ended) > 0 {
		t.Errorf("there was yet one of %q, %v", ended, err)
	}
}

// A session whose daemon died while it was made is begun again under its id: the shim that it gets is not one that came late.
func TestNotAgain(t *testing.T) {
	r := &Runtime{cfg: Config{Root: t.TempDir()}}
	if err := os.MkdirAll(r.dir("ses-again"), 0o700); err != nil {
		t.Fatal(err)
	}
	if got := r.notAgain([]string{"ses-gone", "ses-again", "ses-late"}); !slices.Equal(got, []string{"ses-gone", "ses-late"}) {
		t.Errorf("looked for are %q", got)
	}
}
