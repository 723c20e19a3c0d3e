package e2e_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRuntimeThatIsNotThere starts the appliance where what it needs is missing: it ends soon, and says what to do.
func TestRuntimeThatIsNotThere(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "pal-none-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	file, dead := filepath.Join(dir, "file"), filepath.Join(dir, "dead.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		flags []string
		want  []string
	}{
		"no containerd":         {flags: []string{"--runtime", "containerd", "--containerd", filepath.Join(dir, "none.sock")}, want: []string{"no containerd listens", "--containerd private"}},
		"no socket":             {flags: []string{"--runtime", "containerd", "--containerd", file}, want: []string{file}},
		"a socket left over":    {flags: []string{"--runtime", "containerd", "--containerd", dead}, want: []string{"nobody listens"}},
		"no such simulated box": {flags: []string{"--simulate", "dgxz9"}, want: []string{"dgxz9", "dgxh100"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if err := b.launch(tt.flags...); err == nil {
				t.Fatal("it serves")
			}
			for _, want := range tt.want {
				if !strings.Contains(b.log.String(), want) {
					t.Errorf("it does not say %q:\n%s", want, b.log)
				}
			}
			b.daemon = nil // there is nothing to end
		})
	}
}
