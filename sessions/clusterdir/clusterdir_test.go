package clusterdir_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/ssh"

	"github.com/palisade-run/palisade/sessions/clusterdir"
)

// usual are the ports of containers that have a network of their own.
func usual(count int) []int { return slices.Repeat([]int{clusterdir.Port}, count) }

func TestDirectories(t *testing.T) {
	root := filepath.Join(t.TempDir(), "clusters")
	d := clusterdir.New(root)
	if err := d.Keep(nil); err != nil {
		t.Error("before there is any:", err)
	}
	dir, err := d.Make("ses-a", []string{"main1", "sub1"}, usual(2))
	if err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		t.Helper()
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := read("hostfile"); got != "main1 slots=1\nsub1 slots=1\n" {
		t.Errorf("hostfile %q", got)
	}
	key, err := ssh.ParsePrivateKey([]byte(read("key")))
	if err != nil {
		t.Fatal(err)
	}
	if want := string(ssh.MarshalAuthorizedKey(key.PublicKey())); want != read("authorized_keys") {
		t.Errorf("%q lets in another key than %q", read("authorized_keys"), want)
	}
	if st, err := os.Stat(root); err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("others may look into it: %v %v", st.Mode(), err)
	}

	if got := read("ssh_config"); !strings.Contains(got, "\nHost main1 sub1 *-sub1\n") {
		t.Errorf("ssh_config speaks of others: %s", got)
	}

	before := read("key")
	if again, err := d.Make("ses-a", []string{"main1", "sub1"}, usual(2)); err != nil || again != dir || read("key") != before {
		t.Errorf("made again, it is another: %s %v", again, err)
	}
	// What a machine that lost its power may leave.
	if err := errors.Join(os.Truncate(filepath.Join(dir, "host_key"), 0), os.WriteFile(filepath.Join(dir, "key.new"), nil, 0o444)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Make("ses-a", []string{"main1", "sub1"}, usual(2)); err != nil || read("key") == before {
		t.Errorf("keys that do not belong together: %v", err)
	}
	if _, err := ssh.ParsePrivateKey([]byte(read("host_key"))); err != nil {
		t.Error(err)
	}
	before = read("key")
	for range 2 {
		if err := d.Open("ses-a", 3); err != nil {
			t.Error(err)
		}
	}
	read("go.3")
	if other, err := d.Make("ses-b", []string{"main1"}, usual(1)); err != nil {
		t.Error(err)
	} else if b, _ := os.ReadFile(filepath.Join(other, "key")); string(b) == before {
		t.Error("two sessions have one key")
	}
	// What a daemon left that was killed while it made one.
	if err := os.Mkdir(filepath.Join(root, "ses-c.new"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := d.Keep([]string{"ses-a"}); err != nil {
		t.Error(err)
	}
	entries, _ := os.ReadDir(root)
	if len(entries) != 1 || entries[0].Name() != "ses-a" {
		t.Errorf("kept: %v", entries)
	}
	for range 2 {
		if err := d.Forget("ses-a"); err != nil {
			t.Error(err)
		}
	}
	if err := d.Open("ses-a", 1); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("opened what is not there: %v", err)
	}
	for _, id := range []string{"", ".", "..", "../x", "a/b", "x.new"} {
		if _, err := d.Make(id, nil, nil); err == nil {
			t.Errorf("%q is an id", id)
		}
	}
}

// A daemon may run with any umask; whoever a session runs as reads what its containers share.
func TestDirectoriesUnderAnyUmask(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	d := clusterdir.New(filepath.Join(t.TempDir(), "clusters"))
	dir, err := d.Make("ses-a", []string{"main1", "sub1"}, usual(2))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Open("ses-a", 1); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]os.FileMode{dir: 0o755, filepath.Join(dir, "hostfile"): 0o444} {
		if st, err := os.Stat(path); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v %v", path, st.Mode(), err)
		}
	}
}

// Several boxes have the same directory: what one has made is put on the others, and what changes with the place changes there.
func TestDirectoriesOfSeveralBoxes(t *testing.T) {
	hosts := []string{"main1", "sub1"}
	files, err := clusterdir.Files(hosts, []int{20000, 20001})
	if err != nil {
		t.Fatal(err)
	}
	d := clusterdir.New(filepath.Join(t.TempDir(), "clusters"))
	dir, err := d.Put("ses-a", files)
	if err != nil {
		t.Fatal(err)
	}
	has := func() map[string]string {
		t.Helper()
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]string{}
		for _, e := range entries {
			b, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			out[e.Name()] = string(b)
		}
		return out
	}
	if diff := cmp.Diff(files, has()); diff != "" {
		t.Error(diff)
	}
	if got := files["ssh_config"]; !strings.Contains(got, "\nHost main1\n\tPort 20000\nHost sub1 *-sub1\n\tPort 20001\nHost main1 sub1 *-sub1\n") {
		t.Errorf("ssh_config: %s", got)
	}
	moved := clusterdir.Renamed(files, hosts, usual(2))
	if moved["key"] != files["key"] || moved["ssh_config"] == files["ssh_config"] {
		t.Error("other ports: another key, or the same ports")
	}
	if _, err := d.Put("ses-a", moved); err != nil {
		t.Fatal(err)
	}
	if err := d.Open("ses-a", 2); err != nil {
		t.Fatal(err)
	}
	moved["go.2"] = ""
	if diff := cmp.Diff(moved, has()); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"../x", "a/b", ""} {
		if _, err := d.Put("ses-b", map[string]string{name: "x"}); err == nil {
			t.Errorf("%q is a file", name)
		}
	}
}
