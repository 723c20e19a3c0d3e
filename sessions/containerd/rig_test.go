package containerd_test

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/containerd/private"
	"github.com/palisade-run/palisade/sessions/network"
	"github.com/palisade-run/palisade/variants"
)

// initProgram builds what runs first in every container.
var initProgram = sync.OnceValues(func() (*io.SectionReader, error) {
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
	text, err := os.ReadFile(out)
	return executable(string(text)), err
})

// executable is what a program is carried as.
func executable(text string) *io.SectionReader {
	return io.NewSectionReader(strings.NewReader(text), 0, int64(len(text)))
}

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

// box is a runtime with a network.
type box struct {
	*containerd.Runtime
	t      *testing.T
	daemon *private.Daemon // nil: one that all tests share
	p      containerdtest.Program
	dir    string // of containerd
	cfg    containerd.Config
}

// newBox is one on the containerd that tests share, in a namespace of its own.
func newBox(t *testing.T, p containerdtest.Program, change ...func(*containerd.Config)) *box {
	t.Helper()
	t.Parallel() // it waits for most of its time
	b := &box{t: t, p: p, cfg: containerd.Config{Address: shared(t, p), Namespace: freshNamespace()}}
	b.furnish(change)
	return b
}

// newBoxAlone has a containerd of its own, which may be ended.
func newBoxAlone(t *testing.T, p containerdtest.Program) *box {
	t.Helper()
	t.Parallel()
	b := &box{t: t, p: p, dir: containerdtest.Dir(t)}
	b.up()
	t.Cleanup(func() { _ = b.daemon.Stop(context.Background()) })
	b.cfg = containerd.Config{Address: b.daemon.Address(), Namespace: "palisade"}
	b.furnish(nil)
	return b
}

func (b *box) furnish(change []func(*containerd.Config)) {
	b.t.Helper()
	b.cfg.Root, b.cfg.Network = containerdtest.Dir(b.t), openNetwork(b.t)
	b.cfg.Log = slog.New(slog.NewTextHandler(b.t.Output(), nil))
	if err := os.Chmod(b.cfg.Root, 0o711); err != nil {
		b.t.Fatal(err)
	}
	for _, c := range change {
		c(&b.cfg)
	}
	var err error
	if b.cfg.Init, err = initProgram(); err != nil {
		b.t.Fatal(err)
	}
	b.Runtime = open(b.t, b.cfg)
	bring(b.t, b.Runtime, testImage, v1.Config{})
}

// sharedDebian and sharedNewest are containerds that tests share: each test has a namespace of its own. They end with the
// test program's namespaces.
var sharedDebian, sharedNewest = sync.OnceValues(sharing(0)), sync.OnceValues(sharing(1))

func sharing(which int) func() (string, error) {
	return func() (string, error) {
		programs, err := containerdtest.Find()
		if err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp("/run", "pal")
		if err == nil {
			err = os.Chmod(dir, 0o711)
		}
		if err != nil {
			return "", err
		}
		d, err := private.Start(context.Background(), private.Config{Dir: dir, Program: programs[which].Path})
		if err != nil {
			return "", err
		}
		return d.Address(), nil
	}
}

// shared is the address of a containerd that tests share.
func shared(t testing.TB, p containerdtest.Program) string {
	t.Helper()
	start := sharedNewest
	if p.Name == "debian" {
		start = sharedDebian
	}
	address, err := start()
	if err != nil {
		t.Fatal(err)
	}
	return address
}

// freshNamespace is one that no other test has.
func freshNamespace() string { return "test-" + strings.ToLower(rand.Text()) }

// up starts containerd, down ends it: containers go on.
func (b *box) up() {
	b.t.Helper()
	d, err := private.Start(b.t.Context(), private.Config{Dir: b.dir, Program: b.p.Path})
	if err != nil {
		b.t.Fatal(err)
	}
	b.daemon = d
}

func (b *box) down() {
	b.t.Helper()
	if err := b.daemon.Stop(bounded(b.t)); err != nil {
		b.t.Fatal(err)
	}
}

func bounded(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func spec(id string, argv ...string) sessions.Spec {
	return sessions.Spec{ID: id, Image: testImage, Labels: map[string]string{"of": id}, Processes: []variants.Process{{Name: "main", Argv: argv}}}
}

// start starts a session that is gone when the test ends.
func (b *box) start(s sessions.Spec) sessions.Instance {
	b.t.Helper()
	in, err := b.Start(bounded(b.t), s)
	if err != nil {
		b.t.Fatalf("starting %s: %v", s.ID, err)
	}
	b.t.Cleanup(func() {
		ctx := bounded(b.t)
		_ = b.Stop(ctx, s.ID, 0)
		if err := b.Remove(ctx, s.ID); err != nil {
			b.t.Errorf("removing %s: %v", s.ID, err)
		}
	})
	return in
}

// ends waits for id, asserts how it ended, and returns what it has written.
func (b *box) ends(id string, reason sessions.ExitReason, code int) string {
	b.t.Helper()
	exit, err := b.Wait(bounded(b.t), id)
	if err != nil {
		b.t.Fatalf("waiting for %s: %v", id, err)
	}
	text := b.log(id)
	if exit.Reason != reason || exit.Code != code {
		b.t.Errorf("%s ended with %+v, want %s %d; its log:\n%s", id, exit, reason, code, text)
	}
	return text
}

func (b *box) log(id string) string {
	b.t.Helper()
	l, err := b.Logs(bounded(b.t), id, sessions.LogOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	text, err := io.ReadAll(l)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

// runs runs a script to its end and returns what it has written.
func (b *box) runs(s sessions.Spec, script string) string {
	b.t.Helper()
	s.Processes[0].Argv = shell(script)
	b.start(s)
	return b.ends(s.ID, sessions.ExitCompleted, 0)
}

// awaitLine returns once id has written line.
func (b *box) awaitLine(id, line string) {
	b.t.Helper()
	l, err := b.Logs(bounded(b.t), id, sessions.LogOptions{Follow: true})
	if err != nil {
		b.t.Fatal(err)
	}
	defer l.Close()
	scan := bufio.NewScanner(l)
	for scan.Scan() {
		if scan.Text() == line {
			return
		}
	}
	b.t.Fatalf("the log of %s ended without %q: %v", id, line, scan.Err())
}

// execs runs a command in a session and returns what it has written.
func (b *box) execs(id string, argv ...string) string {
	b.t.Helper()
	var out bytes.Buffer
	exit, err := b.Exec(bounded(b.t), id, sessions.ExecSpec{Argv: argv, Stdout: &out})
	if err != nil || exit.Code != 0 {
		b.t.Errorf("%q in %s: %+v, %v", argv, id, exit, err)
	}
	return out.String()
}

func hintOf(err error) string {
	var hinted interface{ Hint() string }
	if errors.As(err, &hinted) {
		return hinted.Hint()
	}
	return ""
}

func itoa(n int) string { return strconv.Itoa(n) }

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// left lists all that sessions have left on the box.
func (b *box) left() []string {
	b.t.Helper()
	ctx := namespaces.WithNamespace(bounded(b.t), b.cfg.Namespace)
	c, err := client.New(b.cfg.Address)
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	var left []string
	containers, err := c.Containers(ctx)
	for _, c := range containers {
		left = append(left, "container "+c.ID())
	}
	tasks, taskErr := c.TaskService().List(ctx, &tasks.ListTasksRequest{})
	for _, t := range tasks.GetTasks() {
		left = append(left, "task "+t.GetID())
	}
	snapErr := c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, s snapshots.Info) error {
		if s.Kind == snapshots.KindActive {
			left = append(left, "snapshot "+s.Name)
		}
		return nil
	})
	attached, netErr := b.cfg.Network.(*network.Network).List()
	for _, a := range attached {
		left = append(left, "network "+a.ID)
	}
	for _, pattern := range []string{"/instances/*", "/removing/*", "/exec/*", "/runc/*/*"} {
		found, _ := filepath.Glob(b.cfg.Root + pattern)
		left = append(left, found...)
	}
	sum := sha256.Sum256([]byte(b.cfg.Root)) // others on the box have theirs beside
	for _, pattern := range []string{"/sys/fs/cgroup/palisade/", "/sys/fs/cgroup/*/palisade/"} {
		found, _ := filepath.Glob(pattern + hex.EncodeToString(sum[:6]) + ".*")
		left = append(left, found...)
	}
	shims, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, name := range shims {
		if line, err := os.ReadFile(name); err == nil && strings.Contains(string(line), "containerd-shim") && strings.Contains(string(line), b.cfg.Address) && strings.Contains(string(line), b.cfg.Namespace+"\x00") {
			left = append(left, "process "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	if err := errors.Join(err, taskErr, snapErr, netErr); err != nil {
		b.t.Fatal(err)
	}
	return left
}
