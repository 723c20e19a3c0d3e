package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/palisade-run/palisade/sessions"
)

func TestScrollback(t *testing.T) {
	var s scrollback
	var all bytes.Buffer
	for i := 0; all.Len() < 3*Scrollback; i++ {
		p := []byte(strings.Repeat("x", i%5000) + fmt.Sprintf("%d\n", i))
		s.add(p)
		all.Write(p)
		if i%300 != 0 {
			continue
		}
		kept := all.Bytes()[max(0, all.Len()-Scrollback):]
		got := make([]byte, Scrollback+1)
		if n := s.read(s.first(), got); !bytes.Equal(got[:n], kept) {
			t.Fatalf("after %d bytes, %d are kept and are others", all.Len(), n)
		}
		again := s.replay()
		if !bytes.HasSuffix(kept, again) || len(again) < len(kept)-longestLine {
			t.Fatalf("%d bytes are shown again of %d", len(again), len(kept))
		}
		if len(again) < len(kept) && kept[len(kept)-len(again)-1] != '\n' {
			t.Fatal("it does not begin with a line")
		}
	}
}

func TestQuestionsAreNotAskedAgain(t *testing.T) {
	for shown, want := range map[string]string{
		"a\x1b[cb": "ab", "a\x1b[>0cb": "ab", "a\x1b[6nb": "ab", "a\x1b[?25$pb": "ab", "a\x1b[>qb": "ab", "a\x1b]11;?\x07b": "ab", "a\x1b]4;1;?\x1b\\b": "ab", "a\x1bP+q544e\x1b\\b": "ab", "a\x05b": "ab",
		"\x1b[31mred\x1b[0m": "\x1b[31mred\x1b[0m", "\x1b]0;a title\x07x": "\x1b]0;a title\x07x", "\x1b[2J\x1b[?1049h": "\x1b[2J\x1b[?1049h", "next c n": "next c n",
	} {
		if got := string(withoutQuestions([]byte(shown))); got != want {
			t.Errorf("%q becomes %q", shown, got)
		}
	}
}

// shell is a program on a terminal that the test writes for.
type shell struct {
	out   io.Writer
	in    io.Reader
	sizes <-chan sessions.Window
	end   chan sessions.Exit
	argv  []string
}

// exec runs shells, which come on a channel.
func exec(started chan<- *shell) func(context.Context, sessions.ExecSpec) (sessions.Exit, error) {
	return func(ctx context.Context, spec sessions.ExecSpec) (sessions.Exit, error) {
		s := &shell{out: spec.Stdout, in: spec.Stdin, sizes: spec.Terminal.Resize, end: make(chan sessions.Exit), argv: spec.Argv}
		started <- s
		select {
		case exit := <-s.end:
			return exit, nil
		case <-ctx.Done():
			return sessions.Exit{}, ctx.Err()
		}
	}
}

func attach(t *testing.T, k *Keeper, name string, started chan *shell, size sessions.Window) *View {
	t.Helper()
	v, err := k.Attach(Request{Session: "s", Name: name, Size: size, Exec: exec(started)})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// take reads what is there now.
func take(v *View, most int) []byte {
	got := make(chan []byte, 1)
	go func() {
		p := make([]byte, most)
		n, _ := v.Read(p)
		got <- p[:n]
	}()
	return <-got
}

// TestTheFastestHoldsUp: a flood waits for whoever reads fastest; who is slower misses some, and is told so; where nobody
// watches nothing waits.
func TestTheFastestHoldsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, started := NewKeeper(), make(chan *shell)
		fast := attach(t, k, "main", started, sessions.Window{})
		sh := <-started
		slow := attach(t, k, "main", started, sessions.Window{})
		written := 0
		chunk := bytes.Repeat([]byte("0123456789abcde\n"), 64)
		flood := func(n int) {
			for range n {
				if _, err := sh.out.Write(chunk); err != nil {
					return
				}
				written += len(chunk)
			}
		}
		done := make(chan struct{})
		go func() { flood(1000); close(done) }()
		synctest.Wait()
		if written < ahead || written > ahead+2*len(chunk) {
			t.Errorf("%d bytes are shown before anybody looks", written)
		}
		for seen := 0; seen < 1000*len(chunk); {
			seen += len(take(fast, 32<<10))
		}
		<-done
		if text := string(take(slow, 4096)); !strings.Contains(text, "bytes that came too fast are left out") {
			t.Errorf("the slow one is shown %.80q", text)
		}
		fast.Close()
		slow.Close()
		flood(1000) // with nobody there
		back := attach(t, k, "main", started, sessions.Window{})
		if text := take(back, 16); string(text) != "0123456789abcde\n" {
			t.Errorf("who comes back is shown %q", text)
		}
		back.Close()
		k.End(t.Context(), errors.New("over"))
	})
}

func TestHowItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, started := NewKeeper(), make(chan *shell)
		v := attach(t, k, "main", started, sessions.Window{Rows: 24, Columns: 80})
		sh := <-started
		typed := make([]byte, 8)
		go func() { _, _ = v.Write([]byte("ls\r")) }()
		if n, err := sh.in.Read(typed); err != nil || string(typed[:n]) != "ls\r" {
			t.Errorf("%q, %v", typed[:n], err)
		}
		v.Resize(sessions.Window{Rows: 50, Columns: 132})
		v.Resize(sessions.Window{Rows: 50, Columns: 132}) // no news
		if size := <-sh.sizes; size.Rows != 50 || len(sh.sizes) > 0 {
			t.Errorf("%+v", size)
		}
		_, _ = io.WriteString(sh.out, "bye")
		sh.end <- sessions.Exit{Reason: sessions.ExitFailed, Code: 3}
		if all, err := io.ReadAll(v); err != nil || string(all) != "bye" {
			t.Errorf("%q, %v", all, err)
		}
		if exit, over, err := v.End(); exit.Code != 3 || !over || err != nil {
			t.Errorf("%+v %t %v", exit, over, err)
		}
		if names := k.Names("s"); len(names) > 0 {
			t.Errorf("%v are left", names)
		}

		v = attach(t, k, "main", started, sessions.Window{})
		<-started
		v.Close()
		if _, err := v.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("%v", err)
		}
		if _, over, _ := v.End(); over {
			t.Error("it ended with who watched it")
		}
		again := attach(t, k, "main", started, sessions.Window{})
		k.End(t.Context(), errors.New("the appliance stops"))
		if _, over, err := again.End(); !over || !errors.Is(err, sessions.ErrUnavailable) || !strings.Contains(err.Error(), "the appliance stops") {
			t.Errorf("%t, %v", over, err)
		}
		if _, err := k.Attach(Request{Session: "s", Name: "main"}); !errors.Is(err, sessions.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	})
}

func TestNoShell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, started := NewKeeper(), make(chan *shell)
		v := attach(t, k, "main", started, sessions.Window{})
		for _, want := range shells() {
			sh := <-started
			if sh.argv[0] != want[0] {
				t.Errorf("tried is %q", sh.argv)
			}
			sh.end <- sessions.Exit{Reason: sessions.ExitStartFailed, Message: "Command " + want[0] + ": not found in PATH."}
		}
		_, _ = io.ReadAll(v)
		if _, _, err := v.End(); !errors.Is(err, ErrNoShell) || !errors.Is(err, sessions.ErrNotSupported) || !strings.Contains(err.Error(), "Command sh: not found") {
			t.Errorf("%v", err)
		}
	})
}

func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, started := NewKeeper(), make(chan *shell, Most)
		for i := range Most {
			attach(t, k, fmt.Sprint("t", i), started, sessions.Window{})
		}
		if _, err := k.Attach(Request{Session: "s", Name: "more", Exec: exec(started)}); !errors.Is(err, sessions.ErrForbidden) {
			t.Errorf("%v", err)
		}
		attach(t, k, "t3", started, sessions.Window{}) // one that is there
		for _, name := range []string{"", "../x", "a b", strings.Repeat("x", 64), "-x"} {
			if _, err := k.Attach(Request{Session: "s", Name: name, Exec: exec(started)}); !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("%q: %v", name, err)
			}
		}
		k.End(t.Context(), errors.New("over"))
	})
}

// TestWholeScreens: who draws on the whole screen is made to draw again for one who cannot be shown all of it.
func TestWholeScreens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, started := NewKeeper(), make(chan *shell)
		size := sessions.Window{Rows: 24, Columns: 80}
		attach(t, k, "main", started, size).Close()
		sh := <-started
		attach(t, k, "main", started, size).Close()
		if len(sh.sizes) != 0 {
			t.Error("all of it was shown, and it is to draw again")
		}
		for range 3 {
			_, _ = sh.out.Write(make([]byte, Scrollback/2))
		}
		attach(t, k, "main", started, size).Close()
		if one, two := <-sh.sizes, <-sh.sizes; one != (sessions.Window{Rows: 23, Columns: 80}) || two != size {
			t.Errorf("%v, %v", one, two)
		}
		k.End(t.Context(), errors.New("over"))
	})
}
