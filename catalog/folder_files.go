package catalog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// ErrNoSpace says that the disk, or somebody's share of it, is full.
var ErrNoSpace = errors.New("no space left")

// uploadPrefix begins the name of a file that is still being written. Entries does not show them.
const uploadPrefix = ".palisade-upload-"

// Entry is one file or directory in a folder.
type Entry struct {
	Name     string // without its path
	Dir      bool
	Link     bool // a symbolic link; Size and Dir are those of what it leads to, if that is in the folder
	Size     int64
	Modified time.Time

	Executable bool // a file that its owner may run
}

// Entries lists a directory of a folder, "" for its root, by name. ErrNotFound, ErrInvalid.
func (fo *Folders) Entries(f Folder, dir string) ([]Entry, error) {
	root, name, err := enter(f, dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	d, err := root.Open(name)
	if err != nil {
		return nil, explainPath(name, err)
	}
	defer d.Close()
	found, err := d.ReadDir(-1)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, &fault{kind: ErrInvalid, message: name + " is not a directory"}
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", name, err)
	}
	entries := make([]Entry, 0, len(found))
	for _, e := range found {
		if strings.HasPrefix(e.Name(), uploadPrefix) {
			continue
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // gone since
		}
		if err != nil {
			return nil, fmt.Errorf("listing %s: %w", name, err)
		}
		entry := Entry{Name: e.Name(), Link: info.Mode()&fs.ModeSymlink != 0}
		if entry.Link {
			if target, err := root.Stat(filepath.Join(name, e.Name())); err == nil {
				info = target
			}
		}
		entry.Dir, entry.Size, entry.Modified = info.IsDir(), info.Size(), info.ModTime()
		entry.Executable = info.Mode().IsRegular() && info.Mode()&0o100 != 0
		entries = append(entries, entry)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return entries, nil
}

// Open opens a plain file for reading from any offset; its Stat has the size. The caller closes it.
func (fo *Folders) Open(f Folder, path string) (*os.File, error) {
	root, name, err := enter(f, path)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	file, _, err := openPlain(root, name)
	return file, err
}

// Content is what is written into a file.
type Content struct {
	io.Reader
	Executable *bool // whether it is a program; nil keeps what the file of that name was
}

// Write puts all of a content into a file, making the directories above it, and returns the file's size.
// Readers see the old file or the new one, never a part: after an error the old one is still there.
// ErrNoSpace when the disk is full.
func (fo *Folders) Write(f Folder, path string, c Content) (int64, error) {
	root, name, err := enter(f, path)
	if err != nil {
		return 0, err
	}
	defer root.Close()
	mode, err := writable(root, name)
	if err != nil {
		return 0, err
	}
	if c.Executable != nil {
		mode = withExecutable(mode, *c.Executable)
	}
	dir := filepath.Dir(name)
	if err := root.MkdirAll(dir, 0o755); err != nil {
		return 0, writeFault(name, err)
	}
	upload := filepath.Join(dir, uploadPrefix+rand.Text())
	size, err := writeFile(root, upload, mode, c)
	if err == nil {
		err = root.Rename(upload, name)
	}
	if err != nil {
		if e := root.Remove(upload); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
		return 0, writeFault(name, err)
	}
	return size, nil
}

// writable returns the mode that a file of that name has, or is to have.
func writable(root *os.Root, name string) (fs.FileMode, error) {
	if name == "." || strings.HasPrefix(filepath.Base(name), uploadPrefix) {
		return 0, &fault{kind: ErrInvalid, message: fmt.Sprintf("%q cannot be the name of a file", name), hint: "give the file's path in the folder"}
	}
	switch info, err := root.Lstat(name); {
	case errors.Is(err, fs.ErrNotExist):
		return 0o644, nil
	case err != nil:
		return 0, writeFault(name, err)
	case info.IsDir():
		return 0, &fault{kind: ErrInvalid, message: name + " is a directory", hint: "give the path with the file's name"}
	case info.Mode().IsRegular():
		return info.Mode().Perm(), nil
	default:
		return 0o644, nil // a link is replaced, not followed
	}
}

// withExecutable lets those run a file that may read it, or nobody.
func withExecutable(mode fs.FileMode, executable bool) fs.FileMode {
	if executable {
		return mode | mode&0o444>>2
	}
	return mode &^ 0o111
}

func writeFile(root *os.Root, name string, mode fs.FileMode, r io.Reader) (size int64, err error) {
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	size, err = io.Copy(file, r)
	if err == nil {
		err = file.Sync()
	}
	return size, errors.Join(err, file.Close())
}

// MakeDirectory makes a directory of a folder, and those above it. One that is there already is left as it is.
func (fo *Folders) MakeDirectory(f Folder, path string) error {
	root, name, err := enter(f, path)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := root.MkdirAll(name, 0o755); errors.Is(err, fs.ErrExist) {
		return &fault{kind: ErrExists, message: name + " is there already, and is no directory", hint: "choose another name, or remove it first"}
	} else if err != nil {
		return writeFault(name, err)
	}
	return nil
}

// RemoveEntry deletes a file, or a directory with all that is in it. ErrNotFound when there is none.
func (fo *Folders) RemoveEntry(f Folder, path string) error {
	root, name, err := enter(f, path)
	if err != nil {
		return err
	}
	defer root.Close()
	if name == "." {
		return &fault{kind: ErrInvalid, message: "the folder itself is not deleted this way", hint: "palisade folder rm " + f.Name}
	}
	if _, err := root.Lstat(name); err != nil {
		return explainPath(name, err)
	}
	if err := root.RemoveAll(name); err != nil {
		return fmt.Errorf("deleting %s: %w", name, err)
	}
	return nil
}

// enter opens f and returns path as a name in it. A leading / means the folder's root.
func enter(f Folder, path string) (*os.Root, string, error) {
	name := filepath.Clean(strings.TrimLeft(path, "/"))
	if err := checkInside(name); err != nil {
		return nil, "", err
	}
	root, err := f.OpenRoot()
	return root, name, err
}

// writeFault says why a file was not written. What the reader of the upload said is passed on as it is.
func writeFault(name string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return explainFull("writing "+name, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s cannot be written: the folder is read-only here", name), cause: err}
	case errors.Is(err, syscall.ENOTDIR):
		return &fault{kind: ErrInvalid, message: fmt.Sprintf("%s cannot be written: a file is in the way", name), hint: "remove the file that has the directory's name first"}
	case strings.Contains(err.Error(), "escapes from parent"):
		return outside(name)
	default:
		return fmt.Errorf("writing %s: %w", name, err)
	}
}

// explainFull makes a full disk recognisable, and says what could not be done for any other reason.
func explainFull(doing string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return &fault{
			kind: ErrNoSpace, message: doing + ": the disk is full",
			hint: "remove what is no longer needed, or import the folder from a larger disk",
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
}
