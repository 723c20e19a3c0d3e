package runtimetest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// Box is a runtime under test.
type Box interface {
	sessions.Runtime
	sessions.Observer
}

// Harness is what the suite must know of a runtime.
type Harness struct {
	// New makes an empty root and returns what opens a runtime on it. To open it again is what a new
	// daemon does after the old one was killed: what ran, runs.
	New func(t *testing.T) (open func() Box)
	// Image that is there to be started.
	Image string
	// Program says acts as a command.
	Program func(acts ...Act) []string
	// Parallel: cases run beside each other, each on a New of its own, as many as the test program runs at once.
	Parallel bool
	Can      Capabilities
}

// Capabilities say which parts of the suite a runtime is held to. A part that is not named is not run:
// what it asks for does not exist in that runtime.
type Capabilities struct {
	// Shell: commands are run, by the box's kernel. Shell says a script of sh as a command; the image has
	// sleep, cat, head, yes, tail and env.
	Shell func(script string) []string
	// MemoryLimit, PidsLimit: Spec.Limits are held.
	MemoryLimit, PidsLimit bool
	// OwnImage: a session may write to what it sees of its image, and nobody else sees that. Without, it may not.
	OwnImage bool
	// Terminal: Exec gives a command a terminal.
	Terminal bool
	// Listener says a command that answers every connection to port, on all addresses, with text, and
	// what must be mounted for it. nil: instances have no network of their own.
	Listener func(t *testing.T, port int, text string) ([]string, []sessions.Mount)
	// LogBound is how many bytes of a log may be kept at most; 0: no bound.
	LogBound int64
}

// patience bounds every wait of the suite.
const patience = 60 * time.Second

// Run holds a runtime to what sessions expects of it.
func Run(t *testing.T, h Harness) {
	groups := map[string]map[string]func(*fixture){"life": life, "adoption": adoption, "logs": logs}
	if h.Can.Shell != nil {
		groups["shell"], groups["files"], groups["prestart"], groups["processes"], groups["exec"] = shell, files, prestart, processes, execs
	}
	if h.Can.MemoryLimit {
		groups["memory"] = memory
	}
	if h.Can.PidsLimit {
		groups["pids"] = pids
	}
	if h.Can.Listener != nil {
		groups["network"] = ownNetwork
	}
	if h.Can.Terminal {
		groups["terminal"] = terminals
	}
	if h.Can.OwnImage {
		groups["image"] = ownImage
	} else if h.Can.Shell != nil {
		groups["image"] = sharedImage
	}
	if h.Can.LogBound > 0 {
		groups["flood"] = flood
	}
	for group, cases := range groups {
		t.Run(group, func(t *testing.T) {
			if h.Parallel {
				t.Parallel()
			}
			for name, fn := range cases {
				t.Run(name, func(t *testing.T) {
					if h.Parallel {
						t.Parallel()
					}
					f := &fixture{T: t, h: h, open: h.New(t)}
					f.Box = f.open()
					t.Cleanup(f.cleanUp)
					fn(f)
				})
			}
		})
	}
}

// fixture is one case's runtime. What it starts is gone at the end.
type fixture struct {
	*testing.T
	Box
	h    Harness
	open func() Box
}

// reopen is a restart of the daemon.
func (f *fixture) reopen() { f.Box = f.open() }

func (f *fixture) cleanUp() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	list, err := f.List(ctx)
	if err != nil {
		f.Errorf("listing what is left: %v", err)
	}
	for _, in := range list {
		if err := f.Stop(ctx, in.ID, 0); err != nil {
			f.Errorf("stopping what is left: %v", err)
		}
		if err := f.Remove(ctx, in.ID); err != nil {
			f.Errorf("removing what is left: %v", err)
		}
	}
}

// ctx is a context that bounds one step.
func (f *fixture) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	f.Cleanup(cancel)
	return ctx
}

func (f *fixture) spec(id string, argv []string) sessions.Spec {
	return sessions.Spec{
		ID: id, Name: "name-of-" + id, Image: f.h.Image, Labels: map[string]string{"palisade.session": id},
		Processes: []variants.Process{{Name: "main", Argv: argv, WorkDir: "/"}},
	}
}

// script is a spec that runs a script of sh.
func (f *fixture) script(id, text string) sessions.Spec { return f.spec(id, f.h.Can.Shell(text)) }

// start starts spec, which must work.
func (f *fixture) start(spec sessions.Spec) sessions.Instance {
	f.Helper()
	in, err := f.Start(f.ctx(), spec)
	if err != nil {
		f.Fatalf("starting %s: %v", spec.ID, err)
	}
	return in
}

// program starts acts.
func (f *fixture) program(id string, acts ...Act) sessions.Instance {
	f.Helper()
	return f.start(f.spec(id, f.h.Program(acts...)))
}

// ready starts acts and waits until they have printed "ready", which must be among them.
func (f *fixture) ready(id string, acts ...Act) sessions.Instance {
	f.Helper()
	in := f.program(id, acts...)
	f.awaitLine(id, "ready")
	return in
}

// wait returns how id ended.
func (f *fixture) wait(id string) sessions.Exit {
	f.Helper()
	exit, err := f.Wait(f.ctx(), id)
	if err != nil {
		f.Fatalf("waiting for %s: %v\n%s", id, err, f.log(id))
	}
	return exit
}

// ends asserts how id ends. A zero code is not asked for.
func (f *fixture) ends(id string, reason sessions.ExitReason, code int, words ...string) sessions.Exit {
	f.Helper()
	exit := f.wait(id)
	if exit.Reason != reason || code != 0 && exit.Code != code {
		f.Fatalf("%s ended with %+v, want %s %d; its log:\n%s", id, exit, reason, code, f.log(id))
	}
	f.says(exit.Message, words...)
	if exit.FinishedAt.IsZero() {
		f.Errorf("%s ended at no time", id)
	}
	return exit
}

func (f *fixture) says(text string, words ...string) {
	f.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			f.Errorf("%q does not say %q", text, w)
		}
	}
}

// doesNotStart asserts that spec fails to start, at once or soon after, in those words.
func (f *fixture) doesNotStart(spec sessions.Spec, words ...string) {
	f.Helper()
	_, err := f.Start(f.ctx(), spec)
	if err == nil {
		f.ends(spec.ID, sessions.ExitStartFailed, 0, words...)
		return
	}
	f.says(err.Error(), words...)
	for _, in := range f.list() {
		if in.ID == spec.ID {
			f.Errorf("a start that failed left %+v", in)
		}
	}
}

func (f *fixture) list() map[string]sessions.Instance {
	f.Helper()
	list, err := f.List(f.ctx())
	if err != nil {
		f.Fatalf("listing: %v", err)
	}
	byID := map[string]sessions.Instance{}
	for _, in := range list {
		byID[in.ID] = in
		if in.Running == (in.Exit != nil) {
			f.Errorf("%s is listed as running %t with exit %v", in.ID, in.Running, in.Exit)
		}
	}
	if len(byID) != len(list) {
		f.Errorf("an id is listed twice: %+v", list)
	}
	return byID
}

func (f *fixture) logs(id string, opts sessions.LogOptions) string {
	f.Helper()
	r, err := f.Logs(f.ctx(), id, opts)
	if err != nil {
		f.Fatalf("logs of %s: %v", id, err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		f.Fatalf("reading the log of %s: %v", id, err)
	}
	return string(text)
}

// log is all of a log, for messages: without a word where there is none.
func (f *fixture) log(id string) string {
	r, err := f.Logs(f.ctx(), id, sessions.LogOptions{})
	if err != nil {
		return fmt.Sprintf("(%v)", err)
	}
	defer r.Close()
	text, _ := io.ReadAll(r)
	return string(text)
}

// logIs asserts what id has written, in all.
func (f *fixture) logIs(id string, lines ...string) {
	f.Helper()
	want := strings.Join(lines, "\n") + "\n"
	if got := f.logs(id, sessions.LogOptions{}); got != want {
		f.Errorf("the log of %s is\n%s\nwant\n%s", id, got, want)
	}
}

// awaitLine returns once id has written line.
func (f *fixture) awaitLine(id, line string) {
	f.Helper()
	r, err := f.Logs(f.ctx(), id, sessions.LogOptions{Follow: true})
	if err != nil {
		f.Fatalf("logs of %s: %v", id, err)
	}
	defer r.Close()
	scan := bufio.NewScanner(r)
	var seen []string
	for scan.Scan() {
		if scan.Text() == line {
			return
		}
		seen = append(seen, scan.Text())
	}
	f.Fatalf("the log of %s ended without the line %q (%v):\n%s", id, line, scan.Err(), strings.Join(seen, "\n"))
}
