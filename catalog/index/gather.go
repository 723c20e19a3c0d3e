package index

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/palisade-run/palisade/catalog/fetch"
)

// gathering brings the files of a catalog into a directory of the box. Nothing but an index, its signatures and files of
// recipes is ever taken, none of it larger than its bound, so that whatever a place holds, no name leads out of the directory.
type gathering struct {
	sources func(scheme string) (fetch.Source, error)
	into    *os.Root
	here    *os.Root                                  // what was taken before, of which equal files are not fetched again; may be nil
	judge   func(index []byte, sigs signatures) error // called before anything that an HTTP index names is fetched
	left    int64                                     // bytes that may still be taken
}

// signatures of an index, by their files' names.
type signatures map[string][]byte

// gather fills the directory and returns the revision: a commit of git, else "sha256:" and what the place's content has.
func (g *gathering) gather(ctx context.Context, p Place, revision string) (string, error) {
	g.left = maxTotal
	switch p.Kind {
	case Folder:
		return g.folder(p)
	case Git:
		return g.git(ctx, p, revision)
	case Archive:
		return g.archive(ctx, p.Ref, p.Dir)
	default:
		return g.http(ctx, p)
	}
}

func signed() []string { return []string{MinisignFile, CosignFile} }

// taken says whether a file, by its name in the catalog, is taken, and how large it may be.
func taken(name string) (most int64, is bool) {
	switch {
	case name == IndexFile:
		return maxIndex, true
	case slices.Contains(signed(), name) || wanted(name):
		return maxFile, true
	default:
		return 0, false
	}
}

// folder copies a catalog out of a directory of the box. Links in it are passed over.
func (g *gathering) folder(p Place) (string, error) {
	root, err := os.OpenRoot(path.Join(p.Ref.Where, p.Dir))
	if err != nil {
		return "", unreachable(p, err)
	}
	defer root.Close()
	dirs, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return "", unreachable(p, err)
	}
	if len(dirs) > 2*maxRecipes {
		return "", broken("%s has %d files and directories", p, len(dirs))
	}
	digest := sha256.New()
	for _, d := range dirs {
		names := []string{d.Name()}
		if d.IsDir() {
			names = nil
			for _, part := range parts() {
				names = append(names, d.Name()+"/"+part)
			}
		}
		for _, name := range names {
			if _, is := taken(name); !is {
				continue
			}
			sum, err := g.copyFile(root, name)
			if err != nil {
				return "", err
			}
			if sum != "" {
				fmt.Fprintf(digest, "%s %s\n", sum, name)
			}
		}
	}
	return "sha256:" + hex.EncodeToString(digest.Sum(nil)), nil
}

// copyFile takes a file of a folder, and returns its checksum; "" where there is none that can be taken.
func (g *gathering) copyFile(from *os.Root, name string) (string, error) {
	info, err := from.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return "", nil // not there, or a link or a pipe: no part of the catalog
	}
	f, err := from.Open(name)
	if err != nil {
		return "", fmt.Errorf("reading the catalog: %w", err)
	}
	defer f.Close()
	return g.put(name, f)
}

// git takes a catalog out of one commit of a repository.
func (g *gathering) git(ctx context.Context, p Place, revision string) (string, error) {
	source, err := g.sources(p.Ref.Scheme)
	if err != nil {
		return "", err
	}
	ref := p.Ref
	ref.Revision = revision
	listing, err := source.List(ctx, ref)
	if err != nil {
		return "", unreachable(p, err)
	}
	for _, f := range listing.Files {
		name, is := strings.CutPrefix(f.Name, prefix(p.Dir))
		if most, take := taken(name); !is || !take || f.Bytes > most {
			continue // too large a file spoils its recipe alone, which cannot be read then
		}
		body, err := source.Open(ctx, listing, f, 0, -1)
		if err != nil {
			return "", unreachable(p, err)
		}
		_, err = g.put(name, body)
		if err = errors.Join(err, body.Close()); err != nil {
			return "", unreachable(p, err)
		}
	}
	return listing.Revision, nil
}

func prefix(dir string) string {
	if dir == "" {
		return ""
	}
	return dir + "/"
}

// http takes an index and its signatures, has them judged, and then takes what the index names.
func (g *gathering) http(ctx context.Context, p Place) (string, error) {
	index, err := g.get(ctx, p.Ref, maxIndex)
	if errors.Is(err, fetch.ErrNotFound) {
		return "", &fault{kind: ErrUnreachable, text: p.String() + " is not there", cause: err, hint: "where it is a git repository: git+" + strings.TrimSuffix(strings.TrimSuffix(p.Ref.Where, IndexFile), "/")}
	} else if err != nil {
		return "", unreachable(p, err)
	}
	sigs := signatures{}
	for _, name := range signed() {
		ref, err := p.beside(name)
		if err != nil {
			return "", err
		}
		sig, err := g.get(ctx, ref, maxFile)
		if err == nil {
			sigs[name] = sig
		} else if !errors.Is(err, fetch.ErrNotFound) {
			return "", unreachable(p, err)
		}
	}
	if err := g.judge(index, sigs); err != nil {
		return "", err
	}
	m, err := ParseManifest(index)
	if err != nil {
		return "", err
	}
	if m.Archive != nil {
		err = g.packed(ctx, p, *m.Archive)
	} else {
		err = g.each(ctx, p, m)
	}
	if err != nil {
		return "", err
	}
	// Last, over whatever an archive may have had of these names.
	for name, src := range sigs {
		err = errors.Join(err, g.replace(name, src))
	}
	return "sha256:" + sum(index), errors.Join(err, g.replace(IndexFile, index))
}

// packed takes the files out of the archive that an index names.
func (g *gathering) packed(ctx context.Context, p Place, archive Member) error {
	ref, err := p.beside(archive.Name)
	if err != nil {
		return err
	}
	ref.SHA256 = archive.SHA256
	_, err = g.archive(ctx, ref, "")
	return err
}

// atOnce is how many files of an index are fetched at a time.
const atOnce = 8

// each fetches the files that an index names, save those that are here already.
func (g *gathering) each(ctx context.Context, p Place, m Manifest) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for name, member := range m.members() {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			break
		}
		all.Go(func() {
			if err := g.one(ctx, p, name, member); err != nil {
				cancel(err)
			}
			<-slots
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

func (g *gathering) one(ctx context.Context, p Place, name string, member Member) error {
	src := g.kept(name, member)
	if src == nil {
		ref, err := p.beside(name)
		if err != nil {
			return err
		}
		ref.SHA256 = member.SHA256
		if src, err = g.get(ctx, ref, member.Bytes); err != nil {
			return unreachable(p, fmt.Errorf("%s: %w", name, err))
		}
		if int64(len(src)) != member.Bytes || sum(src) != member.SHA256 {
			return mismatch(name)
		}
	}
	return g.replace(name, src)
}

// mismatch is the error for a file that is not what its index says.
func mismatch(name string) error {
	return &fault{kind: ErrChecksum, text: name + " is not what the catalog's index says",
		hint: "it may just be published: try again; its maker publishes with palisade catalog sign, index last"}
}

// kept is the file as it was taken before, where it is the same; else nil.
func (g *gathering) kept(name string, member Member) []byte {
	if g.here == nil {
		return nil
	}
	src, err := g.here.ReadFile(name)
	if err != nil || sum(src) != member.SHA256 {
		return nil
	}
	return src
}

// get reads a small file of the web.
func (g *gathering) get(ctx context.Context, ref fetch.Ref, most int64) ([]byte, error) {
	body, err := g.open(ctx, ref)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	src, err := io.ReadAll(io.LimitReader(body, most+1))
	if err == nil && int64(len(src)) > most {
		err = fmt.Errorf("%s has more than %d bytes: %w", ref.Where, most, fetch.ErrTooLong)
	}
	return src, err
}

func (g *gathering) open(ctx context.Context, ref fetch.Ref) (io.ReadCloser, error) {
	source, err := g.sources(ref.Scheme)
	if err != nil {
		return nil, err
	}
	listing, err := source.List(ctx, ref)
	if err != nil {
		return nil, err
	}
	if len(listing.Files) != 1 {
		return nil, fmt.Errorf("%s is not one file: %w", ref.Where, fetch.ErrNotFound)
	}
	return source.Open(ctx, listing, listing.Files[0], 0, -1)
}

// put writes a file that is not there yet, and returns its checksum. One that is larger than it may be is left out.
func (g *gathering) put(name string, from io.Reader) (string, error) {
	most, _ := taken(name)
	src, err := io.ReadAll(io.LimitReader(from, most+1))
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", name, err)
	}
	if int64(len(src)) > most {
		return "", nil
	}
	if g.left -= int64(len(src)); g.left < 0 {
		return "", broken("the catalog has more than %d MiB of recipes", maxTotal>>20)
	}
	if _, err := g.into.Lstat(name); err == nil {
		return "", broken("the catalog has %s twice", name)
	}
	return sum(src), g.replace(name, src)
}

// replace writes a file, over the one that is there.
func (g *gathering) replace(name string, src []byte) error {
	if dir := path.Dir(name); dir != "." {
		if err := g.into.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("keeping %s: %w", name, err)
		}
	}
	if err := g.into.WriteFile(name, src, 0o644); err != nil {
		return fmt.Errorf("keeping %s: %w", name, err)
	}
	return nil
}

// unreachable is the error for a place that gave nothing, or not all.
func unreachable(p Place, err error) error {
	if errors.Is(err, ErrBroken) || errors.Is(err, ErrChecksum) || errors.Is(err, ErrUnreachable) {
		return err
	}
	f := &fault{kind: ErrUnreachable, text: "not all came from " + p.String(), cause: err}
	if f.Hint() == "" {
		f.hint = "see that it is there, and try again; nothing was changed here"
	}
	return f
}
