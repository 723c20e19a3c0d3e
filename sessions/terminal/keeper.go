package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/pid1"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

// Keeper knows who watches the terminals of all sessions.
type Keeper struct {
	mu    sync.Mutex
	views map[*View]struct{}
	ended error // why there are no more
	all   sync.WaitGroup
}

// NewKeeper returns one whom nobody has asked for a terminal.
func NewKeeper() *Keeper { return &Keeper{views: map[*View]struct{}{}} }

// Exec runs a command in a session.
type Exec func(context.Context, sessions.ExecSpec) (sessions.Exit, error)

// Request is who wants to see a terminal.
type Request struct {
	Session string // its id
	Name    string // of the terminal
	Size    sessions.Window
	Type    string // of the viewer's terminal, for a shell that is started for it
	Exec    Exec
}

var goodName = regexp.MustCompile(`^\w[\w.-]{0,62}$`)

// Attach shows a terminal of a session; where there is none of that name, a shell is started in one. Whoever gets the View
// must close it.
func (k *Keeper) Attach(r Request) (*View, error) {
	if !goodName.MatchString(r.Name) {
		return nil, fmt.Errorf("%w: %q is no name of a terminal: letters, digits, '.', '_' and '-', at most 63 of them", sessions.ErrInvalid, r.Name)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ended != nil {
		return nil, fmt.Errorf("%w: %w", sessions.ErrUnavailable, k.ended)
	}
	v := newView(r.Size)
	k.views[v] = struct{}{}
	k.all.Go(func() {
		v.run(r)
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.views, v)
	})
	return v, nil
}

// End shows nobody any terminal any more, and returns when that is so or ctx ends. The terminals go on.
func (k *Keeper) End(ctx context.Context, why error) {
	k.mu.Lock()
	k.ended = why
	for v := range k.views {
		v.cut(why)
	}
	k.mu.Unlock()
	gone := make(chan struct{})
	go func() { k.all.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// Tell shows words, at most 4 KiB of them, on all terminals that are open in a session: as its programs would, so the
// caller gives ends of lines as "\r\n". Where none is open nothing happens.
func Tell(ctx context.Context, exec Exec, words string) error {
	exit, err := exec(ctx, sessions.ExecSpec{
		Argv: []string{pid1.PathInit, holder.ModeTell}, WorkDir: "/", Stdin: bytes.NewReader([]byte(words)[:min(len(words), holder.MostSaid)]),
	})
	if err == nil && exit.Code != 0 {
		err = errors.New(exit.Message)
	}
	if err != nil {
		return fmt.Errorf("writing to the session's terminals: %w", err)
	}
	return nil
}

// ErrNoShell says that there is nothing in a session that a person could type to.
var ErrNoShell = errors.New("no shell")
