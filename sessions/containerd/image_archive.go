package containerd

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/sessions"
)

// importedName is what an image is called whose archive gives it no name of its own; its tag is its digest.
const importedName = "localhost/imported"

// Import implements sessions.Images. Names in the archive are taken over from what had them before only when all of
// it has been read and is for this box; otherwise nothing is left of it.
func (r *Runtime) Import(ctx context.Context, from io.Reader) ([]sessions.Image, error) {
	ctx = quiet(r.in(ctx))
	held, release, err := r.hold(ctx)
	if err != nil {
		return nil, fmt.Errorf("importing images: %w", cmp.Or(context.Cause(ctx), down(err)))
	}
	imported, err := r.importHeld(held, from)
	if err != nil {
		if noSpace(err) {
			err = diskFull()
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		release([]string{})
		return nil, fmt.Errorf("importing images: %w", err)
	}
	out := make([]sessions.Image, len(imported))
	for i, img := range imported {
		out[i] = r.describe(ctx, img)
		r.log.Info("image imported", "image", img.Name)
	}
	release(nil)
	return out, nil
}

func (r *Runtime) importHeld(ctx context.Context, from io.Reader) ([]images.Image, error) {
	store := r.client.ContentStore()
	plain, err := compression.DecompressStream(from)
	if err != nil {
		return nil, noArchive(err)
	}
	defer plain.Close()
	index, err := archive.ImportIndex(ctx, store, plain)
	if err != nil {
		return nil, noArchive(err)
	}
	raw, err := content.ReadBlob(ctx, store, index)
	if err != nil {
		return nil, down(err)
	}
	var list ocispec.Index
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, noArchive(err)
	}
	found, err := r.wanted(ctx, list.Manifests)
	if err != nil {
		return nil, err
	}
	for _, img := range found {
		if err := r.unpack(ctx, client.NewImageWithPlatform(r.client, img, matcher())); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", img.Name, down(err))
		}
	}
	for i, img := range found {
		if found[i], err = r.keep(ctx, img); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// wanted are the images of an archive that this box can run. That there is none is an error, and so is one that is
// not whole.
func (r *Runtime) wanted(ctx context.Context, manifests []ocispec.Descriptor) ([]images.Image, error) {
	store := modest{r.client.ContentStore()}
	var found []images.Image
	var others []string
	for _, m := range manifests {
		if !images.IsManifestType(m.MediaType) && !images.IsIndexType(m.MediaType) {
			continue
		}
		here, err := availablePlatforms(ctx, store, m, true)
		if err != nil {
			return nil, down(err)
		}
		whole, _, _, missing, err := images.Check(ctx, store, m, matcher())
		switch {
		case err != nil:
			return nil, down(err)
		case !whole || !runsHere(ctx, store, m):
			others = append(others, here...)
			continue
		case len(missing) > 0:
			return nil, &Error{
				Err:  fmt.Errorf("the archive lacks %d of the image's parts: %w", len(missing), sessions.ErrInvalid),
				What: "make it again, with all layers: docker save, or skopeo copy to oci-archive:",
			}
		}
		label := images.SetChildrenLabels(store, images.FilterPlatforms(images.ChildrenHandler(store), matcher()))
		if err := images.WalkNotEmpty(ctx, label, m); err != nil {
			return nil, down(err)
		}
		found = append(found, images.Image{Name: archiveName(m), Target: m})
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(others) > 0:
		return nil, wrongPlatform(others)
	}
	return nil, noArchive(errors.New("there is no image in it"))
}

// modest reads nothing into memory that is larger than manifests and settings are: what an archive calls one may be
// as large as the archive.
type modest struct{ content.Store }

// ReaderAt implements content.Provider.
func (m modest) ReaderAt(ctx context.Context, d ocispec.Descriptor) (content.ReaderAt, error) {
	ra, err := m.Store.ReaderAt(ctx, d)
	if err != nil || images.IsLayerType(d.MediaType) {
		return ra, err
	}
	if err := modestly(d, ra.Size()); err != nil {
		return nil, errors.Join(err, ra.Close())
	}
	return ra, nil
}

// largestManifest is the largest manifest, or image's settings, that is read, in bytes; registries take 4 MiB.
const largestManifest = 8 << 20

func modestly(d ocispec.Descriptor, size int64) error {
	if size <= largestManifest {
		return nil
	}
	return &Error{
		Err:  fmt.Errorf("%s of type %q has %d bytes, %d are allowed of what describes an image: %w", d.Digest, d.MediaType, size, largestManifest, sessions.ErrInvalid),
		What: "look at who made the image, and how: its labels or its history may be at fault",
	}
}

// runsHere reports whether the manifest's own settings are for this box: what an index says of them is not asked.
func runsHere(ctx context.Context, store content.Provider, target ocispec.Descriptor) bool {
	manifest, err := images.Manifest(ctx, store, target, matcher())
	if err != nil {
		return false
	}
	p, err := images.ConfigPlatform(ctx, store, manifest.Config)
	return err == nil && matcher().Match(p)
}

// keep gives the image its name.
func (r *Runtime) keep(ctx context.Context, img images.Image) (images.Image, error) {
	service := r.client.ImageService()
	kept, err := service.Update(ctx, img, "target")
	if errdefs.IsNotFound(err) {
		kept, err = service.Create(ctx, img)
	}
	if err != nil {
		return img, fmt.Errorf("naming image %s: %w", img.Name, down(err))
	}
	return kept, nil
}

// archiveName is what an image of an archive is called: as the archive says, where that is a name.
func archiveName(m ocispec.Descriptor) string {
	name := m.Annotations[images.AnnotationImageName]
	if name == "" {
		name = m.Annotations[ocispec.AnnotationRefName]
	}
	// A word alone is a tag, of an image that is not named.
	if strings.ContainsAny(name, "/:") {
		if named, err := reference.ParseNormalizedNamed(name); err == nil {
			return reference.TagNameOnly(named).String()
		}
	}
	return importedName + ":" + shortDigest(m.Digest)
}

func shortDigest(d digest.Digest) string {
	encoded := d.Encoded()
	return encoded[:min(12, len(encoded))]
}

// noArchive is err for what cannot be read as an archive of images; an error of containerd or of whoever sends
// it goes through.
func noArchive(err error) error {
	text := err.Error()
	_, refused := errors.AsType[*Error](err)
	unreadable := errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errdefs.IsNotFound(err) ||
		strings.Contains(text, "unrecognized image format") || strings.Contains(text, "no image in it") || strings.Contains(text, "tar") ||
		strings.Contains(text, "gzip") || strings.Contains(text, "zstd") || strings.Contains(text, "manifest") || strings.Contains(text, "digest")
	if refused || noSpace(err) || errdefs.IsUnavailable(err) || !unreadable {
		return down(err)
	}
	return &Error{
		Err:  fmt.Errorf("it cannot be read as an archive of images: %w: %w", sessions.ErrInvalid, err),
		What: "docker save NAME > FILE, or skopeo copy ... oci-archive:FILE, make one; a file that came over a network may be cut off",
	}
}

// Export implements sessions.Images. Nothing is written when the image is not here.
func (r *Runtime) Export(ctx context.Context, ref string, w io.Writer) error {
	img, err := r.image(ctx, ref)
	if err != nil {
		return err
	}
	ctx = quiet(r.in(ctx))
	whole, _, _, missing, err := images.Check(ctx, r.client.ContentStore(), img.Target(), matcher())
	if err != nil {
		return fmt.Errorf("exporting %s: %w", ref, down(err))
	}
	if !whole || len(missing) > 0 {
		return &Error{fmt.Errorf("exporting %s: parts of it are gone: %w", ref, sessions.ErrNoImage), "palisade image pull " + ref + " brings them back"}
	}
	err = r.client.Export(ctx, w, archive.WithPlatform(matcher()), archive.WithImage(r.client.ImageService(), img.Name()), archive.WithSkipMissing(r.client.ContentStore()))
	if err != nil {
		return fmt.Errorf("exporting %s: %w", ref, down(err))
	}
	return nil
}
