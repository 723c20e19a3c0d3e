package recipe

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/spelling"
)

// Files of a recipe's directory. All but the first may be missing.
const (
	File           = "recipe.yaml"
	DefinitionFile = "model-definition.yaml"
	ReadmeFile     = "README.md"
	IconFile       = "icon.svg"
)

// Bounds of what is read, in bytes.
const (
	maxRecipe = 128 << 10
	maxReadme = 256 << 10
	maxIcon   = 64 << 10
	maxDirs   = 20_000 // of one catalog
)

// Entry is a recipe with what stands beside it, and where it comes from.
type Entry struct {
	Recipe
	Catalog    string // the catalog that it is from; Shipped for those that come with Palisade
	Definition []byte // model-definition.yaml; nil where there is none
	Readme     []byte
	Icon       []byte           // SVG, checked to hold neither scripts nor addresses
	Problems   catalog.Problems // warnings; never an error
}

// Shipped is the catalog of the recipes that come with Palisade.
const Shipped = "palisade"

// ID is CATALOG/NAME, by which an entry is found whatever else there is.
func (e Entry) ID() string { return e.Catalog + "/" + e.Name }

// LoadDir reads one recipe from its directory in files ("." for the whole of it). Problems are all there are, of all files; the
// entry is of use where Err of them is nil.
func LoadDir(files fs.FS, dir string) (Entry, catalog.Problems) {
	var e Entry
	var ps catalog.Problems
	src, err := readBounded(files, path.Join(dir, File), maxRecipe)
	if err != nil {
		return e, catalog.Problems{unreadable(path.Join(dir, File), err)}
	}
	e.Recipe, ps = Parse(path.Join(dir, File), src)
	if base := path.Base(dir); base != "." && e.Name != "" && e.Name != base {
		ps = append(ps, catalog.Problem{
			Severity: catalog.SeverityError, File: path.Join(dir, File), Field: "name",
			Message: fmt.Sprintf("is %q, and its directory is called %q", e.Name, base), Hint: "give both the same name",
		})
	}
	beside := func(name string, most int64) []byte {
		text, err := readBounded(files, path.Join(dir, name), most)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			ps = append(ps, unreadable(path.Join(dir, name), err))
		}
		return text
	}
	e.Readme = beside(ReadmeFile, maxReadme)
	if e.Icon = beside(IconFile, maxIcon); e.Icon != nil {
		if err := checkIcon(e.Icon); err != nil {
			ps = append(ps, unreadable(path.Join(dir, IconFile), err))
		}
	}
	if e.Definition = beside(DefinitionFile, catalog.MaxDocumentSize); e.Definition != nil {
		_, found := catalog.ParseDefinition(path.Join(dir, DefinitionFile), e.Definition)
		ps = append(ps, found...)
	}
	if e.Definition == nil && slices.ContainsFunc(e.Variants, func(v Variant) bool { return v.Runtime == "custom" }) {
		ps = append(ps, catalog.Problem{
			Severity: catalog.SeverityError, File: path.Join(dir, File), Field: "variants",
			Message: "a variant's runtime is custom, and there is no " + DefinitionFile, Hint: "write it beside the recipe",
		})
	}
	e.Problems = ps
	return e, ps
}

// Load reads all recipes of a catalog: each directory of files that holds a recipe.yaml. A bad one is left out, and its problems
// stand with the others': it spoils only itself. The error is that of files itself.
func Load(files fs.FS, name string) ([]Entry, catalog.Problems, error) {
	dirs, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, nil, fmt.Errorf("reading catalog %s: %w", name, err)
	}
	if len(dirs) > maxDirs {
		return nil, nil, fmt.Errorf("catalog %s has %d files and directories; at most %d are read", name, len(dirs), maxDirs)
	}
	var out []Entry
	var all catalog.Problems
	for _, d := range dirs {
		if !d.IsDir() {
			continue
		}
		if _, err := fs.Stat(files, path.Join(d.Name(), File)); errors.Is(err, fs.ErrNotExist) {
			continue // not a recipe's directory
		}
		e, ps := LoadDir(files, d.Name())
		if places := e.OfBox(); len(places) > 0 {
			ps = append(ps, catalog.Problem{
				Severity: catalog.SeverityError, File: path.Join(d.Name(), File), Field: "sources",
				Message: fmt.Sprintf("%s is a file of the box; a catalog names none", spelling.Short(places[0])), Hint: "put the files where others can fetch them",
			})
		}
		all = append(all, ps...)
		if ps.Err() == nil {
			e.Catalog = name
			out = append(out, e)
		}
	}
	return out, all, nil
}

// unreadable is a problem of a file as a whole.
func unreadable(file string, err error) catalog.Problem {
	p := catalog.Problem{Severity: catalog.SeverityError, File: file, Message: err.Error()}
	if errors.Is(err, fs.ErrNotExist) {
		p.Message, p.Hint = "is not there", "a recipe's directory holds a "+File
	}
	return p
}

// readBounded reads a plain file, no more of it than is allowed. A link, a pipe or a device is refused, whatever it leads to.
func readBounded(files fs.FS, name string, most int64) ([]byte, error) {
	info, err := fs.Lstat(files, name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a plain file")
	}
	f, err := files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("reading it: %w", err)
	}
	if int64(len(src)) > most {
		return nil, fmt.Errorf("has more than %d bytes", most)
	}
	return src, nil
}
