package process

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/sessions"
)

// Wait statuses as the kernel encodes them.
func exited(code int) syscall.WaitStatus             { return syscall.WaitStatus(code << 8) }
func signaled(sig syscall.Signal) syscall.WaitStatus { return syscall.WaitStatus(sig) }

func TestDecideExit(t *testing.T) {
	now := time.Unix(1, 0)
	for _, c := range []struct {
		name   string
		e      ending
		reason sessions.ExitReason
		code   int
		says   string
	}{
		{"by itself", ending{Status: exited(0)}, sessions.ExitCompleted, 0, "ended by itself"},
		{"a failure", ending{Status: exited(3)}, sessions.ExitFailed, 3, "exit code 3"},
		{"a crash", ending{Status: signaled(syscall.SIGSEGV)}, sessions.ExitCrashed, 139, "SIGSEGV"},
		{"SIGTERM from elsewhere", ending{Status: signaled(syscall.SIGTERM)}, sessions.ExitCrashed, 143, "SIGTERM"},
		{"SIGKILL from elsewhere", ending{Status: signaled(syscall.SIGKILL)}, sessions.ExitKilled, 137, "SIGKILL"},
		{"out of memory", ending{Status: signaled(syscall.SIGKILL), OOMKills: 1, Limit: 1 << 30}, sessions.ExitOutOfMemory, 137, "1 GiB"},
		{"a child out of memory", ending{Status: exited(1), OOMKills: 2}, sessions.ExitOutOfMemory, 1, "2 processes"},
		{"it got over a child's end", ending{Status: exited(0), OOMKills: 2}, sessions.ExitCompleted, 0, ""},
		{"stopped", ending{Status: signaled(syscall.SIGTERM), Stopped: true}, sessions.ExitStopped, 143, "SIGTERM"},
		{"stopped, tidily", ending{Status: exited(0), Stopped: true}, sessions.ExitStopped, 0, "Stopped"},
		{"stopped, out of memory meanwhile", ending{Status: exited(1), Stopped: true, OOMKills: 1}, sessions.ExitStopped, 1, ""},
		{"stopped by force", ending{Status: signaled(syscall.SIGKILL), Stopped: true, KilledBy: true}, sessions.ExitKilled, 137, "grace"},
		{"not started", ending{Failed: "command x: not found"}, sessions.ExitStartFailed, 127, "Command x: not found."},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.e.What = "its process"
			got := decideExit(c.e, now)
			if got.Reason != c.reason || got.Code != c.code || !strings.Contains(got.Message, c.says) || !got.FinishedAt.Equal(now) {
				t.Errorf("%+v", got)
			}
		})
	}
}

func FuzzWithTail(f *testing.F) {
	f.Add("It failed.", "a\nb\n")
	f.Add("", strings.Repeat("é", 3000))
	f.Fuzz(func(t *testing.T, message, tail string) {
		got := withTail(message, tail)
		if len(got) > maxMessage || strings.ToValidUTF8(got, "") != got {
			t.Errorf("%d bytes: %q", len(got), got)
		}
		x := sessions.Exit{Message: got}
		dir := t.TempDir()
		root, err := os.OpenRoot(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer root.Close()
		if err := errors.Join(reserveExit(dir), writeExit(root, x)); err != nil {
			t.Fatal(err)
		}
		back, found, err := readJSON[sessions.Exit](dir, fileExit)
		if err != nil || !found || back.Message != got {
			t.Errorf("%q came back as %q, %v", got, back.Message, err)
		}
	})
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
	want := sessions.Stats{CPUTime: 2500 * time.Microsecond, Memory: 3500, Pids: 7, RxBytes: -1, TxBytes: -1}
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

func TestTailOf(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for _, c := range []struct {
		text  string
		lines int
		want  string // "" with left > 0: all of it
		left  int
	}{
		{"a\nb\nc\n", 1, "c\n", 0},
		{"a\nb\nc", 1, "c", 0},
		{"a\nb\nc\n", 2, "b\nc\n", 0},
		{"a\nb\nc\n", 3, "a\nb\nc\n", 1},
		{"a\n\n\n", 2, "\n\n", 0},
		{"", 3, "", 3},
		{"a\n" + long + "\nc\n", 2, long + "\nc\n", 0},
	} {
		last := true
		at, left := tailOf(strings.NewReader(c.text), int64(len(c.text)), c.lines, &last)
		if got := c.text[at:]; got != c.want || left != c.left {
			t.Errorf("the last %d of %.20q: %.20q, %d left; want %.20q, %d", c.lines, c.text, got, left, c.want, c.left)
		}
	}
}

func TestLookPath(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"tool": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ name, path, want, says string }{
		{"tool", "/nowhere:" + dir, filepath.Join(dir, "tool"), ""},
		{filepath.Join(dir, "tool"), "", filepath.Join(dir, "tool"), ""},
		{"./tool", "", filepath.Join(dir, "tool"), ""},
		{"tool", "relative:", "", "not found in PATH"},
		{"tool", "", "", "PATH (which is empty)"},
		{"text", dir, "", "not executable"},
		{filepath.Dir(dir), "", "", "directory"},
		{filepath.Join(dir, "text", "below"), "", "", "not found"},
		{"", dir, "", "empty"},
	} {
		got, err := lookPath(c.name, c.path, dir)
		if c.says == "" && (got != c.want || err != nil) || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%q in %q: %q, %v", c.name, c.path, got, err)
		}
	}
}

func TestListenerInode(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0
   1: 0100007F:1F91 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1
`
	for port, want := range map[int]string{8080: "4711", 8081: "", 1: ""} {
		if got := listenerInode(table, port); got != want {
			t.Errorf("port %d: %q", port, got)
		}
	}
}

func TestParseProc(t *testing.T) {
	stat := "42 (a (strange) name) S 1 40 40 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 100 1000 25 184 1 1 0 0\n"
	p, ok := parseProc(stat, "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004000\n")
	want := procEntry{group: 40, cpu: 2 * time.Second, memory: 25 * int64(os.Getpagesize()), threads: 3, ignored: 1 << 12, caught: 1 << 14}
	if !ok || p != want {
		t.Errorf("%+v", p)
	}
	if p.endsBy(syscall.SIGTERM) || p.endsBy(syscall.SIGPIPE) || !p.endsBy(syscall.SIGHUP) {
		t.Error("it ends by the wrong signals")
	}
	if _, ok := parseProc("42 (gone", ""); ok {
		t.Error("half a line was taken")
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
