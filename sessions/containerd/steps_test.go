package containerd

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/variants"
)

// CrashAfter does the first n steps of a start, a stop or a removal and then nothing more, as a daemon does
// that is killed there. It returns the names of all steps; r must not be used any more.
func (r *Runtime) CrashAfter(ctx context.Context, what, id, image string, n int) ([]string, error) {
	var steps []step
	switch what {
	case "start":
		m := &making{r: r, dir: r.dir(id), spec: sessions.Spec{
			ID: id, Image: image, Processes: []variants.Process{{Argv: []string{"sleep", "1000"}}}, Scratch: []string{"/scratch"},
		}}
		steps = m.steps()
	case "stop":
		steps = r.stopping(id, time.Minute)
	case "remove":
		steps = r.discarding(id)
	default:
		return nil, errors.New("there is no " + what)
	}
	var names []string
	for i, s := range steps {
		names = append(names, s.name)
		if i < n {
			if err := s.do(r.in(ctx)); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", what, s.name, err)
			}
		}
	}
	return names, nil
}

// Settled waits until there is nothing that the runtime does by itself.
func (r *Runtime) Settled() { r.background.Wait() }

// Leave starts a command and then does nothing more for it, as a daemon does that is killed. It returns its name.
func (r *Runtime) Leave(ctx context.Context, id string, terminal bool, argv []string) (string, error) {
	ctx = r.in(ctx)
	cmd := sessions.ExecSpec{Argv: argv}
	opts := []cio.Opt{cio.WithFIFODir(r.fifos()), cio.WithStreams(nil, io.Discard, io.Discard)}
	if terminal {
		cmd.Terminal = &sessions.Terminal{}
		opts = append(opts, cio.WithTerminal)
	}
	process, err := r.processOf(id, cmd)
	if err != nil {
		return "", err
	}
	t, err := r.load(ctx, id)
	if err != nil {
		return "", err
	}
	name := "exec-" + rand.Text()
	nobody := r.self
	nobody.Started++
	if err := errors.Join(r.noteCommand(id, name, terminal), writeJSON(filepath.Join(r.dir(id), dirCommands), name, underWay{nobody, terminal})); err != nil {
		return "", err
	}
	p, err := t.Exec(ctx, name, process, cio.NewCreator(opts...))
	if err != nil {
		return "", err
	}
	return name, p.Start(ctx)
}

// StandStill makes a session stand still and then does nothing more, as a daemon does that is killed.
func (r *Runtime) StandStill(ctx context.Context, id string) error {
	_, err := r.freeze(r.in(ctx), id)
	return err
}

// TestPause: the kernel is asked again, but not for ever, and what another fault says is said at once.
func TestPause(t *testing.T) {
	busy, other := errors.New("OCI runtime pause failed: unable to freeze: unknown"), errors.New("no such task")
	for _, tt := range []struct {
		name    string
		answers []error // the last one goes on
		want    error
		asked   int
	}{
		{"at once", []error{nil}, nil, 1},
		{"at the third time", []error{busy, busy, nil}, nil, 3},
		{"refused for another reason", []error{busy, other}, other, 2},
		{"never", []error{busy}, busy, 41},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				err := pause(t.Context(), func(context.Context) error {
					asked++
					return tt.answers[min(asked, len(tt.answers))-1]
				})
				if !errors.Is(err, tt.want) || asked != tt.asked {
					t.Errorf("%v after %d times", err, asked)
				}
			})
		})
	}
}

func TestPacking(t *testing.T) {
	var raw, packed bytes.Buffer
	w := tar.NewWriter(&raw)
	for _, h := range []tar.Header{
		{Name: ".palisade/", Typeflag: tar.TypeDir}, {Name: ".palisade/init", Typeflag: tar.TypeReg}, {Name: "etc/hosts", Typeflag: tar.TypeReg},
		{Name: "etc/hostname", Typeflag: tar.TypeReg, Size: 1}, {Name: "place", Typeflag: tar.TypeReg}, {Name: ".wh.gone", Typeflag: tar.TypeReg},
		{Name: "owned", Typeflag: tar.TypeReg, Uid: firstUser + 7, Gid: firstUser, PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}},
		{Name: "other", Typeflag: tar.TypeReg, Uid: 5},
	} {
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(make([]byte, h.Size))
	}
	if err := errors.Join(w.Close(), packer{skip: map[string]bool{"place": true}, shift: firstUser}.copy(&packed, &raw)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(&packed); ; {
		h, err := r.Next()
		if err != nil {
			break
		}
		got = append(got, fmt.Sprint(h.Name, " ", h.Uid, " ", h.Gid, " ", h.PAXRecords["SCHILY.xattr.user.x"]))
	}
	if want := []string{"etc/hostname 0 0 ", ".wh.gone 0 0 ", "owned 7 0 y", "other 5 0 "}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestStepsAreNamedOnce(t *testing.T) {
	r := &Runtime{}
	for _, steps := range [][]step{(&making{r: r}).steps(), r.stopping("a", 0), r.discarding("a")} {
		var names []string
		for _, s := range steps {
			if slices.Contains(names, s.name) {
				t.Errorf("%q is there twice: %s", s.name, strings.Join(names, ", "))
			}
			names = append(names, s.name)
		}
	}
}

// TestRemoveTree: directories in directories, more than a program may have files open, and more files in one than
// are looked at at once. It is not beside others: it changes how many files may be open.
func TestRemoveTree(t *testing.T) {
	top := filepath.Join(t.TempDir(), "top")
	if err := os.Mkdir(top, 0o700); err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "outside")
	errs := []error{os.WriteFile(outside, nil, 0o600), os.Symlink(filepath.Dir(outside), filepath.Join(top, "link"))}
	for i := range 3000 {
		errs = append(errs, os.WriteFile(filepath.Join(top, fmt.Sprint(i)), nil, 0))
	}
	root, err := os.OpenRoot(top)
	for range 2000 { // a path of them all would be too long
		if err != nil {
			t.Fatal(err)
		}
		errs = append(errs, root.Mkdir("d", 0o500), root.Symlink(outside, "out"))
		next, openErr := root.OpenRoot("d")
		root.Close()
		root, err = next, openErr
	}
	if err := errors.Join(append(errs, err, root.Close())...); err != nil {
		t.Fatal(err)
	}
	var was unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 200, Max: was.Max}); err != nil {
		t.Fatal(err)
	}
	err = removeTree(top)
	if err := errors.Join(err, unix.Setrlimit(unix.RLIMIT_NOFILE, &was)); err != nil {
		t.Errorf("%.200v", err)
	}
	if _, err := os.Stat(top); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Error(err)
	}
}

func TestParseStat(t *testing.T) {
	stat := "42 (a (strange) name) S 1 40 40 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 3 0 12345 1000 25 184 1 1 0 0\n"
	if state, started, ok := parseStat(stat); !ok || state != "S" || started != 12345 {
		t.Errorf("%q, %d, %t", state, started, ok)
	}
	if _, _, ok := parseStat("42 (gone"); ok {
		t.Error("half a line was taken")
	}
}

func TestWaitStatus(t *testing.T) {
	for code, want := range map[uint32]string{0: "exit 0", 3: "exit 3", 128: "exit 128", 137: "signal 9", 143: "signal 15", 255: "exit 255"} {
		ws := waitStatus(code)
		got := fmt.Sprintf("exit %d", ws.ExitStatus())
		if ws.Signaled() {
			got = fmt.Sprintf("signal %d", ws.Signal())
		}
		if got != want {
			t.Errorf("%d is %s, want %s", code, got, want)
		}
	}
}

func TestReadOnly(t *testing.T) {
	within := []string{"/", "/proc", "/models/deep/disk"}
	for source, want := range map[string]string{"/models": "rro", "/models/deep": "rro", "/models/deep/disk": "ro", "/mod": "ro", "/": "rro"} {
		if got := readOnly(source, within); got != want {
			t.Errorf("%s: %s, want %s", source, got, want)
		}
	}
}
