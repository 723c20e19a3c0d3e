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

// The same for prompts that go on from one that is known: reading them is most of it.
func BenchmarkPrefix(b *testing.B) {
	for _, n := range []int{8, 100} {
		for _, size := range []int{1 << 10, 4 << 10, 32 << 10, 1 << 20} {
			bal, routes := balanceOf(Settings{Policy: Prefix}, equal(n)...)
			for i, r := range routes {
				for range 20 + i%3 {
					r.Take(0)
				}
			}
			talks := make([][]byte, 16)
			for i := range talks {
				talks[i] = []byte(text(uint64(i), size))
			}
			b.Run(fmt.Sprintf("%d/%dKB", n, size>>10), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				var talk []byte
				ask := Ask{Now: time.Now(), Prompt: func(yield func([]byte) bool) { yield(talk) }}
				i := 0
				for b.Loop() {
					talk = talks[i%16]
					i++
					r, _ := bal.Acquire(&ask)
					r.Release()
				}
			})
		}
	}
}

func BenchmarkBreaker(b *testing.B) {
	b.Run("worked", func(b *testing.B) {
		r := NewRoute("a", nil)
		for b.Loop() {
			r.Worked()
		}
	})
}

// A new table for 100 routes of unequal weights.
func BenchmarkSet(b *testing.B) {
	for _, policy := range []Kind{RoundRobin, SessionAffinity, Prefix} {
		b.Run(policy.String(), func(b *testing.B) {
			bal, routes := balanceOf(Settings{Policy: policy}, equal(100)...)
			weights := equal(100)
			i := 0
			for b.Loop() {
				weights[i%100] = float64(1 + i%3)
				i++
				bal.Set(membersOf(routes, weights...), Settings{Policy: policy})
			}
		})
	}
}
