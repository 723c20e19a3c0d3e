package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	digest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	sessionimages "github.com/palisade-run/palisade/firmware-images/sessions"
)

// image is one that is ready to be written.
type image struct {
	definition sessionimages.Definition
	layers     []layer
	digest     string // of its manifest; set by write
}

// nameLabel is what containerd takes an image's whole name from; docker and podman do too.
const nameLabel = "io.containerd.image.name"

// write writes the image as an OCI archive.
func (i *image) write(file string) (err error) {
	config, err := json.Marshal(i.config())
	if err != nil {
		return err
	}
	manifest := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: describe(ocispec.MediaTypeImageConfig, config), Annotations: i.annotations(),
	}
	for _, l := range i.layers {
		manifest.Layers = append(manifest.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayerZstd, Digest: digest.Digest(l.digest), Size: l.size})
	}
	text, err := json.Marshal(manifest)
	if err != nil {
		return err
	}
	described := describe(ocispec.MediaTypeImageManifest, text)
	i.digest = described.Digest.String()
	index, err := json.Marshal(i.index(described))
	if err != nil {
		return err
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := tar.NewWriter(f)
	for _, small := range []struct {
		name string
		text []byte
	}{
		{ocispec.ImageLayoutFile, []byte(`{"imageLayoutVersion":"` + ocispec.ImageLayoutVersion + `"}`)},
		{ocispec.ImageIndexFile, index},
		{blob(described.Digest), text},
		{blob(manifest.Config.Digest), config},
	} {
		if err := put(w, small.name, int64(len(small.text)), bytes.NewReader(small.text)); err != nil {
			return err
		}
	}
	for _, l := range i.layers {
		if err := putFile(w, l); err != nil {
			return err
		}
	}
	return w.Close()
}

func (i *image) config() ocispec.Image {
	d := i.definition
	env := make([]string, 0, len(d.Env))
	for _, name := range slices.Sorted(maps.Keys(d.Env)) {
		env = append(env, name+"="+d.Env[name])
	}
	img := ocispec.Image{
		Created:  &epoch,
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		Config: ocispec.ImageConfig{
			User: d.User, WorkingDir: d.Workdir, Env: env, Cmd: []string{"/bin/bash"}, Labels: d.AllLabels(),
		},
		RootFS: ocispec.RootFS{Type: "layers"},
	}
	for _, l := range i.layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.Digest(l.diffID))
		img.History = append(img.History, ocispec.History{Created: &epoch, CreatedBy: "make images"})
	}
	return img
}

func (i *image) annotations() map[string]string {
	return map[string]string{ocispec.AnnotationTitle: sessionimages.Prefix + i.definition.Name, ocispec.AnnotationDescription: i.definition.Summary}
}

// index names the image by its release, and as the latest.
func (i *image) index(manifest ocispec.Descriptor) ocispec.Index {
	list := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for _, tag := range []string{i.definition.Release, "latest"} {
		m := manifest
		m.Platform = &ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
		m.Annotations = map[string]string{
			nameLabel: "docker.io/" + sessionimages.Prefix + i.definition.Name + ":" + tag, ocispec.AnnotationRefName: tag,
		}
		list.Manifests = append(list.Manifests, m)
	}
	return list
}

func describe(mediaType string, text []byte) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(text), Size: int64(len(text))}
}

func blob(d digest.Digest) string { return "blobs/" + d.Algorithm().String() + "/" + d.Encoded() }

func put(w *tar.Writer, name string, size int64, body io.Reader) error {
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: size, ModTime: epoch}); err != nil {
		return err
	}
	_, err := io.Copy(w, body)
	return err
}

func putFile(w *tar.Writer, l layer) error {
	f, err := os.Open(l.file)
	if err != nil {
		return err
	}
	defer f.Close()
	return put(w, blob(digest.Digest(l.digest)), l.size, f)
}

// layersOf takes the layers out of an archive that write has written, into files below dir, and says what they come to.
func layersOf(archive, dir string) ([]layer, marks, error) {
	f, err := os.Open(archive)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	var index ocispec.Index
	small, large := map[string][]byte{}, map[string]string{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if h.Size <= 1<<20 {
			if small[h.Name], err = io.ReadAll(r); err != nil {
				return nil, nil, err
			}
		}
		file := filepath.Join(dir, "below-"+filepath.Base(h.Name))
		if err := copyTo(file, r, small[h.Name]); err != nil {
			return nil, nil, err
		}
		large[h.Name] = file
	}
	if err := json.Unmarshal(small[ocispec.ImageIndexFile], &index); err != nil || len(index.Manifests) == 0 {
		return nil, nil, fmt.Errorf("%s is no image's archive: %w", archive, err)
	}
	var manifest ocispec.Manifest
	if err := json.Unmarshal(small[blob(index.Manifests[0].Digest)], &manifest); err != nil {
		return nil, nil, fmt.Errorf("%s has no manifest: %w", archive, err)
	}
	var layers []layer
	below := marks{}
	for _, d := range manifest.Layers {
		l := layer{file: large[blob(d.Digest)], digest: d.Digest.String(), size: d.Size}
		if l.diffID, err = marksOf(l.file, below); err != nil {
			return nil, nil, err
		}
		layers = append(layers, l)
	}
	return layers, below, nil
}

// copyTo writes what was read already, or else the rest of r, into a file.
func copyTo(file string, r io.Reader, read []byte) error {
	if read != nil {
		return os.WriteFile(file, read, 0o600)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}
