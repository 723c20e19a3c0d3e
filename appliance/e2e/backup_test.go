package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3/option"

	"github.com/palisade-run/palisade/appliance/store/pgtest"
)

// destroy is the end of a box: its daemon, what ran on it, and its disk.
func (b *box) destroy() {
	b.t.Helper()
	b.kill()
	if err := eventually(soon, func() error {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			return err
		}
		for _, e := range entries {
			pid, err := strconv.Atoi(e.Name())
			if err != nil {
				continue
			}
			cmdline, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
			if err == nil && bytes.Contains(cmdline, []byte(b.dir)) {
				_ = syscall.Kill(pid, syscall.SIGKILL) // it may have gone by itself
			}
		}
		return noneLeft(b.dir)
	}); err != nil {
		b.t.Fatal(err)
	}
	if err := eventually(soon, func() error { // what sessions had mounted goes with them
		mounts, err := os.ReadFile("/proc/self/mounts")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(mounts)) {
			if at := strings.Fields(line)[1]; strings.HasPrefix(at, b.dir+"/") {
				_ = syscall.Unmount(at, syscall.MNT_DETACH)
			}
		}
		return os.RemoveAll(b.dir)
	}); err != nil {
		b.t.Fatal(err)
	}
}

// serves waits until a service answers to a token from before.
func (b *box) serves(token string) {
	b.t.Helper()
	if err := eventually(60*time.Second, func() error {
		_, err := say(b.t.Context(), b.client(token), "steady", 5, nil)
		return err
	}); err != nil {
		b.t.Fatal(err)
	}
}

// TestBackupAndRestore is the drill: an appliance under load is backed up, its box is lost, and another appliance is made of the backup:
// on SQLite where it was, and on PostgreSQL elsewhere.
func TestBackupAndRestore(t *testing.T) {
	b := newBox(t)
	dir := filepath.Dir(b.dir)
	settings := filepath.Join(dir, "settings.yaml")
	if err := os.WriteFile(settings, []byte("limits:\n  projects:\n    lab: {requests_per_minute: 600}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.settings = []string{"--config", settings}
	b.start()
	b.badFolder("steady")
	b.run("folder", "clone", "steady", "kept")
	b.run("service", "create", "host", "kept", "1", "--name", "steady", "--wait")
	token := b.run("service", "generate-token", "steady", "--duration", "1h", "-q")
	b.run("user", "create", "ann")
	b.run("project", "create", "lab")
	b.run("project", "limits", "lab", "--requests-per-minute", "77")
	secret := b.run("key", "create", "robot", "--scope", "admin", "-q")
	cmd := exec.Command(b.program, "secret", "set", "HF_TOKEN")
	cmd.Env, cmd.Stdin = b.env, strings.NewReader("hf_hush")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	key, wrong := filepath.Join(dir, "backup.key"), filepath.Join(dir, "other.key")
	text := b.run("backup", "key")
	if err := errors.Join(os.WriteFile(key, []byte(text), 0o600), os.WriteFile(wrong, []byte(b.run("backup", "key", "-q")), 0o600)); err != nil {
		t.Fatal(err)
	}
	public := strings.TrimPrefix(strings.SplitN(text, "\n", 2)[0], "# public key: ")
	// What is in memory is more exact than what is kept.
	b.stop()
	b.start()
	b.serves(token)
	b.fails(1, []string{"nothing to seal it to", "palisade backup key"}, "backup", "create")

	// Under load.
	archive := filepath.Join(dir, "box.backup")
	d := b.newDemand(token)
	for range 3 {
		d.each("OpenAI's client", d.spoken(option.WithMaxRetries(0)))
	}
	if err := eventually(soon, func() error {
		if d.asked.Load() < 10 {
			return errors.New("nobody asks yet")
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	kept := b.kept()
	least := d.asked.Load()
	b.run("backup", "create", "--folders", "--recipient", public, "--to", archive)
	most := d.asked.Load() + 4 // and those that were being answered, and the first one
	b.run("backup", "create", "--recipient", public)
	if list := b.run("backup", "list"); !strings.Contains(list, "done") || strings.Contains(list, "folders ") {
		t.Error(list)
	}
	d.end()
	if n := d.failed.Load(); n > 0 {
		t.Errorf("%d requests failed meanwhile", n)
	}
	b.run("project", "create", "after") // is lost with the box
	b.destroy()

	// Damage and wrong keys change nothing.
	raw, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string][]byte{"cut": raw[:len(raw)-500], "altered": append(bytes.Clone(raw[:len(raw)/2]), append([]byte{raw[len(raw)/2] ^ 1}, raw[len(raw)/2+1:]...)...)} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, other, 0o600); err != nil {
			t.Fatal(err)
		}
		b.fails(1, []string{"the backup is damaged", "nothing was changed"}, "backup", "restore", path, "--key", key)
	}
	b.fails(1, []string{"sealed to another key"}, "backup", "restore", archive, "--key", wrong)
	if _, err := os.Stat(b.dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("something was made: %v", err)
	}
	b.run("backup", "verify", archive, "--key", key)

	same := func(b *box) {
		t.Helper()
		b.serves(token)
		now := b.kept()
		for _, moves := range []string{"usage --by token,model,day", "audit list --all -n 1000", "service list", "folder list"} {
			delete(now, moves)
			delete(kept, moves)
		}
		if diff := cmp.Diff(kept, now, cmp.FilterPath(steady, cmp.Ignore())); diff != "" {
			t.Errorf("(-before +after):\n%s", diff)
		}
		if out := b.run("project", "limits", "lab"); !strings.Contains(out, "77") {
			t.Error(out)
		}
		if out := b.run("secret", "list", "-q"); strings.TrimSpace(out) != "HF_TOKEN" {
			t.Error(out)
		}
		b.run("audit", "verify")
	}
	atBackup := func(b *box) {
		t.Helper()
		if n, _ := b.counted(); n < least || n > most {
			t.Errorf("%d requests are counted, of %d to %d at the time of the backup", n, least, most)
		}
		if out := b.run("project", "list", "-q"); strings.Contains(out, "after") {
			t.Errorf("there is what came after it: %s", out)
		}
	}

	b.run("backup", "restore", archive, "--key", key)
	if text, err := os.ReadFile(filepath.Join(b.dir, "settings.restored")); err != nil || !strings.Contains(string(text), "lab") {
		t.Errorf("the settings: %v %s", err, text)
	}
	b.start()
	atBackup(b)
	same(b)
	cmd = exec.Command(b.program, "whoami", "--host", b.url)
	cmd.Env = slices.Concat(b.env, []string{"PALISADE_KEY=" + strings.TrimSpace(secret)})
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the API key from before: %v: %s", err, out)
	}
	b.fails(1, []string{"the appliance runs"}, "backup", "restore", archive, "--key", key, "--replace")
	b.stop()
	b.fails(1, []string{"is not empty", "--replace"}, "backup", "restore", archive, "--key", key)
	if out := b.run("backup", "restore", archive, "--key", key, "--replace"); !strings.Contains(out, "before-restore-") {
		t.Error(out)
	}
	b.start() // what ran is taken over
	atBackup(b)
	same(b)

	var server pgtest.Server
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	other := newBox(t)
	other.settings = []string{"--database", server.Database(t)}
	other.run("backup", "restore", archive, "--key", key, "--database", other.settings[1])
	other.start()
	atBackup(other)
	same(other)
}

// TestBackupsBySchedule: one is made at once where there is none, older ones go, and the doctor says so when none can be made.
func TestBackupsBySchedule(t *testing.T) {
	b := newBox(t)
	words, settings := filepath.Join(filepath.Dir(b.dir), "words"), filepath.Join(filepath.Dir(b.dir), "settings.yaml")
	if err := errors.Join(os.WriteFile(words, []byte("a long passphrase\n"), 0o600),
		os.WriteFile(settings, []byte("backup: {schedule: \"0 3 1 1 *\", keep: 1, passphrase_file: words}\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	b.start("--config", settings)
	var made []struct {
		Name, State, Sealed string
		Scheduled           bool
	}
	if err := eventually(soon, func() error {
		b.into(&made, "backup", "list")
		if len(made) != 1 || made[0].State != "done" || !made[0].Scheduled || made[0].Sealed != "passphrase" {
			return fmt.Errorf("%+v", made)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.run("backup", "verify", filepath.Join(b.dir, "backups", made[0].Name), "--passphrase-file", words)
	b.run("backup", "verify", made[0].Name)
	if out := b.run("doctor"); !strings.Contains(out, "backups: "+made[0].Name) {
		t.Error(out)
	}
	if out := b.run("audit", "list", "-o", "json"); !strings.Contains(out, "backups/"+made[0].Name) {
		t.Error(out)
	}
	b.run("backup", "fetch", made[0].Name, "--to", filepath.Join(b.models, "x.backup"))
	if out := b.run("audit", "list", "--all", "-o", "json"); !strings.Contains(out, "fetchBackup") {
		t.Errorf("nobody knows who has it: %s", out)
	}
	b.run("backup", "rm", made[0].Name)
	b.fails(1, []string{"not found", "palisade backup list"}, "backup", "verify", made[0].Name)
}
