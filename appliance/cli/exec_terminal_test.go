package cli_test

import (
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/sessions"
)

// inSession runs palisade on a terminal against an appliance with a session demo-2 that runs.
func inSession(t *testing.T, args ...string) *terminal {
	t.Helper()
	r := programOnTerminal(t, func(a *admintest.Appliance) {
		if err := a.Serve(t.Context(), "demo"); err != nil {
			t.Fatal(err)
		}
		for a.Manager.Sessions(admin.DefaultProject, sessions.SessionFilter{})[0].Status != sessions.StatusRunning {
			<-a.Manager.Changed() // each look takes it a step on
		}
	}, args...)
	r.plain = true
	return r
}

func TestExecOnATerminal(t *testing.T) {
	r := inSession(t, "session", "exec", "-it", "demo-2", "--", "size")
	r.see("30 100 xterm-256color")
	if during := r.state(); during.Lflag&(unix.ECHO|unix.ICANON|unix.ISIG) != 0 {
		t.Error("keys are not passed on as they are")
	}
	if err := pty.Setsize(r.slave, &pty.Winsize{Rows: 8, Cols: 60}); err != nil {
		t.Fatal(err)
	}
	r.see("8 60")
	r.ended(0)
}

// TestExecGivesTheTerminalBack: however it ends, the terminal is as it was.
func TestExecGivesTheTerminalBack(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(*terminal)
		code int
		says string
	}{
		"the command ends":           {func(r *terminal) { r.typed("\x03") }, 130, ""},
		"SIGTERM":                    {func(r *terminal) { _ = r.cmd.Process.Signal(unix.SIGTERM) }, 1, "palisade: "},
		"SIGINT from elsewhere":      {func(r *terminal) { _ = r.cmd.Process.Signal(unix.SIGINT) }, 1, "interrupted"},
		"SIGHUP":                     {func(r *terminal) { _ = r.cmd.Process.Signal(unix.SIGHUP) }, 1, ""},
		"the appliance is not there": {func(r *terminal) { r.appliance.Lines.End(t.Context(), errStopped{}) }, 1, "the appliance was stopped"},
	} {
		t.Run(name, func(t *testing.T) {
			r := inSession(t, "session", "exec", "-it", "demo-2", "--", "flood")
			r.see("y\r\ny")
			tt.end(r)
			r.see(tt.says)
			r.ended(tt.code)
		})
	}
}

type errStopped struct{}

func (errStopped) Error() string { return "the appliance was stopped" }

func TestAttachIsLeft(t *testing.T) {
	r := inSession(t, "session", "attach", "demo-2")
	r.see("Ctrl-P Ctrl-Q leaves the terminal main", "$ ")
	r.typed("hello")
	r.see("hello")
	r.typed("\x10\x11")
	r.see("left; to come back: palisade session attach demo-2")
	r.ended(0)
}

func TestAttachEndsWithItsShell(t *testing.T) {
	r := inSession(t, "session", "attach", "demo-2", "--name", "other")
	r.see("$ ")
	r.typed("exit 3\r")
	r.ended(3)
}
