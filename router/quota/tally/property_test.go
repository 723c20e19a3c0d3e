package tally

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// Three boxes with clocks that are minutes apart, requests on any of them in any order, and every fault at any moment. All of
// it is within one minute, so what is let in counts until the end:
//
//   - while Redis is up, never more than the limit;
//   - when it is gone, each box lets in no more than its share, rounded up, all in all;
//   - when all is well again, Redis has counted what was let in, once each.
func TestNeverMoreThanTheLimit(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			neverMore(t, rand.New(rand.NewPCG(seed, 9)))
		})
	}
}

func neverMore(t *testing.T, r *rand.Rand) {
	const limit, slots, boxes = 40, 7, 3
	s := newServer(t)
	var ways [boxes]*road
	var all [boxes]*box
	for i := range all {
		ways[i] = newRoad(t, s, fmt.Sprint("way", i))
		all[i] = newBox(t, ways[i].path, quota.Limits{RequestsPerMinute: limit, Concurrent: slots}, func(o *Options) {
			o.Bound, o.Lease, o.Settling = 200*time.Millisecond, 20*time.Second, 100*time.Millisecond
		})
		all[i].off = time.Duration(i-1) * 5 * time.Minute
	}
	together(t, all[:]...)
	var flying [boxes][]quota.Grant
	let, alone, faults := 0, [boxes]int{}, false
	one := func(i int) {
		mode := all[i].Status().Mode
		g, _, ok := all[i].take(0)
		if !ok {
			return
		}
		let++
		flying[i] = append(flying[i], g)
		if mode == Alone || all[i].Status().Mode == Alone {
			alone[i]++
		}
	}
	inflight := func() (n int) {
		for _, f := range flying {
			n += len(f)
		}
		return n
	}
	for range 14 {
		switch k := r.IntN(12); {
		case k == 0:
			s.client.ScriptFlush(t.Context()) // no fault
		case k == 1:
			faults = true
			ways[r.IntN(boxes)].cut(true)
		case k == 2:
			faults = true
			s.signal(syscall.SIGSTOP)
			one(r.IntN(boxes))
			s.signal(syscall.SIGCONT)
		case k == 3:
			faults = true
			s.kill()
			one(r.IntN(boxes))
			s.start()
		case k < 6:
			for _, w := range ways {
				w.cut(false)
			}
			together(t, all[:]...)
		}
		for range 4 {
			i := r.IntN(boxes)
			one(i)
			if n := len(flying[i]); n > 0 && r.IntN(2) == 0 {
				flying[i][n-1].Settle(all[i].now(), 0)
				flying[i] = flying[i][:n-1]
			}
		}
		if !faults && (let > limit || inflight() > slots) {
			t.Fatalf("%d of %d let in, %d of %d at a time", let, limit, inflight(), slots)
		}
		for i, n := range alone {
			if n > (limit+boxes-1)/boxes || inflight() > slots+(slots+boxes-1)/boxes*boxes {
				t.Fatalf("box %d alone let in %d; %d at a time", i, n, inflight())
			}
		}
	}
	for _, w := range ways {
		w.cut(false)
	}
	together(t, all[:]...)
	eventually(t, "Redis has counted each once", func() bool {
		st := s.all(t, "token:ci")
		return st["rs"] == int64(let) && st["c"] == int64(inflight())
	})
	for i := range all {
		if _, _, ok := all[i].take(0); ok && let >= limit {
			t.Errorf("box %d lets in more than the limit when all is well", i)
		}
		for _, g := range flying[i] {
			g.Settle(all[i].now(), 0)
		}
	}
}

// While Redis is gone for all of a minute, all boxes together let in no more than the limit and one for each of them.
func TestSharesAddUp(t *testing.T) {
	for _, limit := range []int64{1, 2, 3, 10, 11} {
		const boxes = 3
		in := int64(0)
		for range boxes {
			b := newBox(t, t.TempDir()+"/nobody", quota.Limits{RequestsPerMinute: limit, TokensPerMinute: 100 * limit, Budget: 1000 * limit}, func(o *Options) { o.Boxes = boxes })
			of := int64(0)
			for {
				g, r, ok := b.take(10)
				if !ok {
					if r.Boxes != boxes || r.Share < 1 {
						t.Errorf("%+v", r)
					}
					break
				}
				g.Settle(b.now(), 10)
				of++
			}
			if of == 0 {
				t.Errorf("of %d a box lets none in", limit)
			}
			in += of
		}
		if in > limit+boxes {
			t.Errorf("of %d, %d were let in", limit, in)
		}
	}
}
