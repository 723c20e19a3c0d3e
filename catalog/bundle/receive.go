package bundle

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/bytesize"
	"github.com/palisade-run/palisade/catalog/signature"
)

// receive takes a bundle in while it comes. Until its last byte is verified nothing changes but that files, and what came of one,
// may be among the blobs, which nobody has yet: GoOn needs them not again, or they go when the blobs are swept. Then the image
// gets its name, and the bundle its place on the shelf.
func (s *Shelf) receive(ctx context.Context, r io.Reader, take *taking, tell Progress) (Held, error) {
	defer take.abandon()
	take.buffers = newBuffers()
	_, err := Read(ctx, r, func(h Head) (Taker, error) {
		if err := take.begin(ctx, h); err != nil {
			return nil, err
		}
		s.comes(h.Contents)
		return take, nil
	}, tell)
	if err != nil {
		return Held{}, err
	}
	held := Held{
		Contents: take.head.Contents, Digest: take.head.Digest, SignedBy: take.signedBy, ReceivedAt: s.around.Now().UTC(),
		Dir: filepath.Join(s.dir, take.head.Name), NoImage: take.head.Image != nil && s.around.Images == nil,
	}
	coming, err := s.stage(held, take.texts)
	defer os.RemoveAll(coming) // gone already when all went well
	if err != nil {
		return Held{}, fmt.Errorf("putting the bundle on the shelf: %w", err)
	}
	if held.Recipe, err = installable(held, coming); err != nil {
		return Held{}, err
	}
	if err := take.allHere(ctx); err != nil {
		return Held{}, err
	}
	if err := take.finishImage(); err != nil {
		return Held{}, fmt.Errorf("importing the image of the bundle: %w", err)
	}
	if err := s.place(coming, held); err != nil {
		return Held{}, fmt.Errorf("putting the bundle on the shelf: %w", err)
	}
	for _, f := range held.Contents.Files { // the shelf claims them now
		s.around.Blobs.Release(f.SHA256)
	}
	return held, nil
}

// taking is one bundle as it comes.
type taking struct {
	shelf         *Shelf
	allowUnsigned bool
	without       int64 // bytes of its files that are left out
	left          map[string]int64
	buffers       *sync.Pool
	head          Head
	signedBy      string
	isText        map[string]bool
	isFile        map[string]bool
	isImage       map[string]bool
	texts         map[string][]byte // by checksum

	image    *tar.Writer
	pipe     *io.PipeWriter
	imported chan error
	finished bool
}

// begin decides on what is known before anything comes:
//  1. A signature that is wrong is never let in; one that is missing, or of a key that is not trusted, if that is asked for.
//  2. What is left out has to be here.
//  3. There has to be room for all that is not here.
func (t *taking) begin(ctx context.Context, h Head) error {
	t.head, t.isText, t.isFile, t.isImage = h, sums(h.Texts), sums(h.Files), map[string]bool{}
	if h.Image != nil && t.shelf.around.Images != nil {
		for _, sum := range h.Image.Blobs {
			t.isImage[sum] = true
		}
	}
	keys, err := t.shelf.around.Keys(ctx)
	if err != nil {
		return fmt.Errorf("looking for the keys that are trusted: %w", err)
	}
	signed, err := h.Signed(keys)
	switch {
	case err == nil:
		t.signedBy = signed.Key.ID()
	case !errors.Is(err, signature.ErrUnsigned) && !errors.Is(err, signature.ErrUntrusted): // 1
		return refused("", "%v", err)
	case !t.allowUnsigned:
		return &unsigned{err}
	}
	if t.left, err = h.leftOut(t.without); err != nil { // 2
		return err
	}
	for _, e := range h.weights() {
		if t.left[e.SHA256] > t.shelf.here(e) {
			return gone(e.Name)
		}
	}
	free, err := t.shelf.around.Blobs.Free()
	if err != nil {
		return fmt.Errorf("looking how much room there is: %w", err)
	}
	var needed int64
	for _, e := range h.Entries { // 3
		if t.isFile[e.SHA256] {
			needed += e.Bytes - t.shelf.here(e)
		}
		if t.isImage[e.SHA256] {
			needed += e.Bytes
		}
	}
	if needed+reserve > free {
		return &sentence{ErrNoSpace, fmt.Sprintf("the bundle needs %s of the disk, and %s are free", bytesize.Format(needed+reserve), bytesize.Format(free)), "remove models that are not used: palisade model list, palisade model gc"}
	}
	return nil
}

func sums(files []File) map[string]bool {
	out := map[string]bool{}
	for _, f := range files {
		out[f.SHA256] = true
	}
	return out
}

// unsigned is a bundle whose signature says nothing to this box.
type unsigned struct{ err error }

func (u *unsigned) Error() string   { return "the bundle is not taken: " + u.err.Error() }
func (u *unsigned) Unwrap() []error { return []error{ErrUnsigned, u.err} }

// Hint says what to do.
func (u *unsigned) Hint() string {
	return "trust the key of who made it: palisade catalog trust KEYFILE; or take it as it is: --allow-unsigned"
}

// Take implements Taker.
func (t *taking) Take(ctx context.Context, e Entry, r io.Reader) error {
	if e.Name == layoutName || e.Name == indexName {
		return nil
	}
	if t.isImage[e.SHA256] {
		w, err := t.imageEntry(ctx, e)
		if err != nil {
			return err
		}
		r = io.TeeReader(r, w)
	}
	switch {
	case t.isText[e.SHA256]:
		var b bytes.Buffer
		if _, err := io.Copy(&b, r); err != nil {
			return err
		}
		t.texts[e.SHA256] = b.Bytes()
		r = &b
	case !t.isFile[e.SHA256] && !t.isImage[e.SHA256]:
		return nil
	}
	if t.isFile[e.SHA256] {
		if err := t.keep(ctx, e, r); err != nil {
			return fmt.Errorf("keeping %s: %w", e.Name, err)
		}
	}
	if t.isImage[e.SHA256] { // all of it has to pass, though the file was here
		_, err := io.CopyBuffer(onlyWriter{io.Discard}, onlyReader{r}, make([]byte, 256<<10))
		return err
	}
	return nil
}

// allHere makes sure that what came hours ago has not gone meanwhile.
func (t *taking) allHere(ctx context.Context) error {
	for _, f := range t.head.Files {
		if _, here, err := t.shelf.around.Blobs.Sure(ctx, f.SHA256); err != nil {
			return fmt.Errorf("looking for %s: %w", f.Name, err)
		} else if !here {
			return refused("bring it again: only what is missing is kept anew", "%s has gone from this box while the rest came", f.Name)
		}
	}
	return nil
}

// imageEntry begins a blob of the image, in an archive that the runtime reads meanwhile.
func (t *taking) imageEntry(ctx context.Context, e Entry) (io.Writer, error) {
	if t.image == nil {
		from, to := io.Pipe()
		t.image, t.pipe, t.imported = tar.NewWriter(to), to, make(chan error, 1)
		go func() {
			err := t.shelf.around.Images.Import(ctx, from)
			// Whoever writes is told why nobody reads any more.
			_ = from.CloseWithError(cmp.Or(err, io.ErrClosedPipe))
			t.imported <- err
		}()
	}
	return t.image, t.image.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: e.Name, Size: e.Bytes, Mode: 0o644})
}

// finishImage ends the archive: only then the image gets its name, and no other one than the bundle shows: what its manifests
// call themselves could replace any image of the box.
func (t *taking) finishImage() error {
	if t.image == nil {
		return nil
	}
	index, err := json.Marshal(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: t.head.Image.named(),
	})
	if err != nil {
		return err
	}
	for name, text := range map[string][]byte{layoutName: []byte(layoutValue), indexName: index} {
		if err := t.image.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(text)), Mode: 0o644}); err != nil {
			return t.importFailed(err)
		}
		if _, err := t.image.Write(text); err != nil {
			return t.importFailed(err)
		}
	}
	if err := t.image.Close(); err != nil {
		return t.importFailed(err)
	}
	t.finished = true
	_ = t.pipe.Close() // of a pipe: never an error
	return <-t.imported
}

// importFailed is what the runtime said, where it has ended the archive, else err.
func (t *taking) importFailed(err error) error {
	_ = t.pipe.CloseWithError(err) // of a pipe: never an error
	t.finished = true
	if said := <-t.imported; said != nil {
		return said
	}
	return err
}

// abandon ends an import that was begun and not finished, and waits until nothing of it is left.
func (t *taking) abandon() {
	if t.image == nil || t.finished {
		return
	}
	_ = t.importFailed(errors.New("the bundle was not whole")) // why is said where it was found out
}

// Check says of the beginning of a bundle whether it would be taken in: whether it can be read, who signed it, and whether
// there is room. Nothing of it is kept.
func (s *Shelf) Check(ctx context.Context, r io.Reader, allowUnsigned bool) (Held, error) {
	h, err := ReadHead(ctx, r)
	if err != nil {
		return Held{}, err
	}
	take := &taking{shelf: s, allowUnsigned: allowUnsigned}
	if err := take.begin(ctx, h); err != nil {
		return Held{}, err
	}
	return Held{Contents: h.Contents, Digest: h.Digest, SignedBy: take.signedBy, NoImage: h.Image != nil && s.around.Images == nil, Here: s.Here(h.Contents)}, nil
}
