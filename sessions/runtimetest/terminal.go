package runtimetest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/palisade-run/palisade/sessions"
)

// onTerminal runs a script on a terminal: typed is what is typed, seen what the terminal shows.
func (f *fixture) onTerminal(ctx context.Context, id, script string, t *sessions.Terminal) (typed *io.PipeWriter, seen *bufio.Scanner, done <-chan error) {
	in, typed := io.Pipe()
	out, screen := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		exit, err := f.Exec(ctx, id, sessions.ExecSpec{Argv: f.h.Can.Shell(script), Stdin: in, Stdout: screen, Terminal: t})
		if err == nil && exit.Code != 7 {
			err = errors.New(exit.Message)
		}
		screen.Close()
		ended <- err
	}()
	f.Cleanup(func() { typed.Close() })
	return typed, bufio.NewScanner(out), ended
}

// shows reads the terminal until it has shown a line.
func (f *fixture) shows(seen *bufio.Scanner, line string) {
	f.Helper()
	var all []string
	for seen.Scan() {
		if strings.TrimRight(seen.Text(), "\r") == line {
			return
		}
		all = append(all, seen.Text())
	}
	f.Fatalf("the terminal did not show %q, but %q (%v)", line, all, seen.Err())
}

var terminals = map[string]func(*fixture){
	"it is one, of that size and kind": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		typed, seen, done := f.onTerminal(f.ctx(), "a", `tty | cut -c1-9; stty size; echo "$TERM"; read line; echo "read $line"; [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && exit 7`,
			&sessions.Terminal{Size: sessions.Window{Rows: 31, Columns: 117}, Type: "vt220"})
		f.shows(seen, "/dev/pts/")
		f.shows(seen, "31 117")
		f.shows(seen, "vt220")
		if _, err := io.WriteString(typed, "what is typed\n"); err != nil {
			f.Fatal(err)
		}
		f.shows(seen, "what is typed") // the terminal's own echo
		f.shows(seen, "read what is typed")
		if seen.Scan() {
			f.Errorf("then: %q", seen.Text())
		}
		if err := <-done; err != nil {
			f.Error(err)
		}
	},
	"it follows the window": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		resize := make(chan sessions.Window)
		_, seen, done := f.onTerminal(f.ctx(), "a", `trap 'stty size; exit 7' WINCH; stty size; while :; do sleep 0.1; done`,
			&sessions.Terminal{Size: sessions.Window{Rows: 24, Columns: 80}, Resize: resize})
		f.shows(seen, "24 80")
		resize <- sessions.Window{Rows: 50, Columns: 132}
		f.shows(seen, "50 132")
		go func() {
			for seen.Scan() {
			}
		}()
		if err := <-done; err != nil {
			f.Error(err)
		}
	},
	"Ctrl-C interrupts": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		typed, seen, done := f.onTerminal(f.ctx(), "a", `trap 'echo interrupted; exit 7' INT; echo waits; while :; do sleep 0.1; done`, &sessions.Terminal{})
		f.shows(seen, "waits")
		if _, err := typed.Write([]byte{3}); err != nil {
			f.Fatal(err)
		}
		for seen.Scan() {
		}
		if err := <-done; err != nil {
			f.Error(err)
		}
	},
	"all that it has shown is read": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		var out bytes.Buffer
		exit, err := f.Exec(f.ctx(), "a", sessions.ExecSpec{Argv: f.h.Can.Shell("yes 'a line' | head -n 20000; echo the end"), Stdout: &out, Terminal: &sessions.Terminal{}})
		if err != nil || exit.Reason != sessions.ExitCompleted || strings.Count(out.String(), "a line\r\n") != 20000 || !strings.HasSuffix(out.String(), "the end\r\n") {
			f.Errorf("%+v, %v, %d bytes", exit, err, out.Len())
		}
	},
	"ends with its context": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		ctx, cancel := context.WithCancel(f.ctx())
		_, seen, done := f.onTerminal(ctx, "a", "echo up; exec sleep 1000", &sessions.Terminal{})
		f.shows(seen, "up")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			f.Errorf("%v", err)
		}
	},
}
