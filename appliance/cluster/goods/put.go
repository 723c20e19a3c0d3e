package goods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"
	"time"
)

// put makes a tree of a version whose files are in the store.
func (s *shelf) put(ctx context.Context, m Manifest) (dir string, err error) {
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
	return s.list(ctx, aside, kept{m, linked})
}

// list gives a tree that is whole its name, and has it count.
func (s *shelf) list(ctx context.Context, aside string, k kept) (dir string, err error) {
	name := k.Folder + "@" + k.Version
	dir = s.path(name)
	raw, err := json.Marshal(k)
	if err != nil {
		return "", err
	}
	s.changing.Lock()
	defer s.changing.Unlock()
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	if s.isSound(name) { // of somebody else who brought it, and gave it out
		return dir, removeTree(aside)
	}
	if err := removeTree(dir); err != nil {
		return "", err
	}
	if err := os.Rename(aside, dir); err != nil {
		return "", err
	}
	// Only what has its manifest beside it counts. After a power failure look says whether it is whole.
	beside := dir + ".json"
	if err = os.WriteFile(beside+".new", raw, 0o600); err == nil {
		err = os.Rename(beside+".new", beside)
	}
	if err != nil {
		return "", errors.Join(full(err), removeTree(beside+".new"), removeTree(dir))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trees[name] = &tree{folder: k.Folder, version: k.Version, since: time.Now(), sound: true}
	return dir, nil
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
