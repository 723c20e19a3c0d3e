package autoscaler_test

import (
	"context"
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
