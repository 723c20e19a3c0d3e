package fetch

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Say makes an error of a kind with what the reader can do; hint may be empty.
func Say(kind error, hint, format string, values ...any) error {
	return &sentence{kind: kind, message: fmt.Sprintf(format, values...), hint: hint}
}

// Bounds of one model.
const (
	mostFiles   = 100_000
	mostBytes   = 1 << 60 // of all files: more is no size but an attack on sums
	longestPart = 255     // bytes of a name between slashes: disks take no longer ones
)

// Sorted puts the files of a place into the order of a Listing. It refuses, as ErrRefused, what no directory can hold: names
// that lead elsewhere, names twice, a file that another one has for its directory. Such a place is not to be trusted with the
// rest either.
func Sorted(files []File) ([]File, error) {
	if len(files) > mostFiles {
		return nil, Say(ErrRefused, "", "there are %d files, and at most %d are taken", len(files), mostFiles)
	}
	out := slices.Clone(files)
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	names, bytes := make(map[string]bool, len(out)), int64(0)
	for _, f := range out {
		switch {
		case !goodName(f.Name):
			return nil, Say(ErrRefused, "", "it has a file with the name %q, which none can have", f.Name)
		case names[f.Name]:
			return nil, Say(ErrRefused, "", "it has the file %q twice", f.Name)
		}
		if f.Bytes < -1 || f.Bytes > mostBytes || bytes+max(0, f.Bytes) > mostBytes {
			return nil, Say(ErrRefused, "", "it says that %q has %d bytes, which none can have", f.Name, f.Bytes)
		}
		names[f.Name] = true
		bytes += max(0, f.Bytes)
	}
	for _, f := range out {
		for dir := path.Dir(f.Name); dir != "."; dir = path.Dir(dir) {
			if names[dir] {
				return nil, Say(ErrRefused, "", "%q is a file and a directory", dir)
			}
		}
	}
	return out, nil
}

// goodName says whether a file of a model can be called so. Names stand on terminals: what would move the cursor is none.
func goodName(name string) bool {
	if !fs.ValidPath(name) || name == "." || len(name) > longestRef || strings.Contains(name, "\\") || strings.ContainsFunc(name, unicode.IsControl) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, "/"), func(part string) bool { return len(part) > longestPart })
}
