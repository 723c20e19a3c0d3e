package bundle

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-run/palisade/catalog/blobs"
	"github.com/palisade-run/palisade/catalog/recipe"
	"github.com/palisade-run/palisade/catalog/signature"
)

// Blobs keep files by their checksums. *blobs.Store is one.
type Blobs interface {
	Has(sha256 string) bool
	// Sure is whether a file is here, whole, that is about to be used: it is not swept away until Release.
	Sure(ctx context.Context, sha256 string) (bytes int64, is bool, err error)
	Release(sums ...string)
	// Part opens the part of a file that is called key, for who fills it, and waits while another one does.
	Part(ctx context.Context, key string, size int64) (*blobs.Part, error)
	// Frontier is how many bytes of a part are here, from its beginning on.
	Frontier(key string) int64
	// Free is how many bytes the disk has left.
	Free() (int64, error)
}

// Images are engines' images.
type Images interface {
	// Import reads an image's archive to its end; until then nothing of it can be seen.
	Import(ctx context.Context, archive io.Reader) error
}

// Around is what a Shelf asks of others.
type Around struct {
	Blobs  Blobs
	Images Images                                             // nil: sessions are plain processes, images are of no use
	Keys   func(ctx context.Context) ([]signature.Key, error) // that the owner trusts
	Now    func() time.Time
}

// Shelf keeps the bundles that came to this box: what they say of themselves, until somebody takes them down. Their files are
// among the blobs.
type Shelf struct {
	dir    string
	around Around

	mu     sync.Mutex
	held   map[string]Held      // by name
	coming map[string]time.Time // checksums of files of bundles that began to come
}

// Held is a bundle on the shelf.
type Held struct {
	Contents   Contents
	Digest     string
	SignedBy   string // the key's id; empty: it is not signed by a trusted key, and was let in all the same
	ReceivedAt time.Time
	Dir        string       // its place on the shelf
	Recipe     recipe.Entry // as it can be installed here: its files are those of the bundle
	Spoiled    error        // why it cannot be installed any more: its recipe is of no use to this Palisade
	NoImage    bool         // its image was left out, for want of use
	Here       int64        // of one that is only checked: bytes of its files, in their order, that are here and may be left out
}

// Names on the shelf.
const (
	heldName    = "held.json"
	textsDir    = "texts"
	comingDir   = ".coming-"
	goneDir     = ".gone-"
	reserve     = 256 << 20 // bytes of the disk that stay free
	layoutValue = `{"imageLayoutVersion":"1.0.0"}`

	// Catalog is what recipes of bundles say that they are from.
	Catalog = "bundle"
)

// heldFile is what is kept of a bundle beside its texts.
type heldFile struct {
	Contents   Contents  `json:"contents"`
	Digest     string    `json:"digest"`
	SignedBy   string    `json:"signed_by,omitempty"`
	ReceivedAt time.Time `json:"received_at"`
	NoImage    bool      `json:"no_image,omitempty"`
}

// OpenShelf opens a directory, which is made when it is not there. What a crash left half done is removed. A bundle that
// cannot be read any more is left where it is, and named by the second result.
func OpenShelf(dir string, around Around) (*Shelf, []error, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("opening the shelf of bundles: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the shelf of bundles: %w", err)
	}
	s := &Shelf{dir: dir, around: around, held: map[string]Held{}, coming: map[string]time.Time{}}
	var broken []error
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") {
			broken = append(broken, os.RemoveAll(at))
			continue
		}
		h, err := load(at)
		if err = cmp.Or(err, h.Spoiled); err != nil {
			broken = append(broken, fmt.Errorf("bundle %s on the shelf: %w", e.Name(), err))
		}
		if h.Contents.Name == e.Name() { // one that is spoiled too: its files stay, and it can be taken down
			s.held[e.Name()] = h
		}
	}
	return s, slices.DeleteFunc(broken, func(err error) bool { return err == nil }), nil
}

func load(dir string) (Held, error) {
	raw, err := os.ReadFile(filepath.Join(dir, heldName))
	if err != nil {
		return Held{}, err
	}
	var f heldFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return Held{}, err
	}
	h := Held{Contents: f.Contents, Digest: f.Digest, SignedBy: f.SignedBy, ReceivedAt: f.ReceivedAt, NoImage: f.NoImage, Dir: dir}
	h.Recipe, h.Spoiled = installable(h, dir)
	return h, nil
}

// installable is the recipe of a bundle, whose texts are below dir, as it runs here: its variants that take the files of the
// bundle, and these files at their place on the shelf, with their checksums.
func installable(h Held, dir string) (recipe.Entry, error) {
	r, problems := recipe.LoadDir(os.DirFS(filepath.Join(dir, textsDir)), ".")
	if err := problems.Err(); err != nil {
		return r, refused("the recipe in it is of no use: tell who made it", "%v", err)
	}
	if r.Name != h.Contents.Name {
		return r, refused("tell who made it", "its recipe is of %q, not of %q", r.Name, h.Contents.Name)
	}
	r.Catalog = Catalog
	r.Variants = slices.DeleteFunc(slices.Clone(r.Variants), func(v recipe.Variant) bool { return v.Source != h.Contents.Source })
	r.Sources = slices.DeleteFunc(slices.Clone(r.Sources), func(s recipe.Source) bool { return s.Name != h.Contents.Source })
	if len(r.Variants) == 0 || h.Contents.Source != "" && len(r.Sources) != 1 {
		return r, refused("tell who made it", "no variant of its recipe takes the files that are in it")
	}
	for i := range r.Sources {
		s := &r.Sources[i]
		s.From, s.Mirrors, s.Files, s.Secret, s.Checksum, s.Bytes = h.Dir, nil, nil, "", map[string]string{}, h.Contents.Weight()
		for _, f := range h.Contents.Files {
			s.Checksum[f.Name] = f.SHA256
		}
	}
	return r, nil
}

// List is all that is on the shelf, by name.
func (s *Shelf) List() []Held {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Held{}
	for _, h := range s.held {
		out = append(out, h)
	}
	slices.SortFunc(out, func(a, b Held) int { return cmp.Compare(a.Contents.Name, b.Contents.Name) })
	return out
}

// Find finds a bundle that can be installed by its name. ErrNotFound, ErrRefused.
func (s *Shelf) Find(name string) (Held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[name]
	if ok && h.Spoiled != nil {
		return Held{}, h.Spoiled
	}
	if !ok {
		return Held{}, missing(name)
	}
	return h, nil
}

func missing(name string) error {
	return &sentence{ErrNotFound, fmt.Sprintf("there is no bundle of %s here", name), "palisade bundle list shows those that there are; palisade bundle install FILE brings one"}
}

// At finds a bundle by its place on the shelf.
func (s *Shelf) At(dir string) (Held, bool) {
	if filepath.Dir(filepath.Clean(dir)) != filepath.Clean(s.dir) {
		return Held{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h, ok := s.held[filepath.Base(filepath.Clean(dir))]
	return h, ok
}

// Uses says whether a bundle on the shelf, or one that began to come, has a file of that checksum: such a one is not to be swept
// away.
func (s *Shelf) Uses(sha256 string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at, is := s.coming[sha256]; is && s.around.Now().Sub(at) < comingFor {
		return true
	}
	for _, h := range s.held {
		if slices.ContainsFunc(h.Contents.Files, func(f File) bool { return f.SHA256 == sha256 }) {
			return true
		}
	}
	return false
}

// Remove takes a bundle down. Models that were installed from it have their files still.
func (s *Shelf) Remove(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.held[name]; !ok {
		return missing(name)
	}
	if err := s.away(name); err != nil {
		return fmt.Errorf("taking down the bundle of %s: %w", name, err)
	}
	delete(s.held, name)
	return nil
}

// away removes a directory of the shelf: by a rename, so that it is never there in half.
func (s *Shelf) away(name string) error {
	gone, err := os.MkdirTemp(s.dir, goneDir)
	if err != nil {
		return err
	}
	err = os.Rename(filepath.Join(s.dir, name), filepath.Join(gone, name))
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(gone))
}

// stage writes all that is kept of a bundle into a directory beside its place.
func (s *Shelf) stage(h Held, texts map[string][]byte) (string, error) {
	coming, err := os.MkdirTemp(s.dir, comingDir)
	if err != nil {
		return "", err
	}
	for _, t := range h.Contents.Texts {
		at := filepath.Join(coming, textsDir, filepath.FromSlash(t.Name))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			return coming, err
		}
		if err := writeSynced(at, texts[t.SHA256]); err != nil {
			return coming, err
		}
	}
	raw, err := json.Marshal(heldFile{Contents: h.Contents, Digest: h.Digest, SignedBy: h.SignedBy, ReceivedAt: h.ReceivedAt, NoImage: h.NoImage})
	if err != nil {
		return coming, err
	}
	return coming, writeSynced(filepath.Join(coming, heldName), raw)
}

// place puts a bundle on the shelf, in place of one that had its name.
func (s *Shelf) place(coming string, h Held) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.away(h.Contents.Name); err != nil {
		return err
	}
	if err := os.Rename(coming, h.Dir); err != nil {
		return err
	}
	s.held[h.Contents.Name] = h
	for _, f := range h.Contents.Files {
		delete(s.coming, f.SHA256)
	}
	return nil
}

func writeSynced(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}
