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

	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
)

// Bring brings the folders of mounts that have their home on another box.
func (g *Goods) Bring(ctx context.Context, mounts []sessions.Mount, tell func(sessions.Progress)) error {
	for _, m := range mounts {
		_, release, err := g.here(ctx, m, tell)
		if err != nil {
			return err
		}
		release()
	}
	return nil
}

// Prepare makes of what is wanted what this box starts: mounts of folders are where these are here. What is missing is brought.
func (g *Goods) Prepare(ctx context.Context, spec sessions.Spec) (sessions.Spec, error) {
	spec.Mounts = slices.Clone(spec.Mounts)
	var used []string
	for i, m := range spec.Mounts {
		here, release, err := g.here(ctx, m, nil)
		if err != nil {
			return spec, err
		}
		defer release() // once it is written down that it is used
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

// here is a mount with the folder where it is on this box. It is not swept until release is called.
func (g *Goods) here(ctx context.Context, m sessions.Mount, tell func(sessions.Progress)) (_ sessions.Mount, release func(), err error) {
	of := m.Folder
	if of.ID == "" || of.Home == "" || of.Home == g.Self {
		return m, func() {}, nil
	}
	if !m.ReadOnly && !of.Sealed {
		return m, nil, &fault{
			kind: sessions.ErrInvalid, text: fmt.Sprintf("folder %s has its home on box %s, and can be written to there alone; this is %s", of.Name, of.Home, g.Self),
			hint: "mount it read-only, or let the session run on " + of.Home,
		}
	}
	dir, release, err := g.hold(ctx, Want{ID: of.ID, Name: of.Name, Home: of.Home, Sealed: of.Sealed}, tell)
	if err != nil {
		return m, nil, err
	}
	m.Source, m.Within, m.ReadOnly = dir, "", true
	if of.Sub != "" {
		m.Source, m.Within = filepath.Join(dir, of.Sub), dir
		if info, err := os.Lstat(m.Source); err != nil || !info.IsDir() {
			release()
			return m, nil, &fault{kind: folders.ErrNotFound, text: fmt.Sprintf("folder %s has no directory %s", of.Name, of.Sub), hint: "palisade folder ls " + of.Name}
		}
	}
	return m, release, nil
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
	failed := g.shelf.sweepDamaged(used)
	for _, name := range g.shelf.has() {
		id := folderOf(name)
		if used[name] {
			continue
		}
		_, err := g.Folders(ctx, id)
		gone := errors.Is(err, folders.ErrNotFound)
		if err != nil && !gone {
			return fmt.Errorf("looking which folders there are: %w", err)
		}
		if gone || id+"@"+g.shelf.newest(id) != name {
			failed = errors.Join(failed, g.sweepOne(name, lives))
		}
		if gone {
			failed = errors.Join(failed, g.sums.forget(id))
		}
	}
	return failed
}

// sweepOne removes a tree, unless somebody has come for it since.
func (g *Goods) sweepOne(name string, lives func(session string) bool) error {
	aside, err := g.unlist(name, lives)
	if err != nil || aside == "" {
		return err
	}
	return removeTree(aside)
}

// unlist looks for the last time who uses a tree: from then on nobody gets it.
func (g *Goods) unlist(name string, lives func(session string) bool) (aside string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, id := range g.held {
		if id == folderOf(name) {
			return "", nil
		}
	}
	used, err := g.used(lives)
	if err != nil || used[name] {
		return "", err
	}
	return g.shelf.unlist(name, g.shelf.tree(name), g.shelf.path(making+name))
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
