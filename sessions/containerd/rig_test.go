package containerd_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/network"
)

// initProgram builds what runs first in every container.
var initProgram = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "palisade-init")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "palisade-init")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, "github.com/palisade-run/palisade/sessions/pid1/palisade-init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the first process: %w\n%s", err, said)
	}
	return os.ReadFile(out)
})

// image is a name and the archive of an image of Debian's static busybox.
func archive(t testing.TB, ref string, config v1.Config) *bytes.Reader {
	t.Helper()
	layer, err := busybox()
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	says, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	says = says.DeepCopy()
	says.OS, says.Architecture, says.Config = "linux", runtime.GOARCH, config
	if img, err = mutate.ConfigFile(img, says); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := tarball.Write(tag, img, &b); err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(b.Bytes())
}

var busybox = sync.OnceValues(func() (v1.Layer, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, errors.New("busybox is not installed: .ci/deps test")
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	var errs []error
	put := func(h tar.Header, content string) {
		h.Size = int64(len(content))
		errs = append(errs, w.WriteHeader(&h))
		_, err := w.Write([]byte(content))
		errs = append(errs, err)
	}
	for _, d := range []string{"bin", "etc", "usr", "usr/bin", "root", "home", "home/app", "mnt", "opt"} {
		put(tar.Header{Name: d, Typeflag: tar.TypeDir, Mode: 0o755}, "")
	}
	put(tar.Header{Name: "tmp", Typeflag: tar.TypeDir, Mode: 0o1777}, "")
	put(tar.Header{Name: "bin/busybox", Typeflag: tar.TypeReg, Mode: 0o755}, string(program))
	for name := range strings.FieldsSeq(string(applets)) {
		if name != "busybox" {
			put(tar.Header{Name: "bin/" + name, Typeflag: tar.TypeSymlink, Linkname: "busybox", Mode: 0o777}, "")
		}
	}
	put(tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\napp:x:1234:1235:an application:/home/app:/bin/sh\n")
	put(tar.Header{Name: "etc/group", Typeflag: tar.TypeReg, Mode: 0o644}, "root:x:0:\nappgroup:x:1235:\nvideo:x:44:app,other\n")
	errs = append(errs, w.Close())
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	return layer, errors.Join(append(errs, err)...)
})

// testImage is what sessions of tests run.
const testImage = "localhost/palisade-test:busybox"

func openNetwork(t testing.TB) *network.Network {
	t.Helper()
	n, err := network.Open(network.Config{Dir: filepath.Join(containerdtest.Dir(t), "net")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Destroy(); err != nil {
			t.Error(err)
		}
		n.Close()
	})
	return n
}

// open opens a runtime until the test ends.
func open(t testing.TB, cfg containerd.Config) *containerd.Runtime {
	t.Helper()
	r := connect(t, cfg)
	t.Cleanup(func() { r.Close() })
	return r
}

func connect(t testing.TB, cfg containerd.Config) *containerd.Runtime {
	t.Helper()
	var err error
	if cfg.Init, err = initProgram(); err != nil {
		t.Fatal(err)
	}
	r, err := containerd.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// bring imports an image of busybox.
func bring(t testing.TB, r *containerd.Runtime, ref string, config v1.Config) {
	t.Helper()
	if _, err := r.Import(t.Context(), archive(t, ref, config)); err != nil {
		t.Fatal(err)
	}
}
