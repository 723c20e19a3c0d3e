package quota

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var start = time.Date(2026, 1, 31, 23, 59, 30, 0, time.UTC)

// log is the brute force against which a subject is held: all that happened, added up anew each time.
type log struct {
	limits   Limits
	taken    []time.Time // requests that were let in
	used     []use
	inFlight int64
	reserved int64
}

type use struct {
	at     time.Time
	tokens int64
}

func second(at time.Time) int64 { return int64(at.Sub(start) / time.Second) }

func (l *log) state(now time.Time) (requests, tokens, spent int64) {
	from, _ := l.limits.Window.Bounds(now)
	for _, at := range l.taken {
		if second(now)-second(at) < 60 {
			requests++
		}
	}
	for _, u := range l.used {
		if second(now)-second(u.at) < 60 {
			tokens += u.tokens
		}
		if !u.at.Before(from) {
			spent += u.tokens
		}
	}
	return requests, tokens, spent
}

// fits is the law itself, limit by limit.
func (l *log) fits(now time.Time, expect int64) bool {
	requests, tokens, spent := l.state(now)
	m := l.limits
	switch {
	case m.Concurrent > 0 && l.inFlight >= m.Concurrent:
	case m.RequestsPerMinute > 0 && requests >= m.RequestsPerMinute:
	case expect > 0 && m.TokensPerMinute > 0 && tokens+l.reserved+min(expect, m.TokensPerMinute) > m.TokensPerMinute:
	case expect > 0 && m.Budget > 0 && spent+l.reserved+min(expect, m.Budget) > m.Budget:
	default:
		return true
	}
	return false
}

func (l *log) take(now time.Time, reserved int64) {
	l.taken = append(l.taken, now)
	l.inFlight++
	l.reserved += reserved
}

func (l *log) settle(now time.Time, reserved, used int64) {
	l.inFlight--
	l.reserved -= reserved
	l.used = append(l.used, use{now, used})
}

func anyLimits(r *rand.Rand) Limits {
	some := func(most int64) int64 {
		if r.IntN(3) == 0 {
			return 0
		}
		return 1 + r.Int64N(most)
	}
	l := Limits{RequestsPerMinute: some(40), TokensPerMinute: some(4000), Concurrent: some(8), Budget: some(20000)}
	if l.Budget > 0 {
		l.Window = windows[r.IntN(len(windows))]
	}
	return l
}

// A token and its project do with any requests what adding everything up says, at every step: let in
// both or neither, and what they show is what was.
func TestLimitsAreWhatAddingUpSays(t *testing.T) {
	for seed := range uint64(120) {
		r := rand.New(rand.NewPCG(seed, 1))
		logs := [2]*log{{limits: anyLimits(r)}, {limits: anyLimits(r)}}
		payers := Payers{NewSubject("token", logs[0].limits, 0, start), NewSubject("project", logs[1].limits, 0, start)}
		now := start
		var open []Grant
		for step := range 250 {
			now = now.Add(time.Duration(r.ExpFloat64() * float64([]time.Duration{10, 400, 8000, 60000}[r.IntN(4)]) * float64(time.Millisecond)))
			if len(open) > 0 && r.IntN(2) == 0 {
				i := r.IntN(len(open))
				g, used := open[i], r.Int64N(300)
				open = append(open[:i], open[i+1:]...)
				for _, l := range logs {
					l.settle(now, g.Reserved(), used)
				}
				g.Settle(now, used)
				g.Settle(now, used) // changes nothing
			} else {
				ask := Ask{Bytes: r.Int64N(800), Answer: r.Int64N(500)}
				if r.IntN(4) == 0 {
					ask = Ask{}
				}
				_, expect := ask.expect(0)
				want := logs[0].fits(now, expect) && logs[1].fits(now, expect)
				g, refusal, ok := payers.Take(now, ask)
				if payers.None() {
					continue
				}
				if ok != want {
					t.Fatalf("seed %d step %d: let in %v, want %v (%+v)\n%+v\n%+v", seed, step, ok, want, refusal, payers[0].State(now), payers[1].State(now))
				}
				if ok {
					if g.Reserved() != expect {
						t.Fatalf("seed %d: reserved %d of %d", seed, g.Reserved(), expect)
					}
					open = append(open, g)
					for _, l := range logs {
						l.take(now, expect)
					}
				} else if refusal.RetryAfter < time.Second || refusal.RetryAfter > time.Minute || refusal.Kind == 0 || refusal.Message() == "" {
					t.Fatalf("seed %d: refused with %+v", seed, refusal)
				}
			}
			for i, l := range logs {
				compare(t, fmt.Sprintf("seed %d step %d subject %d", seed, step, i), l, payers[i].State(now), now)
			}
		}
		for _, g := range open {
			g.Settle(now, 0)
		}
		for _, s := range payers {
			if s != nil && (s.concurrent != 0 || s.reserved != 0) {
				t.Fatalf("seed %d: %d in flight and %d reserved after all", seed, s.concurrent, s.reserved)
			}
		}
	}
}

func compare(t *testing.T, where string, l *log, s State, now time.Time) {
	t.Helper()
	requests, tokens, spent := l.state(now)
	if s.Limits != l.limits || s.Limits.Unlimited() {
		if !l.limits.Unlimited() {
			t.Fatalf("%s: limits %+v, want %+v", where, s.Limits, l.limits)
		}
		return
	}
	if n := l.limits.RequestsPerMinute; n > 0 && s.Requests.Remaining != max(n-requests, 0) {
		t.Fatalf("%s: %d requests left, want %d", where, s.Requests.Remaining, n-requests)
	}
	if n := l.limits.TokensPerMinute; n > 0 && s.Tokens.Remaining != max(n-tokens-l.reserved, 0) {
		t.Fatalf("%s: %d tokens left, want %d", where, s.Tokens.Remaining, n-tokens-l.reserved)
	}
	if n := l.limits.Budget; n > 0 && s.Spent != spent {
		t.Fatalf("%s: %d spent, want %d", where, s.Spent, spent)
	}
	if s.InFlight != l.inFlight {
		t.Fatalf("%s: %d in flight, want %d", where, s.InFlight, l.inFlight)
	}
	if _, after, _ := l.resets(now); s.Requests.Limit > 0 && s.Requests.Reset != after {
		t.Fatalf("%s: requests reset after %v, want %v", where, s.Requests.Reset, after)
	}
}

// resets is when the last request that counts has slid out of the minute.
func (l *log) resets(now time.Time) (requests int, after time.Duration, newest time.Time) {
	for _, at := range l.taken {
		if second(now)-second(at) < 60 {
			requests, after, newest = requests+1, time.Duration(second(at)+60)*time.Second-now.Sub(start), at
		}
	}
	return requests, after, newest
}

// Who waits as long as was said, with nothing else going on, is let in, and
// one nanosecond sooner it would have been refused; less than a second is never said.
func TestRetryAfterIsTrue(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		l := Limits{RequestsPerMinute: 1 + r.Int64N(9), TokensPerMinute: 100 + r.Int64N(900)}
		p := Payers{NewSubject("token", l, 0, start)}
		now := start.Add(time.Duration(r.Int64N(int64(time.Minute))))
		for range 200 {
			now = now.Add(time.Duration(r.Int64N(int64(4 * time.Second))))
			ask := Ask{Bytes: 4 * r.Int64N(400), Answer: 0}
			g, refusal, ok := p.Take(now, ask)
			if ok {
				g.Settle(now, g.Reserved()+r.Int64N(50))
				continue
			}
			early := now.Add(refusal.RetryAfter - 1)
			if g, _, ok := p.Take(early, ask); ok {
				if refusal.RetryAfter > time.Second {
					t.Fatalf("seed %d: let in before %v were over: %+v", seed, refusal.RetryAfter, refusal)
				}
				g.Settle(early, 0)
				continue
			}
			now = now.Add(refusal.RetryAfter)
			g, second, ok := p.Take(now, ask)
			if !ok {
				t.Fatalf("seed %d: refused again: %+v after %+v", seed, second, refusal)
			}
			g.Settle(now, 0)
		}
	}
}

// However many come at once, no more are let in than the limits say, and never more are in flight.
func TestManyAtOnce(t *testing.T) {
	token := NewSubject("token", Limits{RequestsPerMinute: 500, Concurrent: 7}, 0, start)
	project := NewSubject("project", Limits{TokensPerMinute: 300 * 11, Budget: 1 << 40}, 0, start)
	var admitted, flying, peak atomic.Int64
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			payers := Payers{token, project}
			if worker%4 == 0 {
				payers[0] = nil // others of the project
			}
			for i := range 2000 {
				now := start.Add(time.Duration(i) * time.Millisecond)
				g, _, ok := payers.Take(now, Ask{Bytes: 40, Answer: 0})
				if !ok {
					continue
				}
				admitted.Add(1)
				if payers[0] != nil {
					n := flying.Add(1)
					for {
						was := peak.Load()
						if n <= was || peak.CompareAndSwap(was, n) {
							break
						}
					}
					flying.Add(-1)
				}
				g.Settle(now, 11)
			}
		})
	}
	all.Wait()
	if n := admitted.Load(); n != 300 || peak.Load() > 7 {
		t.Errorf("%d were let in, want 300; %d at a time", n, peak.Load())
	}
	if s := project.State(start.Add(3 * time.Second)); s.Spent != 300*11 || s.InFlight != 0 || s.Tokens.Remaining != 0 {
		t.Errorf("project: %+v", s)
	}
}
