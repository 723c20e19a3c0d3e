package e2e_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestKilledAnywhereInContainers is TestKilledAnywhere for containers that hold devices: whatever the moment, the next
// daemon gives nothing to two sessions, forgets nobody's devices, and leaves nothing behind of what was half made.
func TestKilledAnywhereInContainers(t *testing.T) {
	b := containerBox(t, "--simulate", "dgxh100")
	b.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	snapshots := b.snapshots()
	for i := range 8 {
		name, moment := fmt.Sprintf("crash-%d", i), time.Duration(i)*40*time.Millisecond
		b.killedDuring(moment, "service", "create", "engine:1", "voices", "2", "--name", name, "-r", "cuda.device=3")
		if b.recorded(name) {
			b.wantHealthy(name)
			if n, who := b.taken(); n != 6 || len(who) != 2 {
				t.Errorf("killed %s after the wish: %d devices are taken, by %v", moment, n, who)
			}
			b.killedDuring(moment, "service", "rm", name)
			b.cli("service", "rm", name) // the first may not have been heard
		}
		if err := eventually(soon, func() error {
			if left := b.run("service", "list", "-q"); left != "" {
				return fmt.Errorf("left: %s", left)
			}
			if n, who := b.taken(); n != 0 {
				return fmt.Errorf("%d devices are taken, by %v", n, who)
			}
			return nil
		}); err != nil {
			t.Errorf("killed %s after its removal was asked for: %v", moment, err)
		}
	}
	b.wantNoContainers()
	// containerd takes them from the disk beside this.
	if err := eventually(soon, func() error {
		if now := b.snapshots(); now > snapshots {
			return fmt.Errorf("there were %d snapshots of the image alone and are %d", snapshots, now)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// killedDuring gives a command, kills the daemon at a moment of its work, and starts it again.
func (b *box) killedDuring(moment time.Duration, args ...string) {
	b.t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.cli(args...) // its answer may be lost
	}()
	<-time.After(moment) // the moment of the crash, not a wait for something
	b.kill()
	<-done
	b.start()
}

// snapshots counts the layers, of images and of containers, that containerd keeps on the disk.
func (b *box) snapshots() int {
	b.t.Helper()
	kept, err := filepath.Glob(b.dir + "/containerd/root/io.containerd.snapshotter.v1.*/snapshots/*")
	if err != nil {
		b.t.Fatal(err)
	}
	return len(kept)
}
