package tally

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// counting is what lets requests in, and what moves its clock. The suite below runs over each that there is.
type counting struct {
	take func(p quota.Payers, ask quota.Ask) (quota.Grant, quota.Refusal, bool)
	now  func() time.Time
	skip func(t *testing.T, d time.Duration) // whole seconds
}

func everyCounting(t *testing.T, run func(t *testing.T, c counting)) {
	t.Run("memory", func(t *testing.T) {
		at := time.Now()
		run(t, counting{
			take: func(p quota.Payers, ask quota.Ask) (quota.Grant, quota.Refusal, bool) { return p.Take(at, ask) },
			now:  func() time.Time { return at },
			skip: func(_ *testing.T, d time.Duration) { at = at.Add(d) },
		})
	})
	t.Run("redis", func(t *testing.T) {
		s := newServer(t)
		b := newBox(t, s.socket, quota.Limits{})
		together(t, b)
		run(t, counting{
			take: func(p quota.Payers, ask quota.Ask) (quota.Grant, quota.Refusal, bool) { return b.Take(b.now(), p, ask) },
			now:  b.now,
			skip: func(_ *testing.T, d time.Duration) { b.skip(s, d) },
		})
		if b.Status().Mode != Together {
			t.Errorf("%+v", b.Status())
		}
	})
	t.Run("alone", func(t *testing.T) {
		b := newBox(t, t.TempDir()+"/nobody", quota.Limits{})
		run(t, counting{
			take: func(p quota.Payers, ask quota.Ask) (quota.Grant, quota.Refusal, bool) { return b.Take(b.now(), p, ask) },
			now:  b.now,
			skip: func(_ *testing.T, d time.Duration) { b.clock += d },
		})
	})
}

func (c counting) subject(key string, l quota.Limits, spent int64) *quota.Subject {
	return quota.NewSubject(key, l, spent, c.now()).Keyed(key)
}

var free = quota.Ask{}

func tokens(n int64) quota.Ask { return quota.Ask{Bytes: 1, Answer: n - 1} }

func TestCountersConform(t *testing.T) {
	everyCounting(t, func(t *testing.T, c counting) {
		t.Run("requests", func(t *testing.T) {
			p := quota.Payers{c.subject("requests", quota.Limits{RequestsPerMinute: 2}, 0)}
			first, _, ok := c.take(p, free)
			c.skip(t, 30*time.Second)
			second, _, also := c.take(p, free)
			_, r, third := c.take(p, free)
			if !ok || !also || third || r.Kind != quota.Requests || r.Limit != 2 || r.Left != 0 || r.Subject != "requests" ||
				r.RetryAfter < 27*time.Second || r.RetryAfter > 30*time.Second {
				t.Errorf("%v %v %v %+v", ok, also, third, r)
			}
			first.Settle(c.now(), 0)
			second.Settle(c.now(), 0)
			c.skip(t, 30*time.Second)
			if _, _, ok := c.take(p, free); !ok {
				t.Error("when the first had slid out, none was let in")
			}
			if _, _, ok := c.take(p, free); ok {
				t.Error("two were")
			}
		})
		t.Run("at a time", func(t *testing.T) {
			p := quota.Payers{c.subject("flying", quota.Limits{Concurrent: 2}, 0)}
			g, _, _ := c.take(p, tokens(5))
			_, _, _ = c.take(p, free)
			if _, r, ok := c.take(p, free); ok || r.Kind != quota.Concurrent || r.RetryAfter != time.Second {
				t.Errorf("%v %+v", ok, r)
			}
			c.skip(t, time.Hour) // time gives nothing back
			if _, _, ok := c.take(p, free); ok {
				t.Error("let in because time has gone by")
			}
			g.Settle(c.now(), 3)
			g.Settle(c.now(), 3)
			if st := p.State(c.now()); st.InFlight != 1 && st.Limits != (quota.Limits{}) {
				t.Errorf("%+v", st)
			}
			if _, _, ok := c.take(p, free); !ok {
				t.Error("what was given back is not there")
			}
			if _, _, ok := c.take(p, free); ok {
				t.Error("settled twice")
			}
		})
		t.Run("tokens", func(t *testing.T) {
			p := quota.Payers{c.subject("tokens", quota.Limits{TokensPerMinute: 100}, 0)}
			g, _, ok := c.take(p, tokens(80))
			if _, r, also := c.take(p, tokens(30)); !ok || also || r.Kind != quota.Tokens || r.Left != 20 || r.Asked != 30 {
				t.Errorf("%v %v %+v", ok, also, r)
			}
			if _, _, ok := c.take(p, free); !ok {
				t.Error("what needs no tokens was refused")
			}
			g.Settle(c.now(), 10)
			all, _, ok := c.take(p, tokens(90))
			if !ok {
				t.Error("what was not used is not there")
			}
			all.Settle(c.now(), 500)
			if _, r, ok := c.take(p, tokens(1)); ok || r.Left != 0 {
				t.Errorf("%v %+v", ok, r)
			}
			c.skip(t, time.Minute)
			if g, _, ok := c.take(p, tokens(5000)); !ok {
				t.Error("more than the limit, with all of it to itself, was refused")
			} else {
				g.Settle(c.now(), 0)
			}
		})
		t.Run("budget", func(t *testing.T) {
			for _, w := range []quota.Window{quota.Ever, quota.Month} {
				p := quota.Payers{c.subject("budget"+string(w), quota.Limits{Budget: 1000, Window: w}, 900)}
				g, _, ok := c.take(p, tokens(100))
				_, r, also := c.take(p, tokens(10))
				if !ok || also || r.Kind != quota.Budget || r.Window != w || r.Left != 0 || !r.Until.IsZero() || r.RetryAfter != time.Second {
					t.Errorf("%v %v %+v", ok, also, r)
				}
				g.Settle(c.now(), 60)
				_, until := w.Bounds(c.now())
				if _, r, ok := c.take(p, tokens(50)); ok || r.Left != 40 || !r.Until.Equal(until) || r.RetryAfter != time.Minute {
					t.Errorf("%v %+v", ok, r)
				}
				if st := p[0].State(c.now()); st.Spent != 960 {
					t.Errorf("%+v", st)
				}
			}
		})
		t.Run("all or none", func(t *testing.T) {
			one, two := c.subject("one", quota.Limits{RequestsPerMinute: 10}, 0), c.subject("two", quota.Limits{RequestsPerMinute: 1}, 0)
			p := quota.Payers{one, two, one}
			if _, _, ok := c.take(p, free); !ok {
				t.Fatal("refused")
			}
			for range 3 {
				if _, r, ok := c.take(p, free); ok || r.Subject != "two" {
					t.Errorf("%v %+v", ok, r)
				}
			}
			if st := one.State(c.now()); st.Requests.Remaining != 9 {
				t.Errorf("what was refused was counted: %+v", st)
			}
		})
		t.Run("many at once", func(t *testing.T) {
			p := quota.Payers{c.subject("crowd", quota.Limits{RequestsPerMinute: 20, Concurrent: 1000}, 0), c.subject("crowd too", quota.Limits{TokensPerMinute: 1 << 40}, 0)}
			var all sync.WaitGroup
			in := make(chan struct{}, 100)
			for range 100 {
				all.Go(func() {
					if g, _, ok := c.take(p, tokens(3)); ok {
						g.Settle(c.now(), 3)
						in <- struct{}{}
					}
				})
			}
			all.Wait()
			if len(in) != 20 {
				t.Errorf("%d of 20 were let in", len(in))
			}
		})
		t.Run("nothing limited", func(t *testing.T) {
			if g, _, ok := c.take(quota.Payers{}, tokens(7)); !ok {
				t.Error("refused")
			} else {
				g.Settle(c.now(), 7)
			}
		})
	})
}

// Whatever comes in whatever order, Redis decides as memory does.
func TestRedisDecidesAsMemory(t *testing.T) {
	s := newServer(t)
	b := newBox(t, s.socket, quota.Limits{})
	together(t, b)
	r := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	began := time.Now() // what goes by in earnest is little beside the steps of ten seconds
	for round := range 12 {
		some := func(n int64) int64 { return r.Int64N(2) * (1 + r.Int64N(n)) }
		var shared, memory quota.Payers
		for i := range 1 + r.IntN(3) {
			l := quota.Limits{RequestsPerMinute: some(8), TokensPerMinute: some(200), Concurrent: some(4), Budget: some(800)}
			name := string(rune('a'+round)) + string(rune('0'+i))
			shared[i], memory[i] = quota.NewSubject(name, l, 0, b.now()).Keyed(name), quota.NewSubject(name, l, 0, b.now())
		}
		type flying struct{ shared, memory quota.Grant }
		var flights []flying
		for step := range 60 {
			switch k := r.IntN(10); {
			case k < 6:
				ask := quota.Ask{Bytes: r.Int64N(2) * r.Int64N(200), Answer: r.Int64N(60)}
				g, why, ok := b.Take(b.now(), shared, ask)
				mg, mwhy, mok := memory.Take(b.now(), ask)
				// Of two limits that are in the way for as long, but for a part of a second, either may be told.
				same := why.Kind == mwhy.Kind && why.Subject == mwhy.Subject && why.Left == mwhy.Left
				if ok != mok || !same && (why.RetryAfter-mwhy.RetryAfter).Abs() > time.Second {
					t.Fatalf("round %d step %d after %v: %v %+v, in memory %v %+v", round, step, time.Since(began), ok, why, mok, mwhy)
				}
				if ok {
					flights = append(flights, flying{g, mg})
				}
			case k < 9 && len(flights) > 0:
				i, used := r.IntN(len(flights)), r.Int64N(80)
				flights[i].shared.Settle(b.now(), used)
				flights[i].memory.Settle(b.now(), used)
				flights[i] = flights[len(flights)-1]
				flights = flights[:len(flights)-1]
			case k == 9:
				b.skip(s, time.Duration(1+r.IntN(7))*10*time.Second)
			}
		}
	}
}
