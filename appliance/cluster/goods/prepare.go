package goods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

// Bring brings the folders of mounts that have their home on another box.
func (g *Goods) Bring(ctx context.Context, mounts []sessions.Mount, tell func(sessions.Progress)) error {
	for _, m := range mounts {
		if _, err := g.here(ctx, m, tell); err != nil {
			return err
		}
	}
	return nil
}

// Prepare makes of what is wanted what this box starts: mounts of folders are where these are here. What is missing is brought.
func (g *Goods) Prepare(ctx context.Context, spec sessions.Spec) (sessions.Spec, error) {
	spec.Mounts = slices.Clone(spec.Mounts)
	var used []string
	for i, m := range spec.Mounts {
		here, err := g.here(ctx, m, nil)
		if err != nil {
			return spec, err
		}
		if here != m {
			used = append(used, filepath.Base(g.treeOf(here.Source)))
		}
		spec.Mounts[i] = here
	}
	if len(used) == 0 {
		return spec, nil
	}
	return spec, g.use(spec.ID, used)
}

// here is a mount with the folder where it is on this box.
func (g *Goods) here(ctx context.Context, m sessions.Mount, tell func(sessions.Progress)) (sessions.Mount, error) {
	of := m.Folder
	if of.ID == "" || of.Home == "" || of.Home == g.Self {
		return m, nil
	}
	if !m.ReadOnly && !of.Sealed {
		return m, &fault{
			kind: sessions.ErrInvalid, text: fmt.Sprintf("folder %s has its home on box %s, and can be written to there alone; this is %s", of.Name, of.Home, g.Self),
			hint: "mount it read-only, or let the session run on " + of.Home,
		}
	}
	dir, err := g.Folder(ctx, Want{ID: of.ID, Name: of.Name, Home: of.Home, Sealed: of.Sealed}, tell)
	if err != nil {
		return m, err
	}
	m.Source, m.Within, m.ReadOnly = dir, "", true
	if of.Sub != "" {
		m.Source, m.Within = filepath.Join(dir, of.Sub), dir
		if info, err := os.Lstat(m.Source); err != nil || !info.IsDir() {
			return m, &fault{kind: catalog.ErrNotFound, text: fmt.Sprintf("folder %s has no directory %s", of.Name, of.Sub), hint: "palisade folder ls " + of.Name}
		}
	}
	return m, nil
}

// treeOf is the tree in which a directory is.
func (g *Goods) treeOf(dir string) string {
	top := filepath.Join(g.Dir, treesDir)
	for filepath.Dir(dir) != top && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
	}
	return dir
}

// use writes down which trees a session was started with: they stay while it is there, whoever runs this box.
func (g *Goods) use(session string, trees []string) error {
	raw, err := json.Marshal(trees)
	if err == nil {
		err = os.WriteFile(filepath.Join(g.Dir, usesDir, filepath.Base(session)), raw, 0o600)
	}
	if err != nil {
		return full(fmt.Errorf("writing down what a session uses: %w", err))
	}
	return nil
}

// Sweep removes what nothing needs: versions of folders that are gone or have been changed since, which no session was started
// with that is still here, as lives says.
func (g *Goods) Sweep(ctx context.Context, lives func(session string) bool) error {
	used, err := g.used(lives)
	if err != nil {
		return err
	}
	var failed error
	for _, name := range g.shelf.has() {
		id := folderOf(name)
		g.mu.Lock()
		flying := g.flights[id] != nil
		g.mu.Unlock()
		if used[name] || flying {
			continue
		}
		_, err := g.Folders(ctx, id)
		gone := errors.Is(err, catalog.ErrNotFound)
		if err != nil && !gone {
			return fmt.Errorf("looking which folders there are: %w", err)
		}
		if gone || id+"@"+g.shelf.newest(id) != name {
			failed = errors.Join(failed, g.shelf.drop(name))
		}
		if gone {
			failed = errors.Join(failed, g.sums.forget(id))
		}
	}
	return failed
}

// starting is how long a session may take from Prepare until it is among those that live.
const starting = 10 * time.Minute

// used are the trees of sessions that are there; what is known of others is forgotten.
func (g *Goods) used(lives func(session string) bool) (map[string]bool, error) {
	dir := filepath.Join(g.Dir, usesDir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking what sessions use: %w", err)
	}
	out := map[string]bool{}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("looking what sessions use: %w", err)
		}
		if !lives(e.Name()) && time.Since(info.ModTime()) > starting {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("looking what sessions use: %w", err)
		}
		var trees []string
		if err := json.Unmarshal(raw, &trees); err != nil {
			return nil, fmt.Errorf("looking what session %s uses: %w", e.Name(), err)
		}
		for _, t := range trees {
			out[t] = true
		}
	}
	return out, nil
}
