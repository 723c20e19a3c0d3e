package autoscaler_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// A service whose route finds no place gets that of one that nobody asks; both are told, once.
func TestKeeperLetsTheIdleGiveWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		idle, fixed, busy := chat(1), chat(1), chat(0)
		fixed.ID, fixed.Name = "svc-0", "fixed"
		idle.Name, idle.Busy = "idle", time.Now()
		busy.ID, busy.Name = "svc-2", "busy"
		h := newHouse(fixed, idle, busy)
		k := h.keeper(t)
		for _, id := range []string{"svc-1", "svc-2"} {
			p := autoscaler.DefaultPolicy()
			p.Min, p.Max, p.IdleAfter = 0, 1, time.Hour
			if _, err := k.SetPolicy(ctx, id, p, "ann", 0); err != nil {
				t.Fatal(err)
			}
		}
		go k.Run(ctx)
		time.Sleep(10 * time.Minute)
		h.change("svc-2", func(o *autoscaler.Observed) {
			o.Held, o.InFlight, o.Busy = 3, 3, time.Now()
		})
		k.Kick()
		time.Sleep(100 * time.Millisecond)
		h.change("svc-2", func(o *autoscaler.Observed) { o.Full = "no box has a device left" })
		time.Sleep(time.Second)
		h.change("svc-1", func(o *autoscaler.Observed) { // it drains for a while
			o.Routes = []autoscaler.Route{{ID: "ses-0", State: autoscaler.RouteLeaving, Since: time.Now()}}
		})
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if got := h.did(); got != "busy 0 -> 1; idle 1 -> 0" {
			t.Errorf("done: %s", got)
		}
		gave, _ := k.Decisions(ctx, "svc-1", 1)
		if len(gave) != 1 || gave[0].Rule != autoscaler.RuleYield || !strings.Contains(gave[0].Reason, "yields to busy") || gave[0].Standoff == nil {
			t.Errorf("of the one that gave: %+v", gave)
		}
		got, _ := k.Decisions(ctx, "svc-2", 10)
		if len(got) == 0 || len(got) > 4 || got[0].Standoff == nil || got[0].Standoff.Service != "idle" || len(got[0].Standoff.Losers) != 2 {
			t.Errorf("of the one that got (%d): %+v", len(got), got)
		}
	})
}

// Many that wait ask whose place would do only of those that would give it.
func TestKeeperAsksFewForTheirPlaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var all []autoscaler.Observed
		for i := range 25 {
			waits, busy := chat(1), chat(1)
			waits.ID, waits.Name, waits.Full = fmt.Sprint("svc-w", i), fmt.Sprint("waits-", i), "no box has a device left"
			waits.Routes = []autoscaler.Route{{ID: "x", State: autoscaler.RouteStarting, Since: time.Now()}}
			busy.ID, busy.Name, busy.Rate, busy.InFlight = fmt.Sprint("svc-b", i), fmt.Sprint("busy-", i), 10, 5
			all = append(all, waits, busy)
		}
		h := newHouse(all...)
		k := h.keeper(t)
		for _, o := range all {
			p := autoscaler.DefaultPolicy()
			p.Min, p.Max, p.IdleAfter = 0, 1, time.Hour
			if _, err := k.SetPolicy(ctx, o.ID, p, "ann", 0); err != nil {
				t.Fatal(err)
			}
		}
		go k.Run(ctx)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.frees != 0 {
			t.Errorf("asked %d times of services that would not give way", h.frees)
		}
	})
}

// What a window has as the least is not given away, and who waits is not told that it would be.
func TestKeeperYieldsByTheWindowThatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		kept, other, busy := chat(1), chat(1), chat(1)
		kept.ID, kept.Name = "svc-0", "kept"
		other.Name = "other"
		busy.ID, busy.Name, busy.Full, busy.Rate = "svc-2", "busy", "no box has a device left", 1
		busy.Routes = []autoscaler.Route{{ID: "x", State: autoscaler.RouteStarting, Since: time.Now()}}
		h := newHouse(kept, other, busy)
		k := h.keeper(t)
		for _, id := range []string{"svc-0", "svc-1", "svc-2"} {
			p := autoscaler.DefaultPolicy()
			p.Min, p.Max, p.IdleAfter = 0, 1, time.Hour
			if id == "svc-0" {
				p.Rules = []autoscaler.Rule{{ID: "rul-d", Kind: autoscaler.KindSchedule, Start: "0 0 * * *", End: "0 23 * * *", MinReplicas: new(1)}}
			}
			if _, err := k.SetPolicy(ctx, id, p, "ann", 0); err != nil {
				t.Fatal(err)
			}
		}
		go k.Run(ctx)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := h.did(); got != "other 1 -> 0" {
			t.Errorf("done: %s", got)
		}
	})
}

// While a window lets no route be, nobody waits for one; who waits hears of it when it begins, and of its end.
func TestKeeperWakesNobodyInAWindowWithoutRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins at midnight
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(0))
		k := h.keeper(t)
		p := target(0, 4, 8)
		p.IdleAfter = time.Minute
		p.Rules = append(p.Rules, autoscaler.Rule{
			ID: "rul-n", Kind: autoscaler.KindSchedule, Start: "10 0 * * *", End: "20 0 * * *", MinReplicas: new(0), MaxReplicas: new(0),
		})
		if _, err := k.SetPolicy(ctx, "svc-1", p, "ann", 0); err != nil {
			t.Fatal(err)
		}
		go k.Run(ctx)
		for _, want := range []struct {
			wakes   bool
			changed int
		}{{true, 1}, {false, 2}, {true, 3}} {
			time.Sleep(5 * time.Second)
			synctest.Wait()
			wakes := k.Wakes("svc-1", "", time.Time{})
			h.mu.Lock()
			changed := h.changed
			h.mu.Unlock()
			if wakes != want.wakes || changed != want.changed {
				t.Errorf("at %s: it wakes: %v; told %d times", time.Now().UTC().Format(time.TimeOnly), wakes, changed)
			}
			time.Sleep(10 * time.Minute)
		}
	})
}

// A service without a policy gets no decisions: what comes of its wait is noted, once for each answer.
func TestKeeperTellsTheOneWithoutAPolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		idle, fixed, plain := chat(1), chat(1), chat(1)
		fixed.ID, fixed.Name = "svc-0", "fixed"
		idle.Name, idle.Busy = "idle", time.Now()
		plain.ID, plain.Name = "svc-2", "plain"
		h := newHouse(fixed, idle, plain)
		k := h.keeper(t)
		go k.Run(ctx)
		time.Sleep(3 * time.Minute)
		h.change("svc-2", func(o *autoscaler.Observed) { o.Full = "no box has a device left" })
		time.Sleep(time.Minute)
		if got := h.noted(); len(got) != 0 {
			t.Errorf("where nothing is scaled by itself: %q", got)
		}
		p := autoscaler.DefaultPolicy()
		p.Min, p.Max, p.IdleAfter = 0, 1, time.Hour
		if _, err := k.SetPolicy(ctx, "svc-1", p, "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.change("svc-1", func(o *autoscaler.Observed) { o.Busy, o.Routes[0].ReadyAt = time.Now(), time.Now() })
		h.mu.Lock()
		h.noting = autoscaler.ErrUnavailable
		h.mu.Unlock()
		time.Sleep(20 * time.Second)
		h.mu.Lock()
		h.noting = nil
		h.mu.Unlock()
		time.Sleep(30 * time.Second)
		synctest.Wait()
		got := h.noted()
		if len(got) != 1 || !strings.HasPrefix(got[0], "svc-2 waits: plain waits (no box has a device left)") || !strings.Contains(got[0], "; idle: its newest route was ready") || strings.Contains(got[0], "fixed") {
			t.Fatalf("while nobody gives way: %q", got)
		}
		time.Sleep(time.Minute) // nobody has asked the idle one
		synctest.Wait()
		if got = h.noted(); len(got) != 2 || !strings.HasPrefix(got[1], "svc-2 yielded: idle gives up 1 route for plain") || h.did() != "idle 1 -> 0" {
			t.Errorf("once one gave way: %q, %s", got, h.did())
		}
		h.change("svc-2", func(o *autoscaler.Observed) { o.Full = "" })
		time.Sleep(time.Minute)
		synctest.Wait()
		if got = h.noted(); len(got) != 2 {
			t.Errorf("after it has its place: %q", got)
		}
	})
}
