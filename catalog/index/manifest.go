package index

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/palisade-run/palisade/catalog/recipe"
)

// Files of a catalog beside its recipes. A signature is minisign's or cosign's.
const (
	IndexFile    = "index.yaml"
	MinisignFile = "index.yaml.minisig"
	CosignFile   = "index.yaml.sig"
)

// Bounds of what is taken from a catalog.
const (
	maxIndex   = 16 << 20 // bytes of an index.yaml
	maxFile    = 1 << 20  // of one file of a recipe
	maxRecipes = 20_000
	maxTotal   = 256 << 20 // of all files of a catalog
	maxArchive = 128 << 20 // of an archive as it comes
	maxStream  = 512 << 20 // of an archive unpacked, with what is not taken from it
	maxValues  = 400_000   // lines, and values in brackets, of an index.yaml: 20,000 recipes with all their files have 280,000 lines
)

const (
	manifestKind   = "palisade-catalog" // a signature over something else is never taken for one over an index
	manifestSchema = 1
)

// Manifest is an index.yaml: what a catalog holds, to the byte. A signature is over this file.
type Manifest struct {
	Kind    string        `yaml:"kind"`
	Schema  int           `yaml:"schema"`
	Title   string        `yaml:"title,omitempty"`
	Serial  int64         `yaml:"serial"` // grows with every change that is published, so that an old one is known for old
	Made    time.Time     `yaml:"made"`
	Archive *Member       `yaml:"archive,omitempty"` // of an HTTP index: a tar that holds all files
	Recipes []RecipeFiles `yaml:"recipes"`
}

// RecipeFiles are the files of one recipe, in the directory of its name.
type RecipeFiles struct {
	Name  string   `yaml:"name"`
	Files []Member `yaml:"files"`
}

// Member is a file and its checksum.
type Member struct {
	Name   string `yaml:"name"`
	Bytes  int64  `yaml:"bytes"`
	SHA256 string `yaml:"sha256"`
}

var (
	recipeDir   = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]{0,58}[a-z0-9])?$`)
	archiveName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(tar|tar\.gz|tgz)$`)
	sha256Text  = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// parts are the files of a recipe: nothing else is ever taken from a catalog.
func parts() []string {
	return []string{recipe.File, recipe.DefinitionFile, recipe.ReadmeFile, recipe.IconFile}
}

// wanted says whether a file of a catalog is one of a recipe's.
func wanted(name string) bool {
	dir, file := path.Split(name)
	return recipeDir.MatchString(strings.TrimSuffix(dir, "/")) && slices.Contains(parts(), file)
}

// ParseManifest reads an index.yaml. What it does not know it passes over, so that an index of tomorrow is read today. An
// error is an ErrBroken.
func ParseManifest(src []byte) (Manifest, error) {
	var m Manifest
	if len(src) > maxIndex {
		return m, broken("%s has more than %d MiB", IndexFile, maxIndex>>20)
	}
	if values(src) > maxValues { // each takes a hundred times its bytes in memory, before anybody looks at what it is
		return m, broken("%s has more than %d lines and values", IndexFile, maxValues)
	}
	if err := yaml.NewDecoder(bytes.NewReader(src)).Decode(&m); err != nil {
		return Manifest{}, broken("%s cannot be read: %v", IndexFile, err)
	}
	return m, m.check()
}

func values(src []byte) (n int) {
	for _, b := range src {
		switch b {
		case '\n', '\r', ',', '[', '{':
			n++
		}
	}
	return n
}

func (m Manifest) check() error {
	switch {
	case m.Kind != manifestKind:
		return broken("%s is no index of a catalog: its kind is %q, not %q", IndexFile, m.Kind, manifestKind)
	case m.Schema != manifestSchema:
		return &fault{kind: ErrBroken, text: fmt.Sprintf("%s is of schema %d; this Palisade reads %d", IndexFile, m.Schema, manifestSchema), hint: "a newer Palisade may read it"}
	case m.Serial < 1:
		return broken("%s has the serial %d: they begin with 1", IndexFile, m.Serial)
	case len(m.Recipes) > maxRecipes:
		return broken("%s has %d recipes; at most %d are taken", IndexFile, len(m.Recipes), maxRecipes)
	case m.Archive != nil && (!archiveName.MatchString(m.Archive.Name) || m.Archive.bad(maxArchive)):
		return broken("%s: its archive %q is not a tar of at most %d MiB beside it, with a sha256", IndexFile, m.Archive.Name, maxArchive>>20)
	}
	seen, total := map[string]bool{}, int64(0)
	for _, r := range m.Recipes {
		if seen[r.Name] || len(r.Files) > len(parts()) {
			return broken("%s names %q, or files of it, twice", IndexFile, r.Name)
		}
		seen[r.Name] = true
		for _, f := range r.Files {
			name := r.Name + "/" + f.Name
			if !wanted(name) || f.bad(maxFile) || seen[name] {
				return broken("%s: %q is no file of a recipe with at most %d KiB and a sha256, or it is there twice", IndexFile, name, maxFile>>10)
			}
			seen[name] = true
			total += f.Bytes
		}
	}
	if total > maxTotal {
		return broken("%s has more than %d MiB of files", IndexFile, maxTotal>>20)
	}
	return nil
}

func (f Member) bad(most int64) bool {
	return f.Bytes < 0 || f.Bytes > most || !sha256Text.MatchString(f.SHA256)
}

// members are all files by their names in the catalog.
func (m Manifest) members() map[string]Member {
	out := map[string]Member{}
	for _, r := range m.Recipes {
		for _, f := range r.Files {
			out[r.Name+"/"+f.Name] = f
		}
	}
	return out
}

// Encode is the file.
func (m Manifest) Encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Made by: palisade catalog sign. What is changed by hand is not what was signed.\n")
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(m); err != nil {
		return nil, fmt.Errorf("writing %s: %w", IndexFile, err)
	}
	return b.Bytes(), nil
}

// Next is the manifest of what files hold now. It has the serial after the one before, unless nothing has changed since:
// then it is the one before. The zero Manifest is before the first.
func Next(files fs.FS, before Manifest, now time.Time) (Manifest, error) {
	m := Manifest{Kind: manifestKind, Schema: manifestSchema, Title: before.Title, Serial: before.Serial + 1, Made: now.UTC().Truncate(time.Second)}
	dirs, err := fs.ReadDir(files, ".")
	if err != nil {
		return Manifest{}, fmt.Errorf("reading the catalog: %w", err)
	}
	for _, d := range dirs {
		r := RecipeFiles{Name: d.Name()}
		for _, name := range parts() {
			member, is, err := measure(files, d.Name()+"/"+name)
			if err != nil {
				return Manifest{}, err
			}
			if is {
				member.Name = name
				r.Files = append(r.Files, member)
			}
		}
		if len(r.Files) > 0 && r.Files[0].Name == recipe.File {
			m.Recipes = append(m.Recipes, r)
		}
	}
	if slices.EqualFunc(m.Recipes, before.Recipes, func(a, b RecipeFiles) bool { return a.Name == b.Name && slices.Equal(a.Files, b.Files) }) {
		m.Serial, m.Made = max(before.Serial, 1), before.Made
	}
	return m, m.check()
}

// measure reads a file of a recipe; false where there is none.
func measure(files fs.FS, name string) (Member, bool, error) {
	if !wanted(name) {
		return Member{}, false, nil
	}
	info, err := fs.Lstat(files, name)
	if err != nil {
		return Member{}, false, nil //nolint:nilerr // not there: only recipe.yaml must be
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return Member{}, false, broken("%s is not a plain file of at most %d KiB", name, maxFile>>10)
	}
	src, err := fs.ReadFile(files, name)
	if err != nil {
		return Member{}, false, fmt.Errorf("reading the catalog: %w", err)
	}
	return Member{Bytes: int64(len(src)), SHA256: sum(src)}, true, nil
}

func sum(src []byte) string {
	digest := sha256.Sum256(src)
	return hex.EncodeToString(digest[:])
}
