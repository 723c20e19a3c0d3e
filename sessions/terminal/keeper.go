package terminal

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"

	"github.com/palisade-run/palisade/sessions"
)

// Most is how many terminals a session may have at a time.
const Most = 16

// Keeper holds the terminals of all sessions.
type Keeper struct {
	mu    sync.Mutex
	held  map[key]*held
	ended error // why there are no more
	all   sync.WaitGroup
}

type key struct{ session, name string }

// NewKeeper returns one without terminals.
func NewKeeper() *Keeper { return &Keeper{held: map[key]*held{}} }

// Request is who wants to see a terminal.
type Request struct {
	Session string // its id
	Name    string // of the terminal
	Size    sessions.Window
	Type    string // of the viewer's terminal, for a shell that is started for it
	// Exec runs a command in the session.
	Exec func(context.Context, sessions.ExecSpec) (sessions.Exit, error)
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
	at, open := key{r.Session, r.Name}, 0
	h := k.held[at]
	for other := range k.held {
		if other.session == r.Session {
			open++
		}
	}
	switch {
	case h != nil:
	case open >= Most:
		return nil, fmt.Errorf("%w: the session has %d terminals, and may not have more: leave one of them with exit", sessions.ErrForbidden, open)
	default:
		h = newHeld(r)
		k.held[at] = h
		k.all.Go(func() {
			exit, err := h.run(r)
			k.mu.Lock()
			delete(k.held, at) // before anybody knows: who comes then gets a new one
			k.mu.Unlock()
			h.finish(exit, err)
		})
	}
	return h.attach(r.Size), nil
}

// Names lists the terminals of a session.
func (k *Keeper) Names(session string) []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var names []string
	for at := range k.held {
		if at.session == session {
			names = append(names, at.name)
		}
	}
	return names
}

// End hangs all terminals up, and returns when their shells are gone or ctx ends. There are no more then.
func (k *Keeper) End(ctx context.Context, why error) {
	k.mu.Lock()
	k.ended = why
	for _, h := range k.held {
		h.hangUp(why)
	}
	k.mu.Unlock()
	gone := make(chan struct{})
	go func() { k.all.Wait(); close(gone) }()
	select {
	case <-gone:
	case <-ctx.Done():
	}
}

// ErrNoShell says that there is nothing in a session that a person could type to.
var ErrNoShell = errors.New("no shell")
