package signals_test

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
	"github.com/palisade-run/palisade/autoscaler/signals"
)

// BenchmarkTick is a tick of 10,000 services with a target each: the router's counts are told, and all is decided.
func BenchmarkTick(b *testing.B) {
	const n = 10_000
	c := signals.New(signals.Config{}, slog.New(slog.DiscardHandler))
	p := autoscaler.DefaultPolicy()
	p.Rules = []autoscaler.Rule{{ID: "rul-a", Kind: autoscaler.KindTarget, Metric: autoscaler.Metric{Source: autoscaler.SourceRouter, Name: "concurrency"}, Target: 8}}
	p.Fill()
	all := make([]signals.Service, n)
	for i := range all {
		all[i] = signals.Service{ID: strconv.Itoa(i), Wanted: p.Metrics()}
	}
	c.Set(all)
	now := time.Now().Add(-time.Hour)
	tell := func() {
		for i := range all {
			for _, m := range all[i].Wanted {
				c.Tell(all[i].ID, m, autoscaler.Sample{At: now, Total: float64(i%7) + 9})
			}
		}
	}
	for range 620 { // the windows are full
		now = now.Add(time.Second)
		tell()
	}
	routes := []autoscaler.Route{{ID: "a", State: autoscaler.RouteReady, ReadyAt: now.Add(-time.Hour)}, {ID: "b", State: autoscaler.RouteReady, ReadyAt: now.Add(-time.Hour)}}
	memories := make([]autoscaler.Memory, n)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second)
		tell()
		for i := range all {
			in := autoscaler.Input{Policy: &p, Replicas: 2, Routes: routes, Signals: c.Of(all[i].ID), Known: now.Add(-time.Hour), Busy: now, Memory: memories[i]}
			memories[i] = autoscaler.Decide(&in, now).Memory
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/tick")
}
