package autoscaler_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

type signals map[autoscaler.Metric]*autoscaler.Series

func (s signals) Series(m autoscaler.Metric) *autoscaler.Series { return s[m] }

// fleet is services with two rules each, ten minutes of samples, and some routes.
func fleet(n int, now time.Time) []autoscaler.Input {
	concurrency := autoscaler.Metric{Source: autoscaler.SourceRouter, Name: "concurrency"}
	waiting := autoscaler.Metric{Source: autoscaler.SourceEngine, Name: "waiting"}
	out := make([]autoscaler.Input, n)
	for i := range out {
		p := &autoscaler.Policy{Min: 0, Max: 16, IdleAfter: time.Hour, Rules: []autoscaler.Rule{
			{ID: "rul-a", Kind: autoscaler.KindTarget, Metric: concurrency, Target: 8},
			{ID: "rul-b", Kind: autoscaler.KindStep, Metric: waiting, MinThreshold: new(1.0), MaxThreshold: new(4.0)},
		}}
		p.Fill()
		s := signals{concurrency: &autoscaler.Series{}, waiting: &autoscaler.Series{}}
		for at := now.Add(-2 * time.Minute); !at.After(now); at = at.Add(2 * time.Second) {
			s[concurrency].Add(autoscaler.Sample{At: at, Total: float64(i%40) + float64(at.Second())/60})
			s[waiting].Add(autoscaler.Sample{At: at, Total: float64(i % 10), Of: 3})
		}
		in := autoscaler.Input{Policy: p, Replicas: 3, Signals: s, Known: now.Add(-time.Hour), Busy: now, LoadTime: 90 * time.Second}
		for r := range 3 {
			in.Routes = append(in.Routes, autoscaler.Route{
				ID: strconv.Itoa(r), State: autoscaler.RouteReady, Since: now.Add(-time.Hour), ReadyAt: now.Add(-time.Hour), InFlight: 2,
			})
		}
		out[i] = in
	}
	return out
}

// BenchmarkTick decides for 10,000 services with two rules each. It has to stay under 100 ms.
func BenchmarkTick(b *testing.B) {
	now := time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	services := fleet(10_000, now)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Second / 100)
		for i := range services {
			d := autoscaler.Decide(&services[i], now)
			services[i].Memory = d.Memory
		}
	}
	b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/tick")
}

// BenchmarkAdd appends a sample to a full series.
func BenchmarkAdd(b *testing.B) {
	s, at := &autoscaler.Series{}, time.Date(2026, time.March, 2, 12, 0, 0, 0, time.UTC)
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(2 * time.Second)
		s.Add(autoscaler.Sample{At: at, Total: 3, Of: 2})
	}
}
