package e2e_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// engineImage writes an archive of an image with the real engine in it, what it links, and a shell.
func engineImage(t testing.TB, ref string) string {
	t.Helper()
	files := map[string]string{"/usr/local/bin/llama-server": filepath.Join(have.engine, "llama-server")}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	files["/bin/busybox"] = busybox
	links := map[string]string{}
	for _, applet := range []string{"sh", "cat", "env", "ls", "sleep", "tty", "stty", "hostname", "id", "wget"} {
		links["/bin/"+applet] = "/bin/busybox"
	}
	out, err := exec.Command("ldd", files["/usr/local/bin/llama-server"]).Output()
	if err != nil {
		t.Fatalf("ldd: %v", err)
	}
	for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(string(out), -1) {
		if !strings.HasPrefix(m[1], have.engine) {
			files[m[1]] = m[1]
		}
	}
	beside, err := filepath.Glob(filepath.Join(have.engine, "*.so*")) // the engine looks for its libraries where it is
	if err != nil {
		t.Fatal(err)
	}
	for _, library := range beside {
		files["/usr/local/bin/"+filepath.Base(library)] = library
	}
	return archiveOf(t, ref, files, links, nil)
}

// archiveOf writes an image of one layer as docker save would, and returns the file's path.
func archiveOf(t testing.TB, ref string, files, links map[string]string, configure func(*v1.Config)) string {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	add := func(h *tar.Header, body []byte) {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{"tmp/", "etc/", "root/", "home/"} {
		add(&tar.Header{Name: dir, Typeflag: tar.TypeDir, Mode: 0o1777}, nil)
	}
	add(&tar.Header{Name: "etc/passwd", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(passwd))}, []byte(passwd))
	for target, source := range files {
		body, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		add(&tar.Header{Name: target[1:], Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(body))}, body)
	}
	for target, source := range links {
		add(&tar.Header{Name: target[1:], Typeflag: tar.TypeSymlink, Linkname: source, Mode: 0o777}, nil)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	image, err := mutate.AppendLayers(empty.Image, l)
	if err != nil {
		t.Fatal(err)
	}
	file, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config := file.DeepCopy()
	config.OS, config.Architecture = "linux", "amd64"
	config.Config.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin"}
	if configure != nil {
		configure(&config.Config)
	}
	if image, err = mutate.ConfigFile(image, config); err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag(ref)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(path, tag, image); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < 1<<10 {
		t.Fatal(fmt.Sprint("an empty archive: ", err))
	}
	return path
}

const passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"
