package bundle

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Types by which others know the model in the layout: it is a ModelPack artifact, too.
const (
	typeManifest = "application/vnd.cncf.model.manifest.v1+json"
	typeConfig   = "application/vnd.cncf.model.config.v1+json"
	typeWeight   = "application/vnd.cncf.model.weight.v1.raw"
	typeDoc      = "application/vnd.cncf.model.doc.v1.raw"

	annotationPath = "org.cncf.model.filepath"
)

// Spec says what goes into a bundle.
type Spec struct {
	Contents                                              // but for Schema, Texts, Image and Entries
	Texts    map[string][]byte                            // recipe.yaml is one
	Open     func(sha256 string) (io.ReadCloser, error)   // a file of Contents.Files
	Image    string                                       // reference; empty: none goes along
	Platform string                                       // of the image
	Export   func(ctx context.Context, w io.Writer) error // writes the image as an OCI archive, each time the same
}

// Made is a bundle that can be written.
type Made struct {
	contents Contents
	raw      []byte
	small    map[string][]byte // entries that are in memory, by name
	spec     Spec
	inImage  map[string]bool
}

// Prepare works out what a bundle will hold, to the byte. The image is read for that, once; files are not.
func Prepare(ctx context.Context, spec Spec) (*Made, error) {
	m := &Made{contents: spec.Contents, small: map[string][]byte{}, spec: spec, inImage: map[string]bool{}}
	m.contents.Schema, m.contents.Texts, m.contents.Entries, m.contents.Image = Schema, nil, nil, nil
	m.contents.MadeAt = m.contents.MadeAt.UTC().Truncate(time.Second)
	m.contents.Files = slices.SortedFunc(slices.Values(spec.Files), func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	if m.contents.Files == nil {
		m.contents.Files = []File{}
	}
	for name, text := range spec.Texts {
		f := m.keep(text)
		f.Name = name
		m.contents.Texts = append(m.contents.Texts, f)
	}
	slices.SortFunc(m.contents.Texts, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	var image []Entry
	if spec.Image != "" {
		var err error
		if image, err = m.image(ctx); err != nil {
			return nil, fmt.Errorf("looking through image %s: %w", spec.Image, err)
		}
	}
	if err := m.layout(image); err != nil {
		return nil, err
	}
	if err := m.contents.check(); err != nil {
		return nil, fmt.Errorf("this cannot be a bundle: %w", err)
	}
	raw, err := json.MarshalIndent(m.contents, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the table of contents: %w", err)
	}
	raw = append(raw, '\n')
	m.raw = raw
	return m, nil
}

// Size is how many bytes WriteTo writes.
func (m *Made) Size() int64 { return m.contents.size(m.raw, nil) }

// Contents is what it holds.
func (m *Made) Contents() Contents { return m.contents }

// keep has an entry in memory.
func (m *Made) keep(b []byte) File {
	sum := sha256.Sum256(b)
	f := File{Bytes: int64(len(b)), SHA256: hex.EncodeToString(sum[:])}
	m.small[blobsDir+f.SHA256] = b
	return f
}

// image looks through the image's archive: which blobs it has, and what its index says.
func (m *Made) image(ctx context.Context) ([]Entry, error) {
	found := &Image{Reference: m.spec.Image, Platform: m.spec.Platform}
	var entries []Entry
	err := walkArchive(ctx, m.spec.Export, func(name string, size int64, r io.Reader) error {
		if name == indexName {
			raw, err := io.ReadAll(io.LimitReader(r, longestText))
			if err != nil {
				return err
			}
			var index ocispec.Index
			if err := json.Unmarshal(raw, &index); err != nil {
				return fmt.Errorf("its index cannot be read: %w", err)
			}
			found.Manifests = index.Manifests
			return nil
		}
		if sum, is := strings.CutPrefix(name, blobsDir); is && !m.inImage[sum] {
			m.inImage[sum] = true
			found.Blobs = append(found.Blobs, sum)
			entries = append(entries, Entry{Name: name, Bytes: size, SHA256: sum})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(found.Manifests) == 0 {
		return nil, errors.New("its archive has no index")
	}
	m.contents.Image = found
	return entries, nil
}

// layout makes the entries: what describes, then the model's files, then the image's blobs in the order in which its archive
// has them. A blob of several is there once.
func (m *Made) layout(image []Entry) error {
	model, err := m.artifact()
	if err != nil {
		return err
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{model}}
	if m.contents.Image != nil {
		index.Manifests = append(index.Manifests, m.contents.Image.Manifests...)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		return fmt.Errorf("writing the index: %w", err)
	}
	add := func(e Entry) {
		if !slices.ContainsFunc(m.contents.Entries, func(o Entry) bool { return o.Name == e.Name }) {
			m.contents.Entries = append(m.contents.Entries, e)
		}
	}
	for name, text := range map[string][]byte{layoutName: []byte(layoutValue), indexName: raw} {
		sum := sha256.Sum256(text)
		m.small[name] = text
		add(Entry{Name: name, Bytes: int64(len(text)), SHA256: hex.EncodeToString(sum[:])})
	}
	for name, b := range m.small {
		if sum, is := strings.CutPrefix(name, blobsDir); is {
			add(Entry{Name: name, Bytes: int64(len(b)), SHA256: sum})
		}
	}
	slices.SortFunc(m.contents.Entries, func(a, b Entry) int { return cmp.Compare(b.Name, a.Name) })
	seen := map[string]bool{}
	for _, e := range m.contents.Entries {
		seen[e.Name] = true
	}
	for _, f := range m.contents.Files {
		if e := (Entry{Name: blobsDir + f.SHA256, Bytes: f.Bytes, SHA256: f.SHA256}); !seen[e.Name] {
			seen[e.Name] = true
			m.contents.Entries = append(m.contents.Entries, e)
		}
	}
	for _, e := range image {
		if !seen[e.Name] {
			seen[e.Name] = true
			m.contents.Entries = append(m.contents.Entries, e)
		}
	}
	return nil
}

// artifact is the model as registries hold one, so that others' tools can push it: oras, skopeo.
func (m *Made) artifact() (ocispec.Descriptor, error) {
	config, err := json.Marshal(map[string]any{
		"descriptor": map[string]any{"name": m.contents.Name, "version": m.contents.Version, "title": m.contents.Title, "licenses": []string{m.contents.License.ID}, "createdAt": m.contents.MadeAt},
		"modelfs":    map[string]any{"type": "layers", "diffIds": diffs(m.contents)}, "config": map[string]any{},
	})
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing the model's settings: %w", err)
	}
	described := func(kind string, f File) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: kind, Digest: digest.NewDigestFromEncoded(digest.SHA256, f.SHA256), Size: f.Bytes}
		if f.Name != "" {
			d.Annotations = map[string]string{annotationPath: f.Name, ocispec.AnnotationTitle: f.Name}
		}
		return d
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: typeManifest,
		Config: described(typeConfig, m.keep(config)),
	}
	for _, f := range m.contents.Files {
		manifest.Layers = append(manifest.Layers, described(typeWeight, f))
	}
	for _, t := range m.contents.Texts {
		t.Name = ".palisade/" + t.Name
		manifest.Layers = append(manifest.Layers, described(typeDoc, t))
	}
	raw, err := json.Marshal(manifest)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("writing the model's manifest: %w", err)
	}
	d := described(ocispec.MediaTypeImageManifest, m.keep(raw))
	d.ArtifactType = typeManifest
	d.Annotations = map[string]string{ocispec.AnnotationRefName: m.contents.Name}
	return d, nil
}

func diffs(c Contents) []string {
	out := []string{}
	for _, f := range slices.Concat(c.Files, c.Texts) {
		out = append(out, "sha256:"+f.SHA256)
	}
	return out
}

// Write writes the bundle, without a signature: Sign puts that in. What has changed since Prepare is an error, and so is a
// file whose checksum is another.
func (m *Made) Write(ctx context.Context, w io.Writer) error {
	sum := sha256.Sum256(m.raw)
	if err := writeEntry(w, namePrefix+hex.EncodeToString(sum[:])+contentsSuffix, m.raw); err != nil {
		return err
	}
	left := m.contents.Entries
	for ; len(left) > 0; left = left[1:] {
		e := left[0]
		b, inMemory := m.small[e.Name]
		if !inMemory && m.inImage[e.SHA256] && !m.isFile(e) {
			break // the image's are last
		}
		open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
		if !inMemory {
			open = func() (io.ReadCloser, error) { return m.spec.Open(e.SHA256) }
		}
		if err := m.copyEntry(ctx, w, e, open); err != nil {
			return err
		}
	}
	if err := m.writeImage(ctx, w, left); err != nil {
		return err
	}
	_, err := w.Write(zeros())
	return err
}

func (m *Made) isFile(e Entry) bool {
	return slices.ContainsFunc(m.contents.Files, func(f File) bool { return f.SHA256 == e.SHA256 })
}

func (m *Made) copyEntry(ctx context.Context, w io.Writer, e Entry, open func() (io.ReadCloser, error)) error {
	r, err := open()
	if err != nil {
		return fmt.Errorf("opening %s: %w", e.Name, err)
	}
	defer r.Close()
	return copyEntry(ctx, w, e, r)
}

// writeImage writes the image's blobs, as they come out of its archive again.
func (m *Made) writeImage(ctx context.Context, w io.Writer, left []Entry) error {
	if len(left) == 0 {
		return nil
	}
	err := walkArchive(ctx, m.spec.Export, func(name string, size int64, r io.Reader) error {
		if len(left) == 0 || name != left[0].Name {
			return nil
		}
		e := left[0]
		if left = left[1:]; size != e.Bytes {
			return fmt.Errorf("%s has changed", name)
		}
		return copyEntry(ctx, w, e, r)
	})
	if err == nil && len(left) > 0 {
		err = errors.New("it has changed meanwhile: make the bundle again")
	}
	if err != nil {
		return fmt.Errorf("writing image %s: %w", m.spec.Image, err)
	}
	return nil
}

// copyEntry writes one entry, and makes sure of what it writes.
func copyEntry(ctx context.Context, w io.Writer, e Entry, r io.Reader) error {
	head, err := header(e.Name, e.Bytes)
	if err != nil {
		return err
	}
	if _, err := w.Write(head); err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(onlyWriter{io.MultiWriter(w, sum)}, onlyReader{&patientReader{ctx, io.LimitReader(r, e.Bytes)}}, make([]byte, 256<<10))
	if err != nil {
		return fmt.Errorf("writing %s: %w", e.Name, err)
	}
	if n != e.Bytes || hex.EncodeToString(sum.Sum(nil)) != e.SHA256 {
		return &sentence{ErrRefused, fmt.Sprintf("%s is not what its checksum says: the copy on this box is damaged", e.Name), "palisade verify finds what is; install the model again to repair it"}
	}
	_, err = w.Write(zeros()[:padded(e.Bytes)-e.Bytes])
	return err
}

// onlyWriter hides what else a writer can do.
type onlyWriter struct{ io.Writer }

// patientReader ends with its context.
type patientReader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (p *patientReader) Read(b []byte) (int, error) {
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	return p.r.Read(b)
}
