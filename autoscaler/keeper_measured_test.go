package autoscaler_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// A target that is to be measured is silent until it was; then what was measured is the target.
func TestTargetThatIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		p := target(1, 9, 0)
		p.Rules[0].Auto = true
		if _, err := k.SetPolicy(ctx, "svc-1", p, "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.load(ctx, 20)
		go k.Run(ctx)
		time.Sleep(90 * time.Second)
		synctest.Wait()
		s, _ := k.Standing("svc-1")
		if h.did() != "" || len(s.Last.Wishes) != 1 || !s.Last.Wishes[0].Silent || !strings.Contains(s.Last.Wishes[0].Why, "palisade calibrate") {
			t.Errorf("before it was measured: %q, %+v", h.did(), s.Last.Wishes)
		}
		h.change("svc-1", func(o *autoscaler.Observed) { o.Knee = 10 })
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := h.did(); got != "chat 1 -> 2" {
			t.Errorf("with a knee of 10: %s", got)
		}
		if kept, _ := k.Policy("svc-1"); kept.Policy.Rules[0].Target != 0 || !kept.Policy.Rules[0].Auto {
			t.Errorf("what was measured is written into the policy: %+v", kept.Policy.Rules[0])
		}
	})
}

// While a service is measured and nobody asks, what its engine says of itself moves nothing; nor does it go to zero.
func TestMeasuringMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		h := newHouse(chat(1))
		k := h.keeper(t)
		p := target(0, 9, 8)
		p.IdleAfter = time.Minute
		if _, err := k.SetPolicy(ctx, "svc-1", p, "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.change("svc-1", func(o *autoscaler.Observed) { o.Measured, o.Busy = true, time.Now() })
		go k.Run(ctx)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := h.did(); got != "" {
			t.Errorf("while it is measured: %s", got)
		}
		h.change("svc-1", func(o *autoscaler.Observed) { o.Measured = false })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if got := h.did(); got != "chat 1 -> 0" {
			t.Errorf("afterwards: %s", got)
		}
	})
}
