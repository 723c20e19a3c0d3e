package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/sessions"
)

var _ sessions.Committer = (*Runtime)(nil)

// Commit implements sessions.Committer. The session stands still while it is looked at, unless that is not wanted; what
// comes after that, packing and unpacking, it runs through.
func (r *Runtime) Commit(ctx context.Context, id string, c sessions.Commit, progress func(sessions.Progress)) (sessions.Image, error) {
	named, err := imageName(c.Image)
	if err != nil {
		return sessions.Image{}, err
	}
	if _, digested := named.(reference.Digested); digested {
		return sessions.Image{}, fmt.Errorf("image %s: a digest cannot be chosen: %w", c.Image, sessions.ErrInvalid)
	}
	if progress == nil {
		progress = func(sessions.Progress) {}
	}
	ctx = quiet(r.in(ctx))
	held, release, err := r.hold(ctx)
	if err != nil {
		return sessions.Image{}, down(err)
	}
	m := &committing{r: r, id: id, Commit: c, named: named, tell: func(message string) { progress(sessions.Progress{Message: message}) }}
	img, err := m.do(held)
	if err != nil {
		if noSpace(err) {
			err = diskFull()
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		release([]string{})
		return sessions.Image{}, down(err)
	}
	r.log.Info("an image was made of a session", "session", id, "image", img.Name, "by", c.By)
	release(nil)
	return r.describe(ctx, img), nil
}

// committing is a commit under way.
type committing struct {
	sessions.Commit
	r     *Runtime
	id    string
	named reference.Named
	tell  func(string)
}

func (m *committing) do(ctx context.Context) (images.Image, error) {
	if err := m.nameIsFree(ctx); err != nil {
		return images.Image{}, err
	}
	base, err := m.base(ctx)
	if err != nil {
		return images.Image{}, err
	}
	raw, err := m.changes(ctx)
	if err != nil {
		return images.Image{}, err
	}
	m.tell("packing what it has changed")
	layer, diffID, err := m.pack(ctx, raw, base.layerType())
	if err != nil {
		return images.Image{}, err
	}
	target, err := m.write(ctx, base, layer, diffID)
	if err != nil {
		return images.Image{}, err
	}
	img := images.Image{Name: m.named.String(), Target: target}
	m.tell("unpacking")
	if err := m.r.unpack(ctx, client.NewImageWithPlatform(m.r.client, img, matcher())); err != nil {
		return img, fmt.Errorf("unpacking it: %w", err)
	}
	if m.Replace {
		return m.r.keep(ctx, img)
	}
	kept, err := m.r.client.ImageService().Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		return img, m.exists()
	}
	return kept, err
}

func (m *committing) exists() error {
	return &Error{
		Err:  fmt.Errorf("image %s is there already: %w", reference.FamiliarString(m.named), sessions.ErrExists),
		What: "give it another tag, or take the name from that one: --replace",
	}
}

func (m *committing) nameIsFree(ctx context.Context) error {
	if m.Replace {
		return nil
	}
	_, err := m.r.client.ImageService().Get(ctx, m.named.String())
	switch {
	case errdefs.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	return m.exists()
}

// base is the image that a session was made of.
type base struct {
	manifest ocispec.Manifest
	config   map[string]json.RawMessage // all of it: other makers' fields stay
	image    ocispec.Image              // what is known of it
	name     string
}

// layerType is that of layers beside the image's own: docker's and the OCI's are not mixed.
func (b base) layerType() string {
	if b.manifest.MediaType == images.MediaTypeDockerSchema2Manifest {
		return images.MediaTypeDockerSchema2LayerGzip
	}
	return ocispec.MediaTypeImageLayerGzip
}

// base finds the session's image: by its digest, for its name may be another's by now.
func (m *committing) base(ctx context.Context) (b base, err error) {
	rec, err := m.r.record(m.id)
	if err != nil {
		return b, err
	}
	b.name = rec.Spec.Image
	target := rec.Image
	if target.Digest == "" { // started by an earlier version
		img, err := m.r.image(ctx, rec.Spec.Image)
		if err != nil {
			return b, err
		}
		target = img.Target()
	}
	store := m.r.client.ContentStore()
	b.manifest, err = images.Manifest(ctx, store, target, matcher())
	if err == nil {
		err = readModestly(ctx, store, b.manifest.Config, &b.config, &b.image)
	}
	if errdefs.IsNotFound(err) {
		return b, gonebase(b.name)
	}
	if err != nil {
		return b, fmt.Errorf("reading the session's own image: %w", err)
	}
	info, err := m.r.client.SnapshotService(m.r.cfg.Snapshotter).Stat(ctx, m.id)
	if err != nil {
		return b, gone(err)
	}
	if chain := identity.ChainID(b.image.RootFS.DiffIDs).String(); !m.r.cfg.UserNamespace && info.Parent != chain {
		return b, gonebase(b.name)
	}
	return b, nil
}

func gonebase(name string) error {
	return &Error{
		Err:  fmt.Errorf("the image that the session was made of is not here any more, and another cannot be built upon it: %w", sessions.ErrNoImage),
		What: "palisade image pull " + name + " brings it back, where its registry still has that one",
	}
}

// readModestly decodes a small blob into each of to.
func readModestly(ctx context.Context, store content.Store, d ocispec.Descriptor, to ...any) error {
	raw, err := content.ReadBlob(ctx, modest{store}, d)
	if err != nil {
		return err
	}
	for _, v := range to {
		if err := json.Unmarshal(raw, v); err != nil {
			return err
		}
	}
	return nil
}

// changes is what the session has changed of its image, as a plain tar archive in the content store.
func (m *committing) changes(ctx context.Context) (ocispec.Descriptor, error) {
	if !m.Running {
		m.tell("the session stands still, and is looked at")
		thaw, err := m.r.freeze(ctx, m.id)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		defer thaw()
	} else {
		m.tell("the session is looked at while it runs")
		if _, err := m.r.running(m.id); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	d, err := rootfs.CreateDiff(ctx, m.id, m.r.client.SnapshotService(m.r.cfg.Snapshotter), m.r.client.DiffService(), diff.WithMediaType(ocispec.MediaTypeImageLayer))
	if err != nil {
		return d, fmt.Errorf("finding out what it has changed: %w", err)
	}
	return d, nil
}

// fileFrozen says that a session was made to stand still, and must not stay so.
const fileFrozen = "frozen"

// freeze makes a session stand still until thaw is called, or the next daemon finds it so.
func (r *Runtime) freeze(ctx context.Context, id string) (thaw func(), err error) {
	if _, err := r.running(id); err != nil {
		return nil, err
	}
	t, err := r.load(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(r.dir(id), fileFrozen), nil, 0o600); err != nil {
		return nil, err
	}
	if err := pause(ctx, t.Pause); err != nil {
		return nil, errors.Join(fmt.Errorf("making it stand still: %w", err), r.thaw(context.WithoutCancel(ctx), id))
	}
	return func() {
		if err := r.thaw(context.WithoutCancel(ctx), id); err != nil {
			r.log.Warn("a session that was made to stand still does not go on yet", "session", id, "err", err)
			r.later(id, func(ctx context.Context) error { return r.thaw(r.in(ctx), id) })
		}
	}, nil
}

// pause asks once more where the kernel has not brought all processes to a stand within the milliseconds that runc gives
// it, as happens on a busy box with cgroup v1: nothing has come of it then. It is given up after afterKill.
func pause(ctx context.Context, do func(context.Context) error) error {
	for left := afterKill; ; left -= askAgain {
		err := do(ctx)
		if err == nil || !strings.Contains(err.Error(), "unable to freeze") {
			return err
		}
		if left <= 0 {
			return &Error{Err: err, What: "the box is very busy: try again later, or take the session as it runs: --running"}
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(askAgain):
		}
	}
}

// thaw lets a session go on that was made to stand still. Idempotent.
func (r *Runtime) thaw(ctx context.Context, id string) error {
	name := filepath.Join(r.dir(id), fileFrozen)
	if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, afterKill)
	defer cancel()
	t, err := r.load(ctx, id)
	if err == nil {
		var st client.Status
		if st, err = t.Status(ctx); err == nil && (st.Status == client.Paused || st.Status == client.Pausing) {
			err = t.Resume(ctx)
		}
	}
	if err != nil && !errors.Is(err, sessions.ErrNoInstance) && !errdefs.IsNotFound(err) {
		return err
	}
	return os.Remove(name)
}

// write makes config and manifest of the new image.
func (m *committing) write(ctx context.Context, b base, layer ocispec.Descriptor, diffID digest.Digest) (ocispec.Descriptor, error) {
	now := time.Now().UTC()
	img := b.image
	img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, diffID)
	img.History = append(img.History, ocispec.History{Created: &now, CreatedBy: "palisade session commit " + m.id, Author: m.By})
	config := b.config
	for field, v := range map[string]any{"rootfs": img.RootFS, "history": img.History, "created": now} {
		raw, err := json.Marshal(v)
		if err != nil {
			return ocispec.Descriptor{}, err
		}
		config[field] = raw
	}
	manifest := b.manifest
	var err error
	if manifest.Config, err = m.blob(ctx, b.manifest.Config.MediaType, config); err != nil {
		return ocispec.Descriptor{}, err
	}
	manifest.Layers = append(manifest.Layers, layer)
	manifest.Annotations = nil // of another image
	if manifest.MediaType == "" {
		manifest.MediaType = ocispec.MediaTypeImageManifest
	}
	manifest.Versioned = specs.Versioned{SchemaVersion: 2}
	target, err := m.blob(ctx, manifest.MediaType, manifest)
	if err != nil {
		return target, err
	}
	store := m.r.client.ContentStore()
	if err := images.WalkNotEmpty(ctx, images.SetChildrenLabels(store, images.ChildrenHandler(store)), target); err != nil {
		return target, fmt.Errorf("writing the image: %w", err)
	}
	return target, nil
}

func (m *committing) blob(ctx context.Context, kind string, v any) (ocispec.Descriptor, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	if err := content.WriteBlob(ctx, m.r.client.ContentStore(), "commit-"+d.Digest.String(), bytes.NewReader(raw), d); err != nil {
		return d, fmt.Errorf("writing the image: %w", err)
	}
	return d, nil
}
