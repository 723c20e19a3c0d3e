package oci

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// largestManifest is the largest manifest, or description of a model, that is read, in bytes: registries take no larger one.
const largestManifest = 4 << 20

// deepest is how many indexes may stand one in another before a model's manifest.
const deepest = 3

// Config is how registries are spoken to.
type Config struct {
	// Credentials finds the log-in of a host, by the name that images have it by: docker.io. An empty secret means none; an
	// empty user that the secret is an identity token.
	Credentials func(ctx context.Context, host string) (user, secret string, err error)
	// PlainHTTP lists hosts, with their ports, that may be spoken to without TLS. Those on loopback may anyhow.
	PlainHTTP []string
	// Transport is the way there; nil: one with the bounds of this package.
	Transport http.RoundTripper
}

// Source reads models from registries. It is a fetch.Source.
type Source struct {
	cfg Config

	mu   sync.Mutex
	ways map[string]*way // by repository; what has logged in is used again
}

// New makes a Source.
func New(cfg Config) *Source {
	if cfg.Transport == nil {
		cfg.Transport = web.Patient(nil)
	}
	return &Source{cfg: cfg, ways: map[string]*way{}}
}

// List implements fetch.Source. The revision is the digest of the model's manifest.
func (s *Source) List(ctx context.Context, ref fetch.Ref) (fetch.Listing, error) {
	repository, err := s.repository(ref)
	if err != nil {
		return fetch.Listing{}, err
	}
	w, err := s.begin(ctx, repository)
	if err != nil {
		return fetch.Listing{}, err
	}
	wanted := ref.Revision
	if wanted == "" {
		wanted = "latest"
	}
	manifest, found, err := w.model(ctx, wanted)
	if err != nil {
		return fetch.Listing{}, fmt.Errorf("listing %s: %w", spelled(ref), err)
	}
	files, err := files(manifest)
	if err != nil {
		return fetch.Listing{}, fmt.Errorf("%s: %w", spelled(ref), err)
	}
	return fetch.Listing{Ref: ref, Revision: found.String(), Files: files}, nil
}

func spelled(ref fetch.Ref) string {
	switch {
	case ref.Revision == "":
		return ref.Where
	case strings.Contains(ref.Revision, ":"):
		return ref.Where + "@" + ref.Revision
	}
	return ref.Where + ":" + ref.Revision
}

// repository is the name of where a model is, when it is one.
func (s *Source) repository(ref fetch.Ref) (name.Repository, error) {
	var options []name.Option
	host, _, _ := strings.Cut(ref.Where, "/")
	for _, plain := range s.cfg.PlainHTTP {
		if plain == host {
			options = append(options, name.Insecure)
		}
	}
	repository, err := name.NewRepository(ref.Where, options...)
	if err != nil {
		return name.Repository{}, &hinted{fmt.Errorf("%q names no model in a registry: %w: %w", ref.Where, fetch.ErrNotFound, err), "it is written HOST/NAME:TAG or HOST/NAME@sha256:..., as in ghcr.io/org/model:8b"}
	}
	return repository, nil
}

// model finds the manifest of a model by tag or digest, through an index where there is one.
//  1. The one that says that it is a model.
//  2. The only one.
func (w *way) model(ctx context.Context, wanted string) (ocispec.Manifest, digest.Digest, error) {
	for range deepest {
		raw, found, err := w.manifest(ctx, wanted)
		if err != nil {
			return ocispec.Manifest{}, "", err
		}
		var head struct {
			Manifests []ocispec.Descriptor `json:"manifests"`
		}
		if err := json.Unmarshal(raw, &head); err != nil {
			return ocispec.Manifest{}, "", fmt.Errorf("its manifest cannot be read: %w", err)
		}
		if head.Manifests == nil {
			var m ocispec.Manifest
			if err := json.Unmarshal(raw, &m); err != nil {
				return ocispec.Manifest{}, "", fmt.Errorf("its manifest cannot be read: %w", err)
			}
			return m, found, nil
		}
		var models []ocispec.Descriptor
		for _, d := range head.Manifests {
			if isModel(d.ArtifactType) {
				models = append(models, d)
			}
		}
		switch {
		case len(models) > 0: // 1
			wanted = models[0].Digest.String()
		case len(head.Manifests) == 1: // 2
			wanted = head.Manifests[0].Digest.String()
		default:
			return ocispec.Manifest{}, "", notModel(fmt.Errorf("it is an index of %d manifests, none of which says that it is a model", len(head.Manifests)))
		}
	}
	return ocispec.Manifest{}, "", notModel(errors.New("it is an index of indexes"))
}

// Open implements fetch.Source.
func (s *Source) Open(ctx context.Context, in fetch.Listing, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	repository, err := s.repository(in.Ref)
	if err != nil {
		return nil, err
	}
	w, err := s.way(ctx, repository)
	if err != nil {
		return nil, err
	}
	body, err := w.blob(ctx, f, offset, length)
	if errors.Is(err, fetch.ErrDenied) {
		s.forget(repository) // the log-in may have been changed since
	}
	if err != nil {
		return nil, fmt.Errorf("opening %s of %s: %w", f.Name, spelled(in.Ref), err)
	}
	return body, nil
}

// blob reads a part of a blob.
func (w *way) blob(ctx context.Context, f fetch.File, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || offset > f.Bytes {
		return nil, fmt.Errorf("there is no byte %d in %d", offset, f.Bytes)
	}
	if length < 0 || length > f.Bytes-offset {
		length = f.Bytes - offset
	}
	if length == 0 {
		return http.NoBody, nil
	}
	header := http.Header{"Accept-Encoding": {"identity"}}
	part := offset > 0 || length < f.Bytes
	if part {
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, offset+length-1))
	}
	response, err := w.get(ctx, "blobs/"+f.At, header)
	if err != nil {
		return nil, err
	}
	fail := func(err error) (io.ReadCloser, error) { return nil, errors.Join(err, response.Body.Close()) }
	switch {
	case response.StatusCode == http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-%d/%d", offset, offset+length-1, f.Bytes); response.Header.Get("Content-Range") != want {
			return fail(fmt.Errorf("the registry answers with %q, not with %q: %w", response.Header.Get("Content-Range"), want, fetch.ErrChanged))
		}
	case offset > 0:
		return fail(fmt.Errorf("the registry sends only whole blobs: %w", fetch.ErrNoRange))
	case response.ContentLength >= 0 && response.ContentLength != f.Bytes:
		return fail(fmt.Errorf("the registry has %d bytes, its manifest says %d: %w", response.ContentLength, f.Bytes, fetch.ErrChanged))
	}
	return &exactly{body: response.Body, left: length, more: !part}, nil
}

// exactly reads as many bytes as are left: fewer is a way that was cut off, more is not what was asked for.
type exactly struct {
	body io.ReadCloser
	left int64
	more bool // it has to end with the last of them
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, e.end()
	}
	n, err := e.body.Read(p[:min(int64(len(p)), e.left)])
	e.left -= int64(n)
	if errors.Is(err, io.EOF) {
		if err = io.EOF; e.left > 0 {
			err = io.ErrUnexpectedEOF
		}
	}
	return n, err
}

func (e *exactly) end() error {
	if !e.more {
		return io.EOF
	}
	var one [1]byte
	if n, _ := io.ReadFull(e.body, one[:]); n > 0 {
		return fetch.ErrTooLong
	}
	return io.EOF
}

// Close implements io.Closer.
func (e *exactly) Close() error { return e.body.Close() }
