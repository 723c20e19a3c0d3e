package cli_test

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
)

// onTerminal runs the program on a terminal, types what it is asked for, and returns all that was shown. Each of
// typed is a prompt and the answer to it.
func onTerminal(t *testing.T, typed [][2]string, args ...string) string {
	t.Helper()
	data, err := os.MkdirTemp("", "pal")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	a, err := admintest.New(t.Context(), data, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(data, "palisade.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: a.Handler, ConnContext: admin.ConnContext, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })

	cmd := exec.CommandContext(t.Context(), "palisade", args...)
	cmd.Env = append(os.Environ(), "PALISADE_DATA="+data)
	master, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 30, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	var shown bytes.Buffer
	chunk := make([]byte, 4096)
	for {
		n, err := master.Read(chunk)
		shown.Write(chunk[:n])
		if len(typed) > 0 && strings.Contains(shown.String(), typed[0][0]) {
			if _, err := io.WriteString(master, typed[0][1]+"\n"); err != nil {
				t.Fatal(err)
			}
			typed = typed[1:]
		}
		if err != nil { // EIO: nobody has the terminal any more
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, &shown)
	}
	return shown.String()
}

func TestPasswordIsNotShown(t *testing.T) {
	shown := onTerminal(t, [][2]string{{"User name for ghcr.io: ", "ann"}, {"Password of ann for ghcr.io: ", "hunter2"}}, "registry", "login", "ghcr.io")
	if !strings.Contains(shown, "the log-in of ann for ghcr.io is kept") || strings.Contains(shown, "hunter2") {
		t.Errorf("%q", shown)
	}
}

func TestPullShowsABar(t *testing.T) {
	shown := onTerminal(t, nil, "image", "pull", "busybox")
	if !strings.Contains(shown, "layer 1 of 2") || !strings.Contains(shown, "MiB") || !strings.Contains(shown, "docker.io/library/busybox:latest  ") {
		t.Errorf("%q", shown)
	}
}
