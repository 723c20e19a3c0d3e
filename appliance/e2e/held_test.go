package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// TestALabInAContainer is a person's day: a shell that outlives the daemon's death, what was installed kept as an image, and
// another session of it.
func TestALabInAContainer(t *testing.T) {
	b := containerBox(t)
	b.run("session", "create", "engine:1", "--type", "interactive", "--name", "lab", "-r", "cpu=0.1", "-r", "mem=128m", "--wait")
	p := b.sit("session", "attach", "lab")
	p.sees("Ctrl-P Ctrl-Q")
	p.types("kept=$$; echo tool >/tool; echo mar''ked\r")
	p.sees("marked\r\n")
	stays := b.sit("session", "exec", "-it", "lab", "--", "sh", "-c", "trap '' HUP; echo up; while :; do sleep 98765; done")
	stays.sees("up\r\n")
	b.kill()
	p.leaves(1)
	stays.leaves(1)
	b.start()
	again := b.sit("session", "attach", "lab")
	again.sees("marked\r\n")
	again.types("[ $kept = $$ ] && echo sa''me\r")
	again.sees("same\r\n")
	if err := eventually(soon, func() error {
		if out, _, code := b.cli("session", "exec", "lab", "--", "sh", "-c", "for f in /proc/[0-9]*/cmdline; do case $(cat $f) in *9876[5]*) exit 7;; esac; done"); code == 7 {
			return fmt.Errorf("the command of the daemon that was killed is still there: %s", out)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	b.run("session", "commit", "lab", "mine:1")
	b.fails(1, []string{"is there already", "--replace"}, "session", "commit", "lab", "mine:1")
	again.types("echo goes''on; exit 6\r")
	again.sees("goeson\r\n")
	again.leaves(6)
	b.run("session", "create", "mine:1", "--type", "interactive", "--name", "lab2", "-r", "cpu=0.1", "-r", "mem=128m", "--wait")
	if got := b.run("session", "exec", "lab2", "--", "cat", "/tool"); got != "tool" {
		t.Errorf("%q", got)
	}
	b.run("session", "rm", "lab", "lab2")
}

// BenchmarkSessionShell is from a person's request for a container to the prompt of a shell in it, with the two programs that
// the person starts for that; and what one such program takes by itself.
func BenchmarkSessionShell(b *testing.B) {
	box := newBox(b)
	box.settings = []string{"--runtime", "containerd", "--containerd", "private"}
	box.start()
	box.run("image", "import", engineImage(b, "engine:1"))
	took := map[string][]time.Duration{}
	for n := 0; b.Loop(); n++ {
		name, begun := fmt.Sprintf("lab-%d", n), time.Now()
		box.run("session", "create", "engine:1", "--type", "interactive", "--name", name, "-r", "cpu=0.1", "-r", "mem=64m", "--wait", "-q")
		took["created"] = append(took["created"], time.Since(begun))
		p := box.sit("session", "attach", name)
		p.sees("# ")
		took["shell"] = append(took["shell"], time.Since(begun))
		p.types("exit\r")
		p.leaves(0)
		box.run("session", "rm", name)
		begun = time.Now()
		box.run("session", "list", "-q")
		took["command-line"] = append(took["command-line"], time.Since(begun))
	}
	for name, all := range took {
		slices.Sort(all)
		for _, q := range []int{50, 95} {
			b.ReportMetric(float64(all[len(all)*q/100].Microseconds())/1000, fmt.Sprintf("ms-%s-p%d", name, q))
		}
	}
	b.ReportMetric(0, "ns/op")
}
