package figures_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/training/checkpoints"
	"github.com/palisade-run/palisade/training/figures"
)

// desk is a session with a file of figures.
type desk struct {
	t    *testing.T
	path string
	file *figures.File
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	points := checkpoints.New(filepath.Join(t.TempDir(), "checkpoints"))
	dir, err := points.Make("ses-1")
	if err != nil {
		t.Fatal(err)
	}
	f, err := figures.New(points).Of(sessions.Session{ID: "ses-1", Name: "train", Type: sessions.TypeBatch})
	if err != nil || f.Path != "/home/work/.checkpoint/metrics.jsonl" {
		t.Fatal(f, err)
	}
	return &desk{t, filepath.Join(dir, "metrics.jsonl"), f}
}

func (d *desk) write(text string) {
	d.t.Helper()
	f, err := os.OpenFile(d.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		d.t.Fatal(err)
	}
}

// read says what is read: lines, bad ones, and of each series how many and the last.
func (d *desk) read(last bool) string {
	d.t.Helper()
	b, err := d.file.Read(d.t.Context(), figures.Want{Points: 5}, last)
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%d/%d", b.Lines, b.Bad)
	for _, s := range b.Series() {
		text += fmt.Sprintf(" %s %d:%g@%g", s.Name, s.Count, s.Last, s.X)
	}
	for word, is := range map[string]bool{" anew": b.Anew, " same": !b.Changed} {
		if is {
			text += word
		}
	}
	return text
}

func (d *desk) reads(last bool, want string) {
	d.t.Helper()
	if got := d.read(last); got != want {
		d.t.Errorf("%s, want %s", got, want)
	}
}

func TestFollow(t *testing.T) {
	d := newDesk(t)
	if got := d.read(false); !strings.Contains(got, "anew") || !strings.Contains(got, "same") {
		t.Error(got)
	}
	d.write("{\"loss\":3}\n\n{\"loss\":2}\n{\"los")
	d.reads(false, "2/0 loss 2:2@2 anew")
	d.reads(false, "0/0 same")
	d.write("s\":1}\nnonsense\n")
	d.reads(false, "2/1 loss 1:1@3")
	d.write(`{"loss":0.5}`) // its writer ended with it
	d.reads(false, "0/0 same")
	d.reads(true, "1/0 loss 1:0.5@5")
	d.write("\n{\"loss\":")
	d.reads(true, "0/0 same") // torn
	if err := os.Truncate(d.path, 0); err != nil {
		t.Fatal(err)
	}
	d.write("{\"loss\":9}\n")
	d.reads(false, "1/0 loss 1:9@1 anew")
	if err := os.Rename(d.path, d.path+".1"); err != nil {
		t.Fatal(err)
	}
	if got := d.read(false); !strings.HasPrefix(got, "0/0 anew") || strings.Contains(got, "same") {
		t.Error(got)
	}
	d.write("{\"loss\":8}\n{\"loss\":7}\n")
	d.reads(false, "2/0 loss 2:7@2 anew")
}

// TestUntrusted: whatever the session puts there, it is refused or passed over, at once.
func TestUntrusted(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(`{"secret":1}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, put := range map[string]func(path string) error{
		"absolute link": func(path string) error { return os.Symlink(secret, path) },
		"relative link": func(path string) error { return os.Symlink("../../../secret", path) },
		"loop":          func(path string) error { return os.Symlink("metrics.jsonl", path) },
		"magic link":    func(path string) error { return os.Symlink("/proc/self/environ", path) },
		"fifo":          func(path string) error { return unix.Mkfifo(path, 0o666) },
		"directory":     func(path string) error { return os.Mkdir(path, 0o755) },
		"socket":        func(path string) error { return unix.Mknod(path, unix.S_IFSOCK|0o666, 0) },
	} {
		d := newDesk(t)
		if err := put(d.path); err != nil {
			t.Fatal(name, err)
		}
		if _, err := d.file.Read(t.Context(), figures.Want{}, false); !errors.Is(err, figures.ErrUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := newDesk(t)
	if err := os.WriteFile(filepath.Join(filepath.Dir(d.path), "run-2.jsonl"), []byte(`{"loss":4}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("run-2.jsonl", d.path); err != nil {
		t.Fatal(err)
	}
	d.reads(false, "1/0 loss 1:4@1 anew") // a link within is a writer's way to say which run it is
}

// TestHuge: of a file of 2 GiB the end is read, and a line that never ends takes no memory.
func TestHuge(t *testing.T) {
	d := newDesk(t)
	d.write(strings.Repeat("x", 3<<20))
	d.reads(false, "0/0 anew")
	d.write(strings.Repeat("y", 3<<20) + "\n{\"loss\":1}\n")
	d.reads(false, "2/1 loss 1:1@2")
	if err := os.Truncate(d.path, 2<<30); err != nil { // zeros, without an end
		t.Fatal(err)
	}
	b, err := d.file.Read(t.Context(), figures.Want{}, false)
	if err != nil || b.Skipped < 1<<30 || b.Lines != 0 {
		t.Errorf("%+v %v", b, err)
	}
	d.write("\n{\"loss\":5}\n")
	d.reads(false, "2/1 loss 1:5@4")
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	if _, err := d.file.Read(ctx, figures.Want{}, false); !errors.Is(err, gone) {
		t.Error(err)
	}
}

func TestOf(t *testing.T) {
	keep := figures.New(checkpoints.New(t.TempDir()))
	folder := t.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "m.jsonl"), []byte("{\"a\":1}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s := sessions.Session{ID: "ses-1", Name: "train", Type: sessions.TypeBatch}
	s.Mounts = []sessions.Mount{{Source: folder, Target: "/home/work/data"}}
	s.Launch.Env = map[string]string{"PALISADE_METRICS": "data/m.jsonl"}
	f, err := keep.Of(s)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := f.Read(t.Context(), figures.Want{}, true); err != nil || b.Lines != 1 || f.Path != "/home/work/data/m.jsonl" {
		t.Errorf("%s %+v %v", f.Path, b, err)
	}
	s.Launch.Env["PALISADE_METRICS"] = "/tmp/m.jsonl"
	if _, err := keep.Of(s); !errors.Is(err, figures.ErrUnreadable) || !strings.Contains(err.Error(), "/tmp/m.jsonl") {
		t.Error(err)
	}
	s.ServiceID, s.Type = "svc-1", sessions.TypeInference
	if _, err := keep.Of(s); !errors.Is(err, figures.ErrUnreadable) {
		t.Error(err)
	}
}
