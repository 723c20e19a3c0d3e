package goods

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/sessions"
)

// flight is a folder that is being brought, for all who want it at the time.
type flight struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
	dir    string // set before done is closed, and err
	err    error

	mu      sync.Mutex
	waiters int
	asked   time.Time // when it was begun to ask what is to be brought
	last    sessions.Progress
	told    chan struct{} // closed and replaced when last changes
}

// asks notes that it is asked what is to be brought.
func (f *flight) asks() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = time.Now()
}

// asOf tells whether what it brings is no older than a time.
func (f *flight) asOf(t time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.asked.Before(t)
}

func (f *flight) tell(p sessions.Progress) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if p != f.last {
		f.last = p
		close(f.told)
		f.told = make(chan struct{})
	}
}

// Folder brings a folder of another box where it is not here, and returns the directory in which it is, as it is now or, where
// its home cannot be asked, as it was when it came last. tell, which may be nil, is told how far it is, from one goroutine. Who
// comes second to what is being brought waits for it, and for what has changed by then; when nobody waits any more it is broken
// off, and gone on with by the next.
// ErrAway, fetch.ErrNoSpace, fetch.ErrChecksum, and what its home says of it; with hints.
func (g *Goods) Folder(ctx context.Context, w Want, tell func(sessions.Progress)) (dir string, err error) {
	dir, release, err := g.hold(ctx, w, tell)
	if err == nil {
		release()
	}
	return dir, err
}

// hold is Folder of what is not swept until release is called.
func (g *Goods) hold(ctx context.Context, w Want, tell func(sessions.Progress)) (dir string, release func(), err error) {
	if err := checkID(w.ID); err != nil {
		return "", nil, err
	}
	for began := time.Now(); ; {
		f := g.join(ctx, w)
		dir, err = f.wait(ctx, tell)
		if err != nil {
			g.part(w.ID, f)
			return "", nil, err
		}
		if w.Sealed || f.asOf(began) {
			return dir, sync.OnceFunc(func() { g.part(w.ID, f) }), nil
		}
		g.part(w.ID, f) // it was on its way already, and may have been changed before this was asked: what has comes now
	}
}

// wait returns when the folder is there.
func (f *flight) wait(ctx context.Context, tell func(sessions.Progress)) (dir string, err error) {
	for {
		f.mu.Lock()
		last, told := f.last, f.told
		f.mu.Unlock()
		if tell != nil && last.Message != "" {
			tell(last)
		}
		select {
		case <-told:
		case <-f.done:
			return f.dir, f.err
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
}

// errUnwanted ends what nobody waits for.
var errUnwanted = errors.New("nobody waits for it any more")

// join takes part in the flight of a folder, which begins where there is none.
func (g *Goods) join(ctx context.Context, w Want) *flight {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.flights[w.ID]
	if f == nil {
		flying, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
		f = &flight{cancel: cancel, done: make(chan struct{}), told: make(chan struct{})}
		g.flights[w.ID], g.held[f] = f, w.ID
		go func() {
			defer cancel(nil)
			dir, err := g.fly(flying, w, f)
			g.mu.Lock()
			if g.flights[w.ID] == f {
				delete(g.flights, w.ID)
			}
			g.mu.Unlock()
			f.dir, f.err = dir, err
			close(f.done)
		}()
	}
	f.waiters++
	return f
}

func (g *Goods) part(id string, f *flight) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f.waiters--; f.waiters == 0 {
		f.cancel(errUnwanted)
		delete(g.held, f)
		if g.flights[id] == f {
			delete(g.flights, id)
		}
	}
}

// tries is how often a folder that changes while it comes, or of which something else comes, is begun anew.
const tries = 3

// fly brings a folder.
//  1. One that never changes, and is here, is not asked for.
//  2. Where nobody can be asked, what came last is taken.
//  3. What is here as it is now is taken.
//  4. What is missing comes, and the tree is put together.
func (g *Goods) fly(ctx context.Context, w Want, f *flight) (dir string, err error) {
	for try := 1; ; try++ {
		f.asks()
		dir, err = g.once(ctx, w, f.tell)
		if err == nil || ctx.Err() != nil || try == tries || !errors.Is(err, fetch.ErrRefused) {
			return dir, err
		}
		g.Log.Info("a folder has changed while it came, and is brought as it is now", "folder", w.Name, "error", err)
	}
}

func (g *Goods) once(ctx context.Context, w Want, tell func(sessions.Progress)) (string, error) {
	if w.Sealed {
		if dir, is, err := g.shelf.find(ctx, w.ID, g.shelf.newest(w.ID)); err != nil || is { // 1
			return dir, err
		}
	}
	p := g.newPeers(w)
	tell(sessions.Progress{Message: "looking which box has " + w.Name})
	if err := p.learn(ctx, tell); err != nil {
		if errors.Is(err, ErrAway) { // 2
			if dir, is, found := g.shelf.find(ctx, w.ID, g.shelf.newest(w.ID)); found == nil && is {
				g.Log.Warn("the home of a folder cannot be asked; it is taken as it was when it came last", "folder", w.Name, "home", w.Home, "error", err)
				return dir, nil
			}
		}
		return "", err
	}
	if dir, is, err := g.shelf.find(ctx, w.ID, p.manifest.Version); err != nil || is { // 3
		return dir, err
	}
	if err := p.bring(ctx, tell); err != nil { // 4
		return "", err
	}
	tell(sessions.Progress{Message: "putting " + w.Name + " together"})
	return g.shelf.put(ctx, p.manifest)
}

// learn asks what is to be brought: of a folder that never changes the nearest box that has it, else its home.
func (p *peers) learn(ctx context.Context, tell func(sessions.Progress)) error {
	found, failed := p.givers(ctx)
	for _, b := range found {
		m, err := p.manifestOf(ctx, b.name, p.want.ID, "", func(done, total int64) {
			tell(sessions.Progress{Done: done, Total: total, Message: fmt.Sprintf("box %s reads %s: %s of %s", b.name, p.want.Name, bytesize.Format(done), bytesize.Format(total))})
		})
		if err == nil {
			p.manifest = m
			if p.boxes = found; !p.want.Sealed { // others may have this version, too
				p.boxes = p.look(ctx, m.Version)
			}
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, said := errors.AsType[*fault](err); !said {
			err = away("", err.Error()) // beside what others say, too
		}
		failed = errors.Join(failed, err)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed != nil {
		return whatFailed(failed, "folder "+p.want.Name+" cannot be brought", "palisade cluster status shows which boxes answer")
	}
	home := p.want.Home
	if home == "" {
		home = "another box"
	}
	return away(fmt.Sprintf("bring box %s back, or install the model again", home), fmt.Sprintf("no box that answers has folder %s; its home is box %s", p.want.Name, home))
}

// givers are the boxes that are asked what a folder holds: whoever has it, where it never changes, else its home alone. failed is
// what the home has said in the place of that it has it.
func (p *peers) givers(ctx context.Context) (found []*peer, failed error) {
	if p.want.Sealed {
		return p.look(ctx, ""), nil
	}
	if !slices.ContainsFunc(p.Boxes(), func(b Box) bool { return b.Name == p.want.Home }) {
		return nil, nil
	}
	near, err := p.have(ctx, p.want.Home, p.want.ID, "")
	if err != nil {
		return nil, err
	}
	return []*peer{{name: p.want.Home, near: near}}, nil
}

// bring fetches what is missing. What turns out to be something else than a box said is asked of other boxes.
func (p *peers) bring(ctx context.Context, tell func(sessions.Progress)) error {
	in := p.listing()
	if len(in.Files) == 0 { // it holds directories and links alone, or nothing
		return nil
	}
	for {
		_, err := p.fetcher.Fetch(ctx, p, in, func(at fetch.Progress) { tell(p.progress(at)) })
		if !errors.Is(err, fetch.ErrChecksum) {
			return p.explain(ctx, err)
		}
		var who string
		left := false
		for _, f := range in.Files {
			if strings.Contains(err.Error(), f.SHA256) {
				who, left = p.gaveWrong(f.SHA256)
			}
		}
		if !left {
			return &fault{
				kind: fetch.ErrChecksum, text: fmt.Sprintf("bringing %s: what box %s gives is not what it says that it is: %v", p.want.Name, who, err),
				hint: "palisade model verify --repair on that box finds files that are damaged",
			}
		}
	}
}

// explain says what kept a folder from coming, for people.
func (p *peers) explain(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, fetch.ErrNoSpace), errors.Is(err, fetch.ErrRefused):
		return fmt.Errorf("bringing %s: %w", p.want.Name, err)
	}
	return whatFailed(err, "bringing "+p.want.Name+" broke off", "it goes on when a box that has it answers: palisade cluster status")
}

// progress is how far it is, as the session's status shows it.
func (p *peers) progress(at fetch.Progress) sessions.Progress {
	text := fmt.Sprintf("bringing %s from %s: %s of %s", p.want.Name, p.from(), bytesize.Format(at.Done), bytesize.Format(max(0, at.Bytes)))
	if at.ETA > 0 {
		text += ", " + leftText(at.ETA) + " left"
	}
	if at.Message != "" {
		text += "; " + at.Message
	}
	return sessions.Progress{Done: at.Done, Total: max(0, at.Bytes), Message: text}
}

func leftText(d time.Duration) string {
	switch {
	case d < 90*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 90*time.Minute:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.1f h", d.Hours())
}
