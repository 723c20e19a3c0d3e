package e2e_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// another waits until another process takes over from the daemon, which may answer requests yet.
func (h *host) another(before int) {
	h.t.Helper()
	if err := eventually(120*time.Second, func() error {
		pids := slices.DeleteFunc(h.daemons(), func(pid int) bool { return pid == before })
		if len(pids) != 1 {
			return fmt.Errorf("beside process %d %s has %v", before, h.name, pids)
		}
		h.now(pids[0])
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
}

// TestADiskThatIsFull: a box whose disk is full keeps no part of what the boxes agree on, and says so at each of them. Where there is
// room again it does by itself. What runs there runs on.
func TestADiskThatIsFull(t *testing.T) {
	hosts := newHosts(t, true, "one", "two", "three")
	one, three := hosts[0], hosts[2]
	one.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	one.run("service", "create", "host", "voices", "3", "--name", "voices", "-r", "cpu=0.1", "--wait")
	ran, before := three.runs(), three.daemon.Process.Pid
	if len(ran) != 1 {
		t.Fatalf("%v run on three", ran)
	}
	problem := func(s clusterStatus) string {
		return s.Boxes[slices.IndexFunc(s.Boxes, func(b boxSeen) bool { return b.Name == "three" })].Problem
	}
	three.fill(true)
	one.settled("the others know that three's disk is full", func(s clusterStatus) bool {
		return s.Quorum.Answer == 2 && strings.Contains(problem(s), "its disk is full") && strings.Contains(problem(s), "make room")
	})
	if said, _, code := three.cli("doctor"); code == 0 || !strings.Contains(said, "its disk is full") {
		t.Errorf("exit %d:\n%s", code, said)
	}
	three.fill(false)
	three.another(before)
	one.settled("three takes part again", func(s clusterStatus) bool { return s.Quorum.Answer == 3 && problem(s) == "" && len(s.alive()) == 3 })
	if err := eventually(soon, func() error {
		if now := three.runs(); !slices.Equal(now, ran) {
			return errors.New(strings.Join(now, ", ") + " run on three")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
