package apps_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/apps"
)

// inShell is a world whose sessions are shells of this box, with a /tmp and a home of their own.
func inShell(t *testing.T, line string) (w *world, tmp string) {
	t.Helper()
	tmp = t.TempDir()
	w = newWorld(t, func(d *apps.Deps) {
		d.Labels = func(context.Context, sessions.Session) map[string]string {
			return map[string]string{apps.LabelPorts: "board:http:7000", apps.LabelLine + "board": line}
		}
	})
	w.apps.Now = time.Now
	w.exec = func(spec sessions.ExecSpec) (sessions.Exit, error) {
		cmd := exec.CommandContext(t.Context(), spec.Argv[0], spec.Argv[1:]...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + tmp, "HOME=" + tmp}
		for name, value := range spec.Env {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		cmd.Stdout, cmd.Stderr = spec.Stdout, spec.Stderr
		err := cmd.Run()
		if ended, ok := errors.AsType[*exec.ExitError](err); ok {
			return sessions.Exit{Reason: sessions.ExitFailed, Code: ended.ExitCode()}, nil
		}
		return sessions.Exit{Reason: sessions.ExitCompleted}, err
	}
	return w, tmp
}

// TestWhatAnAppWritesIsBounded: its last words are kept, and not all that it ever wrote.
func TestWhatAnAppWritesIsBounded(t *testing.T) {
	w, tmp := inShell(t, `yes palisade | head -c 13000005; echo "last words" >&2; exit 3`)
	_, _, err := w.apps.Open(t.Context(), "default", id, "board")
	failed, ok := errors.AsType[*apps.StartError](err)
	if !ok || !strings.Contains(failed.Why, "has ended") || len(failed.Log) != 20 || failed.Log[19] != "last words" {
		t.Fatalf("%v", err)
	}
	logs, err := filepath.Glob(filepath.Join(tmp, ".palisade-app-board.log*"))
	if err != nil || len(logs) != 2 {
		t.Errorf("it left %q, %v", logs, err)
	}
	for _, name := range logs {
		if info, err := os.Stat(name); err != nil || info.Size() > 4<<20+1 {
			t.Errorf("%s has %d bytes, %v", name, info.Size(), err)
		}
	}
}

// TestAnAppOfBefore: a number that was left behind, by an image that was made of a session say, is not taken for an app.
func TestAnAppOfBefore(t *testing.T) {
	w, tmp := inShell(t, `echo "it is run"; exit 3`)
	left := fmt.Appendln(nil, os.Getpid())
	if err := os.WriteFile(filepath.Join(tmp, ".palisade-app-board.pid"), left, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := w.apps.Open(t.Context(), "default", id, "board")
	if failed, ok := errors.AsType[*apps.StartError](err); !ok || strings.Join(failed.Log, "") != "it is run" {
		t.Errorf("%v", err)
	}
}

// TestAShellThatFails: what it says is shown safe for anybody's eyes, and not without end.
func TestAShellThatFails(t *testing.T) {
	w := board(t, func(_ *world, cmd sessions.ExecSpec) (sessions.Exit, error) {
		_, _ = io.WriteString(cmd.Stdout, strings.Repeat("no\n", 1000)+"\x1b]0;title\a\x1b[2Jbad \u009bshell\n")
		return sessions.Exit{Reason: sessions.ExitFailed, Code: 2}, nil
	})
	_, _, err := w.apps.Open(t.Context(), "default", id, "board")
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\a\u009b\n") || !strings.Contains(err.Error(), "ended with 2: no | no | ") || len(err.Error()) > 300 {
		t.Errorf("%.500q", err)
	}
}
