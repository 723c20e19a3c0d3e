package containerd_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/containerd"
	"github.com/palisade-run/palisade/sessions/containerd/containerdtest"
	"github.com/palisade-run/palisade/sessions/network"
)

// TestTheDaemonIsKilledAnywhere walks every step of a start, a stop and a removal. The daemon that comes
// after finds a session that runs, or one that has ended, or nothing; and once that is stopped and removed,
// nothing is left anywhere.
func TestTheDaemonIsKilledAnywhere(t *testing.T) {
	eachContainerd(t, func(t *testing.T, p containerdtest.Program) {
		t.Parallel()
		for _, what := range []string{"start", "stop", "remove"} {
			t.Run(what, func(t *testing.T) {
				b := newBox(t, p)
				for n, steps := 0, []string{""}; n <= len(steps); n++ {
					steps = b.crash(what, n)
				}
			})
		}
	})
}

// crash kills a daemon after n steps and looks at what the next one makes of it. It returns all steps.
func (b *box) crash(what string, n int) []string {
	b.t.Helper()
	id := fmt.Sprintf("%s-%d", what, n)
	dying := connect(b.t, b.cfg)
	if what != "start" {
		if _, err := dying.Start(bounded(b.t), spec(id, "sleep", "1000")); err != nil {
			b.t.Fatal(err)
		}
	}
	if what == "remove" { // of one that has ended, and whose daemon has not seen that
		in, err := dying.Inspect(bounded(b.t), id)
		if err != nil {
			b.t.Fatal(err)
		}
		if err := unix.Kill(in.PID, unix.SIGKILL); err != nil {
			b.t.Fatal(err)
		}
		for running := true; running; {
			in, err := dying.Inspect(bounded(b.t), id)
			if err != nil {
				b.t.Fatal(err)
			}
			running = in.Running
		}
	}
	steps, err := dying.CrashAfter(bounded(b.t), what, id, testImage, n)
	if err != nil {
		b.t.Fatal(err)
	}
	dying.Close()
	where := what + ", before everything"
	if n > 0 {
		where = fmt.Sprintf("%s, killed after %q", what, steps[n-1])
	}

	fresh := connect(b.t, b.cfg)
	defer fresh.Close()
	list, err := fresh.List(bounded(b.t))
	if err != nil || len(list) > 1 {
		b.t.Fatalf("%s: %+v, %v", where, list, err)
	}
	b.judge(what, where, steps, n, list)
	if err := fresh.Stop(bounded(b.t), id, 0); err != nil && !errors.Is(err, sessions.ErrNoInstance) {
		b.t.Errorf("%s: stop: %v", where, err)
	}
	if err := fresh.Remove(bounded(b.t), id); err != nil {
		b.t.Errorf("%s: remove: %v", where, err)
	}
	if left := b.left(); len(left) > 0 {
		b.t.Errorf("%s: left behind: %s", where, strings.Join(left, ", "))
	}
	return steps
}

// judge asserts what may be found: what a start had not come to keep is gone, what it had runs.
func (b *box) judge(what, where string, steps []string, n int, list []sessions.Instance) {
	b.t.Helper()
	done := func(step string) bool { return slices.Contains(steps[:n], step) }
	switch what {
	case "start":
		if runs := len(list) == 1 && list[0].Running; runs != done("keep") {
			b.t.Errorf("%s: found %+v", where, list)
		}
		attached, err := b.cfg.Network.(*network.Network).List()
		if err != nil || len(attached) > 0 != done("keep") {
			b.t.Errorf("%s: in the network: %+v, %v", where, attached, err)
		}
	case "stop":
		if len(list) != 1 || list[0].Running != !done("ask") {
			b.t.Errorf("%s: found %+v", where, list)
		}
		if done("ask") && list[0].Exit.Reason != sessions.ExitStopped {
			b.t.Errorf("%s: ended with %+v", where, list[0].Exit)
		}
	case "remove":
		if there := len(list) == 1 && !list[0].Running; there != !done("leave") {
			b.t.Errorf("%s: found %+v", where, list)
		}
	}
}

var _ sessions.Images = (*containerd.Runtime)(nil)
