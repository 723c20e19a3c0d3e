package goods

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/folders"
)

// Manifest is one version of a folder.
type Manifest struct {
	Folder  string   `json:"folder"`  // id
	Version string   `json:"version"` // SHA-256 over all that follows, in hexadecimal digits
	Files   []File   `json:"files,omitempty"`
	Links   []Link   `json:"links,omitempty"`
	Dirs    []string `json:"dirs,omitempty"` // those that hold nothing
}

// File is a plain file. Names are relative to the folder, with slashes; lists are by name.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Run    bool   `json:"run,omitempty"` // it may be run
}

// Link is a symbolic link. Where it leads is of no concern here: a session that follows it stays in the session.
type Link struct {
	Name string `json:"name"`
	To   string `json:"to"`
}

// Bytes of all files.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Bytes
	}
	return n
}

// versioned puts a manifest into order, and names its version.
func versioned(m Manifest) (Manifest, error) {
	slices.SortFunc(m.Files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(m.Links, func(a, b Link) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(m.Dirs)
	of := m
	of.Folder, of.Version = "", ""
	raw, err := json.Marshal(of)
	if err != nil {
		return m, fmt.Errorf("listing a folder: %w", err)
	}
	sum := sha256.Sum256(raw)
	m.Version = hex.EncodeToString(sum[:])
	return m, nil
}

// Bounds of one folder.
const (
	mostEntries  = 100_000
	mostManifest = 64 << 20 // bytes
	longestLink  = 4096
	longestID    = 64
)

// checkID makes sure of a folder's id that it can be part of a file's name, whoever says it.
func checkID(id string) error {
	strange := func(r rune) bool {
		return r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}
	if id == "" || len(id) > longestID || strings.ContainsFunc(id, strange) {
		return &fault{kind: folders.ErrInvalid, text: fmt.Sprintf("%q is no id of a folder", id), hint: "palisade folder list shows which there are"}
	}
	return nil
}

// check makes sure of a manifest that came from another box: that it is what its version says, and that it can be put together
// without leaving its place. A box with a damaged memory is a box, too.
func (m Manifest) check(folder string) error {
	wrong := func(format string, values ...any) error {
		return &fault{kind: fetch.ErrRefused, text: "what another box says of the folder does not hold together: " + fmt.Sprintf(format, values...), hint: "look at that box: palisade cluster status"}
	}
	again, err := versioned(Manifest{Files: slices.Clone(m.Files), Links: slices.Clone(m.Links), Dirs: slices.Clone(m.Dirs)})
	switch {
	case err != nil:
		return err
	case m.Folder != folder:
		return wrong("it is of another folder")
	case again.Version != m.Version:
		return wrong("its version is another one")
	case len(m.Files)+len(m.Links)+len(m.Dirs) > mostEntries:
		return wrong("it has more than %d entries", mostEntries)
	}
	taken := map[string]bool{}
	take := func(name string) error {
		if !fs.ValidPath(name) || name == "." || strings.ContainsRune(name, 0) || taken[name] {
			return wrong("the name %q", name)
		}
		taken[name] = true
		return nil
	}
	for _, f := range m.Files {
		if err := take(f.Name); err != nil {
			return err
		}
		if !blobs.Valid(f.SHA256) || f.Bytes < 0 {
			return wrong("%q has no proper size and checksum", f.Name)
		}
	}
	for _, l := range m.Links {
		if err := take(l.Name); err != nil {
			return err
		}
		if l.To == "" || len(l.To) > longestLink || strings.ContainsRune(l.To, 0) {
			return wrong("the link %q leads nowhere", l.Name)
		}
	}
	for _, d := range m.Dirs {
		if err := take(d); err != nil {
			return err
		}
	}
	for name := range taken {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			if taken[dir] {
				return wrong("%q is more than one thing", dir)
			}
		}
	}
	return nil
}
