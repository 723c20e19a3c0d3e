package backup

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// Suffix is what names of backups end with.
const Suffix = ".backup"

// unfinished is what names of those end with that are being made.
const unfinished = ".part"

// Shelf is a directory of backups. Each appliance that keeps its own there takes nothing away but its own.
type Shelf struct{ Dir string }

// Kept is one of the files on a shelf.
type Kept struct {
	Name  string
	Bytes int64
	Head  Head  // zero where Err is set
	Err   error // why it is of no use
}

// List are the backups that are there, the newest first. What else lies there is passed over.
func (s Shelf) List() ([]Kept, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing backups: %w", err)
	}
	var out []Kept
	for _, e := range entries {
		if !good(e.Name()) || !e.Type().IsRegular() {
			continue
		}
		k, err := s.look(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		k.Err = err
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Kept) int {
		return cmp.Or(b.Head.MadeAt.Compare(a.Head.MadeAt), strings.Compare(b.Name, a.Name))
	})
	return out, nil
}

func good(name string) bool {
	return strings.HasSuffix(name, Suffix) && name != Suffix && !strings.HasPrefix(name, ".") && filepath.Base(name) == name
}

func (s Shelf) look(name string) (Kept, error) {
	f, err := os.Open(filepath.Join(s.Dir, name))
	if err != nil {
		return Kept{Name: name}, err
	}
	defer f.Close()
	k := Kept{Name: name}
	info, err := f.Stat()
	if err == nil {
		k.Bytes = info.Size()
		k.Head, err = ReadHead(f)
	}
	return k, err
}

// Find is one of them; ErrNotFound where there is none of that name.
func (s Shelf) Find(name string) (Kept, error) {
	if !good(name) {
		return Kept{}, notFound(name)
	}
	k, err := s.look(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Kept{}, notFound(name)
	}
	k.Err = err
	return k, nil
}

func notFound(name string) error {
	return &Error{ErrNotFound, fmt.Errorf("%.60q", name), "see which there are: palisade backup list"}
}

// Open opens one of them.
func (s Shelf) Open(name string) (*os.File, int64, error) {
	if !good(name) {
		return nil, 0, notFound(name)
	}
	f, err := os.Open(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, notFound(name)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// Remove takes one away.
func (s Shelf) Remove(name string) error {
	if !good(name) {
		return notFound(name)
	}
	err := os.Remove(filepath.Join(s.Dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return notFound(name)
	}
	return err
}

// Prune takes the oldest away of those that the schedule of an appliance has made, but keep of them; and says which. The newest is the one
// that was made just now, whatever times the others bear: a clock may have been wrong. Those that cannot be read stay: somebody should look
// at them.
func (s Shelf) Prune(appliance, made string, keep int) (gone []string, err error) {
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	keep--
	for _, k := range all {
		if k.Err != nil || !k.Head.Scheduled || k.Head.Appliance != appliance || k.Name == made {
			continue
		}
		if keep > 0 {
			keep--
			continue
		}
		if err := s.Remove(k.Name); err != nil {
			return gone, err
		}
		gone = append(gone, k.Name)
	}
	return gone, nil
}

// Draft is a backup that is being made: it has its name once Keep has returned.
type Draft struct {
	*os.File
	Name string
	path string
}

// Begin makes a file for a backup of an appliance, and the directory, for its owner alone. Files that the same appliance has left half made
// are taken away where nobody writes to them, and ErrNoSpace is returned where there is less room than bytes.
func (s Shelf) Begin(appliance string, now time.Time, bytes int64) (*Draft, error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of backups: %w", err)
	}
	left, _ := filepath.Glob(filepath.Join(s.Dir, "palisade-*-"+appliance+Suffix+unfinished)) // the pattern is good
	for _, path := range left {
		abandon(path)
	}
	if err := Room(s.Dir, bytes); err != nil {
		return nil, err
	}
	name := "palisade-" + now.UTC().Format("20060102T150405.000Z") + "-" + appliance + Suffix
	path := filepath.Join(s.Dir, name)
	f, err := os.OpenFile(path+unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("making a backup: %w", err)
	}
	_ = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) // it says that somebody writes; where a disk has no locks nothing is taken away
	return &Draft{f, name, path}, nil
}

// abandon takes a file away that nobody writes to any more.
func abandon(path string) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
		_ = os.Remove(path) // room, if it goes
	}
}

// Room fails with ErrNoSpace where a directory's disk has less room than bytes.
func Room(dir string, bytes int64) error {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < bytes {
		return &Error{ErrNoSpace, fmt.Errorf("it may take %s, and %s has %s left", bytesize.Format(bytes), dir, bytesize.Format(free)), "make room, or choose another place"}
	}
	return nil
}

// Keep gives the file its name, once all of it is on the disk.
func (d *Draft) Keep() error {
	err := errors.Join(d.Sync(), d.Close())
	if err == nil {
		err = os.Rename(d.path+unfinished, d.path)
	}
	if err != nil {
		_ = os.Remove(d.path + unfinished)
		return fmt.Errorf("keeping the backup: %w", err)
	}
	dir, err := os.Open(filepath.Dir(d.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Drop takes away what was written.
func (d *Draft) Drop() {
	_ = d.Close()
	_ = os.Remove(d.path + unfinished)
}
