package sessions_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
)

// mishaps plays a box at random: sessions come and go, are preempted and cancelled, devices break, the runtime and the
// store are away, the daemon is restarted.
type mishaps struct {
	*world
	*rand.Rand
	flaky *flaky
	jobs  map[string]bool // to whether something was done to it that ends it
	log   []string
}

func (c *mishaps) note(format string, args ...any) {
	c.log = append(c.log, fmt.Sprintf(format, args...))
}

func (c *mishaps) step() {
	pick := func(ids []string) string { return ids[c.IntN(len(ids))] }
	switch n := c.IntN(12); n {
	case 0, 1:
		name := pick([]string{"a", "b"})
		to := c.IntN(5)
		_, err := c.m.ScaleService(c.t.Context(), "default", name, sessions.Scale{To: to, By: "chance"})
		c.note("scale %s to %d: %v", name, to, err)
	case 2:
		if live := c.m.Sessions("", sessions.SessionFilter{Live: true}); len(live) > 0 {
			s := live[c.IntN(len(live))]
			c.jobs[s.ID] = true
			c.note("end %s, which is %s: %v", s.ID, s.Status, c.m.TerminateSession(c.t.Context(), "", s.ID, "chance", c.IntN(2) == 0))
		}
	case 3:
		if running := c.runtime.Running(); len(running) > 0 {
			id := pick(running)
			c.jobs[id] = true
			c.runtime.Exit(id, sessions.Exit{Reason: sessions.ExitCrashed, Code: 139})
			c.note("crash %s", id)
		}
	case 4:
		device := fmt.Sprintf("GPU-%d", c.IntN(8))
		c.ledger.Observe("box", []accel.Sample{{Device: device, At: time.Now(), Fault: "XID 79", MemoryUsed: -1}}, nil, time.Now())
		c.note("%s breaks", device)
	case 5:
		for i := range 8 {
			_ = c.ledger.Unfence("box", fmt.Sprintf("GPU-%d", i))
		}
		c.note("devices are well")
	case 6:
		c.flaky.stop.Store(c.IntN(3) == 0)
		c.flaky.start.Store(c.IntN(3) == 0)
		c.flaky.remove.Store(c.IntN(3) == 0)
		c.flaky.pull.Store(c.IntN(3) == 0)
		c.note("runtime: stop %v, start %v, remove %v, pull %v", c.flaky.stop.Load(), c.flaky.start.Load(), c.flaky.remove.Load(), c.flaky.pull.Load())
	case 7:
		c.store.set(c.IntN(3) == 0, false)
		c.note("the store hangs or not")
	case 8, 9:
		c.halt()
		c.note("restart")
		if len(c.jobs) < 12 && c.IntN(2) == 0 {
			id := fmt.Sprintf("ses-job%d", len(c.jobs))
			c.job(id, c.IntN(20), accel.Slots{"cuda.device": accel.Amount(100 * (1 + c.IntN(4)))})
			c.jobs[id] = false
			c.note("new: %s", id)
		}
		c.boot()
	default:
	}
}

// check holds at every moment: nothing is given away twice, and what runs holds what it holds.
func (c *mishaps) check() {
	taken := map[string]accel.Amount{}
	claims := map[string]bool{}
	for _, e := range c.ledger.Claims() {
		claims[e.Session] = true
		for _, share := range e.Holds() {
			if taken[share.Device] += share.Amount; taken[share.Device] > 100 {
				c.t.Errorf("%s is given away twice, by %s to %s too: %v", share.Device, c.log[len(c.log)-1], e.Session, c.ledger.Claims())
			}
		}
	}
	for _, id := range c.runtime.Running() {
		if !claims[id] {
			c.t.Errorf("%s runs and holds nothing, after: %s", id, c.log[len(c.log)-1])
		}
	}
}

func TestPoolPlayedAtRandom(t *testing.T) {
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				w.node = eight()
				c := &mishaps{world: w, Rand: rand.New(rand.NewPCG(seed, 1)), jobs: map[string]bool{}}
				c.flaky = w.flaky()
				t.Cleanup(func() {
					if t.Failed() {
						for _, line := range c.log {
							t.Log(line)
						}
					}
				})
				w.runtime.OnPull(func(string) runtimetest.PullResult {
					return runtimetest.PullResult{Delay: 20 * time.Second, Progress: []sessions.Progress{{Message: "1 of 2"}, {Message: "2 of 2"}}}
				})
				w.runtime.Behave(func(sessions.Spec) runtimetest.Behaviour {
					return runtimetest.Behaviour{StartDelay: 2 * time.Second, TermDelay: 5 * time.Second}
				})
				w.serve("a", map[string]string{"cuda.device": "1"})
				w.serve("b", map[string]string{"cuda.shares": "0.5"})
				for i := range 4 {
					id := fmt.Sprintf("ses-job%d", i)
					w.job(id, 5, accel.Slots{"cuda.device": accel.Amount(100 * (1 + i))})
					c.jobs[id] = false
				}
				w.boot()
				for range 40 {
					c.step()
					w.after(time.Duration(c.IntN(20_000)) * time.Millisecond)
					c.check()
				}
				for _, f := range []*atomic.Bool{&c.flaky.stop, &c.flaky.start, &c.flaky.remove, &c.flaky.pull} {
					f.Store(false)
				}
				w.store.set(false, false)
				for i := range 8 {
					_ = w.ledger.Unfence("box", fmt.Sprintf("GPU-%d", i))
				}
				for _, name := range []string{"a", "b"} {
					if _, err := w.m.ScaleService(t.Context(), "default", name, sessions.Scale{To: 2, By: "chance"}); err != nil {
						t.Fatal(err)
					}
				}
				w.after(30 * time.Minute)
				c.check()
				w.wantLedger()
				w.wantStatus("a", sessions.ServiceHealthy)
				w.wantStatus("b", sessions.ServiceHealthy)
				for _, s := range w.m.Sessions("", sessions.SessionFilter{}) {
					if s.Type == sessions.TypeBatch && s.Status.Terminal() && !c.jobs[s.ID] {
						t.Errorf("%s was lost: %s, %s", s.ID, s.Status, s.Reason)
					}
				}
				for _, name := range []string{"a", "b"} {
					if err := w.m.DestroyService(t.Context(), "default", name, "chance"); err != nil {
						t.Fatal(err)
					}
				}
				for id := range c.jobs {
					_ = w.m.TerminateSession(t.Context(), "", id, "chance", false)
				}
				w.after(30 * time.Minute)
				if claims := w.ledger.Claims(); len(claims) > 0 || w.free("cuda.device") != 800 {
					t.Errorf("left: %v", claims)
				}
				if running := w.runtime.Running(); len(running) > 0 {
					t.Errorf("running: %v", slices.Sorted(slices.Values(running)))
				}
			})
		})
	}
}
