package balance

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"
)

// A pick of a service whose routes all carry something, and giving it back: one after the other, and by
// as many as there are cores.
func BenchmarkPick(b *testing.B) {
	for _, policy := range []Kind{RoundRobin, LeastInFlight, SessionAffinity} {
		for _, n := range []int{2, 10, 100} {
			bal, routes := balanceOf(Settings{Policy: policy, Limit: 1000}, equal(n)...)
			for i, r := range routes {
				for range 20 + i%3 {
					r.Take(0)
				}
			}
			now := time.Now()
			b.Run(fmt.Sprintf("%v/%d/alone", policy, n), func(b *testing.B) {
				b.ReportAllocs()
				ask := Ask{Now: now}
				for b.Loop() {
					ask.Key += golden
					r, _ := bal.Acquire(&ask)
					r.Release()
				}
			})
			var seed atomic.Uint64
			b.Run(fmt.Sprintf("%v/%d/together", policy, n), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					ask := Ask{Now: now, Key: seed.Add(1)}
					for pb.Next() {
						ask.Key += golden
						r, _ := bal.Acquire(&ask)
						r.Release()
					}
				})
			})
		}
	}
}
