package e2e_test

import (
	"database/sql"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	_ "modernc.org/sqlite"
)

// bad is a definition that runs the engine with the bad manner.
func bad(mode string) string {
	return strings.Replace(`
models:
  - name: bad
    service:
      start_command: [/models/badengine, MODE, "{ports[0]}"]
      port: 8000
      health_check: {path: /health, interval: 0.2, max_retries: 2, max_wait_time: 1, initial_delay: 0.5}
`, "MODE", mode, 1)
}

func (b *box) badFolder(mode string) {
	b.t.Helper()
	b.folder(mode, bad(mode), map[string]string{"badengine": have.badengine})
}

// TestEnginesThatFail creates services whose engines never get healthy: `create --wait` ends with the reason.
func TestEnginesThatFail(t *testing.T) {
	b := newBox(t)
	settings := filepath.Join(filepath.Dir(b.dir), "settings.yaml")
	if err := os.WriteFile(settings, []byte("service: {unhealthy_ttl: 300ms, start_timeout: 3s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.start("--config", settings)
	for _, tt := range []struct{ mode, words string }{
		{"exit", "bad magic"}, {"silent", "refused"}, {"sick", "500"}, {"hang", "no answer within"},
	} {
		t.Run(tt.mode, func(t *testing.T) {
			b.badFolder(tt.mode)
			_, stderr, code := b.cli("service", "create", "host", tt.mode, "1", "--name", tt.mode, "--wait", "--timeout", "60s")
			if code != 1 || !strings.Contains(stderr, tt.words) {
				t.Errorf("exit %d, want 1 and %q:\n%s", code, tt.words, stderr)
			}
			b.run("service", "rm", tt.mode)
		})
	}
	t.Run("missing", func(t *testing.T) {
		b.folder("missing", strings.Replace(bad("x"), "/models/badengine", "no-such-engine", 1), nil)
		_, stderr, code := b.cli("service", "create", "host", "missing", "1", "--name", "missing", "--wait", "--timeout", "60s")
		if code != 1 || !strings.Contains(stderr, "no-such-engine") || !strings.Contains(stderr, "not found") {
			t.Errorf("exit %d:\n%s", code, stderr)
		}
	})
}

// TestEnginesWithBadManners serve well, and misbehave in other ways.
func TestEnginesWithBadManners(t *testing.T) {
	b := newBox(t)
	b.start()
	t.Run("ignores SIGTERM", func(t *testing.T) {
		b.badFolder("stubborn")
		b.run("service", "create", "host", "stubborn", "1", "--name", "stubborn", "--wait")
		pid := b.routes("stubborn")[0].PID
		b.run("service", "rm", "stubborn")
		if err := eventually(soon, func() error { return gone(pid) }); err != nil {
			t.Error(err)
		}
	})
	t.Run("floods its log", func(t *testing.T) {
		b.badFolder("flood")
		b.run("service", "create", "host", "flood", "1", "--name", "flood", "--wait")
		var size int64
		err := filepath.Walk(filepath.Join(b.dir, "sessions"), func(_ string, info os.FileInfo, err error) error {
			if err == nil && info.Mode().IsRegular() {
				size += info.Size()
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if size > 80<<20 {
			t.Errorf("%d MiB of log are kept", size>>20)
		}
	})
	t.Run("leaves children behind", func(t *testing.T) {
		b.badFolder("fork")
		b.run("service", "create", "host", "fork", "1", "--name", "fork", "--wait")
		b.run("service", "rm", "fork")
		if err := eventually(soon, func() error {
			if out := b.run("service", "list", "-q"); strings.Contains(out, "fork") {
				return fmt.Errorf("still there: %s", out)
			}
			return processGone("sleep\x0086399")
		}); err != nil {
			t.Error(err)
		}
	})
}

func gone(pid int) error {
	if err := syscall.Kill(pid, 0); err == nil {
		return fmt.Errorf("process %d is there", pid)
	}
	return nil
}

func processGone(cmdline string) error {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return err
	}
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), cmdline) {
			return fmt.Errorf("%s: %q", f, text)
		}
	}
	return nil
}

// TestMistakes says what owners get to read when they ask for what cannot be.
func TestMistakes(t *testing.T) {
	b := newBox(t)
	b.fails(1, []string{"palisade serve"}, "service", "list") // no daemon
	b.start()
	b.serve("voices", "recite", 1)
	b.fails(1, []string{"nowhere", "folder"}, "service", "create", "host", "nowhere", "1")
	b.fails(1, []string{"vlllm", "vllm"}, "service", "create", "host", "voices", "1", "--runtime-variant", "vlllm")
	b.fails(1, []string{"host"}, "service", "create", "ghcr.io/nobody/nothing:1", "voices", "1", "--name", "imaged")
	b.fails(1, []string{"voices", "exists"}, "service", "create", "host", "voices", "1", "--name", "voices")
	b.fails(2, []string{"-1"}, "service", "scale", "voices", "--", "-1")
	b.fails(1, []string{"service voices"}, "folder", "rm", "voices")
	b.fails(2, []string{"duration"}, "service", "generate-token", "voices")
	b.fails(1, []string{"not found"}, "service", "info", "nobody")
	b.fails(2, []string{"list"}, "service", "lst")
}

// TestFolderVanishes takes the model folder away under a running service.
func TestFolderVanishes(t *testing.T) {
	b := newBox(t)
	b.start()
	b.serve("voices", "recite", 1)
	if err := os.Rename(filepath.Join(b.models, "voices"), filepath.Join(b.models, "moved")); err != nil {
		t.Fatal(err)
	}
	b.run("session", "rm", "--forced", b.routes("voices")[0].ID)
	if err := eventually(soon, func() error {
		if v := b.service("voices"); !strings.Contains(v.Sentence, "not there") {
			return fmt.Errorf("%s: %s", v.Status, v.Sentence)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if err := os.Rename(filepath.Join(b.models, "moved"), filepath.Join(b.models, "voices")); err != nil {
		t.Fatal(err)
	}
	b.run("service", "clear-errors", "voices")
	b.wantHealthy("voices")
}

// TestTwoDaemons must not work on one data directory, nor on one port.
func TestTwoDaemons(t *testing.T) {
	b := newBox(t)
	b.start()
	b.fails(1, []string{"another daemon", fmt.Sprint(b.daemon.Process.Pid)}, "serve", "--data", b.dir, "--listen", "127.0.0.1:0")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	b.fails(1, []string{"port is taken", "--listen"}, "serve", "--data", t.TempDir(), "--listen", l.Addr().String())
	if err := b.get("/readyz"); err != nil {
		t.Errorf("the first daemon suffered: %v", err)
	}
}

// TestNewerData refuses data that a newer version has written, and leaves it alone.
func TestNewerData(t *testing.T) {
	b := newBox(t)
	b.start()
	b.stop()
	path := filepath.Join(b.dir, "palisade.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("INSERT INTO palisade_schema (version_id, is_applied) VALUES (999999, 1)"); err != nil {
		t.Fatal(err)
	}
	b.fails(1, []string{"newer"}, "serve", "--data", b.dir, "--listen", "127.0.0.1:0")
	if _, err := db.Exec("DELETE FROM palisade_schema WHERE version_id = 999999"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	b.url = ""
	b.start()
}

// TestDiskFull runs the appliance on a small disk that fills up: what runs goes on, what cannot be kept
// is refused with the reason, and nothing that was kept is lost.
func TestDiskFull(t *testing.T) {
	b := newBox(t)
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Fatal(err)
	}
	b.start()
	token := b.serve("voices", "recite", 1)
	fill := filepath.Join(b.dir, "fill")
	file, err := os.Create(fill)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = file.Write(block)
	}
	for err = error(nil); err == nil; {
		_, err = file.Write(block[:1])
	}
	_ = file.Close()
	if _, err := say(t.Context(), b.client(token), "voices", 50, nil); err != nil {
		t.Errorf("a full disk stops an answer: %v", err)
	}
	_, stderr, code := b.cli("service", "scale", "voices", "2")
	if code != 1 || !strings.Contains(stderr, "no space left") {
		t.Errorf("on a full disk: exit %d\n%s", code, stderr)
	}
	b.kill()
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	b.start()
	if _, err := say(t.Context(), b.client(token), "voices", 50, nil); err != nil {
		t.Errorf("after the disk was full: %v", err)
	}
	b.run("service", "scale", "voices", "2")
	b.wantHealthy("voices")
}
