package containerd

import (
	"crypto/rand"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// removeTree removes path, a directory that nothing writes to any more, with all that is in it; that there is
// none is no error. Directories are brought up to the top before they are emptied: a session may have nested
// them deeper than a program may have files open, and os.RemoveAll holds one open for each level.
func removeTree(path string) error {
	root, err := os.OpenRoot(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if errors.Is(err, unix.ENOTDIR) {
		return os.Remove(path)
	}
	if err != nil {
		return err
	}
	defer root.Close()
	for {
		left, err := someOf(root, ".")
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return os.Remove(path)
		}
		for _, e := range left {
			if e.IsDir() {
				err = flatten(root, e.Name())
			} else {
				err = root.Remove(e.Name())
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
}

// flatten removes the directory name of root; what directories it has become root's own.
func flatten(root *os.Root, name string) error {
	for {
		left, err := someOf(root, name)
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return root.Remove(name)
		}
		for _, e := range left {
			inner := filepath.Join(name, e.Name())
			if e.IsDir() {
				err = root.Rename(inner, rand.Text())
			} else {
				err = root.Remove(inner)
			}
			if err != nil {
				return err
			}
		}
	}
}

// someOf returns some of what is in a directory, none where it is empty.
func someOf(root *os.Root, name string) ([]fs.DirEntry, error) {
	d, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(1024)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return entries, err
}
