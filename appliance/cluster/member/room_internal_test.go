package member

import (
	"errors"
	"strings"
	"testing"
)

func TestWhatBrokeAMember(t *testing.T) {
	for why, full := range map[string]bool{
		"failed to save Raft hard state and entries: write /d/etcd/member/wal/0.wal: no space left on device": true,
		"failed to commit tx: write /d/etcd/member/snap/db: disk quota exceeded":                              true,
		"failed to commit tx: write /d/etcd/member/snap/db: input/output error":                               false,
		"failed to recover v3 backend from snapshot":                                                          false,
	} {
		err := Config{Dir: "/d"}.brokenBy(why)
		says, is := errors.AsType[*Error](err)
		if !is {
			t.Fatalf("%v has no hint", err)
		}
		hint := says.Hint()
		if !errors.Is(err, ErrBroken) || errors.Is(err, ErrFull) != full || !strings.Contains(err.Error(), why) || strings.Contains(hint, "make room on the disk of /d") != full {
			t.Errorf("%v (%s)", err, hint)
		}
	}
}

func TestRoom(t *testing.T) {
	if n, err := Room(t.TempDir()); n <= 0 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := Room("/not/there"); err == nil {
		t.Error("there is room on a disk that is not there")
	}
}
