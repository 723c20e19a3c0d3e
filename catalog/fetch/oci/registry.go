package oci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/palisade-run/palisade/catalog/fetch"
	"github.com/palisade-run/palisade/catalog/fetch/web"
)

// How often a registry may send a request on.
const (
	redirects = 10
	mostWays  = 64 // that are kept
)

// manifestTypes are what a manifest may be.
var manifestTypes = [...]string{
	ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, "application/vnd.oci.artifact.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.list.v2+json",
}

// way is the way to one repository, logged in.
type way struct {
	repository name.Repository
	client     *http.Client
	loggedIn   bool
}

// begin logs in to the repository's registry, anew.
func (s *Source) begin(ctx context.Context, repository name.Repository) (*way, error) {
	host := repository.RegistryStr()
	auth, err := s.authenticator(ctx, host)
	if err != nil {
		return nil, err
	}
	guard := &plainGuard{inner: s.cfg.Transport, allowed: s.cfg.PlainHTTP}
	trip, err := transport.NewWithContext(ctx, repository.Registry, auth, guard, []string{repository.Scope(transport.PullScope)})
	w := &way{repository: repository, loggedIn: auth != authn.Anonymous}
	if err != nil {
		s.forget(repository) // nor may a log-in of before be gone on with
		return nil, w.explain(err)
	}
	w.client = &http.Client{Transport: trip, CheckRedirect: func(_ *http.Request, via []*http.Request) error {
		if len(via) >= redirects {
			return fmt.Errorf("it was sent on %d times", len(via))
		}
		return nil
	}}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ways) >= mostWays {
		clear(s.ways)
	}
	s.ways[repository.String()] = w
	return w, nil
}

func (s *Source) way(ctx context.Context, repository name.Repository) (*way, error) {
	s.mu.Lock()
	w := s.ways[repository.String()]
	s.mu.Unlock()
	if w != nil {
		return w, nil
	}
	return s.begin(ctx, repository)
}

func (s *Source) forget(repository name.Repository) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.ways, repository.String())
}

func (s *Source) authenticator(ctx context.Context, host string) (authn.Authenticator, error) {
	if s.cfg.Credentials == nil {
		return authn.Anonymous, nil
	}
	asked := host
	if host == name.DefaultRegistry {
		asked = "docker.io"
	}
	user, secret, err := s.cfg.Credentials(ctx, asked)
	switch {
	case err != nil:
		return nil, fmt.Errorf("looking for the log-in of registry %s: %w", asked, err)
	case secret == "":
		return authn.Anonymous, nil
	case user == "":
		return authn.FromConfig(authn.AuthConfig{IdentityToken: secret}), nil
	}
	return &authn.Basic{Username: user, Password: secret}, nil
}

// plainGuard refuses to speak without TLS to hosts that are neither on loopback nor allowed to: the library falls back to
// that for all private addresses, and a log-in would go with it.
type plainGuard struct {
	inner   http.RoundTripper
	allowed []string
}

// RoundTrip implements http.RoundTripper.
func (g *plainGuard) RoundTrip(r *http.Request) (*http.Response, error) {
	if web.Exposed(r.URL, g.allowed) {
		return nil, errPlain
	}
	return g.inner.RoundTrip(r)
}

var errPlain = errors.New("it speaks plain HTTP, which is for registries on loopback and for those that the settings name")

// get asks for what lies in the repository at part. Other answers than 200 and 206 are errors.
func (w *way) get(ctx context.Context, part string, header http.Header) (*http.Response, error) {
	at := fmt.Sprintf("%s://%s/v2/%s/%s", w.repository.Scheme(), w.repository.RegistryStr(), w.repository.RepositoryStr(), part)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := w.client.Do(request)
	if err != nil {
		return nil, w.explain(err)
	}
	if response.StatusCode == http.StatusOK || response.StatusCode == http.StatusPartialContent {
		return response, nil
	}
	defer response.Body.Close()
	err = w.explain(transport.CheckError(response, http.StatusOK))
	if response.StatusCode == http.StatusTooManyRequests || response.StatusCode == http.StatusServiceUnavailable {
		after, _ := web.RetryAfter(response.Header, time.Now())
		return nil, &fetch.Later{After: after, Err: err}
	}
	return nil, err
}

// manifest reads a manifest by tag or digest, and says its digest, which it has made sure of.
func (w *way) manifest(ctx context.Context, wanted string) ([]byte, digest.Digest, error) {
	response, err := w.get(ctx, "manifests/"+wanted, http.Header{"Accept": manifestTypes[:]})
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	raw, err := atMost(response.Body)
	if err != nil {
		return nil, "", err
	}
	found := digest.FromBytes(raw)
	if strings.Contains(wanted, ":") && wanted != found.String() {
		return nil, "", fmt.Errorf("the registry answers with a manifest whose digest is %s: %w", found, fetch.ErrChecksum)
	}
	return raw, found, nil
}

func atMost(r io.Reader) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(r, largestManifest+1))
	switch {
	case err != nil:
		return nil, err
	case n > largestManifest:
		return nil, fmt.Errorf("a manifest of more than %d bytes: %w", largestManifest, fetch.ErrTooLong)
	}
	return b.Bytes(), nil
}

// explain gives an error its kind and says what to do about it.
func (w *way) explain(err error) error {
	host := w.repository.RegistryStr()
	if errors.Is(err, errPlain) {
		return &hinted{fmt.Errorf("registry %s: %w", host, errPlain), "list it in the settings under containerd.insecure_registries, or give it a certificate"}
	}
	if sent, is := errors.AsType[*url.Error](err); is {
		err = sent.Err // it repeats the address, and one that a registry has signed opens what is there
	}
	answered, ok := errors.AsType[*transport.Error](err)
	if !ok {
		if _, is := errors.AsType[net.Error](err); is && !errors.Is(err, context.Canceled) {
			return &hinted{fmt.Errorf("registry %s cannot be reached: %w", host, err), "look at its name and at the network of this box"}
		}
		return err
	}
	switch answered.StatusCode {
	case http.StatusUnauthorized, http.StatusForbidden:
		hint := "palisade registry login " + host + " -u USER; some registries say the same of what does not exist"
		if w.loggedIn {
			hint = "the log-in that is kept may be old, or not be for this model: palisade registry login " + host + " -u USER"
		}
		return &hinted{fmt.Errorf("registry %s: %w: %w", host, fetch.ErrDenied, err), hint}
	case http.StatusNotFound:
		return &hinted{fmt.Errorf("registry %s: %w: %w", host, fetch.ErrNotFound, err), "look at the model's name and tag"}
	}
	return fmt.Errorf("registry %s: %w", host, err)
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

// Unwrap gives what it wraps.
func (h *hinted) Unwrap() error { return h.error }

// Hint says what to do.
func (h *hinted) Hint() string { return h.hint }
