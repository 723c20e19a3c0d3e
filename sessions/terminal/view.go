package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/outcome"
	"github.com/palisade-run/palisade/sessions/pid1"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

// View is one who watches a terminal, and may type.
type View struct {
	ctx context.Context //nolint:containedctx // ends with the View: Close, or Keeper.End
	cut context.CancelCauseFunc
	out *outbox

	mu     sync.Mutex
	shown  []byte // what the terminal has shown and Read has not returned; no more than was allowed
	told   int    // bytes that Read has returned and the holder does not know of
	change chan struct{}
	over   bool // the terminal is over, or nothing more comes from it
	ended  bool // the terminal is over
	exit   sessions.Exit
	err    error
}

func newView(size sessions.Window) *View {
	v := &View{change: make(chan struct{})}
	v.ctx, v.cut = context.WithCancelCause(context.Background())
	v.out = newOutbox(v.ctx, size)
	return v
}

// run connects with the terminal's holder until one of them ends.
func (v *View) run(r Request) {
	said := &lastWords{}
	exit, err := r.Exec(v.ctx, sessions.ExecSpec{
		Argv: holder.Argv(pid1.PathInit, r.Name, holder.Window(r.Size)), Env: environment(r.Type),
		Stdin: v.out, Stdout: &ear{View: v, frames: holder.Parser{Take: v.take}}, Stderr: said,
	})
	v.mu.Lock()
	defer v.mu.Unlock()
	cause := context.Cause(v.ctx)
	switch {
	case v.ended: // as it said itself
	case errors.Is(cause, errClosed):
	case cause != nil:
		v.ended, v.err = true, fmt.Errorf("%w: %w", sessions.ErrUnavailable, cause)
	case err != nil:
		v.ended, v.err = true, err
	default:
		v.ended, v.err = true, unusual(exit, said.String())
	}
	v.over = true
	v.changed()
	v.cut(errClosed)
}

func environment(kind string) map[string]string {
	if kind == "" {
		kind = "xterm-256color"
	}
	return map[string]string{"TERM": kind}
}

// errClosed ends what serves a View that nobody looks at any more.
var errClosed = errors.New("nobody watches")

// unusual says why what shows the terminal has ended without a word of how the terminal did.
func unusual(exit sessions.Exit, said string) error {
	switch {
	case exit.Reason == sessions.ExitStartFailed && strings.Contains(exit.Message, pid1.PathInit), exit.Code == 2 && strings.Contains(said, "first process"):
		return tooOld{}
	case exit.Reason == sessions.ExitStartFailed:
		return fmt.Errorf("%w: %s", sessions.ErrInvalid, exit.Message)
	case exit.Reason == sessions.ExitKilled:
		return fmt.Errorf("%w: the terminal was ended, with its session perhaps", sessions.ErrUnavailable)
	}
	return fmt.Errorf("what shows the terminal has ended: %s %s", exit.Message, said)
}

// tooOld is what is wrong with a session that was started by an appliance of before.
type tooOld struct{}

func (tooOld) Error() string {
	return "the session has nothing that could hold a terminal: it was started by an earlier version of the appliance"
}
func (tooOld) Hint() string {
	return "palisade session exec -it SESSION -- sh works there; palisade session restart SESSION makes it one of this version"
}
func (tooOld) Is(target error) bool { return target == sessions.ErrNotSupported }

// ear hears what the holder says. One that says what it may not is cut off: it would wait to be heard for ever.
type ear struct {
	*View
	frames holder.Parser
}

// Write implements io.Writer.
func (e *ear) Write(p []byte) (int, error) {
	n, err := e.frames.Write(p)
	if err != nil {
		e.cut(err)
	}
	return n, err
}

// take does what a frame says. It is untrusted: anybody in the session may be at the other end.
func (v *View) take(k holder.Kind, body []byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch k {
	case holder.KindOutput:
		if len(v.shown)+v.told+len(body) > holder.Ahead {
			return holder.ErrFrame
		}
		v.shown = append(v.shown, body...)
	case holder.KindTaken:
		n, err := holder.ReadNumber(body)
		if err != nil {
			return err
		}
		return v.out.taken(n)
	case holder.KindExit:
		status, err := holder.ReadNumber(body)
		if err != nil {
			return err
		}
		v.ended, v.exit = true, outcome.OfCommand(syscall.WaitStatus(status), time.Now())
	case holder.KindFailure:
		if len(body) == 0 {
			return holder.ErrFrame
		}
		v.ended, v.err = true, failed(holder.Failure(body[0]), plain(body[1:]))
	}
	v.changed()
	return nil
}

// plain is text that can be shown anywhere.
func plain(text []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(string(text), "?"))
}

func failed(f holder.Failure, why string) error {
	switch f {
	case holder.FailedNoShell:
		return noShell{why}
	case holder.FailedTooMany:
		return fmt.Errorf("%w: %s", sessions.ErrForbidden, why)
	}
	return fmt.Errorf("%w: %s", sessions.ErrUnavailable, why)
}

// noShell is ErrNoShell with what became of those that were tried.
type noShell struct{ why string }

func (e noShell) Error() string {
	return "no shell can be started in the session, neither sh nor bash nor ash: " + e.why
}
func (noShell) Hint() string {
	return "run one of its programs instead: palisade session exec SESSION -- PROGRAM"
}
func (noShell) Is(target error) bool {
	return target == ErrNoShell || target == sessions.ErrNotSupported
}

// changed wakes Read. The caller holds mu.
func (v *View) changed() {
	close(v.change)
	v.change = make(chan struct{})
}

// Read returns what was shown, then what is. io.EOF: the terminal is over, or the View was closed. One goroutine calls it.
func (v *View) Read(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		if n := copy(p, v.shown); n > 0 {
			if v.shown = v.shown[n:]; len(v.shown) == 0 {
				v.shown = nil
			}
			if v.told += n; v.told >= holder.Ahead/4 {
				v.out.took(v.told)
				v.told = 0
			}
			return n, nil
		}
		if v.over || v.ended {
			return 0, io.EOF
		}
		change := v.change
		v.mu.Unlock()
		select {
		case <-change:
		case <-v.ctx.Done():
			v.mu.Lock()
			return 0, io.EOF
		}
		v.mu.Lock()
	}
}

// Write types. It waits while much of what was typed has not been read.
func (v *View) Write(p []byte) (int, error) { return v.out.types(p) }

// Resize makes the terminal as large as the viewer's.
func (v *View) Resize(size sessions.Window) {
	if size != (sessions.Window{}) {
		v.out.resize(size)
	}
}

// End is how the shell ended, once Read has returned io.EOF; over is false where it goes on.
func (v *View) End() (exit sessions.Exit, over bool, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.exit, v.ended, v.err
}

// Close stops watching; the terminal goes on. It is idempotent.
func (v *View) Close() { v.cut(errClosed) }

// lastWords keeps the end of what is written to it.
type lastWords struct {
	mu   sync.Mutex
	kept []byte
}

// Write implements io.Writer.
func (l *lastWords) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = append(l.kept, p...)
	l.kept = l.kept[max(0, len(l.kept)-512):]
	return len(p), nil
}

func (l *lastWords) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return plain(l.kept)
}
