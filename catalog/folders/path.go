package folders

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// OpenPlain opens a plain file below the root of a folder. It never blocks on a pipe or a device that bears the name. ErrNotFound,
// which is fs.ErrNotExist too; ErrInvalid for what is no plain file, or leads out of the folder.
func OpenPlain(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, explainPath(name, err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		what := "special file"
		if info.IsDir() {
			what = "directory"
		}
		err = &fault{kind: ErrInvalid, message: fmt.Sprintf("%s is a %s; a plain file is wanted", name, what)}
	}
	if err != nil {
		return nil, nil, errors.Join(err, f.Close())
	}
	return f, info, nil
}

// Bounds of a path in a folder: each directory on the way is opened for each file, so a path of thousands costs minutes.
const (
	longestPath = 4095 // bytes, as the kernel has it
	longestName = 255  // bytes of a file or a directory
	deepestPath = 128  // directories on the way
)

// CheckPath refuses paths that are not below a folder's root as they are written, and those that nobody means: ErrInvalid. Symbolic
// links are os.Root's business.
func CheckPath(name string) error {
	switch {
	case !filepath.IsLocal(name) || strings.ContainsRune(name, 0):
		return outside(name)
	case len(name) > longestPath || strings.Count(name, "/") > deepestPath || slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return len(part) > longestName }):
		return &fault{
			kind: ErrInvalid, message: fmt.Sprintf("%q is too long a path", spelling.Short(name)),
			hint: fmt.Sprintf("at most %d bytes, %d of a name, and %d directories in one another", longestPath, longestName, deepestPath),
		}
	}
	return nil
}

func outside(name string) error {
	return &fault{
		kind:    ErrInvalid,
		message: fmt.Sprintf("%q leaves the folder", spelling.Short(name)),
		hint:    "give a path relative to the folder's root, for example configs/model-definition.yaml",
	}
}

// explainPath puts what os.Root says about a path into our kinds of errors.
func explainPath(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return &fault{kind: ErrNotFound, message: fmt.Sprintf("%s is not in the folder", name), cause: fs.ErrNotExist}
	case strings.Contains(err.Error(), "escapes from parent"):
		// os.Root has no sentinel for it.
		return outside(name)
	default:
		return fmt.Errorf("opening %s: %w", name, err)
	}
}
