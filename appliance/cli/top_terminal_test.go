package cli_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
)

// terminal is a person's: a program runs on it, and what it shows is kept.
type terminal struct {
	t      *testing.T
	master *os.File
	slave  *os.File
	cmd    *exec.Cmd
	server *http.Server
	before unix.Termios // as it was when the program was started
	plain  bool         // it does not draw on the whole screen

	appliance *admintest.Appliance
	mu        sync.Mutex
	shown     bytes.Buffer
	changed   chan struct{} // closed and made anew when more is shown
}

// topOnTerminal runs "palisade top" on a terminal of 100 columns and 30 lines, against an appliance with a simulated box.
func topOnTerminal(t *testing.T) *terminal {
	t.Helper()
	return programOnTerminal(t, func(a *admintest.Appliance) { a.Pool.Simulate() }, "top", "--interval", "500ms")
}

// programOnTerminal runs palisade with the arguments, against an appliance that was made ready.
func programOnTerminal(t *testing.T, ready func(*admintest.Appliance), args ...string) *terminal {
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
	ready(a)
	l, err := net.Listen("unix", filepath.Join(data, "palisade.sock"))
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: a.Handler, ConnContext: admin.ConnContext, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { _ = srv.Close() })

	term := &terminal{t: t, changed: make(chan struct{}), server: srv, appliance: a}
	if term.master, term.slave, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = term.master.Close(); _ = term.slave.Close() })
	if err := pty.Setsize(term.slave, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	term.before = term.state()
	term.cmd = exec.CommandContext(t.Context(), palisadeBinary(t), args...)
	term.cmd.Env = append(os.Environ(), "PALISADE_DATA="+data, "TERM=xterm-256color", "PALISADE_HOST=")
	term.cmd.Stdin, term.cmd.Stdout, term.cmd.Stderr = term.slave, term.slave, term.slave
	term.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := term.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go term.watch()
	return term
}

// palisadeBinary is this test's own file under the name that TestMain knows.
func palisadeBinary(t *testing.T) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "palisade")
	if err := os.Symlink(self, name); err != nil {
		t.Fatal(err)
	}
	return name
}

func (r *terminal) watch() {
	buffer := make([]byte, 4096)
	for {
		n, err := r.master.Read(buffer)
		r.mu.Lock()
		r.shown.Write(buffer[:n])
		close(r.changed)
		r.changed = make(chan struct{})
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// see waits until what has been shown since it was last asked for holds the words, and forgets it.
func (r *terminal) see(words ...string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for {
		r.mu.Lock()
		text, changed := r.shown.String(), r.changed
		r.mu.Unlock()
		missing := ""
		for _, w := range words {
			if !strings.Contains(text, w) {
				missing = w
			}
		}
		if missing == "" {
			r.mu.Lock()
			r.shown.Next(len(text))
			r.mu.Unlock()
			return text
		}
		select {
		case <-changed:
		case <-ctx.Done():
			r.t.Fatalf("%q was not shown; the last that was: %q", missing, text[max(0, len(text)-3000):])
		}
	}
}

func (r *terminal) typed(keys string) {
	r.t.Helper()
	if _, err := io.WriteString(r.master, keys); err != nil {
		r.t.Fatal(err)
	}
}

func (r *terminal) state() unix.Termios {
	r.t.Helper()
	got, err := unix.IoctlGetTermios(int(r.slave.Fd()), unix.TCGETS)
	if err != nil {
		r.t.Fatal(err)
	}
	return *got
}

// ended waits for the program, and wants the terminal as it was before.
func (r *terminal) ended(code int) {
	r.t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.cmd.Wait() }()
	select {
	case err := <-done:
		exit, _ := errors.AsType[*exec.ExitError](err)
		if got := r.cmd.ProcessState.ExitCode(); got != code || exit == nil && err != nil {
			r.t.Errorf("exit code %d (%v), want %d", got, err, code)
		}
	case <-time.After(20 * time.Second):
		r.t.Fatal("it does not end")
	}
	if after := r.state(); after != r.before {
		r.t.Errorf("the terminal was %+v and is %+v", r.before, after)
	}
	if !r.plain {
		r.see("\x1b[?25h", "\x1b[?1049l")
	}
}

// TestTopGivesTheTerminalBack: however it ends, the terminal is as it was.
func TestTopGivesTheTerminalBack(t *testing.T) {
	for name, end := range map[string]func(*terminal){
		"q":               func(r *terminal) { r.typed("q") },
		"Ctrl-C":          func(r *terminal) { r.typed("\x03") },
		"SIGTERM":         func(r *terminal) { _ = r.cmd.Process.Signal(unix.SIGTERM) },
		"SIGINT":          func(r *terminal) { _ = r.cmd.Process.Signal(unix.SIGINT) },
		"SIGHUP":          func(r *terminal) { _ = r.cmd.Process.Signal(unix.SIGHUP) },
		"after an escape": func(r *terminal) { r.typed("\x1b[A\x1bOBq") },
	} {
		t.Run(name, func(t *testing.T) {
			r := topOnTerminal(t)
			r.see("\x1b[?1049h", "\x1b[?25l", "SIMULATED", "cuda:7", "q quit")
			if during := r.state(); during.Lflag&unix.ECHO != 0 || during.Lflag&unix.ICANON != 0 {
				t.Error("keys are echoed")
			}
			end(r)
			r.ended(0)
		})
	}
}

// TestTopFollowsKeysAndTheWindow: a key changes the order at once, and a smaller window gets a smaller frame.
func TestTopFollowsKeysAndTheWindow(t *testing.T) {
	r := topOnTerminal(t)
	r.see("cuda:7", "s sort (cpu)")
	r.typed("d")
	r.see("s sort (device memory)")
	r.typed("s")
	r.see("s sort (name)")
	if err := pty.Setsize(r.slave, &pty.Winsize{Rows: 8, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	r.see("more devices that this window has no room for")
	r.typed("q")
	r.ended(0)
}

// TestTopGoesOnWithoutAnAppliance: what was seen last stays, with why there is nothing newer.
func TestTopGoesOnWithoutAnAppliance(t *testing.T) {
	r := topOnTerminal(t)
	r.see("cuda:7")
	if err := r.server.Close(); err != nil {
		t.Fatal(err)
	}
	r.see("no news: reaching", "cuda:7")
	r.typed("q")
	r.ended(0)
}

// TestTopIsSuspended: Ctrl-Z stops the program with the terminal given back; when it goes on, it takes it again.
func TestTopIsSuspended(t *testing.T) {
	r := topOnTerminal(t)
	r.see("cuda:7")
	r.typed("\x1a")
	var status unix.WaitStatus
	if _, err := unix.Wait4(r.cmd.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("status %v, %v: it is not stopped", status, err)
	}
	if now := r.state(); now != r.before {
		t.Errorf("while it is stopped the terminal is %+v, and was %+v", now, r.before)
	}
	r.see("\x1b[?1049l")
	if err := r.cmd.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	r.see("\x1b[?1049h", "cuda:7")
	r.typed("q")
	r.ended(0)
}

// TestServiceTopOnATerminal: figures are redrawn until q, also while the appliance is away.
func TestServiceTopOnATerminal(t *testing.T) {
	r := programOnTerminal(t, func(a *admintest.Appliance) {
		if err := a.Serve(t.Context(), "demo"); err != nil {
			t.Fatal(err)
		}
		a.Traffic(time.Now())
	}, "service", "top", "demo", "--interval", "500ms")
	r.see("\x1b[?1049h", "palisade service top", "demo", "route-1", "TTFT P95", "q quit")
	r.see("route-1") // again
	if err := pty.Setsize(r.slave, &pty.Winsize{Rows: 8, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Close(); err != nil {
		t.Fatal(err)
	}
	r.see("no news: reaching", "demo")
	r.typed("q")
	r.ended(0)
}
