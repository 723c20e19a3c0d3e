package folders

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// SplitRef cuts NAME/SUB, a folder and a directory in it, in two. sub is "" where all of the folder is meant; it may still
// be one that Directory refuses.
func SplitRef(ref string) (folder, sub string) {
	folder, sub, _ = strings.Cut(ref, "/")
	if sub = filepath.Clean(strings.TrimLeft(sub, "/")); sub == "." {
		sub = ""
	}
	return folder, sub
}

// JoinRef is what SplitRef cuts.
func JoinRef(folder, sub string) string {
	if sub == "" {
		return folder
	}
	return folder + "/" + sub
}

// Directory is the absolute path of a directory in the folder, "" for the folder's own. What is mounted from there must be
// what is there: no link may be on the way, though it may lead back into the folder. ErrNotFound, ErrInvalid.
func (f Folder) Directory(sub string) (string, error) {
	root, err := f.OpenDirectory(sub)
	if err != nil {
		return "", err
	}
	return filepath.Join(f.Path, filepath.Clean(sub)), root.Close()
}

// OpenDirectory opens what Directory names. The caller closes it.
func (f Folder) OpenDirectory(sub string) (*os.Root, error) {
	root, err := f.OpenRoot()
	if err != nil {
		return nil, err
	}
	if sub == "" {
		return root, nil
	}
	defer root.Close()
	if err := CheckPath(sub); err != nil {
		return nil, err
	}
	walked := ""
	for part := range strings.SplitSeq(filepath.Clean(sub), "/") {
		walked = filepath.Join(walked, part)
		info, err := root.Lstat(walked)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, &fault{kind: ErrNotFound, message: fmt.Sprintf("folder %s has no directory %s", f.Name, walked), hint: fmt.Sprintf("palisade folder mkdir %s:%s makes it", f.Name, sub)}
		case err != nil:
			return nil, explainPath(walked, err)
		case info.Mode()&fs.ModeSymlink != 0:
			return nil, &fault{kind: ErrInvalid, message: fmt.Sprintf("%s of folder %s is a symbolic link", walked, f.Name), hint: "name the directory that it leads to"}
		case !info.IsDir():
			return nil, &fault{kind: ErrInvalid, message: fmt.Sprintf("%s of folder %s is not a directory", walked, f.Name), hint: "only directories are mounted; name the one in which it lies"}
		}
	}
	dir, err := root.OpenRoot(sub)
	if err != nil {
		return nil, explainPath(sub, err)
	}
	return dir, nil
}
