package runtimetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/palisade-run/palisade/sessions"
)

var logs = map[string]func(*fixture){
	"all, in order, during and after": func(f *fixture) {
		f.ready("a", Print("one"), Print("two"), Print("ready"), Forever())
		f.logIs("a", "one", "two", "ready")
		if err := f.Stop(f.ctx(), "a", 0); err != nil {
			f.Fatal(err)
		}
		f.logIs("a", "one", "two", "ready")
	},
	"the tail": func(f *fixture) {
		f.program("a", Print("one"), Print(""), Print("three"), ExitWith(0))
		f.wait("a")
		for n, want := range map[int]string{1: "three\n", 2: "\nthree\n", 3: "one\n\nthree\n", 4: "one\n\nthree\n", 1000: "one\n\nthree\n"} {
			if got := f.logs("a", sessions.LogOptions{Tail: n}); got != want {
				f.Errorf("the last %d: %q, want %q", n, got, want)
			}
		}
	},
	"the tail, then what follows, to the end": func(f *fixture) {
		f.ready("a", OnTerm("bye", 0), Print("one"), Print("ready"), Forever())
		r, err := f.Logs(f.ctx(), "a", sessions.LogOptions{Follow: true, Tail: 1})
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		lines := bufio.NewReader(r)
		if line, err := lines.ReadString('\n'); line != "ready\n" {
			f.Fatalf("%q, %v", line, err)
		}
		if err := f.Stop(f.ctx(), "a", grace); err != nil {
			f.Fatal(err)
		}
		if rest, err := io.ReadAll(lines); err != nil || string(rest) != "bye\n" {
			f.Errorf("%q, %v", rest, err)
		}
	},
	"following ends with its context": func(f *fixture) {
		f.ready("a", Print("ready"), Forever())
		ctx, cancel := context.WithCancel(f.ctx())
		r, err := f.Logs(ctx, "a", sessions.LogOptions{Follow: true})
		if err != nil {
			f.Fatal(err)
		}
		defer r.Close()
		lines := bufio.NewReader(r)
		if _, err := lines.ReadString('\n'); err != nil {
			f.Fatal(err)
		}
		cancel()
		if _, err := lines.ReadString('\n'); err == nil || errors.Is(err, io.EOF) {
			f.Errorf("read after the context's end: %v; want an error that is not the end of the log", err)
		}
	},
	"of what has ended, following ends at once": func(f *fixture) {
		f.program("a", Print("one"), ExitWith(0))
		f.wait("a")
		if got := f.logs("a", sessions.LogOptions{Follow: true}); got != "one\n" {
			f.Errorf("%q", got)
		}
	},
	"of what writes nothing": func(f *fixture) {
		f.program("a", ExitWith(0))
		f.wait("a")
		for _, opts := range []sessions.LogOptions{{}, {Follow: true}, {Tail: 5}} {
			if got := f.logs("a", opts); got != "" {
				f.Errorf("%+v: %q", opts, got)
			}
		}
	},
	"a long one": func(f *fixture) {
		var acts []Act
		var want strings.Builder
		for i := range 2000 {
			line := fmt.Sprintf("line %d %s", i, strings.Repeat("x", i%50))
			acts = append(acts, Print(line))
			want.WriteString(line + "\n")
		}
		f.program("a", append(acts, ExitWith(0))...)
		f.wait("a")
		if got := f.logs("a", sessions.LogOptions{}); got != want.String() {
			f.Errorf("%d bytes, want %d", len(got), want.Len())
		}
	},
}
