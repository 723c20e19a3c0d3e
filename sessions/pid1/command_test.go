package pid1

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

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

func TestParseProc(t *testing.T) {
	stat := "42 (a (strange) name) S 1 40 40 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 100 1000 25 184 1 1 0 0\n"
	p, ok := parseProc(stat, "Name:\tx\nSigIgn:\t0000000000001000\nSigCgt:\t0000000000004000\n")
	want := Entry{Group: 40, CPU: 2 * time.Second, Memory: 25 * int64(os.Getpagesize()), Threads: 3, ignored: 1 << 12, caught: 1 << 14}
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
