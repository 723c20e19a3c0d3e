package apps

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// How an app is started.
const (
	startPatience = 30 * time.Second // until it is begun, and until its port answers
	lookEvery     = 100 * time.Millisecond
	liveEvery     = time.Second     // how often it is asked whether its process is there still
	askPatience   = 5 * time.Second // of one short command in the session
	failureStays  = 3 * time.Second // how long the next request is told of a failure before it is tried again
	lastLines     = 20
)

// start is one start of an app, under way or over.
type start struct {
	done  chan struct{}
	err   error     // once done
	ended time.Time // once done
}

func (s *start) over() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// ensure begins to start an app, once for all who ask at the same time. A failure of a moment ago is not tried again yet.
func (a *Apps) ensure(s sessions.Session, app App) *start {
	key, now := run{s.ID, s.StartedAt, app.Name}, a.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	for k, st := range a.starts {
		if st.over() && now.Sub(st.ended) >= failureStays {
			delete(a.starts, k)
		}
	}
	if st := a.starts[key]; st != nil && (!st.over() || st.err != nil) {
		return st
	}
	st := &start{done: make(chan struct{})}
	a.starts[key] = st
	a.all.Go(func() {
		err := a.bringUp(a.life, s, app)
		a.mu.Lock()
		defer a.mu.Unlock()
		st.err, st.ended = err, a.Now()
		close(st.done)
		if err != nil {
			a.Log.Info("an app did not start", "session", s.ID, "app", app.Name, "error", err)
		}
	})
	return st
}

// The scripts that are run in a session. An app's process is a session leader of its own, so that nothing that is done to
// the command which started it is done to it; its number and what it writes are in files of the session, so that it is
// known again by who knows nothing else: the daemon may have been another one. The files are in /tmp, which goes with the
// run; $1 is the line, $2 the program that it needs.
const (
	// A number says little by itself: the file may have come with an image that was made of a session, or the process may
	// have ended long ago. So its arguments are looked at, which name the app.
	prologue = `name="${TMPDIR:-/tmp}/.palisade-app-$PALISADE_APP"; PATH="$PATH:${HOME:-/}/.local/bin"; export PATH
alive() { { case "$(cat "/proc/$(cat "$name.pid")/cmdline")" in *"palisade-app-$PALISADE_APP"*) return 0 ;; esac; } 2>/dev/null; return 1; }
`
	startScript = prologue + `alive && exit 0
cd "${HOME:-/}" 2>/dev/null || cd /
[ -z "$2" ] || command -v "$2" >/dev/null 2>&1 || exit 127
log="$name.log"; rm -f "$log.old" "$log.next"; : >"$log" 2>/dev/null || log=/dev/null
if command -v setsid >/dev/null 2>&1; then
	setsid /bin/sh -c "$3" "palisade-app-$PALISADE_APP" "$1" "$log" </dev/null >/dev/null 2>&1 &
else
	(trap '' HUP; exec /bin/sh -c "$3" "palisade-app-$PALISADE_APP" "$1" "$log") </dev/null >/dev/null 2>&1 &
fi
{ echo $! >"$name.pid"; } 2>/dev/null
exit 0
`
	// What an app writes is kept in two files of at most 4 MiB, the one of before with .old behind its name: it may write
	// for as long as its session lasts. One byte is read ahead, so that a file is put aside for more to come alone. Where
	// nothing can be kept, a full disk say, the app is still heard out: a pipe that nobody reads would end it.
	runScript = `line=$1 log=$2
keep() {
	while dd bs=4096 count=1024 >>"$log" && dd bs=1 count=1 >"$log.next" && [ -s "$log.next" ]; do
		mv -f "$log" "$log.old" && mv -f "$log.next" "$log" || break
	done
	rm -f "$log.next"
	exec cat >/dev/null
}
if [ "$log" = /dev/null ] || ! command -v dd >/dev/null || ! command -v mv >/dev/null; then
	/bin/sh -c "$line" >/dev/null 2>&1
else
	/bin/sh -c "$line" 2>&1 | keep 2>/dev/null
fi
`
	aliveScript = prologue + "alive\n"
	tailScript  = prologue + `cat "$name.log.old" "$name.log" 2>/dev/null | tail -n "$1" | tail -c 4096`
	// whichScript says which of its arguments are programs.
	whichScript = `PATH="$PATH:${HOME:-/}/.local/bin"; for p; do command -v "$p" >/dev/null 2>&1 && echo "$p"; done; :`
)

// bringUp starts an app and waits until its port answers.
func (a *Apps) bringUp(ctx context.Context, s sessions.Session, app App) error {
	began := a.Now()
	exit, said, err := a.script(ctx, s, app, startScript, app.Line, app.Program, runScript)
	switch {
	case err != nil:
		return fmt.Errorf("starting app %s of session %s: %w", app.Name, s.Name, err)
	case exit.Reason == sessions.ExitStartFailed:
		return &Error{
			Err:  fmt.Errorf("starting app %s of session %s: %w: %s", app.Name, s.Name, sessions.ErrNotSupported, strings.TrimSuffix(exit.Message, ".")),
			What: "apps are started by /bin/sh: take an image that has one",
		}
	case exit.Code == 127 && app.Program != "":
		return &Error{
			Err:  fmt.Errorf("app %s of session %s: %w: the session has no program %s", app.Name, s.Name, sessions.ErrNotFound, app.Program),
			What: "install it in the session, or take an image that has it: palisade image list",
		}
	case exit.Code != 0:
		return a.failure(ctx, s, app, fmt.Sprintf("the shell that was to start it ended with %d: %s", exit.Code, strings.Join(lastOf(said, 3), " | ")))
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for looked := began; ; {
		conn, err := a.Sessions.Dial(ctx, s.Project, s.ID, app.Port)
		if err == nil {
			conn.Close()
			return nil
		}
		now := a.Now()
		switch {
		case !errors.Is(err, sessions.ErrRefused):
			return err
		case now.Sub(began) >= startPatience:
			e := a.failure(ctx, s, app, fmt.Sprintf("it did not open its port %d within %s, and goes on trying", app.Port, startPatience))
			e.Slow = true
			return e
		case now.Sub(looked) >= liveEvery:
			looked = now
			if exit, _, err := a.script(ctx, s, app, aliveScript); err == nil && exit.Code != 0 {
				return a.failure(ctx, s, app, fmt.Sprintf("it has ended, and never opened its port %d", app.Port))
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("app %s of session %s: %w: the appliance stops", app.Name, s.Name, sessions.ErrUnavailable)
		}
	}
}

// StartError is an app that did not come up.
type StartError struct {
	Session, App string
	Why          string
	Slow         bool     // it runs, and may open its port yet
	Log          []string // what it wrote last
}

func (e *StartError) Error() string {
	text := fmt.Sprintf("app %s of session %s: %s", e.App, e.Session, e.Why)
	if len(e.Log) > 0 {
		text += "; it wrote last: " + strings.Join(e.Log[max(0, len(e.Log)-3):], " | ")
	}
	return text
}

func (e *StartError) Unwrap() error { return sessions.ErrUnavailable }

// Hint says what to do.
func (e *StartError) Hint() string {
	then := "opening it again starts it again"
	if e.Slow {
		then = "opening it again waits for it again"
	}
	return fmt.Sprintf("all that it wrote: palisade session exec %s -- cat /tmp/.palisade-app-%s.log; %s", e.Session, e.App, then)
}

func (a *Apps) failure(ctx context.Context, s sessions.Session, app App, why string) *StartError {
	e := &StartError{Session: s.Name, App: app.Name, Why: why}
	if _, text, err := a.script(ctx, s, app, tailScript, strconv.Itoa(lastLines)); err == nil {
		e.Log = lastOf(text, lastLines)
	}
	return e
}

// lastOf are the last lines of a text of the session, so that they may be shown anywhere.
func lastOf(text string, most int) (lines []string) {
	for line := range strings.Lines(text) {
		if line = plain(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-most):]
}

// escapes are what colours a terminal, and the like.
var escapes = regexp.MustCompile(`\x1b\[[0-9;?]*[@-~]`)

// plain is a line that may be shown anywhere: what an app writes may hold anything.
func plain(line string) string {
	line = escapes.ReplaceAllString(line, "")
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if c < ' ' && c != '\t' || c == 0x7f || c >= 0x80 && c < 0xa0 {
			return -1
		}
		return c
	}, strings.ToValidUTF8(line, "?")))
}

// programs tells which of the well-known programs a session has.
func (a *Apps) programs(ctx context.Context, s sessions.Session, table []App) map[string]bool {
	names := map[string]bool{}
	for _, app := range table {
		if app.Source == WellKnown {
			names[app.Program] = true
		}
	}
	if len(names) == 0 {
		return nil
	}
	_, said, err := a.script(ctx, s, App{}, whichScript, slices.Sorted(maps.Keys(names))...)
	if err != nil {
		return nil // no shell, or it goes just now: then there is nothing to be started either
	}
	there := map[string]bool{}
	for name := range strings.FieldsSeq(said) {
		there[name] = names[name]
	}
	return there
}

// script runs a short script in a session for an app and returns what it wrote.
func (a *Apps) script(ctx context.Context, s sessions.Session, app App, script string, args ...string) (sessions.Exit, string, error) {
	patience := askPatience
	if script == startScript {
		patience = startPatience // whoever waits for the app waits for this, too
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	said := &head{most: 8 << 10}
	exit, err := a.Sessions.Exec(ctx, s.Project, s.ID, sessions.ExecSpec{
		Argv: append([]string{"/bin/sh", "-c", script, "palisade-app"}, args...),
		Env:  map[string]string{envName: app.Name, envPort: strconv.Itoa(app.Port), envBase: Path(s.ID, app.Name)},
		// One writer for both: a runtime writes them in turn.
		Stdout: said, Stderr: said,
	})
	return exit, said.text.String(), err
}

// head keeps the beginning of what is written.
type head struct {
	text bytes.Buffer
	most int
}

// Write implements io.Writer.
func (h *head) Write(p []byte) (int, error) {
	h.text.Write(p[:min(len(p), max(0, h.most-h.text.Len()))])
	return len(p), nil
}
