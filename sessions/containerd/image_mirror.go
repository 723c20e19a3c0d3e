package containerd

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	digest "github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Mirror is another box that has an image, and gives it as its registry would.
type Mirror struct {
	Host   string       // its name
	Path   string       // of its /v2 on that host
	Client *http.Client // reaches it
}

// mirrored asks mirrors first, whose images are those of the registry at the time when they were pulled, and then the registry.
func mirrored(first []Mirror, registry docker.RegistryHosts) docker.RegistryHosts {
	if len(first) == 0 {
		return registry
	}
	return func(host string) ([]docker.RegistryHost, error) {
		var all []docker.RegistryHost
		for _, m := range first {
			all = append(all, docker.RegistryHost{
				Client: m.Client, Host: m.Host, Scheme: "https", Path: m.Path, Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
			})
		}
		theirs, err := registry(host)
		return append(all, theirs...), err
	}
}

// Registry gives out the images that are here, as far as a pull needs it: GET and HEAD of .../v2/NAME/manifests/REFERENCE and
// .../v2/NAME/blobs/DIGEST, with the registry's host in ?ns=. Who asks is its caller's business.
func (r *Runtime) Registry() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		_, path, _ := strings.Cut(req.URL.Path, "/v2/")
		name, last, manifest := cutLast(path, "/manifests/")
		if !manifest {
			_, last, _ = cutLast(path, "/blobs/")
		}
		if last == "" || req.Method != http.MethodGet && req.Method != http.MethodHead {
			http.NotFound(w, req)
			return
		}
		ctx := r.in(req.Context())
		d := ocispec.Descriptor{Digest: digest.Digest(last)}
		if manifest {
			var is bool
			if d, is = r.kept(ctx, req.URL.Query().Get("ns"), name, last); !is {
				http.NotFound(w, req)
				return
			}
		}
		r.serveBlob(ctx, w, req, d)
	})
}

func cutLast(path, between string) (before, after string, is bool) {
	i := strings.LastIndex(path, between)
	if i < 0 {
		return path, "", false
	}
	return path[:i], path[i+len(between):], true
}

// kept is the manifest of an image that is here, with all that this box needs of it.
func (r *Runtime) kept(ctx context.Context, host, name, ref string) (d ocispec.Descriptor, is bool) {
	store := r.client.ContentStore()
	if sum := digest.Digest(ref); sum.Validate() == nil {
		info, err := store.Info(ctx, sum)
		if err != nil || info.Size > largestManifest {
			return d, false
		}
		raw, err := content.ReadBlob(ctx, store, ocispec.Descriptor{Digest: sum, Size: info.Size})
		if err != nil {
			return d, false
		}
		return ocispec.Descriptor{Digest: sum, Size: info.Size, MediaType: kindOf(raw)}, true
	}
	named, err := reference.ParseNormalizedNamed(host + "/" + name)
	if err != nil {
		return d, false
	}
	tagged, err := reference.WithTag(reference.TrimNamed(named), ref)
	if err != nil {
		return d, false
	}
	img, err := r.client.ImageService().Get(ctx, tagged.String())
	if err != nil {
		return d, false
	}
	whole, _, _, missing, err := images.Check(ctx, store, img.Target, matcher())
	return img.Target, err == nil && whole && len(missing) == 0
}

// kindOf reads what kind of manifest one says that it is.
func kindOf(raw []byte) string {
	var m struct {
		MediaType string               `json:"mediaType"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	switch err := json.Unmarshal(raw, &m); {
	case err == nil && m.MediaType != "":
		return m.MediaType
	case err == nil && m.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	}
	return ocispec.MediaTypeImageManifest
}

// serveBlob gives out content by its digest, in ranges.
func (r *Runtime) serveBlob(ctx context.Context, w http.ResponseWriter, req *http.Request, d ocispec.Descriptor) {
	if d.Digest.Validate() != nil {
		http.NotFound(w, req)
		return
	}
	at, err := r.client.ContentStore().ReaderAt(ctx, d)
	if err != nil {
		http.NotFound(w, req)
		return
	}
	defer at.Close()
	h := w.Header()
	h.Set("Docker-Content-Digest", d.Digest.String())
	h.Set("Content-Type", "application/octet-stream")
	if d.MediaType != "" {
		h.Set("Content-Type", d.MediaType)
	}
	h.Set("ETag", strconv.Quote(d.Digest.String()))
	http.ServeContent(w, req, "", time.Time{}, io.NewSectionReader(at, 0, at.Size()))
}
