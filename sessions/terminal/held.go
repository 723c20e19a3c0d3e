package terminal

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/palisade-run/palisade/sessions"
)

// shells are tried in turn: the first that can be started is taken. The first of them finds out what $SHELL is.
func shells() [][]string {
	const find = `for s in "$SHELL" bash sh; do [ -n "$s" ] && command -v "$s" >/dev/null 2>&1 && exec "$s"; done; exec sh`
	return [][]string{{"sh", "-c", find}, {"bash"}, {"ash"}}
}

// ahead is how much a program may show that nobody has seen yet while somebody watches: what is typed must show its effect
// soon, also behind a flood.
const ahead = 64 << 10

// held is one terminal. What it shows is written by its program, and read by each View at its own pace: the fastest of
// them holds the program up, one that is too far behind misses some, and where nobody watches nothing waits.
type held struct {
	hang   context.CancelCauseFunc
	ctx    context.Context
	typed  chan []byte
	resize chan sessions.Window

	mu     sync.Mutex
	kept   scrollback
	size   sessions.Window
	views  map[*View]struct{}
	change chan struct{} // closed, and made anew, by all that changes here
	over   bool
	exit   sessions.Exit
	err    error
}

func newHeld(r Request) *held {
	h := &held{
		typed: make(chan []byte), resize: make(chan sessions.Window, 4), views: map[*View]struct{}{}, change: make(chan struct{}), size: r.Size,
	}
	h.ctx, h.hang = context.WithCancelCause(context.Background())
	return h
}

// run runs the shell until it ends.
func (h *held) run(r Request) (sessions.Exit, error) {
	defer h.hang(nil)
	first := ""
	for _, argv := range shells() {
		typing, done := context.WithCancel(h.ctx) // one that could not be started must not take what is typed
		exit, err := r.Exec(h.ctx, sessions.ExecSpec{
			Argv: argv, Stdin: &keys{h: h, ctx: typing}, Stdout: h, Terminal: &sessions.Terminal{Size: r.Size, Resize: h.resize, Type: r.Type},
		})
		done()
		if cause := context.Cause(h.ctx); cause != nil {
			return exit, fmt.Errorf("%w: %w", sessions.ErrUnavailable, cause)
		}
		if err != nil || exit.Reason != sessions.ExitStartFailed {
			return exit, err
		}
		first = cmp.Or(first, exit.Message)
	}
	return sessions.Exit{}, noShell{first}
}

// noShell is ErrNoShell with what became of the first that was tried.
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

func (h *held) finish(exit sessions.Exit, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.over, h.exit, h.err = true, exit, err
	h.changed()
}

func (h *held) hangUp(why error) { h.hang(why) }

// changed wakes all who wait. The caller holds mu.
func (h *held) changed() {
	close(h.change)
	h.change = make(chan struct{})
}

// Write is the program showing something.
func (h *held) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.tooFar() {
		change := h.change
		h.mu.Unlock()
		select {
		case <-change:
		case <-h.ctx.Done():
			h.mu.Lock()
			return 0, io.ErrClosedPipe
		}
		h.mu.Lock()
	}
	h.kept.add(p)
	h.changed()
	return len(p), nil
}

// tooFar tells whether even the fastest of those who watch has too much to see yet.
func (h *held) tooFar() bool {
	for v := range h.views {
		if h.kept.shown-v.at <= ahead {
			return false
		}
	}
	return len(h.views) > 0
}

func (h *held) attach(size sessions.Window) *View {
	h.mu.Lock()
	defer h.mu.Unlock()
	v := &View{h: h, gone: make(chan struct{}), first: h.kept.replay(), at: h.kept.shown}
	h.views[v] = struct{}{}
	switch {
	case size == sessions.Window{}:
	case size == h.size && h.kept.first() > 0 && size.Rows > 1:
		// Who draws on the whole screen does it anew for a size that changes; what it drew before may be lost.
		h.setSize(sessions.Window{Rows: size.Rows - 1, Columns: size.Columns})
		h.setSize(size)
	case size != h.size:
		h.setSize(size)
	}
	h.changed()
	return v
}

// setSize tells the program. The last of those who watch decides. The caller holds mu.
func (h *held) setSize(size sessions.Window) {
	h.size = size
	for {
		select {
		case h.resize <- size: // nobody else sends
			return
		default:
		}
		select {
		case <-h.resize: // the last ones count
		default:
		}
	}
}

// keys is what the program reads.
type keys struct {
	h    *held
	ctx  context.Context
	rest []byte
}

// Read implements io.Reader.
func (k *keys) Read(p []byte) (int, error) {
	if len(k.rest) == 0 {
		select {
		case k.rest = <-k.h.typed:
		case <-k.ctx.Done():
			return 0, io.EOF
		}
	}
	n := copy(p, k.rest)
	k.rest = k.rest[n:]
	return n, nil
}
