package tally

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// What counting together costs, with a Redis on this box: requests a second of many at once, round trips for each of them, and
// how long one waits.
func BenchmarkTogether(b *testing.B) {
	s := newServer(b)
	box := newBox(b, s.socket, quota.Limits{RequestsPerMinute: 1 << 40, TokensPerMinute: 1 << 49, Concurrent: 1 << 20, Budget: 1 << 49, Window: quota.Day})
	box.payers[1] = quota.NewSubject(`project "p"`, quota.Limits{TokensPerMinute: 1 << 49}, 0, time.Now()).Keyed("project:p")
	together(b, box)
	for _, many := range []int{1, 64} {
		b.Run(map[int]string{1: "one", 64: "64 at once"}[many], func(b *testing.B) {
			waits := make([][]time.Duration, many)
			trips, n := box.tripped.Load(), b.N
			var all sync.WaitGroup
			b.ResetTimer()
			for w := range many {
				all.Go(func() {
					for range (n + many - 1) / many {
						began := time.Now()
						g, _, ok := box.take(100)
						waits[w] = append(waits[w], time.Since(began))
						if !ok {
							b.Error("refused")
							return
						}
						g.Settle(box.now(), 60)
					}
				})
			}
			all.Wait()
			b.StopTimer()
			every := slices.Concat(waits...)
			slices.Sort(every)
			b.ReportMetric(float64(every[len(every)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(every[len(every)*99/100].Microseconds()), "p99-µs")
			b.ReportMetric(float64(box.tripped.Load()-trips)/float64(len(every)), "trips/request")
			b.ReportMetric(float64(len(every))/b.Elapsed().Seconds(), "requests/s")
		})
	}
}
