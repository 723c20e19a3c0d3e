package containerd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
)

// TestCommit makes an image of a session and starts another of it.
func TestCommit(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "weights"), []byte("mounted"), 0o644); err != nil {
			t.Fatal(err)
		}
		const ref, mine = "localhost/palisade-test:base", "localhost/mine:1"
		bring(t, b.Runtime, ref, v1.Config{User: "app", Env: []string{"OF=the image"}, Labels: map[string]string{"ai.backend.service-ports": "web:http:8000"}})
		s := spec("lab", "sleep", "1000")
		s.Image, s.Mounts, s.Scratch = ref, []sessions.Mount{{Source: folder, Target: "/home/app/data"}}, []string{"/scratch"}
		b.start(s)
		b.execs("lab", "/bin/sh", "-c", "echo kept >/tmp/kept; ln -s kept /tmp/link; echo lost >/scratch/lost; echo lost >/dev/shm/lost; mkdir -m 700 /tmp/private; dd if=/dev/zero of=/tmp/big bs=1M count=3 2>/dev/null")
		pid := b.pidOf("lab")
		var told []string
		img, err := b.Commit(bounded(t), "lab", sessions.Commit{Image: mine}, func(p sessions.Progress) { told = append(told, p.Message) })
		if err != nil {
			t.Fatal(err)
		}
		if img.Name != mine || img.Size == 0 || len(img.Platforms) != 1 || len(told) < 3 || !strings.Contains(told[0], "stands still") {
			t.Errorf("%+v, told %q", img, told)
		}
		if now := b.pidOf("lab"); now != pid || b.execs("lab", "cat", "/tmp/kept") != "kept\n" {
			t.Error("the session did not go on")
		}
		if _, err := b.Commit(bounded(t), "lab", sessions.Commit{Image: mine}, nil); !errors.Is(err, sessions.ErrExists) || hintOf(err) == "" {
			t.Errorf("a name that is taken: %v", err)
		}
		b.execs("lab", "/bin/sh", "-c", "rm /tmp/link; echo more >>/tmp/kept")
		if _, err := b.Commit(bounded(t), "lab", sessions.Commit{Image: mine, Replace: true, Running: true}, nil); err != nil {
			t.Error(err)
		}
		again := spec("again", "/bin/sh", "-c", "id -u; echo $OF; cat /tmp/kept; ls /tmp /scratch /home/app/data /.palisade/plan; stat -c %a /tmp/private")
		again.Image = mine
		b.start(again)
		want := "1234\nthe image\nkept\nmore\n/.palisade/plan\n\n/home/app/data:\n\n/scratch:\n\n/tmp:\nbig\nkept\nprivate\n700\n"
		if text := b.ends("again", sessions.ExitCompleted, 0); text != want {
			t.Errorf("it has\n%s", text)
		}
		// Of an image that was made so, and whose own is gone.
		third := spec("third", "sleep", "1000")
		third.Image = mine
		b.start(third)
		if err := b.RemoveImage(bounded(t), mine); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Commit(bounded(t), "third", sessions.Commit{Image: "localhost/mine:2"}, nil); !errors.Is(err, sessions.ErrNoImage) {
			t.Errorf("of an image that is gone: %v", err)
		}
		if got := b.execs("third", "cat", "/tmp/kept"); got != "kept\nmore\n" {
			t.Errorf("%q", got)
		}
		for name, bad := range map[string]string{"a digest": "x@sha256:" + strings.Repeat("0", 64), "the word for processes": "host", "no name": "No Name"} {
			if _, err := b.Commit(bounded(t), "lab", sessions.Commit{Image: bad}, nil); !errors.Is(err, sessions.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		gaveUp, cancel := context.WithCancel(bounded(t))
		_, err = b.Commit(gaveUp, "lab", sessions.Commit{Image: "localhost/mine:3"}, func(sessions.Progress) { cancel() })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("given up: %v", err)
		}
		if got := b.execs("lab", "echo", "goes on"); got != "goes on\n" {
			t.Errorf("%q", got)
		}
	})
}

func (b *box) pidOf(id string) int {
	b.t.Helper()
	in, err := b.Inspect(bounded(b.t), id)
	if err != nil || !in.Running {
		b.t.Fatalf("%+v, %v", in, err)
	}
	return in.PID
}

// TestKilledWhileItStandsStill: a session that a daemon made to stand still goes on with the next one, and can be stopped.
func TestKilledWhileItStandsStill(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		b := newBox(t, p)
		b.start(spec("still", "sleep", "1000"))
		if err := b.StandStill(bounded(t), "still"); err != nil {
			t.Fatal(err)
		}
		next := connect(t, b.cfg)
		defer next.Close()
		if got := b.execs("still", "echo", "goes on"); got != "goes on\n" {
			t.Errorf("%q", got)
		}
		if err := b.StandStill(bounded(t), "still"); err != nil {
			t.Fatal(err)
		}
		if err := next.Stop(bounded(t), "still", 0); err != nil {
			t.Error(err)
		}
		b.ends("still", sessions.ExitStopped, 143)
	})
}
