package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

// calibrationView is what calibrate prints.
type calibrationView struct {
	Running *struct{ ID string }
	Last    *struct {
		ID, API, Route         string
		Knee                   int
		Load                   float64 `json:"load_time"`
		Memory                 int64
		Reads                  float64 `json:"prompt_tokens_per_second"`
		Makes                  float64 `json:"tokens_per_second"`
		Took                   float64
		Points                 []struct{ Concurrency int }
		Disturbed, Concurrency int
	}
}

// A real engine is measured, for nobody's account; its users come first; the autoscaler goes by what came of it.
func TestMeasured(t *testing.T) {
	b := newBox(t)
	b.start()
	token := b.serve("talker", "forever", 1)

	var v calibrationView
	b.into(&v, "calibrate", "talker", "--for", "6s", "--max-concurrency", "8")
	c := v.Last
	if c == nil || c.API != "chat" || c.Knee < 1 || c.Load <= 0 || c.Memory <= 0 || c.Reads <= 0 || c.Makes <= 0 || len(c.Points) < 2 || c.Took > 8 {
		t.Fatalf("%+v", c)
	}
	if out := b.run("usage", "-o", "json"); strings.Contains(out, "talker") {
		t.Errorf("it counts as somebody's: %s", out)
	}
	if out := b.run("calibrate", "talker", "--last"); !strings.Contains(out, "<- knee") || !strings.Contains(out, "prompt tokens/s") {
		t.Error(out)
	}

	b.run("service", "autoscale", "talker", "--max", "4", "--target", "concurrency=auto")
	want := fmt.Sprintf("target %d per route", c.Knee)
	if err := eventually(soon, func() error {
		if out := b.run("service", "autoscale", "talker", "-o", "json"); !strings.Contains(out, want) {
			return fmt.Errorf("no %q in %s", want, out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}

	usersFirst(t, b, token)
	cutShort(t, b)
	b.run("service", "scale", "talker", "0")
	b.fails(1, []string{"it is at zero", "palisade service scale talker 1"}, "calibrate", "talker")
	b.fails(1, []string{"not found"}, "calibrate", "walker")
	b.fails(1, []string{"--for", "from 5 to 1800"}, "calibrate", "talker", "--for", "1s")
	if again := b.run("calibrate", "talker", "--last", "-q"); again != fmt.Sprint(c.Knee) {
		t.Errorf("what was measured is forgotten: %q", again)
	}
}

// usersFirst: while somebody asks, nothing is measured, and that is said.
func usersFirst(t *testing.T, b *box, token string) {
	t.Helper()
	ctx, enough := context.WithCancel(t.Context())
	began, ended := make(chan struct{}, 100_000), make(chan error, 1)
	go func() {
		var err error
		for err == nil { // one answer may not be as long as it takes to be refused
			_, err = say(ctx, b.client(token), "talker", 900, func() { began <- struct{}{} })
		}
		ended <- err
	}()
	<-began
	b.fails(1, []string{"its users ask it", "--force"}, "calibrate", "talker", "--for", "5s")
	enough()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the user: %v", err)
	}
}

// cutShort: Ctrl-C ends a measurement, and so does the end of the daemon; what was known before stays.
func cutShort(t *testing.T, b *box) {
	t.Helper()
	begin := func() (*exec.Cmd, *bytes.Buffer) {
		var said bytes.Buffer
		cmd := exec.Command(have.palisade, "calibrate", "talker", "--for", "60s")
		cmd.Env, cmd.Stdout, cmd.Stderr = b.env, &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if err := eventually(soon, func() error {
			var v calibrationView
			if b.into(&v, "calibrate", "talker", "--last"); v.Running == nil {
				return errors.New("it has not begun")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return cmd, &said
	}
	cmd, said := begin()
	_ = cmd.Process.Signal(os.Interrupt)
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(said.String(), "interrupted") {
		t.Errorf("Ctrl-C: %v: %s", cmd.ProcessState, said)
	}
	if err := eventually(soon, func() error {
		var v calibrationView
		if b.into(&v, "calibrate", "talker", "--last"); v.Running != nil {
			return errors.New("it goes on")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	cmd, said = begin()
	b.kill()
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("the daemon is gone: %v: %s", cmd.ProcessState, said)
	}
	b.start()
}

// Services are talked to and compared; what was made for that is taken away.
func TestChat(t *testing.T) {
	b := newBox(t)
	b.start()
	b.serve("talker", "forever", 1)
	b.serve("reciter", "recite", 1)

	if out := b.run("chat", "talker", "Who", "are", "you?", "--max-tokens", "20", "--system", "Be brief."); !strings.Contains(out, "I am ses-") {
		t.Errorf("chat: %q", out)
	}
	var r struct{ Text, Finish string }
	if b.into(&r, "chat", "reciter", "Who are you?"); !strings.HasSuffix(r.Text, "my voice.") || r.Finish != "stop" {
		t.Errorf("%+v", r)
	}
	piped := exec.Command(have.palisade, "chat", "reciter")
	piped.Env, piped.Stdin = b.env, strings.NewReader("Who are you?\n")
	if out, err := piped.Output(); err != nil || !strings.Contains(string(out), "my voice.") {
		t.Errorf("through a pipe: %s, %v", out, err)
	}
	var both struct {
		Answers []struct{ Service, Text, Error string }
	}
	b.into(&both, "compare", "talker", "reciter", "Who are you?", "--max-tokens", "20")
	if len(both.Answers) != 2 || both.Answers[0].Text == "" || both.Answers[1].Text == "" || both.Answers[0].Text == both.Answers[1].Text {
		t.Errorf("%+v", both)
	}
	talk(t, b)

	b.fails(1, []string{`did you mean "talker"`}, "chat", "talkr", "hi")
	b.fails(1, []string{"reciter", "--token"}, "chat", "reciter", "hi", "--token", "wrong")
	b.fails(2, []string{"nothing is asked"}, "chat", "reciter")
	b.run("service", "scale", "talker", "0")
	if out, said, code := b.cli("compare", "talker", "reciter", "Who are you?", "--in-turn"); code != 1 || !strings.Contains(out, "my voice.") || !strings.Contains(out, "-- talker: ") {
		t.Errorf("one of two: %d\n%s%s", code, out, said)
	}
	for _, service := range []string{"talker", "reciter"} {
		var tokens []struct {
			Name    string
			Revoked *time.Time `json:"revoked_at"`
		}
		b.into(&tokens, "service", "tokens", service)
		for _, k := range tokens {
			if k.Name == "command line" && k.Revoked == nil {
				t.Errorf("a token for %s is left behind", service)
			}
		}
	}
}

// talk is a conversation on a terminal: an answer that Ctrl-C stops, a question that is asked again, and leaving.
func talk(t *testing.T, b *box) {
	t.Helper()
	cmd := exec.Command(have.palisade, "chat", "talker")
	cmd.Env = slices.Concat(b.env, []string{"TERM=xterm"})
	screen, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: 100})
	if err != nil {
		t.Fatal(err)
	}
	defer screen.Close()
	said := &safeBuffer{}
	copied := make(chan struct{})
	go func() { _, _ = io.Copy(said, screen); close(copied) }()
	until := func(what string, typed ...string) {
		t.Helper()
		for _, keys := range typed {
			if _, err := io.WriteString(screen, keys); err != nil {
				t.Fatal(err)
			}
		}
		if err := eventually(soon, func() error {
			if !strings.Contains(said.String(), what) {
				return errors.New("nothing of the kind")
			}
			return nil
		}); err != nil {
			t.Fatalf("%q was not said: %q", what, said.String())
		}
	}
	until("> ")
	until("I am ses-", "Who are you?\r")
	until("broken off", "\x03")
	until("told so", "/system Be brief.\r")
	until("cut off at its length", "/undo\r", "/set max-tokens 5\r", "\"\"\"\r", "one\r", "two\r", "\"\"\"\r")
	until("user: one\r\ntwo", "/show\r")
	if _, err := io.WriteString(screen, "\x04"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("leaving: %v: %q", err, said.String())
	}
	<-copied
}
