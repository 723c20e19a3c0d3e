package fetch

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Say makes an error of a kind with what the reader can do; hint may be empty.
func Say(kind error, hint, format string, values ...any) error {
	return &sentence{kind: kind, message: fmt.Sprintf(format, values...), hint: hint}
}

const mostFiles = 100_000 // of one model

// Sorted puts the files of a place into the order of a Listing. It refuses, as ErrRefused, what no directory can hold: names
// that lead elsewhere, names twice, a file that another one has for its directory. Such a place is not to be trusted with the
// rest either.
func Sorted(files []File) ([]File, error) {
	if len(files) > mostFiles {
		return nil, Say(ErrRefused, "", "there are %d files, and at most %d are taken", len(files), mostFiles)
	}
	out := slices.Clone(files)
	slices.SortFunc(out, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	names := make(map[string]bool, len(out))
	for _, f := range out {
		switch {
		case !fs.ValidPath(f.Name) || f.Name == "." || strings.ContainsAny(f.Name, "\x00\\") || len(f.Name) > longestRef:
			return nil, Say(ErrRefused, "", "it has a file with the name %q, which none can have", f.Name)
		case names[f.Name]:
			return nil, Say(ErrRefused, "", "it has the file %q twice", f.Name)
		}
		names[f.Name] = true
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
