package e2e_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestKilledAnywhere kills the daemon at ever later moments of a service's start and of its end. Whatever was
// recorded by then comes up, or goes, after the restart; nothing runs twice and nothing is left over.
func TestKilledAnywhere(t *testing.T) {
	b := newBox(t)
	b.start()
	b.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	for i := range 10 {
		name := fmt.Sprintf("crash-%d", i)
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.cli("service", "create", "host", "voices", "2", "--name", name) // its answer may be lost
		}()
		<-time.After(time.Duration(i) * 15 * time.Millisecond) // the moment of the crash, not a wait for something
		b.kill()
		<-done
		b.start()
		if !b.recorded(name) {
			continue
		}
		b.wantHealthy(name)
		if n := supervised(t, b.dir); n != 2 {
			t.Errorf("killed %d ms after the wish: %d sessions run, want 2", i*15, n)
		}
		if n := len(b.links()); n != 2 {
			t.Errorf("killed %d ms after the wish: %d links, want 2", i*15, n)
		}
		done = make(chan struct{})
		go func() {
			defer close(done)
			b.cli("service", "rm", name)
		}()
		<-time.After(time.Duration(i) * 10 * time.Millisecond)
		b.kill()
		<-done
		b.start()
		b.cli("service", "rm", name) // the first may not have been heard
		if err := eventually(soon, func() error {
			if n := supervised(t, b.dir); n != 0 {
				return fmt.Errorf("%d sessions run", n)
			}
			if left := b.run("service", "list", "-q"); left != "" {
				return fmt.Errorf("left: %s", left)
			}
			return nil
		}); err != nil {
			t.Errorf("killed %d ms after its removal was asked for: %v", i*10, err)
		}
	}
	for _, l := range b.links() {
		t.Errorf("a link is left: %s", l)
	}
}

// links are the ends of sessions' links on this box, by name. Their names begin with what tells the appliance that made them.
// /sys would show those of the network namespace in which it was mounted.
func (b *box) links() (out []string) {
	b.t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		b.t.Fatal(err)
	}
	bridge := "pl-" + hashed(filepath.Join(b.dir, "netns"), 10)
	for _, l := range all {
		if strings.HasPrefix(l.Name, "pl"+hashed(bridge, 4)+".") {
			out = append(out, l.Name)
		}
	}
	return out
}

func hashed(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])[:n]
}

// recorded reports whether a service that was asked for is wanted. One whose creation a crash cut short is not: it is
// listed as going for a moment, and gone.
func (b *box) recorded(name string) bool {
	b.t.Helper()
	var list []serviceView
	b.into(&list, "service", "list")
	return slices.ContainsFunc(list, func(v serviceView) bool { return v.Name == name && v.Status != "DESTROYING" })
}

// wantHealthy waits until a service is.
func (b *box) wantHealthy(name string) {
	b.t.Helper()
	if err := eventually(60*time.Second, func() error {
		if v := b.service(name); v.Status != "HEALTHY" {
			return fmt.Errorf("%s is %s: %s", name, v.Status, v.Sentence)
		}
		return nil
	}); err != nil {
		b.t.Error(err)
	}
}

// supervised counts the sessions that run below a data directory.
func supervised(t *testing.T, dir string) int {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "\x00supervise\x00"+dir) {
			n++
		}
	}
	return n
}
