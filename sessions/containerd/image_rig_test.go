package containerd_test

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/containerd/private"
)

// store is a runtime for its images alone.
type store struct {
	*containerd.Runtime
	daemon *private.Daemon // nil: one that all tests share
	cfg    containerd.Config
}

// eachContainerd runs test on each containerd.
func eachContainerd(t *testing.T, test func(t *testing.T, p containerdtest.Program)) {
	t.Parallel()
	for _, p := range containerdtest.Programs(t) {
		t.Run(p.Name, func(t *testing.T) { test(t, p) })
	}
}

func newest(t *testing.T) containerdtest.Program { return containerdtest.Programs(t)[1] }

// openStore is one on the containerd that tests share, in a namespace of its own.
func openStore(t *testing.T, p containerdtest.Program) *store {
	t.Helper()
	t.Parallel() // it waits for most of its time
	return openStoreAt(t, shared(t, p))
}

func openStoreAt(t *testing.T, address string) *store {
	t.Helper()
	s := &store{cfg: containerd.Config{
		Address: address, Namespace: freshNamespace(), Root: filepath.Join(containerdtest.Dir(t), "sessions"),
		Init: executable("no session is started"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}}
	s.reopen(t)
	return s
}

// openStoreIn is one on a containerd of its own, in dir.
func openStoreIn(t *testing.T, p containerdtest.Program, dir string) *store {
	t.Helper()
	d := containerdtest.StartIn(t, p, dir)
	s := openStoreAt(t, d.Address())
	s.daemon = d
	return s
}

// reopen is what a new daemon does.
func (s *store) reopen(t *testing.T) {
	t.Helper()
	r, err := containerd.New(t.Context(), s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	s.Runtime = r
}

// client is one of containerd's own, to look behind the runtime.
func (s *store) client(t *testing.T) (context.Context, *client.Client) {
	t.Helper()
	c, err := client.New(s.cfg.Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return namespaces.WithNamespace(context.WithoutCancel(t.Context()), s.cfg.Namespace), c
}

// left lists all that containerd keeps.
func (s *store) left(t *testing.T) []string {
	t.Helper()
	ctx, c := s.client(t)
	var out []string
	failed := errors.Join(
		c.ContentStore().Walk(ctx, func(i content.Info) error {
			out = append(out, "content "+i.Digest.String())
			return nil
		}),
		c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
			out = append(out, "snapshot "+i.Name)
			return nil
		}))
	under, err := c.ContentStore().ListStatuses(ctx)
	for _, u := range under {
		out = append(out, fmt.Sprintf("under way %s: %d of %d", u.Ref, u.Offset, u.Total))
	}
	held, leaseErr := c.LeasesService().List(ctx)
	for _, l := range held {
		out = append(out, "lease "+l.ID)
	}
	all, imageErr := c.ImageService().List(ctx)
	for _, i := range all {
		out = append(out, "image "+i.Name)
	}
	if err := errors.Join(failed, err, leaseErr, imageErr); err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *store) nothingLeft(t *testing.T) {
	t.Helper()
	s.Settled() // it collects what was removed
	if left := s.left(t); len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
}

// reg is a registry on loopback; between stands in front of it.
type reg struct {
	host     string
	requests atomic.Int64
	plain    http.Handler // the registry itself
	server   *httptest.Server
}

func newRegistry(t *testing.T, between func(next http.Handler) http.Handler) *reg {
	t.Helper()
	r := &reg{plain: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	front := r.plain
	if between != nil {
		front = between(r.plain)
	}
	r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.requests.Add(1)
		front.ServeHTTP(w, q)
	}))
	t.Cleanup(r.server.Close)
	r.host = strings.TrimPrefix(r.server.URL, "http://")
	return r
}

// push puts an image, or an index, into the registry, past what stands in front of it, and returns its name.
func (r *reg) push(t *testing.T, repository string, what any) string {
	t.Helper()
	ref, err := name.NewTag(r.host+"/"+repository, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	through := remote.WithTransport(direct{r.plain})
	switch what := what.(type) {
	case v1.Image:
		err = remote.Write(ref, what, through)
	case v1.ImageIndex:
		err = remote.WriteIndex(ref, what, through)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ref.String()
}

// direct answers from a handler.
type direct struct{ handler http.Handler }

func (d direct) RoundTrip(q *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if q.Body == nil {
		q.Body = http.NoBody
	}
	d.handler.ServeHTTP(w, q)
	resp := w.Result()
	resp.Request = q
	return resp, nil
}

// layer is one file of size bytes that nothing compresses.
func layer(t *testing.T, file string, size int) v1.Layer {
	t.Helper()
	body := make([]byte, size)
	_, _ = rand.Read(body)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	err := w.WriteHeader(&tar.Header{Name: file, Size: int64(size), Mode: 0o644, Typeflag: tar.TypeReg})
	if err == nil {
		_, err = w.Write(body)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// image has as many layers as sizes, for a processor.
func image(t *testing.T, arch string, sizes ...int) v1.Image {
	t.Helper()
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{OS: "linux", Architecture: arch, Config: v1.Config{Cmd: []string{"/bin/true"}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, size := range sizes {
		if img, err = mutate.AppendLayers(img, layer(t, fmt.Sprintf("file%d", i), size)); err != nil {
			t.Fatal(err)
		}
	}
	return img
}

// index is one image for each processor.
func index(t *testing.T, archs ...string) v1.ImageIndex {
	t.Helper()
	var out v1.ImageIndex = empty.Index
	for _, arch := range archs {
		out = mutate.AppendManifests(out, mutate.IndexAddendum{
			Add: image(t, arch, 1000), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return out
}

// wantKind fails the test unless err is of kind, has text in it and says what to do.
func wantKind(t *testing.T, err, kind error, text string) {
	t.Helper()
	if err == nil || kind != nil && !errors.Is(err, kind) || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want one of kind %v that has %q", err, kind, text)
		return
	}
	h, ok := errors.AsType[interface {
		error
		Hint() string
	}](err)
	if !ok || h.Hint() == "" {
		t.Errorf("no hint on %v", err)
	}
}

// told gathers what a pull tells.
type told struct{ all []sessions.Progress }

func (p *told) tell(v sessions.Progress) { p.all = append(p.all, v) }
