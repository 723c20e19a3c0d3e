package fetch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Matches says whether a Ref is about a file, by its globs.
func (r Ref) Matches(name string) bool { return pickerOf(r.Files).wants(name) }

// picker is globs. What is a mere name is looked up: what is installed without a recipe names each of its files.
type picker struct {
	all      bool
	names    map[string]bool // with a slash whole ones, else last parts
	patterns []string
}

func pickerOf(globs []string) picker {
	p := picker{all: len(globs) == 0, names: map[string]bool{}}
	for _, glob := range globs {
		if strings.ContainsAny(glob, `*?[\`) {
			p.patterns = append(p.patterns, glob)
		} else {
			p.names[glob] = true
		}
	}
	return p
}

func (p picker) wants(name string) bool {
	return p.all || p.names[path.Base(name)] || strings.Contains(name, "/") && p.names[name] ||
		slices.ContainsFunc(p.patterns, func(glob string) bool { return matches(glob, name) })
}

func matches(glob, name string) bool {
	if !strings.Contains(glob, "/") {
		name = path.Base(name)
	}
	is, err := path.Match(glob, name)
	return err == nil && is
}

// Pick leaves the files of a listing that its Ref is about, and those that hold others: of these it is not known yet. ErrNotFound
// names a file that is asked for by its whole name and is not there, a glob where no file matches any, and a listing of none.
func Pick(in Listing) (Listing, error) {
	out, packed, p := in, false, pickerOf(in.Ref.Files)
	out.Files = nil
	there := map[string]bool{} // whole names and last parts
	for _, f := range in.Files {
		if f.Unpack != "" || p.wants(f.Name) {
			out.Files = append(out.Files, f)
			packed = packed || f.Unpack != ""
			there[f.Name], there[path.Base(f.Name)] = true, true
		}
	}
	for _, glob := range in.Ref.Files {
		if packed || there[glob] || len(out.Files) > 0 && strings.ContainsAny(glob, "*?[") {
			continue
		}
		if !slices.ContainsFunc(out.Files, func(f File) bool { return matches(glob, f.Name) }) {
			return Listing{}, &sentence{
				kind: ErrNotFound, message: fmt.Sprintf("%s has no file %s", in.Ref.Where, glob), hint: "it has " + some(in.Files),
			}
		}
	}
	if len(out.Files) == 0 {
		return Listing{}, &sentence{kind: ErrNotFound, message: in.Ref.Where + " has no files"}
	}
	return out, nil
}
