package index

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
)

// Making is how a maker of catalogs signs a directory.
type Making struct {
	Signer  signature.Signer
	Title   string // empty: as it was
	Archive bool   // all files in one archive beside the index too, which an HTTP index is fetched by
	Serial  int64  // at least; 0: the one after the last
	Now     time.Time
}

// Sign writes the index of a directory of recipes, and its signature beside it. Problems are of recipes; where one cannot be
// used, nothing is written. The serial grows with every change, and stays where there is none.
func Sign(dir *os.Root, m Making) (Manifest, catalog.Problems, error) {
	entries, problems, err := recipe.Load(dir.FS(), "new")
	if err != nil {
		return Manifest{}, nil, err
	}
	switch {
	case problems.Err() != nil:
		return Manifest{}, problems, broken("a recipe cannot be used")
	case len(entries) == 0:
		return Manifest{}, problems, broken("there are no recipes: they lie in directories of their names, each with a %s", recipe.File)
	}
	before, err := last(dir)
	if err != nil {
		return Manifest{}, problems, err
	}
	next, err := Next(dir.FS(), before, m.Now)
	if err != nil {
		return Manifest{}, problems, err
	}
	if m.Title != "" && m.Title != next.Title {
		next.Title, next.Serial, next.Made = m.Title, before.Serial+1, m.Now.UTC().Truncate(time.Second)
	}
	if m.Archive != (before.Archive != nil) {
		next.Serial = before.Serial + 1
	}
	next.Serial = max(next.Serial, m.Serial)
	if m.Archive {
		if err := next.pack(dir); err != nil {
			return Manifest{}, problems, err
		}
	}
	if err := publish(dir, next, m.Signer); err != nil {
		return Manifest{}, problems, err
	}
	if before.Archive != nil && (next.Archive == nil || next.Archive.Name != before.Archive.Name) {
		if err := dir.Remove(before.Archive.Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return next, problems, fmt.Errorf("removing the archive before: %w", err)
		}
	}
	return next, problems, nil
}

// last is the manifest that a directory has; the zero one where there is none.
func last(dir *os.Root) (Manifest, error) {
	src, err := dir.ReadFile(IndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, nil
	} else if err != nil {
		return Manifest{}, fmt.Errorf("reading %s: %w", IndexFile, err)
	}
	m, err := ParseManifest(src)
	if err != nil {
		return m, &fault{kind: ErrBroken, text: "the " + IndexFile + " that is there cannot be gone on from", cause: err,
			hint: "restore it, or remove it and give a serial above the last published one: --serial"}
	}
	return m, nil
}

// pack writes an archive of all files and names it in the manifest. Equal files make an equal archive.
func (m *Manifest) pack(dir *os.Root) error {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	out := tar.NewWriter(zip)
	for _, r := range m.Recipes {
		for _, f := range r.Files {
			name := r.Name + "/" + f.Name
			src, err := dir.ReadFile(name)
			if err != nil {
				return fmt.Errorf("packing %s: %w", name, err)
			}
			if err := out.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(src)), Mode: 0o644, Format: tar.FormatPAX}); err != nil {
				return fmt.Errorf("packing %s: %w", name, err)
			}
			if _, err := out.Write(src); err != nil {
				return fmt.Errorf("packing %s: %w", name, err)
			}
		}
	}
	if err := errors.Join(out.Close(), zip.Close()); err != nil {
		return fmt.Errorf("packing the catalog: %w", err)
	}
	m.Archive = &Member{Name: "catalog-" + strconv.FormatInt(m.Serial, 10) + ".tar.gz", Bytes: int64(b.Len()), SHA256: sum(b.Bytes())}
	return write(dir, m.Archive.Name, b.Bytes())
}

// publish writes the index and its signature. A signature of another kind that is there would be of the index before.
func publish(dir *os.Root, m Manifest, signer signature.Signer) error {
	src, err := m.Encode()
	if err != nil {
		return err
	}
	sig, err := signer.Sign(bytes.NewReader(src), fmt.Sprintf("%s serial %d", manifestKind, m.Serial))
	if err != nil {
		return err
	}
	ours, other := MinisignFile, CosignFile
	if signer.Key().Kind() == signature.Cosign {
		ours, other = other, ours
	}
	if err := dir.Remove(other); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing %s: %w", other, err)
	}
	return errors.Join(write(dir, IndexFile, src), write(dir, ours, sig))
}

// write puts a file in its place as a whole: the directory may be served while it is signed.
func write(dir *os.Root, name string, src []byte) error {
	part := "." + name + ".new"
	if err := dir.WriteFile(part, src, 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	if err := dir.Rename(part, name); err != nil {
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
