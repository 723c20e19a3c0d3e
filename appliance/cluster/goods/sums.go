package goods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/folders"
)

// sums knows the checksums of files of folders whose home is here. A file is read once, and again when it has changed.
type sums struct {
	dir   string
	blobs *blobs.Store

	mu    sync.Mutex
	known map[string]map[string]summed // by folder and name; read when it is asked for
	turns map[string]chan struct{}     // holds one while somebody lists a folder
}

// summed is a file as it was when it was read.
type summed struct {
	Stamp  stamp  `json:"stamp"`
	SHA256 string `json:"sha256"`
	// Fresh: it had been changed so shortly before it was read that one more change may have left no trace. It is read again when
	// it is listed the next time.
	Fresh bool `json:"fresh,omitempty"`
}

// stamp tells a file from what it was before: whoever writes to it, or puts another one in its place, changes it.
type stamp struct {
	Device, Inode     uint64
	Size              int64
	Modified, Changed int64 // nanoseconds
}

func stampOf(info fs.FileInfo) (stamp, bool) {
	st, is := info.Sys().(*syscall.Stat_t)
	if !is {
		return stamp{}, false
	}
	return stamp{Device: uint64(st.Dev), Inode: st.Ino, Size: st.Size, Modified: st.Mtim.Nano(), Changed: st.Ctim.Nano()}, true //nolint:unconvert // other architectures
}

// settles is how long ago a file must have been changed for the next change to leave another time: clocks of disks have ticks, of
// a second on some.
const settles = 2 * time.Second

// freshAt tells whether a file had been changed only just at a time. Each write sets Changed, by the kernel's clock; Modified may be set
// to any time, and a date to come would have the file read again until it comes.
func (s stamp) freshAt(now time.Time) bool {
	return s.Changed > now.Add(-settles).UnixNano()
}

// uploadsDir holds files that are not whole yet: catalog's own.
const uploadsDir = ".palisade-uploads"

// manifest lists a folder as it is now. Files that were not read before are; one that changes while it is read is listed as what
// was read, and is brought to nobody.
func (s *sums) manifest(ctx context.Context, f folders.Folder, tell told) (Manifest, error) {
	release, err := s.turn(ctx, f.ID)
	if err != nil {
		return Manifest{}, err
	}
	defer release()
	root, err := f.OpenRoot()
	if err != nil {
		return Manifest{}, err
	}
	defer root.Close()
	m, unread, err := s.walk(ctx, root, f.ID)
	if err != nil {
		return Manifest{}, fmt.Errorf("listing folder %s: %w", f.Name, err)
	}
	if len(unread) > 0 {
		r := &reading{ctx: ctx, root: root, buffer: make([]byte, 1<<20), tell: tell}
		if m.Files, err = s.read(r, m, unread); err != nil {
			return Manifest{}, fmt.Errorf("reading folder %s: %w", f.Name, err)
		}
	}
	m.Dirs = empty(m)
	return versioned(m)
}

// turn lets one list a folder at a time: who comes second finds all sums there.
func (s *sums) turn(ctx context.Context, id string) (release func(), err error) {
	s.mu.Lock()
	if s.turns == nil {
		s.turns = map[string]chan struct{}{}
	}
	if s.turns[id] == nil {
		s.turns[id] = make(chan struct{}, 1)
	}
	turn := s.turns[id]
	s.mu.Unlock()
	select {
	case turn <- struct{}{}:
		return func() { <-turn }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// unread is a file whose checksum is not known: its place in the manifest.
type unread struct {
	at    int
	stamp stamp
}

func (s *sums) walk(ctx context.Context, root *os.Root, id string) (m Manifest, todo []unread, err error) {
	known, inodes := s.of(id), (map[inode]string)(nil)
	m.Folder = id
	err = fs.WalkDir(root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since
		case err != nil:
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case name == ".":
			return nil
		case name == uploadsDir:
			return fs.SkipDir
		case len(m.Files)+len(m.Links)+len(m.Dirs) > mostEntries:
			return &fault{kind: folders.ErrInvalid, text: fmt.Sprintf("it has more than %d entries, which is too much to bring to another box", mostEntries), hint: "pack small files together, or have sessions run where the folder is"}
		}
		if !utf8.ValidString(name) {
			return unspeakable(name)
		}
		switch {
		case e.IsDir():
			m.Dirs = append(m.Dirs, name)
		case e.Type()&fs.ModeSymlink != 0:
			to, err := root.Readlink(name)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EINVAL) { // gone since, or something else
				return nil
			}
			if err != nil {
				return err
			}
			if !utf8.ValidString(to) {
				return unspeakable(to)
			}
			m.Links = append(m.Links, Link{name, to})
		case e.Type().IsRegular():
			info, err := e.Info()
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			now, _ := stampOf(info)
			f := File{Name: name, Bytes: info.Size(), Run: info.Mode()&0o111 != 0}
			if was, is := known[name]; is && was.Stamp == now && !was.Fresh {
				f.SHA256 = was.SHA256
			} else if st, is := info.Sys().(*syscall.Stat_t); is && st.Nlink > 1 { // a model's: one of the store's own files
				if inodes == nil {
					if inodes, err = s.inodes(ctx); err != nil {
						return err
					}
				}
				f.SHA256 = inodes[inode{now.Device, now.Inode}]
			}
			if f.SHA256 == "" {
				todo = append(todo, unread{len(m.Files), now})
			}
			m.Files = append(m.Files, f)
		}
		return nil
	})
	return m, todo, err
}

// empty are the directories in which nothing is that is listed: others come with what they hold.
func empty(m Manifest) (out []string) {
	full := map[string]bool{}
	for _, f := range m.Files {
		full[path.Dir(f.Name)] = true
	}
	for _, l := range m.Links {
		full[path.Dir(l.Name)] = true
	}
	for _, d := range m.Dirs {
		full[path.Dir(d)] = true
	}
	for _, d := range m.Dirs {
		if !full[d] {
			out = append(out, d)
		}
	}
	return out
}

// unspeakable says that a name cannot be told to another box.
func unspeakable(name string) error {
	return &fault{kind: folders.ErrInvalid, text: fmt.Sprintf("the name %q is not in UTF-8, and cannot be given to another box", name), hint: "rename it, or have sessions run where the folder is"}
}

// inode is what the disk calls a file.
type inode struct{ device, number uint64 }

// inodes are the store's files, by the number that the disk has for them.
func (s *sums) inodes(ctx context.Context) (map[inode]string, error) {
	all, err := s.blobs.List(ctx)
	if err != nil {
		return nil, err
	}
	out := map[inode]string{}
	for _, b := range all {
		if b.Names > 0 {
			out[inode{b.Device, b.Inode}] = b.SHA256
		}
	}
	return out, nil
}

// of is what is known of a folder. Nobody changes what it returns.
func (s *sums) of(id string) map[string]summed {
	s.mu.Lock()
	defer s.mu.Unlock()
	if of, is := s.known[id]; is {
		return of
	}
	var of map[string]summed
	if raw, err := os.ReadFile(s.path(id)); err == nil && json.Unmarshal(raw, &of) != nil {
		of = nil // files are read anew
	}
	if s.known == nil {
		s.known = map[string]map[string]summed{}
	}
	s.known[id] = of
	return of
}

func (s *sums) path(id string) string { return filepath.Join(s.dir, filepath.Base(id)+".json") }

func (s *sums) keep(id string, files []File, fresh map[string]summed) error {
	was, now := s.of(id), map[string]summed{}
	for _, f := range files {
		if one, is := fresh[f.Name]; is {
			now[f.Name] = one
		} else if one, is := was[f.Name]; is && one.SHA256 == f.SHA256 {
			now[f.Name] = one
		}
	}
	raw, err := json.Marshal(now)
	if err != nil {
		return err
	}
	err = os.WriteFile(s.path(id)+".new", raw, 0o600)
	if err == nil {
		err = os.Rename(s.path(id)+".new", s.path(id))
	}
	if err != nil {
		return fmt.Errorf("writing down checksums: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[id] = now
	return nil
}

// still reports whether an open file is the one whose checksum that was when it was read.
func (s *sums) still(id, name, sum string, info fs.FileInfo) bool {
	now, ok := stampOf(info)
	one, is := s.of(id)[name]
	return ok && is && one.SHA256 == sum && one.Stamp == now
}

// forget drops what is known of a folder that is gone.
func (s *sums) forget(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, id)
	delete(s.turns, id)
	if err := os.Remove(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
