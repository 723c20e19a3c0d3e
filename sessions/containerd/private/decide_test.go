package private

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestParseVersion(t *testing.T) {
	for _, c := range []struct {
		output       string
		major, minor int
		text         string
	}{
		{"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n", 1, 6, "1.6.20~ds1"},
		{"containerd github.com/containerd/containerd/v2 v2.4.2 \n", 2, 4, "v2.4.2"},
		{"containerd containerd.io 1.7.27 05044ec0a9a75232cad458027ca83437aae3f4da\n", 1, 7, "1.7.27"},
		{"containerd github.com/containerd/containerd/v2 v2.10.0-rc.1 abc", 2, 10, "v2.10.0-rc.1"},
	} {
		v, err := parseVersion(c.output)
		if err != nil || v != (Version{c.major, c.minor, c.text}) {
			t.Errorf("%q: %+v, %v", c.output, v, err)
		}
	}
	for _, output := range []string{"", "containerd", "containerd a b", "containerd a v2", "GNU bash, version 5.2.15"} {
		if v, err := parseVersion(output); err == nil {
			t.Errorf("%q was read as %+v", output, v)
		}
	}
	for _, output := range []string{"containerd a 1.5.18 x", "containerd a v0.2.0 x"} {
		_, err := parseVersion(output)
		if e, ok := errors.AsType[*Error](err); !ok || !strings.Contains(err.Error(), "too old") || e.Hint() == "" {
			t.Errorf("%q: %v", output, err)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add("containerd github.com/containerd/containerd 1.6.20~ds1 x")
	f.Fuzz(func(t *testing.T, output string) {
		v, err := parseVersion(output)
		if err == nil && (v.Major < 1 || v.Text == "" || !strings.Contains(output, v.Text)) {
			t.Errorf("%q was read as %+v", output, v)
		}
	})
}

func TestSettings(t *testing.T) {
	short := layout{"/run/x"}
	old, current := settings(short, Version{1, 6, "1.6"}), settings(short, Version{2, 4, "v2.4"})
	for _, want := range []string{"version = 2\n", `root = "/run/x/root"`, `address = "/run/x/c.sock"`} {
		if !strings.Contains(old, want) {
			t.Errorf("1.6 lacks %s:\n%s", want, old)
		}
	}
	if strings.Contains(old, "socket_dir") {
		t.Errorf("1.6 does not know socket_dir:\n%s", old)
	}
	for _, want := range []string{"version = 3\n", `socket_dir = "/run/x/s"`} {
		if !strings.Contains(current, want) {
			t.Errorf("2.4 lacks %s:\n%s", want, current)
		}
	}
	long := layout{"/" + strings.Repeat("d", longestShimDir)}
	if s := settings(long, Version{2, 4, ""}); strings.Contains(s, "socket_dir") {
		t.Errorf("containerd would refuse that socket_dir:\n%s", s)
	}
	if got, want := quote("a\"b\\c\nd"), `"a\"b\\c\u000Ad"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestLongDirectory(t *testing.T) {
	fits := "/" + strings.Repeat("d", longestSocket-len("/c.sock.ttrpc")-1)
	if l, err := newLayout(fits); err != nil || len(l.ttrpc()) != longestSocket {
		t.Errorf("%d bytes: %v", len(l.ttrpc()), err)
	}
	_, err := newLayout(fits + "ddd")
	e, ok := errors.AsType[*Error](err)
	if !ok || !strings.Contains(err.Error(), "has 107 bytes") || !strings.Contains(e.Hint(), "shorter by 3 bytes") {
		t.Errorf("%v", err)
	}
	if _, err := newLayout(""); err == nil {
		t.Error("no directory is none")
	}
}

func TestPause(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		-1: 100 * time.Millisecond, 0: 100 * time.Millisecond, 1: 100 * time.Millisecond, 2: 200 * time.Millisecond, 5: 1600 * time.Millisecond,
		9: 25600 * time.Millisecond, 10: 30 * time.Second, 1 << 40: 30 * time.Second,
	} {
		if got := pause(failures); got != want {
			t.Errorf("pause(%d) = %v, want %v", failures, got, want)
		}
	}
}

func TestParseStart(t *testing.T) {
	const rest = " 1 1 1 0 -1 4194560 1 0 0 0 1 2 0 0 20 0 10 0 8675309 1 1"
	if n, err := parseStart("12 (a) R (b)) S" + rest); n != 8675309 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := parseStart("12 (containerd) Z" + rest); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a zombie is nobody: %v", err)
	}
	for _, stat := range []string{"", "12 (a) S", ")"} {
		if _, err := parseStart(stat); err == nil {
			t.Errorf("%q was read", stat)
		}
	}
}

func TestMissingPrograms(t *testing.T) {
	dir := t.TempDir()
	program := func(name, script string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+script+"\n"), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for _, c := range []struct{ name, program, want string }{
		{"not there", filepath.Join(dir, "nothing"), "no such file"},
		{"not executable", program("plain", "", 0o644), "permission denied"},
		{"a directory", dir, "is a directory"},
		{"relative", "containerd", "no absolute path"},
		{"too old", program("old", "echo containerd x 1.4.13 y", 0o755), "too old"},
		{"something else", program("other", "echo hello", 0o755), "is not how a containerd tells its version"},
		{"fails", program("failing", "exit 3", 0o755), "exit status 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := findPrograms(t.Context(), c.program); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	for missing, want := range map[string]string{
		"containerd": "install containerd", "runc": "install runc", shimName: "beside the containerd program", "containerd runc": "install containerd runc",
	} {
		if hint := missingHint(strings.Fields(missing)); !strings.Contains(hint, want) {
			t.Errorf("%s: %s", missing, hint)
		}
	}
}
