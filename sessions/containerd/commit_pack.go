package containerd

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/sessions/pid1"
)

// pack makes a layer of raw, a plain archive in the content store, without what the appliance itself has put into the
// session. diffID is the digest of what is in it before it is compressed.
func (m *committing) pack(ctx context.Context, raw ocispec.Descriptor, kind string) (layer ocispec.Descriptor, diffID digest.Digest, err error) {
	rec, err := m.r.record(m.id)
	if err != nil {
		return layer, "", err
	}
	store := m.r.client.ContentStore()
	from, err := store.ReaderAt(ctx, raw)
	if err != nil {
		return layer, "", err
	}
	defer from.Close()
	ref := "commit-" + rand.Text()
	w, err := content.OpenWriter(ctx, store, content.WithRef(ref))
	if err != nil {
		return layer, "", err
	}
	defer w.Close()
	plain, packed, counted := digest.Canonical.Digester(), digest.Canonical.Digester(), &counter{}
	zip, err := gzip.NewWriterLevel(io.MultiWriter(w, packed.Hash(), counted), gzip.BestSpeed)
	if err == nil {
		p := packer{skip: ownPlaces(rec), shift: m.r.sessionRoot()}
		err = p.copy(io.MultiWriter(zip, plain.Hash()), io.NewSectionReader(from, 0, from.Size()))
	}
	if err == nil {
		err = zip.Close()
	}
	if err != nil {
		return layer, "", errors.Join(fmt.Errorf("packing what it has changed: %w", err), store.Abort(context.WithoutCancel(ctx), ref))
	}
	diffID = plain.Digest()
	layer = ocispec.Descriptor{MediaType: kind, Digest: packed.Digest(), Size: counted.n}
	// Where that very layer is there already, so much the better.
	err = w.Commit(ctx, layer.Size, layer.Digest, content.WithLabels(map[string]string{"containerd.io/uncompressed": diffID.String()}))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return layer, "", fmt.Errorf("keeping what it has changed: %w", err)
	}
	return layer, diffID, nil
}

// counter counts what is written to it.
type counter struct{ n int64 }

// Write implements io.Writer.
func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

// ownPlaces are those that were made for what is mounted into a session, without the slash before them.
func ownPlaces(rec record) map[string]bool {
	places := map[string]bool{}
	add := func(p string) { places[strings.TrimPrefix(path.Clean("/"+p), "/")] = true }
	for _, m := range rec.Spec.Mounts {
		add(m.Target)
	}
	for _, s := range rec.Spec.Scratch {
		add(s)
	}
	return places
}

// packer copies an archive of changes.
type packer struct {
	skip  map[string]bool // empty files and directories there are places for mounts
	shift int             // user 0 of the session on the box
}

func (p packer) copy(to io.Writer, from io.Reader) error {
	in, out := tar.NewReader(from), tar.NewWriter(to)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return err
		}
		if p.leaveOut(h) {
			continue
		}
		h.Uid, h.Gid = p.inside(h.Uid), p.inside(h.Gid)
		h.Format = tar.FormatUnknown // as it takes: a shifted number may have needed another
		if err := out.WriteHeader(h); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // as large as what lies in the session's own layer
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

// inside is what a user of the box's is called in the session.
func (p packer) inside(id int) int {
	if id >= p.shift && id < p.shift+users {
		return id - p.shift
	}
	return id
}

// leaveOut tells what is not the session's: the appliance's own place, and empty places for mounts.
func (p packer) leaveOut(h *tar.Header) bool {
	name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
	own := strings.TrimPrefix(path.Dir(pid1.PathInit), "/")
	if name == own || strings.HasPrefix(name, own+"/") {
		return true
	}
	isPlace := p.skip[name] || slices.ContainsFunc(names[:], func(n string) bool { return name == "etc/"+n })
	return isPlace && h.Typeflag == tar.TypeReg && h.Size == 0
}
