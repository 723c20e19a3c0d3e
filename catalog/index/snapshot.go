package index

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
)

// begun is how directories are called that are being filled.
const begun = ".begun-"

// snapshots are the directories in which revisions of catalogs lie: DIR/NAME/REVISION. One that is there is whole.
type snapshots struct{ dir string }

// at is the directory of a revision. The colon of "sha256:" is no friend of all file systems.
func (s snapshots) at(name, revision string) string {
	return filepath.Join(s.dir, name, strings.TrimPrefix(revision, "sha256:"))
}

// begin makes a directory to be filled.
func (s snapshots) begin(name string) (*os.Root, error) {
	if err := os.MkdirAll(filepath.Join(s.dir, name), 0o755); err != nil {
		return nil, fmt.Errorf("a place for catalog %s: %w", name, err)
	}
	dir, err := os.MkdirTemp(filepath.Join(s.dir, name), begun)
	if err != nil {
		return nil, fmt.Errorf("a place for catalog %s: %w", name, err)
	}
	return os.OpenRoot(dir)
}

// commit gives a filled directory its name, in place of one that has it.
func (s snapshots) commit(filled *os.Root, name, revision string) error {
	to := s.at(name, revision)
	if err := syncAll(filled); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil { // what came now is what is right
		return fmt.Errorf("keeping catalog %s: %w", name, err)
	}
	if err := os.Rename(filled.Name(), to); err != nil {
		return fmt.Errorf("keeping catalog %s: %w", name, err)
	}
	return syncDir(filepath.Dir(to))
}

// syncAll sees to it that what a name is given to is on the disk.
func syncAll(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return syncDir(filepath.Join(root.Name(), filepath.FromSlash(name)))
	})
}

// syncDir writes a file or directory out.
func syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("writing out %s: %w", name, err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// sweep removes what no catalog uses: revisions of long ago, and what a crash left. alone has a catalog to itself meanwhile; is is
// false where somebody else has it, and nothing of it is looked at.
func (s snapshots) sweep(all []Catalog, alone func(name string) (free func(), is bool)) error {
	names, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("looking through catalogs: %w", err)
	}
	for _, n := range names {
		if free, is := alone(n.Name()); is {
			err = errors.Join(err, s.sweepOne(all, n.Name()))
			free()
		}
	}
	return err
}

func (s snapshots) sweepOne(all []Catalog, name string) error {
	i := slices.IndexFunc(all, func(c Catalog) bool { return c.Name == name })
	if i < 0 {
		return os.RemoveAll(filepath.Join(s.dir, name))
	}
	revisions, err := os.ReadDir(filepath.Join(s.dir, name))
	for _, r := range revisions {
		at := filepath.Join(s.dir, name, r.Name())
		if at != s.at(name, all[i].Revision) && at != s.at(name, all[i].Previous) {
			err = errors.Join(err, os.RemoveAll(at))
		}
	}
	return err
}

// load reads a catalog as it lies here. Where it cannot be used as a whole, its view says why.
func (s snapshots) load(c Catalog, keys []signature.Key) loaded {
	l := loaded{view: View{Catalog: c}}
	p, err := ParsePlace(c.URL, c.Dir)
	if err != nil {
		l.view.Refused = err.Error()
		return l
	}
	l.view.Kind = p.Kind
	if err := l.read(os.DirFS(s.at(c.Name, c.Revision)), keys); err != nil {
		l.view.Refused, l.entries, l.view.Recipes = err.Error(), nil, 0
	}
	return l
}

func (l *loaded) read(files fs.FS, keys []signature.Key) error {
	c := l.view.Catalog
	if _, err := fs.Stat(files, "."); err != nil {
		l.damaged = true
		return fmt.Errorf("its copy on this box is gone: palisade catalog update %s", c.Name)
	}
	st, err := read(files, keys)
	if err != nil {
		l.damaged = true // it was read before it was put there
		return err
	}
	l.view.SignedBy = st.key
	known := slices.ContainsFunc(keys, func(k signature.Key) bool { return k.ID() == c.Key })
	switch {
	case errors.Is(st.why, signature.ErrAltered):
		l.damaged = true
		return st.why
	case c.Key != "" && st.key != c.Key && known:
		l.damaged = true
		return fmt.Errorf("its copy on this box is not what %s signed: palisade catalog update %s", c.Key, c.Name)
	case c.Key != "" && st.key != c.Key:
		return fmt.Errorf("it was signed by %s, which is not trusted any more: palisade catalog trust KEYFILE, or palisade catalog remove %s", c.Key, c.Name)
	}
	entries, problems, err := recipe.Load(files, c.Name)
	if err != nil {
		return err
	}
	if st.manifest != nil {
		l.view.Title = st.manifest.Title
		var changed catalog.Problems
		entries, changed = intact(files, *st.manifest, entries)
		problems, l.damaged = append(problems, changed...), len(changed) > 0
	}
	l.entries, l.view.Problems, l.view.Recipes = entries, problems, len(entries)
	return nil
}

// intact leaves out recipes of which a file is not what the index says, or not there: they were changed on this box.
func intact(files fs.FS, m Manifest, entries []recipe.Entry) ([]recipe.Entry, catalog.Problems) {
	members := m.members()
	var out []recipe.Entry
	var problems catalog.Problems
	for _, r := range m.Recipes {
		if _, err := fs.Stat(files, r.Name); err != nil {
			problems = append(problems, spoiled(r.Name))
		}
	}
	for _, e := range entries {
		bad := ""
		for _, part := range parts() {
			name := e.Name + "/" + part
			src, err := fs.ReadFile(files, name)
			if members[name].SHA256 == "" && errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil || sum(src) != members[name].SHA256 {
				bad = name
			}
		}
		if bad == "" {
			out = append(out, e)
			continue
		}
		problems = append(problems, spoiled(bad))
	}
	return out, problems
}

func spoiled(name string) catalog.Problem {
	return catalog.Problem{Severity: catalog.SeverityError, File: name, Message: "is not what the index says: it was changed on this box",
		Hint: "the next catalog update takes it anew"}
}
