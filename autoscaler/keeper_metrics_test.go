package autoscaler_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/autoscaler"
)

// shown is what Prometheus is shown of services: a line for each series, without the prefix of all.
func shown(t *testing.T, from prometheus.Gatherer) (out []string) {
	t.Helper()
	synctest.Wait()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if m.GetHistogram() != nil {
				continue
			}
			line := strings.TrimPrefix(f.GetName(), "palisade_autoscaler_")
			for _, l := range m.GetLabel() {
				line += " " + l.GetValue()
			}
			out = append(out, fmt.Sprint(line, " ", m.GetGauge().GetValue()+m.GetCounter().GetValue()))
		}
	}
	return out
}

// What Prometheus is shown is what there is: whose number counts, what was done, what is missing, and nothing of what is gone.
func TestKeeperMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		plain := chat(2)
		plain.ID, plain.Name = "svc-2", "plain"
		namesake := plain
		namesake.ID, namesake.Project = "svc-3", "other"
		h := newHouse(chat(1), plain, namesake)
		h.missing["svc-1"] = 2
		k := h.keeper(t)
		if _, err := k.SetPolicy(ctx, "svc-1", target(1, 4, 8), "ann", 0); err != nil {
			t.Fatal(err)
		}
		h.load(ctx, 20)
		go k.Run(ctx)
		time.Sleep(90 * time.Second)
		if d := cmp.Diff([]string{
			"scalings_total down chat 0", "scalings_total up chat 1", "services off 0", "services on 1", "services paused 0",
			"signals_missing chat 2", "wanted_replicas autoscaler chat 3", "wanted_replicas person plain 4",
		}, shown(t, h.registry)); d != "" {
			t.Error(d)
		}
		h.change("svc-1", func(o *autoscaler.Observed) { o.ScaledBy, o.ScaledAt, o.Name = "bob", time.Now(), "talk" })
		time.Sleep(2 * time.Second)
		if d := cmp.Diff([]string{
			"scalings_total down talk 0", "scalings_total up talk 1", "services off 0", "services on 0", "services paused 1",
			"signals_missing talk 2", "wanted_replicas person plain 4", "wanted_replicas person talk 3",
		}, shown(t, h.registry)); d != "" {
			t.Error(d)
		}
		h.mu.Lock()
		clear(h.services)
		h.mu.Unlock()
		time.Sleep(2 * time.Second)
		if d := cmp.Diff([]string{"services off 0", "services on 0", "services paused 0"}, shown(t, h.registry)); d != "" {
			t.Error(d)
		}
	})
}
