package member_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster/member"
)

// fill makes the disk below a file that this process has open a full one.
func fill(t *testing.T, path string) {
	t.Helper()
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, e := range all {
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err != nil || !strings.HasPrefix(to, path) {
			continue
		}
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Dup3(int(full.Fd()), fd, syscall.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		found = true
	}
	if !found {
		t.Fatalf("nothing below %s is open", path)
	}
}

// A leader that cannot write any more, be it what it applies or its log, leads no more, and the others go on.
func TestALeaderThatBreaks(t *testing.T) {
	for name, of := range map[string]string{"what it applies": "snap/db", "its log": "wal/"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := begin(t)
			c.join("box-2")
			c.join("box-3")
			by := map[string]func(*box) error{"box-2": c.inside, "box-3": c.inside}
			c.drive(3, by)
			c.connect(c.boxes[0].node, c.boxes...)
			leader, broken := c.status().Leader, (*box)(nil)
			for _, b := range c.boxes {
				if b.config.Name == leader {
					broken = b
				}
			}
			fill(t, filepath.Join(broken.config.Dir, "etcd", "member", of))
			var rest []*box
			for _, b := range c.boxes {
				if b != broken {
					rest = append(rest, b)
				}
			}
			_, _ = c.client.Put(context.WithoutCancel(c.ctx), "/test/x", "before")
			select {
			case <-broken.runs.Done():
			case <-c.ctx.Done():
				t.Fatal("it goes on")
			}
			if err := broken.runs.Err(); !errors.Is(err, member.ErrBroken) {
				t.Error(err)
			}
			c.connect(rest[0].node, rest...)
			c.until("another leads", func() bool { s := c.status(); return s.Agreed && s.Leader != "" && s.Leader != leader })
			c.put("/test/x", "after")
			if o := c.status().Quorum; o.Votes != 3 || o.Answer != 2 {
				t.Errorf("%+v", o)
			}
			// However often it is said, and whether or not somebody waits for it.
			over, cancel := context.WithCancel(c.ctx)
			cancel()
			for range 3 {
				_ = broken.runs.Close(over)
			}
		})
	}
}
