package containerd_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/terminal"
)

// screen reads a terminal until it has shown words.
func screen(t *testing.T, v *terminal.View, words string) {
	t.Helper()
	var seen bytes.Buffer
	late := time.AfterFunc(30*time.Second, v.Close)
	defer late.Stop()
	for p := make([]byte, 4096); !strings.Contains(seen.String(), words); {
		n, err := v.Read(p)
		seen.Write(p[:n])
		if err != nil {
			_, _, why := v.End()
			t.Fatalf("%q was not shown but %q (%v)", words, seen.String(), why)
		}
	}
}

// TestTerminalsOutliveTheDaemon: of an image's own user, without a shell's help, over the end of who watches.
func TestTerminalsOutliveTheDaemon(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		const ref = "localhost/palisade-test:user"
		bring(t, b.Runtime, ref, v1.Config{User: "app"})
		s := spec("held", "sleep", "1000")
		s.Image = ref
		b.start(s)
		attach := func(k *terminal.Keeper, r *containerd.Runtime) *terminal.View {
			v, err := k.Attach(terminal.Request{
				Session: "held", Name: "main", Size: sessions.Window{Rows: 31, Columns: 117}, Type: "vt220",
				Exec: func(ctx context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
					return r.Exec(ctx, "held", cmd)
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
		types := func(v *terminal.View, keys string) {
			if _, err := io.WriteString(v, keys); err != nil {
				t.Fatal(err)
			}
		}
		k := terminal.NewKeeper()
		v := attach(k, b.Runtime)
		types(v, "id -u; stty size; echo $TERM; kept=$$; echo mar''ked\r")
		screen(t, v, "1234\r\n31 117\r\nvt220\r\nmarked\r\n")
		k.End(bounded(t), errors.New("the daemon ends"))

		next := connect(t, b.cfg)
		defer next.Close()
		k = terminal.NewKeeper()
		v = attach(k, next)
		screen(t, v, "marked\r\n")
		types(v, "[ $kept = $$ ] && echo sa''me\r")
		screen(t, v, "same\r\n")
		exec := func(ctx context.Context, cmd sessions.ExecSpec) (sessions.Exit, error) {
			return next.Exec(ctx, "held", cmd)
		}
		if err := terminal.Tell(bounded(t), exec, "\r\nit ends soon\r\n"); err != nil {
			t.Error(err)
		}
		screen(t, v, "it ends soon\r\n")
		types(v, "exit 6\r")
		_, _ = io.Copy(io.Discard, v)
		if exit, over, err := v.End(); exit.Code != 6 || !over || err != nil {
			t.Errorf("%+v, %t, %v", exit, over, err)
		}
		k.End(bounded(t), errors.New("over"))
	})
}

// TestCommandsOfADaemonThatWasKilled are ended by the next one; those of one that lives are not.
func TestCommandsOfADaemonThatWasKilled(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		b.start(spec("left", "sleep", "1000"))
		left := map[string]string{}
		for _, terminal := range []bool{true, false} {
			script := "trap 'echo hup >/tmp/hup; exit' HUP; echo up; while :; do sleep 98765; done"
			name, err := b.Leave(bounded(t), "left", terminal, shell(script))
			if err != nil {
				t.Fatal(err)
			}
			left[name] = script
		}
		out, in := io.Pipe()
		ctx, cancel := context.WithCancel(bounded(t))
		lives := make(chan error, 1)
		go func() {
			_, err := b.Exec(ctx, "left", sessions.ExecSpec{Argv: shell("echo up; sleep 56789"), Stdout: in})
			lives <- err
		}()
		if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
			t.Fatal(err)
		}
		next := connect(t, b.cfg)
		defer next.Close()
		for begun := time.Now(); ; <-time.After(100 * time.Millisecond) {
			kept, _ := filepath.Glob(filepath.Join(b.cfg.Root, "instances/left/commands/*"))
			if len(kept) == 1 {
				break
			}
			if time.Since(begun) > 30*time.Second {
				t.Fatalf("left: %q", kept)
			}
		}
		running := b.execs("left", "/bin/sh", "-c", "ps -o args; cat /tmp/hup")
		if strings.Contains(running, "98765") || !strings.Contains(running, "56789") || !strings.Contains(running, "hup\n") {
			t.Errorf("what runs now:\n%s", running)
		}
		for name := range left {
			if fifos, _ := filepath.Glob(filepath.Join(b.cfg.Root, "exec/*", name+"*")); len(fifos) > 0 {
				t.Errorf("left: %q", fifos)
			}
		}
		cancel()
		if err := <-lives; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if kept, _ := os.ReadDir(filepath.Join(b.cfg.Root, "instances/left/commands")); len(kept) > 0 {
			t.Errorf("written down yet: %v", kept)
		}
	})
}

// TestHangUp: a shell's child that swallows the signal does not keep the shell from obeying it.
func TestHangUp(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		b.start(spec("hup", "sleep", "1000"))
		for range 8 {
			ctx, cancel := context.WithCancel(bounded(t))
			out, in := io.Pipe()
			done := make(chan error, 1)
			go func() {
				_, err := b.Exec(ctx, "hup", sessions.ExecSpec{Argv: shell("trap 'echo hup >>/tmp/hup; exit' HUP; echo up; while :; do true & wait; sleep 0.001; done"), Stdout: in, Terminal: &sessions.Terminal{}})
				done <- err
			}()
			if _, err := io.ReadFull(out, make([]byte, 3)); err != nil {
				t.Fatal(err)
			}
			go func() { _, _ = io.Copy(io.Discard, out) }()
			cancel()
			<-done
		}
		if n := strings.Count(b.execs("hup", "cat", "/tmp/hup"), "hup"); n != 8 {
			t.Errorf("%d of 8 could say that they were hung up", n)
		}
	})
}
