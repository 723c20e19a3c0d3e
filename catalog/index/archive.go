package index

import (
	"archive/tar"
	"bufio"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/recipe"
)

const archiveFile = ".archive" // where it lies while it is unpacked

// archive fetches a tar and takes a catalog out of it. Its revision is the checksum of the tar.
func (g *gathering) archive(ctx context.Context, ref fetch.Ref, dir string) (string, error) {
	p := Place{Ref: ref}
	f, err := g.into.Create(archiveFile)
	if err != nil {
		return "", fmt.Errorf("keeping the archive: %w", err)
	}
	defer func() { _ = errors.Join(f.Close(), g.into.Remove(archiveFile)) }() // what is left goes with the directory
	body, err := g.open(ctx, ref)
	if err != nil {
		return "", unreachable(p, err)
	}
	defer body.Close()
	digest := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, digest), io.LimitReader(body, maxArchive+1))
	switch {
	case err != nil:
		return "", unreachable(p, err)
	case n > maxArchive:
		return "", broken("the archive has more than %d MiB", maxArchive>>20)
	}
	sum := hex.EncodeToString(digest.Sum(nil))
	if ref.SHA256 != "" && ref.SHA256 != sum {
		return "", mismatch(path.Base(ref.Where))
	}
	top, err := topOf(f)
	if err != nil {
		return "", err
	}
	return "sha256:" + sum, g.unpack(f, top+prefix(dir))
}

// topOf is the one directory that holds everything in an archive, with a slash behind it, as forges make them; "" where there
// is none, or where it is a recipe.
func topOf(f *os.File) (string, error) {
	top, first := "", true
	err := entries(f, func(h *tar.Header, _ io.Reader) error {
		name := plain(h.Name)
		if h.Typeflag != tar.TypeReg || name == "" {
			return nil
		}
		head, rest, inside := strings.Cut(name, "/")
		switch {
		case !inside, !first && head+"/" != top, wanted(name) && path.Base(name) == recipe.File:
			top = ""
			return fs.SkipAll
		case rest != "":
			top, first = head+"/", false
		}
		return nil
	})
	return top, err
}

// unpack takes the files of a catalog that lie below top. Links, devices and all other files are passed over.
func (g *gathering) unpack(f *os.File, top string) error {
	return entries(f, func(h *tar.Header, body io.Reader) error {
		name, is := strings.CutPrefix(plain(h.Name), top)
		if _, take := taken(name); !is || !take || h.Typeflag != tar.TypeReg {
			return nil
		}
		_, err := g.put(name, body)
		return err
	})
}

// plain is an entry's name as others know it; what leads elsewhere stays as it is, and is no file of a catalog.
func plain(name string) string { return strings.TrimPrefix(name, "./") }

// entries goes through a tar, with gzip or without, until each ends it with fs.SkipAll.
func entries(f *os.File, each func(h *tar.Header, body io.Reader) error) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("reading the archive: %w", err)
	}
	buffered := bufio.NewReaderSize(f, 64<<10)
	var from io.Reader = buffered
	if magic, _ := buffered.Peek(2); string(magic) == "\x1f\x8b" {
		unzipped, err := gzip.NewReader(buffered)
		if err != nil {
			return broken("the archive is damaged: %v", err)
		}
		from = unzipped
	}
	bounded := &io.LimitedReader{R: from, N: maxStream}
	for in := tar.NewReader(bounded); ; {
		h, err := in.Next()
		switch {
		case bounded.N <= 0:
			return broken("the archive has more than %d MiB when it is unpacked", maxStream>>20)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return broken("the archive is damaged: %v", err)
		}
		err = each(h, in)
		_, corrupt := errors.AsType[flate.CorruptInputError](err)
		switch {
		case errors.Is(err, fs.SkipAll):
			return nil
		case corrupt, errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, gzip.ErrChecksum), errors.Is(err, gzip.ErrHeader), errors.Is(err, tar.ErrHeader):
			return broken("the archive is cut off or damaged: %v", err)
		case err != nil:
			return err
		}
	}
}
