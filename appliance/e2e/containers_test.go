package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// containerBox is a box that starts a containerd of its own, with the engine's image in it.
func containerBox(t *testing.T, settings ...string) *box {
	t.Helper()
	b := newBox(t)
	b.settings = append([]string{"--runtime", "containerd", "--containerd", "private"}, settings...)
	b.start()
	b.run("image", "import", engineImage(t, "engine:1"))
	return b
}

// contained makes a service of voices in containers of image.
func (b *box) contained(image, name string, routes int, more ...string) (token string) {
	b.t.Helper()
	b.folder(name, strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	b.run(append([]string{"service", "create", image, name, fmt.Sprint(routes), "--name", name, "--wait"}, more...)...)
	return b.run("service", "generate-token", name, "--duration", "1h", "-q")
}

// TestContainers is the main job in containers: an archive becomes an image, the image's engine answers from two
// containers on one port, and neither the daemon's death nor containerd's ends them.
func TestContainers(t *testing.T) {
	b := containerBox(t)
	if list := b.run("image", "list"); !strings.Contains(list, "engine:1") {
		t.Fatalf("the image is not listed:\n%s", list)
	}
	token := b.contained("engine:1", "voices", 2, "-r", "cpu=0.5", "-r", "mem=512m")
	routes := b.routes("voices")
	if len(routes) != 2 || routes[0].Address == routes[1].Address {
		t.Fatalf("routes: %+v", routes)
	}
	for _, r := range routes {
		if !strings.HasSuffix(r.Address, ":8000") {
			t.Errorf("a route is at %s", r.Address)
		}
	}
	b.wantTurns(token, "voices", routes)

	t.Run("what a session is", func(t *testing.T) {
		inside := fmt.Sprintf("/proc/%d/root", routes[0].PID)
		for _, want := range []string{"/models/model-definition.yaml", "/bin/busybox", "/.palisade/init"} {
			if _, err := os.Stat(inside + want); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(inside + b.dir); err == nil {
			t.Error("a session sees the data directory")
		}
		if log := b.run("session", "logs", routes[0].ID); !strings.Contains(log, "listening") {
			t.Errorf("log:\n%s", log)
		}
		for _, target := range []string{b.url + "/api/v1/version", "http://" + routes[1].Address + "/health"} {
			reach := exec.Command("nsenter", "--net", "--target", fmt.Sprint(routes[0].PID), "busybox", "wget", "-T", "2", "-q", "-O", "-", target)
			if out, err := reach.CombinedOutput(); err == nil {
				t.Errorf("a session reaches %s: %s", target, out)
			}
		}
	})

	t.Run("the daemon is killed", func(t *testing.T) {
		before := pids(b.routes("voices"))
		b.kill()
		b.start()
		b.wantHealthy("voices")
		b.wantTurns(token, "voices", routes)
		if after := pids(b.routes("voices")); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("processes were %v and are %v", before, after)
		}
	})

	t.Run("a runtime that does not see them is refused", func(t *testing.T) {
		b.stop()
		settings := b.settings
		b.settings = []string{"--runtime", "process"}
		if err := b.launch(); err == nil || !strings.Contains(b.log.String(), "2 sessions run") {
			t.Errorf("%v:\n%s", err, b.log)
		}
		b.settings = settings
		b.start()
		b.wantTurns(token, "voices", routes)
	})

	t.Run("containerd is killed", func(t *testing.T) {
		pid := b.containerd()
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		b.wantTurns(token, "voices", routes) // nobody who asks need notice
		if err := eventually(soon, func() error {
			if out, errs, code := b.cli("image", "list"); code != 0 || !strings.Contains(out, "engine:1") {
				return fmt.Errorf("image list: %d, %s%s", code, out, errs)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		if b.containerd() == pid {
			t.Error("it is the same process")
		}
		b.wantHealthy("voices")
		if again := b.routes("voices"); again[0].ID != routes[0].ID || again[1].ID != routes[1].ID {
			t.Errorf("routes were replaced: %+v", again)
		}
	})

	t.Run("an image that is used stays", func(t *testing.T) {
		if out, errs, code := b.cli("image", "rm", "engine:1"); code == 0 || !strings.Contains(errs, "voices") {
			t.Errorf("%d: %s%s", code, out, errs)
		}
	})
	b.run("service", "rm", "voices", "--wait")
	b.run("image", "rm", "engine:1")
	b.wantNoContainers()
}

// wantTurns asks as often as there are routes, twice, and wants each to have answered twice.
func (b *box) wantTurns(token, model string, routes []routeView) {
	b.t.Helper()
	heard := map[string]int{}
	for range 2 * len(routes) {
		text, err := say(b.t.Context(), b.client(token), model, 60, nil)
		if err != nil {
			b.t.Fatal(err)
		}
		for _, r := range routes {
			if strings.Contains(text, r.ID) {
				heard[r.ID]++
			}
		}
	}
	for _, r := range routes {
		if heard[r.ID] != 2 {
			b.t.Errorf("%s answered %d times of 2: %v", r.ID, heard[r.ID], heard)
		}
	}
}

// containerd is the process of the box's own containerd.
func (b *box) containerd() int {
	b.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		program, _, _ := strings.Cut(string(text), "\x00")
		if filepath.Base(program) == "containerd" && strings.Contains(string(text), b.dir) {
			var pid int
			if _, err := fmt.Sscanf(f, "/proc/%d/cmdline", &pid); err == nil && pid > 1 {
				return pid
			}
		}
	}
	b.t.Fatal("no containerd runs")
	return 0
}

// wantNoContainers looks that nothing of any container is left on the box.
func (b *box) wantNoContainers() {
	b.t.Helper()
	if err := eventually(soon, func() error {
		for _, pattern := range []string{
			b.dir + "/containerd/state/io.containerd.runtime.v2.task/palisade/*",
			b.dir + "/netns*/ses-*", "/sys/fs/cgroup/*/palisade/ses-*", "/sys/fs/cgroup/palisade/ses-*",
		} {
			left, err := filepath.Glob(pattern)
			if err != nil {
				return err
			}
			// Sessions of other boxes of this machine run in theirs.
			left = slices.DeleteFunc(left, func(path string) bool {
				procs, err := os.ReadFile(path + "/cgroup.procs")
				return err == nil && len(procs) > 0
			})
			if len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
		}
		return nil
	}); err != nil {
		b.t.Error(err)
	}
}
