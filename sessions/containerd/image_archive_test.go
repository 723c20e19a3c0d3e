package containerd_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

// dockerSave is what docker save writes.
func dockerSave(t *testing.T, ref string, img v1.Image) []byte {
	t.Helper()
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// ociLayout is an archive of an OCI layout, with the images under these annotations.
func ociLayout(t *testing.T, images map[string]v1.Image) []byte {
	t.Helper()
	dir := t.TempDir()
	path, err := layout.Write(dir, index(t))
	if err != nil {
		t.Fatal(err)
	}
	for ref, img := range images {
		if err := path.AppendImage(img, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": ref})); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(raw)
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zstandard(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := compression.CompressStream(&b, compression.Zstd)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestImportAndExport(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		s := openStore(t, p)
		img := image(t, runtime.GOARCH, 1000, 2000)
		digest, err := img.Digest()
		if err != nil {
			t.Fatal(err)
		}
		unnamed := "localhost/imported:" + digest.Hex[:12]
		for name, c := range map[string]struct {
			archive []byte
			want    string
		}{
			"docker save":                {dockerSave(t, "team/model:3", img), "docker.io/team/model:3"},
			"docker save, gzip":          {gzipped(t, dockerSave(t, "ghcr.io/a/b:1", img)), "ghcr.io/a/b:1"},
			"oci":                        {ociLayout(t, map[string]v1.Image{"ghcr.io/a/c:2": img}), "ghcr.io/a/c:2"},
			"oci, zstd":                  {zstandard(t, ociLayout(t, map[string]v1.Image{"ghcr.io/a/d:2": img})), "ghcr.io/a/d:2"},
			"oci, a tag alone":           {ociLayout(t, map[string]v1.Image{"latest": img}), unnamed},
			"oci, no name":               {ociLayout(t, map[string]v1.Image{"": img}), unnamed},
			"oci, not only for this box": {ociLayout(t, map[string]v1.Image{"x/y:z": image(t, "s390x", 10), "x/y:here": img}), "docker.io/x/y:here"},
		} {
			t.Run(name, func(t *testing.T) {
				got, err := s.Import(t.Context(), bytes.NewReader(c.archive))
				if err != nil || len(got) != 1 || got[0].Name != c.want || got[0].Size < 1000 {
					t.Fatalf("%+v, %v; want %s", got, err, c.want)
				}
				// Nothing is asked of a registry: it could not be reached.
				if err := s.Pull(t.Context(), c.want, nil); err != nil {
					t.Errorf("it is not ready to start: %v", err)
				}
				var out bytes.Buffer
				if err := s.Export(t.Context(), c.want, &out); err != nil {
					t.Fatal(err)
				}
				back, err := tarball.Image(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }, nil)
				if err != nil {
					t.Fatalf("docker would not load it: %v", err)
				}
				if layers, err := back.Layers(); err != nil || len(layers) != 2 {
					t.Errorf("%d layers, %v", len(layers), err)
				}
				if err := s.RemoveImage(t.Context(), c.want); err != nil {
					t.Fatal(err)
				}
				again, err := s.Import(t.Context(), &out)
				if err != nil || len(again) != 1 || again[0].Name != c.want || again[0].Digest != got[0].Digest {
					t.Errorf("%+v, %v; want %+v", again, err, got)
				}
				if err := s.RemoveImage(t.Context(), c.want); err != nil {
					t.Fatal(err)
				}
				s.nothingLeft(t)
			})
		}
	})
}

func TestImportThatFails(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		s := openStore(t, p)
		whole := dockerSave(t, "a/b:1", image(t, runtime.GOARCH, 500_000))
		var empty bytes.Buffer
		if err := tar.NewWriter(&empty).Close(); err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			archive []byte
			kind    error
		}{
			"nothing":            {nil, sessions.ErrInvalid},
			"junk":               {bytes.Repeat([]byte("junk "), 1000), sessions.ErrInvalid},
			"empty":              {empty.Bytes(), sessions.ErrInvalid},
			"cut off":            {whole[:len(whole)/2], sessions.ErrInvalid},
			"gzip, cut off":      {gzipped(t, whole)[:200_000], sessions.ErrInvalid},
			"no images":          {ociLayout(t, nil), sessions.ErrInvalid},
			"without its layers": {withoutLayers(t, ociLayout(t, map[string]v1.Image{"a/b:1": image(t, runtime.GOARCH, 400_000)})), sessions.ErrInvalid},
			"another processor":  {dockerSave(t, "a/b:1", image(t, "s390x", 1000)), sessions.ErrImagePlatform},
			"another, in oci":    {ociLayout(t, map[string]v1.Image{"a/b:1": image(t, "s390x", 1000)}), sessions.ErrImagePlatform},
		} {
			t.Run(name, func(t *testing.T) {
				got, err := s.Import(t.Context(), bytes.NewReader(c.archive))
				wantKind(t, err, c.kind, "importing images")
				if len(got) > 0 {
					t.Errorf("%+v", got)
				}
				s.nothingLeft(t)
			})
		}
	})
}

// TestImageWithHugeSettings is not read into memory.
func TestImageWithHugeSettings(t *testing.T) {
	s, r := openStore(t, newest(t)), newRegistry(t, nil)
	says, err := image(t, runtime.GOARCH, 1000).ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	says = says.DeepCopy()
	says.Config.Labels = map[string]string{"x": strings.Repeat("x", 9<<20)}
	img, err := mutate.ConfigFile(image(t, runtime.GOARCH, 1000), says)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Import(t.Context(), bytes.NewReader(dockerSave(t, "a/b:1", img)))
	wantKind(t, err, sessions.ErrInvalid, "of what describes an image")
	_, err = s.Import(t.Context(), bytes.NewReader(ociLayout(t, map[string]v1.Image{"a/b:1": img})))
	wantKind(t, err, sessions.ErrInvalid, "of what describes an image")
	wantKind(t, s.Pull(t.Context(), r.push(t, "huge:1", img), nil), sessions.ErrInvalid, "of what describes an image")
	s.nothingLeft(t)
}

// withoutLayers leaves out what is large.
func withoutLayers(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	in, out := tar.NewReader(bytes.NewReader(raw)), tar.NewWriter(&b)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Size > 100_000 {
			continue
		}
		if err := out.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(out, in); err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestImportThatFailsKeepsWhatWasThere: a name goes to another image only when that is whole.
func TestImportThatFailsKeepsWhatWasThere(t *testing.T) {
	s := openStore(t, newest(t))
	was, err := s.Import(t.Context(), bytes.NewReader(dockerSave(t, "a/b:1", image(t, runtime.GOARCH, 1000))))
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range []v1.Image{image(t, "s390x", 1000)} {
		if _, err := s.Import(t.Context(), bytes.NewReader(dockerSave(t, "a/b:1", img))); err == nil {
			t.Error("it was taken")
		}
	}
	now, err := s.Images(t.Context())
	if err != nil || len(now) != 1 || now[0].Digest != was[0].Digest {
		t.Errorf("%+v, %v; was %+v", now, err, was)
	}
}

// brokenReader ends like an upload whose sender has gone.
type brokenReader struct {
	r    io.Reader
	gone func() error
}

func (b *brokenReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.gone()
	}
	return n, err
}

func TestImportWhoseSenderGoes(t *testing.T) {
	s := openStore(t, newest(t))
	raw := dockerSave(t, "a/b:1", image(t, runtime.GOARCH, 500_000))
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the client has gone")
	from := &brokenReader{bytes.NewReader(raw[:300_000]), func() error {
		cancel(gone)
		return io.ErrUnexpectedEOF
	}}
	if _, err := s.Import(ctx, from); !errors.Is(err, gone) {
		t.Errorf("%v", err)
	}
	s.nothingLeft(t)
}

func TestExportOfWhatIsNotThere(t *testing.T) {
	s := openStore(t, newest(t))
	var out bytes.Buffer
	wantKind(t, s.Export(t.Context(), "a/b:1", &out), sessions.ErrNoImage, "a/b:1")
	wantKind(t, s.Export(t.Context(), "A", &out), sessions.ErrInvalid, "A")
	if out.Len() > 0 {
		t.Errorf("%d bytes were written", out.Len())
	}
}

// TestWithoutOverlay: where containerd cannot use overlayfs, layers are copied.
func TestWithoutOverlay(t *testing.T) {
	p := newest(t)
	dir := containerdtest.Dir(t)
	settings := fmt.Sprintf(`version = 3
root = "%[1]s/root"
state = "%[1]s/state"
disabled_plugins = ["io.containerd.snapshotter.v1.overlayfs", "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "%[1]s/c.sock"
`, dir)
	if err := os.WriteFile(filepath.Join(dir, "c.toml"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(p.Path, "--config", filepath.Join(dir, "c.toml"), "--log-level", "error")
	cmd.Stderr = t.Output()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := os.Stat(dir + "/c.sock"); !errors.Is(err, fs.ErrNotExist) || time.Now().After(deadline) {
			break
		}
	}
	r, err := containerd.New(t.Context(), containerd.Config{Address: dir + "/c.sock", Root: dir + "/sessions", Init: executable("no session is started")})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Import(t.Context(), bytes.NewReader(dockerSave(t, "a/b:1", image(t, runtime.GOARCH, 1000))))
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if _, err := os.Stat(dir + "/root/io.containerd.snapshotter.v1.native/snapshots/1/file0"); err != nil {
		t.Error(err)
	}
}
