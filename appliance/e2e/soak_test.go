package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

var (
	soakFor    = flag.Duration("soak", 0, "bring faults to an appliance under load for so `long`; 0: each once")
	soakReport = flag.String("soak-report", "", "put what came of them into this `file`")
)

// soak is a box with containers, on a disk of its own, that answers for two services while things go wrong: engines that
// write down what they got, whose clients' requests are accounted for one by one, and real ones that official clients talk to.
type soak struct {
	*campaign
	real  *asker
	spare string // the real engines' token, for bursts
	burst atomic.Int64
	round int
	first vitals // when it was warm
	last  []vitals
}

// TestSoak does to a whole box what happens to one in a year, while requests come. With -soak it goes on and on, by dice, and
// writes a report.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	faults := s.faults()
	begun := time.Now()
	for i := range faults {
		s.suffer(faults[i])
	}
	s.warm()
	dice := rand.New(rand.NewPCG(uint64(begun.Unix()), 0))
	for time.Since(begun) < *soakFor {
		// In the second half the daemon itself is left alone, or what it leaks would go with it.
		f := faults[dice.IntN(len(faults))]
		if f.renews && time.Since(begun) > *soakFor/2 {
			continue
		}
		s.suffer(f)
		if s.round%len(faults) == 0 {
			s.measure()
		}
	}
	s.measure()
	s.real.stop()
	s.report(time.Since(begun))
	s.end()
}

func newSoak(t *testing.T) *soak {
	t.Helper()
	b := newBox(t)
	b.settings = []string{"--runtime", "containerd", "--containerd", "private", "--simulate", "dgxh100"}
	if err := os.MkdirAll(b.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", b.dir, "tmpfs", 0, "size=1g"); err != nil {
		t.Fatal(err)
	}
	b.start()
	b.run("image", "import", engineImage(t, "engine:1"))
	s := &soak{campaign: ledgerBox(t, b, "engine:1", 3, "-r", "cuda.device=1")}
	s.patient = true
	s.spare = b.contained("engine:1", "voices", 2)
	s.real = keepAsking(context.Background(), openai.NewClient(option.WithBaseURL(b.url+"/v1"), option.WithAPIKey(s.spare), option.WithMaxRetries(8)), "voices")
	return s
}

// suffering is what is done to a box.
type suffering struct {
	name   string
	may    outcome
	renews bool // the daemon is another one afterwards
	what   func()
}

func (s *soak) faults() []suffering {
	return []suffering{
		{"nothing", clean, false, func() { s.more(400) }},
		{"a burst of 200 requests", clean, false, func() { s.burstOf(200); s.more(200) }},
		{"route killed", begunMayTwice, false, func() {
			v := s.victim()
			s.signal(v, syscall.SIGKILL)
			s.gone(v)
			s.settle(3)
		}},
		{"route frozen until replaced", begunMayTwice, false, func() {
			v := s.victim()
			s.signal(v, syscall.SIGSTOP)
			s.gone(v)
			s.settle(3)
		}},
		{"service rolled", clean, false, func() {
			before := s.ids()
			s.run("service", "update", "ledger", "-e", fmt.Sprint("REVISION=", s.round))
			s.rolled(before)
			s.settle(3)
		}},
		{"scaled to 4 and back", clean, false, func() {
			s.run("service", "scale", "ledger", "4")
			s.settle(4)
			s.run("service", "scale", "ledger", "3")
			s.settle(3)
		}},
		{"sessions come and go", clean, false, s.sessionsComeAndGo},
		{"folders come and go", clean, false, s.foldersComeAndGo},
		{"daemon stopped, started", begunMayTwice, true, func() {
			s.stop()
			s.start()
			s.settle(3)
		}},
		{"daemon killed, started", begunMayTwice, true, func() {
			s.kill()
			s.start()
			s.settle(3)
		}},
		{"containerd killed", clean, false, s.containerdDies},
		{"disk filled and freed", clean, false, s.diskFills},
	}
}

// suffer does one thing to the box while requests come, and looks that it is whole afterwards.
func (s *soak) suffer(f suffering) {
	s.t.Helper()
	s.round++
	begun := time.Now()
	s.fault(f.name, f.may, f.what)
	s.t.Logf("%s: %s", f.name, time.Since(begun).Round(time.Millisecond))
	s.nothingIsLeft(f.name)
}

// burstOf asks real engines by many at once; whoever gets no answer says so in the report.
func (s *soak) burstOf(n int) {
	done := make(chan error)
	for range n {
		go func() {
			_, err := say(context.Background(), s.client(s.spare), "voices", 2, nil)
			done <- err
		}()
	}
	for range n {
		if err := <-done; err != nil {
			s.burst.Add(1)
			s.t.Errorf("in a burst: %v", err)
		}
	}
}

func (s *soak) sessionsComeAndGo() {
	for i := range 3 {
		s.run("session", "create", "engine:1", "-t", "batch", "-r", "cuda.device=1", "--startup-command", fmt.Sprintf("echo %d", i), "--wait")
	}
	id := s.run("session", "create", "engine:1", "-r", "cuda.device=1", "--wait", "-q")
	if said := s.run("session", "exec", id, "--", "/bin/busybox", "hostname"); said == "" {
		s.t.Error("a session does not say its name")
	}
	s.run("session", "rm", id)
}

func (s *soak) foldersComeAndGo() {
	dir := filepath.Join(s.models, "passing")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i)), make([]byte, 100<<10), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	s.run("folder", "import", dir, "--name", "passing", "--usage", "data")
	s.run("folder", "rm", "passing")
	s.run("folder", "purge", "passing")
	s.more(50)
}

// containerdDies: what runs goes on, and the daemon starts another.
func (s *soak) containerdDies() {
	before := s.containerd()
	if err := syscall.Kill(before, syscall.SIGKILL); err != nil {
		s.t.Error(err)
	}
	if err := eventually(soon, func() error {
		if _, errText, code := s.cli("session", "create", "engine:1", "-t", "batch", "--startup-command", "true", "--wait", "--name", fmt.Sprint("after-", s.round)); code != 0 {
			return fmt.Errorf("no session starts: %s", errText)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
	s.settle(3)
}

// diskFills until nothing more can be written, for a while.
func (s *soak) diskFills() {
	fill := filepath.Join(s.dir, "fill")
	file, err := os.Create(fill)
	if err != nil {
		s.t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for ; len(block) > 0; block = block[:len(block)/2] {
		for err = error(nil); err == nil; {
			_, err = file.Write(block)
		}
	}
	_ = file.Close()
	s.more(200)
	if err := os.Remove(fill); err != nil {
		s.t.Error(err)
	}
	s.settle(3)
}

// nothingIsLeft looks that who holds devices, containers and networks are the routes, and nobody else.
func (s *soak) nothingIsLeft(after string) {
	s.t.Helper()
	if err := eventually(soon, func() error {
		n, who := s.taken()
		routes := s.ids()
		if n != 3 || len(who) != 3 {
			return fmt.Errorf("%d devices are taken, by %v", n, who)
		}
		for _, v := range s.service("voices").Routes {
			routes = append(routes, v.ID)
		}
		for _, of := range []string{"/containerd/state/io.containerd.runtime.v2.task/palisade/*", "/netns*/ses-*"} {
			found, err := filepath.Glob(s.dir + of)
			if err != nil {
				return stop{err}
			}
			left := slices.DeleteFunc(found, func(path string) bool {
				return slices.ContainsFunc(routes, func(id string) bool { return strings.Contains(filepath.Base(path), id) })
			})
			if len(left) > 0 {
				return fmt.Errorf("left: %v", left)
			}
		}
		return nil
	}); err != nil {
		s.t.Errorf("after %s: %v", after, err)
	}
}
