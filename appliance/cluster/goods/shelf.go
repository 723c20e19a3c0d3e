package goods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/sessions"
)

// shelf holds versions of folders of other boxes, each as a directory of links to the store's files.
type shelf struct {
	dir   string
	blobs *blobs.Store
	log   *slog.Logger

	changing sync.Mutex // held while what is in dir under its own name is changed; before mu

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

// What lies beside trees.
const (
	making  = ".making-"  // what is being put together, or removed
	damaged = ".damaged-" // ID@VERSION: what is not as it came, but sessions were started with it
)

// errDamaged is that a tree is not as it came; whatever else keeps one from being looked at may pass.
var errDamaged = errors.New("it is not as it came")

func openShelf(dir string, store *blobs.Store, log *slog.Logger) (*shelf, error) {
	s := &shelf{dir: dir, blobs: store, log: log, trees: map[string]*tree{}}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("looking what came from other boxes: %w", err)
	}
	for _, e := range entries {
		name, is := strings.CutSuffix(e.Name(), ".json")
		if folder, version, at := strings.Cut(name, "@"); is && at && !strings.HasPrefix(name, damaged) {
			info, err := e.Info()
			if err != nil {
				return nil, fmt.Errorf("looking what came from other boxes: %w", err)
			}
			s.trees[name] = &tree{folder: folder, version: version, since: info.ModTime()}
		}
	}
	for _, e := range entries { // its maker was killed, or who removed it
		name := e.Name()
		half := strings.Contains(name, "@") && s.trees[name] == nil && s.trees[strings.TrimSuffix(name, ".json")] == nil && !strings.HasPrefix(name, damaged)
		if !half && !strings.HasPrefix(name, making) {
			continue
		}
		if err := removeTree(filepath.Join(dir, name)); err != nil {
			return nil, err
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

// tree is one that is here; nil: it is not.
func (s *shelf) tree(name string) *tree {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trees[name]
}

func (s *shelf) isSound(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.trees[name]
	return t != nil && t.sound
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
			if !errors.Is(err, errDamaged) {
				return "", false, &fault{kind: sessions.ErrRuntimeDown, text: "what is here of the folder cannot be looked at: " + err.Error(), hint: "it is tried again; the log of this box says more"}
			}
			s.log.Warn("what came of a folder from another box is not as it was; it is brought again", "folder", folder, "error", err)
			if err := s.putAside(name, t); err != nil {
				return "", false, err
			}
			return s.find(ctx, folder, version) // somebody else may have been faster, and have brought it
		}
		s.mu.Lock()
		t.sound = true
		s.mu.Unlock()
	}
	return s.path(name), true, nil
}

func (s *shelf) manifest(name string) (k kept, err error) {
	raw, err := os.ReadFile(s.path(name) + ".json")
	if err == nil {
		if err = json.Unmarshal(raw, &k); err != nil {
			err = errors.Join(errDamaged, err)
		}
	}
	if err != nil {
		return k, fmt.Errorf("looking what %s holds: %w", name, gone(err))
	}
	return k, nil
}

// gone has what is not there be damage.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return errors.Join(errDamaged, err)
	}
	return err
}

// look compares a tree with its manifest, as far as that needs no reading but of files that a power failure may have damaged.
// errDamaged.
func (s *shelf) look(ctx context.Context, name string) error {
	k, err := s.manifest(name)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(s.path(name))
	if err != nil {
		return gone(err)
	}
	defer root.Close()
	for _, f := range k.Files {
		info, err := root.Lstat(f.Name)
		if err != nil {
			return gone(err)
		}
		if !info.Mode().IsRegular() || info.Size() != f.Bytes {
			return fmt.Errorf("%s: %w", f.Name, errDamaged)
		}
		if !k.Linked || f.Run {
			continue
		}
		_, is, err := s.blobs.Sure(ctx, f.SHA256)
		if err != nil {
			return fmt.Errorf("looking at %s: %w", f.Name, err)
		}
		if !is {
			return fmt.Errorf("%s: %w", f.Name, errDamaged)
		}
		s.blobs.Release(f.SHA256)
	}
	return nil
}

// unlist has a tree not count any more, and puts it aside: the caller removes it. One that was put anew stays; aside is "" then.
func (s *shelf) unlist(name string, t *tree, to string) (aside string, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	if s.tree(name) != t {
		return "", nil
	}
	if err := removeTree(to); err != nil { // of before
		return "", err
	}
	if err := os.Remove(s.path(name) + ".json"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("removing what came from another box: %w", err)
	}
	if err := os.Rename(s.path(name), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("removing what came from another box: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.trees, name)
	return to, nil
}

// putAside takes a tree that is damaged away from its name. What of it is sound stays, for sessions that were started with it.
func (s *shelf) putAside(name string, t *tree) error {
	_, err := s.unlist(name, t, s.path(damaged+name))
	return err
}

// sweepDamaged removes trees that were put aside and nobody uses.
func (s *shelf) sweepDamaged(used map[string]bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("looking what came from other boxes: %w", err)
	}
	for _, e := range entries {
		if name, is := strings.CutPrefix(e.Name(), damaged); is && !used[name] {
			err = errors.Join(err, removeTree(s.path(e.Name())))
		}
	}
	return err
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
