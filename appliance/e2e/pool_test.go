package e2e_test

import (
	"fmt"
	"strings"
	"testing"
)

type deviceView struct {
	ID, Ref, Health string
	Holders         []struct{ Session, Service, State, Share string }
}

// taken counts the devices that somebody holds.
func (b *box) taken() (n int, who map[string]int) {
	b.t.Helper()
	var devices []deviceView
	b.into(&devices, "device", "list")
	who = map[string]int{}
	for _, d := range devices {
		if len(d.Holders) > 0 {
			n++
		}
		for _, h := range d.Holders {
			who[h.Session]++
		}
	}
	return n, who
}

// TestPool plays the pool through on a simulated box: who gets devices, who waits and why, and that no crash makes the
// ledger forget or double anything.
func TestPool(t *testing.T) {
	b := newBox(t)
	b.settings = []string{"--runtime", "process", "--simulate", "dgxh100"}
	b.start()
	if list := b.run("device", "list"); !strings.Contains(list, "SIMULATED") || strings.Count(list, "H100") != 8 {
		t.Fatalf("devices:\n%s", list)
	}
	b.folder("voices", strings.Replace(voices, "MODE", "recite", 1), map[string]string{"mkhello": have.mkhello})
	b.run("service", "create", "host", "voices", "2", "--name", "large", "-r", "cuda.device=3", "--wait")
	if n, _ := b.taken(); n != 6 {
		t.Errorf("%d devices are taken, want 6", n)
	}
	b.run("service", "create", "host", "voices", "1", "--name", "late", "-r", "cuda.device=4")
	waits := func(want ...string) {
		t.Helper()
		if err := eventually(soon, func() error {
			queue := b.run("queue")
			for _, w := range want {
				if !strings.Contains(queue, w) {
					return fmt.Errorf("the queue does not say %q:\n%s", w, queue)
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
	waits("late-", "waits for 4 cuda.device: 2 of 8 free", "service large had one route less")

	t.Run("more than there is is refused at once", func(t *testing.T) {
		for ask, want := range map[string]string{
			"cuda.device=9": "has 8", "cuda.device=0": "more than 0", "cuda.device=-1": "more than 0", "cuda.device=1e9": "",
			"cuda.shares=0.333": "finer than", "mem=100t": "has", "rocm.device=1": "has none",
		} {
			if _, errs, code := b.cli("service", "create", "host", "voices", "1", "--name", "greedy", "-r", ask); code == 0 || !strings.Contains(errs, want) {
				t.Errorf("%s: %d, %s", ask, code, errs)
			}
		}
		if _, errs, code := b.cli("service", "create", "host", "voices", "1", "--name", "both", "-r", "cuda.device=1", "-r", "cuda.shares=0.5"); code == 0 || !strings.Contains(errs, "exclude") {
			t.Errorf("%d, %s", code, errs)
		}
	})

	t.Run("a crash forgets nothing", func(t *testing.T) {
		_, before := b.taken()
		b.kill()
		b.start()
		if _, after := b.taken(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Errorf("devices were held by %v and are by %v", before, after)
		}
		waits("waits for 4 cuda.device: 2 of 8 free")
		b.wantHealthy("large")
	})

	t.Run("a device is taken out and put back", func(t *testing.T) {
		b.run("device", "fence", "cuda:7", "--reason", "its fan rattles")
		waits("1 of 8 free")
		if list := b.run("device", "list"); !strings.Contains(list, "its fan rattles") {
			t.Errorf("the reason is not listed:\n%s", list)
		}
		b.run("device", "unfence", "cuda:7")
		waits("2 of 8 free")
	})

	b.run("service", "scale", "large", "1")
	b.wantHealthy("late")
	if n, _ := b.taken(); n != 7 {
		t.Errorf("%d devices are taken, want 7", n)
	}
	b.run("service", "rm", "late", "large", "--wait")
	if err := eventually(soon, func() error {
		if n, who := b.taken(); n != 0 {
			return fmt.Errorf("still held: %v", who)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
