package process

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/outcome"
	"github.com/palisade-run/palisade/sessions/pid1"
)

func TestAnExitHasItsRoomReserved(t *testing.T) {
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	x := sessions.Exit{Message: strings.Repeat("\x00", outcome.MaxMessage)}
	if b, err := json.Marshal(x); err != nil || len(b) > pid1.MaxFile {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	if err := errors.Join(reserveExit(dir), writeExit(root, x)); err != nil {
		t.Fatal(err)
	}
	if back, found, err := readJSON[sessions.Exit](dir, fileExit); err != nil || !found || back.Message != x.Message {
		t.Errorf("%q came back as %q, %v", x.Message, back.Message, err)
	}
}

// A process that has ended has no command line any more, and is waited for all the same.
func TestWhoIsOnTheWayOut(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	if isSupervisor(cmd.Process.Pid, "/") || !exiting(cmd.Process.Pid) {
		t.Error("one that has ended is not on its way out")
	}
	if exiting(os.Getpid()) || exiting(1<<30) {
		t.Error("one that runs, or is none, is on its way out")
	}
}

func TestHierarchies(t *testing.T) {
	all := []string{"cpuset", "cpu", "io", "memory", "hugetlb", "pids"}
	for _, c := range []struct {
		name, mountinfo string
		v2              []string
		want            []hierarchy
	}{
		{"version 2", "31 23 0:28 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n", all,
			[]hierarchy{{"/sys/fs/cgroup", true, []string{"cpu", "memory", "pids"}}}},
		{"version 1, with systemd", `40 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
41 31 0:30 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
42 31 0:31 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
43 31 0:32 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd
44 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
45 31 0:30 / /mnt/again/memory rw - cgroup cgroup rw,memory
`, nil, []hierarchy{{"/sys/fs/cgroup/cpu,cpuacct", false, []string{"cpu", "cpuacct"}}, {"/sys/fs/cgroup/memory", false, []string{"memory"}},
			{"/sys/fs/cgroup/systemd", false, []string{"name=systemd"}}, {"/sys/fs/cgroup/unified", true, nil}}},
		{"none", "22 27 0:21 / /proc rw,relatime - proc proc rw\nrubbish\n", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := hierarchies(c.mountinfo, func(string) []string { return append([]string(nil), c.v2...) })
			for i := range got {
				if len(got[i].Controllers) == 0 {
					got[i].Controllers = nil
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLimitWrites(t *testing.T) {
	limits := sessions.Limits{MilliCPU: 1500, Memory: 1 << 20, Pids: 10}
	for _, c := range []struct {
		name string
		dir  groupDir
		l    sessions.Limits
		want map[string]string
	}{
		{"version 2", groupDir{V2: true, Controllers: []string{"cpu", "memory", "pids"}}, limits,
			map[string]string{"memory.max": "1048576", "memory.swap.max": "0", "cpu.max": "150000 100000", "pids.max": "10"}},
		{"version 1", groupDir{Controllers: []string{"cpu", "memory", "pids"}}, limits,
			map[string]string{"memory.limit_in_bytes": "1048576", "memory.memsw.limit_in_bytes": "1048576", "cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "150000", "pids.max": "10"}},
		{"only what is there", groupDir{V2: true, Controllers: []string{"memory"}}, limits,
			map[string]string{"memory.max": "1048576", "memory.swap.max": "0"}},
		{"no limits", groupDir{V2: true, Controllers: []string{"cpu", "memory", "pids"}}, sessions.Limits{}, map[string]string{}},
		{"the least CPU", groupDir{V2: true, Controllers: []string{"cpu"}}, sessions.Limits{MilliCPU: 1}, map[string]string{"cpu.max": "1000 100000"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[string]string{}
			for _, w := range limitWrites(c.dir, c.l) {
				got[w.file] = w.value
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestCgroupVersion2 works on plain files in the shape of a version 2 tree.
func TestCgroupVersion2(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"memory.events": "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\n", "memory.current": "5000\n",
		"memory.stat": "anon 1000\ninactive_file 1500\nactive_file 1\n", "cpu.stat": "usage_usec 2500\nuser_usec 1\n", "pids.current": "7\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	g, err := openGroup([]groupDir{{Path: dir, V2: true, Controllers: []string{"cpu", "memory", "pids"}}})
	if err != nil {
		t.Fatal(err)
	}
	if n := g.oomKills(); n != 2 {
		t.Errorf("%d killed for memory", n)
	}
	want := sessions.Stats{CPUTime: 2500 * time.Microsecond, Memory: 3500, Pids: 7, RxBytes: -1, TxBytes: -1, ReadBytes: -1, WriteBytes: -1}
	if got := g.usage(); got != want {
		t.Errorf("%+v", got)
	}
	none, err := openGroup(nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := none.usage(); none.oomKills() != 0 || got.Memory != -1 || got.CPUTime != -1 || got.Pids != -1 {
		t.Errorf("%+v", got)
	}
}

func TestBaseEnvHoldsNoSecret(t *testing.T) {
	daemon := map[string]string{"PATH": "/x", "HF_TOKEN": "secret", "LANG": "", "TERM": "xterm"}
	got := baseEnv(func(k string) (string, bool) { v, ok := daemon[k]; return v, ok })
	want := map[string]string{"PATH": "/x", "HOME": "/root", "LANG": "C.UTF-8", "TERM": "xterm", "XDG_CACHE_HOME": "/tmp/.cache"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestValidID(t *testing.T) {
	for id, want := range map[string]bool{
		"ses-0123456789ab": true, "A.b_c-9": true, "": false, ".": false, "..": false, "-x": false, "a/b": false, "a b": false, "é": false,
		strings.Repeat("x", 128): true, strings.Repeat("x", 129): false,
	} {
		if validID(id) != want {
			t.Errorf("%q: %t", id, !want)
		}
	}
}
