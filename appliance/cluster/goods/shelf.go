package goods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
)

// shelf holds versions of folders of other boxes, each as a directory of links to the store's files.
type shelf struct {
	dir   string
	blobs *blobs.Store
	log   *slog.Logger

	mu    sync.Mutex
	trees map[string]*tree // by ID@VERSION
}

// tree is one version that is whole.
type tree struct {
	folder, version string
	since           time.Time
	sound           bool // looked at since this program started
}

// kept is a tree's file beside it.
type kept struct {
	Manifest
	Linked bool `json:"linked"` // its files are the store's own: one that the store has no more is damaged
}

const making = ".making-" // what is being put together

func openShelf(dir string, store *blobs.Store, log *slog.Logger) (*shelf, error) {
	s := &shelf{dir: dir, blobs: store, log: log, trees: map[string]*tree{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking what came from other boxes: %w", err)
	}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), ".json")
		folder, version, at := strings.Cut(name, "@")
		info, err := e.Info()
		switch {
		case err != nil:
			return nil, fmt.Errorf("looking what came from other boxes: %w", err)
		case is && at:
			s.trees[name] = &tree{folder: folder, version: version, since: info.ModTime()}
		case strings.HasPrefix(e.Name(), making): // its maker was killed
			if err := removeTree(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return s, nil
}

func (s *shelf) path(name string) string { return filepath.Join(s.dir, name) }

// has lists what is here: ID@VERSION.
func (s *shelf) has() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for name := range s.trees {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// newest is the version of a folder that came last; "": none did.
func (s *shelf) newest(folder string) (version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var last time.Time
	for _, t := range s.trees {
		if t.folder == folder && (version == "" || t.since.After(last)) {
			version, last = t.version, t.since
		}
	}
	return version
}

// find is the directory of a version that is here and as it was; false: it is not.
func (s *shelf) find(ctx context.Context, folder, version string) (dir string, is bool, err error) {
	name := folder + "@" + version
	s.mu.Lock()
	t := s.trees[name]
	sound := t != nil && t.sound
	s.mu.Unlock()
	if t == nil {
		return "", false, nil
	}
	if !sound {
		if err := s.look(ctx, name); err != nil {
			if ctx.Err() != nil {
				return "", false, context.Cause(ctx)
			}
			s.log.Warn("what came of a folder from another box is not as it was; it is brought again", "folder", folder, "error", err)
			return "", false, s.drop(name)
		}
		s.mu.Lock()
		t.sound = true
		s.mu.Unlock()
	}
	return s.path(name), true, nil
}

func (s *shelf) manifest(name string) (kept, error) {
	var k kept
	raw, err := os.ReadFile(s.path(name) + ".json")
	if err == nil {
		err = json.Unmarshal(raw, &k)
	}
	if err != nil {
		return k, fmt.Errorf("looking what %s holds: %w", name, err)
	}
	return k, nil
}

// look compares a tree with its manifest, as far as that needs no reading but of files that a power failure may have damaged.
func (s *shelf) look(ctx context.Context, name string) error {
	k, err := s.manifest(name)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.path(name))
	if err != nil {
		return err
	}
	defer root.Close()
	for _, f := range k.Files {
		info, err := root.Lstat(f.Name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || info.Size() != f.Bytes {
			return fmt.Errorf("%s is not what came", f.Name)
		}
		if !k.Linked || f.Run {
			continue
		}
		if _, is, err := s.blobs.Sure(ctx, f.SHA256); err != nil || !is {
			return errors.Join(fmt.Errorf("%s is damaged", f.Name), err)
		}
		s.blobs.Release(f.SHA256)
	}
	return nil
}

// put makes a tree of a version whose files are in the store.
func (s *shelf) put(ctx context.Context, m Manifest) (dir string, err error) {
	name := m.Folder + "@" + m.Version
	aside, err := os.MkdirTemp(s.dir, making)
	if err != nil {
		return "", full(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeTree(aside))
		}
	}()
	linked, err := s.fill(ctx, aside, m)
	if err != nil {
		return "", full(fmt.Errorf("putting the folder together: %w", err))
	}
	if err := removeTree(s.path(name)); err != nil { // of one that was given up half-way
		return "", err
	}
	if err := os.Rename(aside, s.path(name)); err != nil {
		return "", err
	}
	raw, err := json.Marshal(kept{m, linked})
	if err != nil {
		return "", err
	}
	// Only what has its manifest beside it counts. After a power failure look says whether it is whole.
	beside := s.path(name) + ".json"
	if err := os.WriteFile(beside+".new", raw, 0o600); err != nil {
		return "", full(err)
	}
	if err := os.Rename(beside+".new", beside); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[name] = &tree{folder: m.Folder, version: m.Version, since: time.Now(), sound: true}
	return s.path(name), nil
}

// fill puts directories, files and links into a directory.
func (s *shelf) fill(ctx context.Context, dir string, m Manifest) (linked bool, err error) {
	if err := os.Chmod(dir, 0o755); err != nil { // sessions' users read it; the way there is this program's alone
		return false, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false, err
	}
	defer root.Close()
	linked = true
	for _, d := range m.Dirs {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return false, err
		}
	}
	for _, f := range m.Files {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if f.Run { // the store's own files are run by nobody
			if err := s.copy(root, f); err != nil {
				return false, err
			}
			continue
		}
		if err := s.blobs.Link(f.SHA256, root, f.Name); err != nil {
			return false, err
		}
		info, err := root.Lstat(f.Name)
		if err != nil {
			return false, err
		}
		if st, is := info.Sys().(*syscall.Stat_t); !is || st.Nlink < 2 {
			linked = false
		}
	}
	for _, l := range m.Links { // last: nothing is put through one
		if err := root.MkdirAll(path.Dir(l.Name), 0o755); err != nil {
			return false, err
		}
		if err := root.Symlink(l.To, l.Name); err != nil {
			return false, err
		}
	}
	return linked, nil
}

func (s *shelf) copy(root *os.Root, f File) (err error) {
	from, err := s.blobs.Open(f.SHA256)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := root.MkdirAll(path.Dir(f.Name), 0o755); err != nil {
		return err
	}
	to, err := root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	s.blobs.Release(f.SHA256)
	return errors.Join(err, to.Chmod(0o555), to.Close())
}

// drop removes a tree: first the word that it is there.
func (s *shelf) drop(name string) error {
	s.mu.Lock()
	delete(s.trees, name)
	s.mu.Unlock()
	if err := os.Remove(s.path(name) + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return removeTree(s.path(name))
}

// removeTree removes a directory though some in it may not be written to.
func removeTree(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("removing what came from another box: %w", err)
	}
	return nil
}

// full says it in words where the disk has no room.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &fault{kind: fetch.ErrNoSpace, text: "the disk of this box has no room: " + err.Error(), hint: "remove models that are not used: palisade model list, palisade model gc"}
	}
	return err
}

// of lists what is here of a folder.
func (s *shelf) of(folder string) (names []string) {
	for _, name := range s.has() {
		if strings.HasPrefix(name, folder+"@") {
			names = append(names, name)
		}
	}
	return names
}

func folderOf(name string) string {
	folder, _, _ := strings.Cut(name, "@")
	return folder
}
