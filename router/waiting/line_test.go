package waiting

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// seats is what waiters try for: so many at once.
type seats struct {
	mu    sync.Mutex
	free  int
	most  int // taken at once, ever
	taken int
	order []string // who took, in order
}

func (s *seats) try(who string) func(time.Time) Outcome {
	return func(time.Time) Outcome {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.free == 0 {
			return NotYet
		}
		s.free--
		s.taken++
		s.most = max(s.most, s.taken)
		s.order = append(s.order, who)
		return Taken
	}
}

func (s *seats) give(n int) {
	s.mu.Lock()
	s.free += n
	s.mu.Unlock()
}

func (s *seats) back() {
	s.mu.Lock()
	s.free++
	s.taken--
	s.mu.Unlock()
}

func (s *seats) who() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.order)
}

// come lets one request of token wait, and returns once it does. What came of it is sent on the channel.
func come(ctx context.Context, t *testing.T, l *Line, s *seats, token, who string) <-chan error {
	t.Helper()
	out := make(chan error, 1)
	go func() { out <- l.Wait(ctx, &Ask{Token: token, Now: time.Now(), Try: s.try(who)}) }()
	synctest.Wait()
	return out
}

func line(most int, timeout time.Duration) *Line {
	l := &Line{}
	l.Set(Settings{Most: most, Timeout: timeout})
	return l
}

func TestNobodyWaitsWhereSomethingIsFree(t *testing.T) {
	l, s := line(0, 0), &seats{free: 1}
	if err := l.Wait(t.Context(), &Ask{Try: s.try("a")}); err != nil {
		t.Fatal(err)
	}
	if err := l.Wait(t.Context(), &Ask{Try: s.try("b")}); !errors.Is(err, ErrFull) {
		t.Errorf("a line for nobody: %v", err)
	}
	refused := func(time.Time) Outcome { return Refused }
	if err := l.Wait(t.Context(), &Ask{Try: refused}); err != nil {
		t.Errorf("one that knows why it will have no route: %v", err)
	}
	if l.Depth() != 0 || l.Waiting() || l.queues[""] != nil {
		t.Error("somebody is left in the line")
	}
}

func TestFirstInFirstOutForATokenAndInTurnBetweenTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := line(100, time.Hour), &seats{}
		for i := range 5 {
			come(t.Context(), t, l, s, "loud", fmt.Sprint("loud", i))
		}
		come(t.Context(), t, l, s, "x", "x0")
		come(t.Context(), t, l, s, "y", "y0")
		come(t.Context(), t, l, s, "x", "x1")
		for range 8 {
			s.give(1)
			l.Freed(time.Now(), true)
			synctest.Wait()
		}
		want := []string{"loud0", "x0", "y0", "loud1", "x1", "loud2", "loud3", "loud4"}
		if got := s.who(); !slices.Equal(got, want) {
			t.Errorf("went as %v, want %v", got, want)
		}
	})
}

func TestNobodyOvertakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := line(10, time.Hour), &seats{}
		first := come(t.Context(), t, l, s, "a", "first")
		s.give(1) // and nobody has told the line yet
		if !l.Waiting() {
			t.Fatal("a new request is not told to go behind the one that waits")
		}
		second := come(t.Context(), t, l, s, "b", "second")
		if err := <-first; err != nil {
			t.Error(err)
		}
		s.give(1)
		l.Freed(time.Now(), true)
		if err := <-second; err != nil {
			t.Error(err)
		}
		if got := s.who(); !slices.Equal(got, []string{"first", "second"}) {
			t.Error(got)
		}
	})
}

func TestOneThatIsRefusedLetsTheNextGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := line(10, time.Hour), &seats{}
		outcome := NotYet
		first := make(chan error, 1)
		go func() {
			first <- l.Wait(t.Context(), &Ask{Try: func(time.Time) Outcome { return outcome }})
		}()
		synctest.Wait()
		second := come(t.Context(), t, l, s, "", "second")
		outcome = Refused
		s.give(1)
		l.Changed(time.Now(), 1)
		if err := errors.Join(<-first, <-second); err != nil {
			t.Error(err)
		}
		if got := l.Stats(); got != (Stats{Held: 2, Released: 2}) {
			t.Errorf("%+v", got)
		}
	})
}

func TestWaitsEnd(t *testing.T) {
	gone := errors.New("the client went")
	t.Run("with time", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, s := line(10, 30*time.Second), &seats{}
			start := time.Now()
			if err := <-come(t.Context(), t, l, s, "", "a"); !errors.Is(err, ErrTimeout) || time.Since(start) != 30*time.Second {
				t.Errorf("%v after %s", err, time.Since(start))
			}
		})
	})
	t.Run("with the client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, s := line(10, time.Hour), &seats{}
			ctx, cancel := context.WithCancelCause(t.Context())
			a := come(ctx, t, l, s, "", "a")
			b := come(t.Context(), t, l, s, "", "b")
			cancel(gone)
			if err := <-a; !errors.Is(err, gone) {
				t.Error(err)
			}
			s.give(1)
			l.Freed(time.Now(), true)
			if err := <-b; err != nil {
				t.Error(err)
			}
		})
	})
	t.Run("with a beat that does not reach the client", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, s, beats := line(10, time.Hour), &seats{}, 0
			start := time.Now()
			err := l.Wait(t.Context(), &Ask{Now: start, Try: s.try("a"), Every: 10 * time.Second, Still: func() error {
				if beats++; beats == 3 {
					return gone
				}
				return nil
			}})
			if !errors.Is(err, gone) || time.Since(start) != 30*time.Second {
				t.Errorf("%v after %s", err, time.Since(start))
			}
		})
	})
	t.Run("with the service", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			l, s := line(10, time.Hour), &seats{}
			a, b := come(t.Context(), t, l, s, "", "a"), come(t.Context(), t, l, s, "x", "b")
			l.Close(gone)
			later := come(t.Context(), t, l, s, "", "c")
			for _, c := range []<-chan error{a, b, later} {
				if err := <-c; !errors.Is(err, gone) {
					t.Error(err)
				}
			}
			if l.Depth() != 0 {
				t.Error("somebody is left")
			}
		})
	})
}

func TestWhoHasGoneIsGivenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := line(10, time.Hour), &seats{}
		ctx, cancel := context.WithCancel(t.Context())
		a := come(ctx, t, l, s, "", "a")
		b := come(t.Context(), t, l, s, "", "b")
		// Before a's goroutine has seen the end of its context, something becomes free.
		cancel()
		s.give(1)
		l.Freed(time.Now(), true)
		if err := <-a; !errors.Is(err, context.Canceled) && err != nil {
			t.Error(err)
		}
		if err := <-b; err != nil {
			t.Error(err)
		}
		if got := s.who(); !slices.Equal(got, []string{"b"}) {
			t.Errorf("%v took something", got)
		}
	})
}

func TestAFullLineIsFairToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := line(3, time.Hour), &seats{}
		loud := []<-chan error{}
		for i := range 4 {
			loud = append(loud, come(t.Context(), t, l, s, "loud", fmt.Sprint("loud", i)))
		}
		if err := <-loud[3]; !errors.Is(err, ErrFull) {
			t.Error(err)
		}
		quiet := come(t.Context(), t, l, s, "quiet", "quiet0")
		if err := <-loud[2]; !errors.Is(err, ErrFull) {
			t.Errorf("the newest of the one that has most: %v", err)
		}
		if err := <-come(t.Context(), t, l, s, "quiet", "quiet1"); !errors.Is(err, ErrFull) {
			t.Errorf("one that would have as many as the other: %v", err)
		}
		for range 3 {
			s.give(1)
			l.Freed(time.Now(), true)
		}
		if err := errors.Join(<-loud[0], <-loud[1], <-quiet); err != nil {
			t.Error(err)
		}
		if got := s.who(); !slices.Equal(got, []string{"loud0", "quiet0", "loud1"}) {
			t.Error(got)
		}
	})
}

func TestALimitOfRoutesIsKeptByChance(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { playAtRandom(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

// playAtRandom sends many requests of some tokens at few seats; some leave while they wait. All come to an end,
// never more have a seat than there are, each token's are served in the order in which they came, and nothing is
// lost: synctest would tell of a wait that never ends.
func playAtRandom(t *testing.T, chance *rand.Rand) {
	const requests = 300
	l := &Line{}
	l.Set(Settings{Most: requests, Timeout: time.Hour, Paced: chance.IntN(2) == 0})
	s := &seats{free: 0}
	capacity := 1 + chance.IntN(5)
	var running sync.WaitGroup
	served := make([]bool, requests)
	for i := range requests {
		token := fmt.Sprint("t", chance.IntN(4))
		who := fmt.Sprintf("%s/%04d", token, i)
		patience := time.Duration(chance.IntN(2000)) * time.Millisecond
		leaves, work := chance.IntN(4) == 0, time.Duration(chance.IntN(50))*time.Millisecond
		answers := chance.IntN(5) > 0
		running.Go(func() {
			ctx := t.Context()
			if leaves {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, patience)
				defer cancel()
			}
			if err := l.Wait(ctx, &Ask{Token: token, Now: time.Now(), Try: s.try(who)}); err != nil {
				if !leaves {
					t.Errorf("%s: %v", who, err)
				}
				return
			}
			served[i] = true
			if answers {
				l.Began(time.Now())
			}
			time.Sleep(work)
			s.back()
			l.Freed(time.Now(), answers)
		})
		if chance.IntN(3) == 0 {
			time.Sleep(time.Duration(chance.IntN(3)) * time.Millisecond)
		}
		if i == requests/3 {
			s.give(capacity)
			l.Changed(time.Now(), 1)
		}
		synctest.Wait() // so that the order of coming is known
	}
	running.Wait()
	if s.most > capacity || s.free != capacity {
		t.Errorf("%d had a seat at once, and %d are free in the end, of %d", s.most, s.free, capacity)
	}
	if l.Depth() != 0 || len(l.queues) != 0 || l.turn != nil {
		t.Error("the line is not empty")
	}
	last := map[string]string{}
	for _, who := range s.who() {
		token := who[:2]
		if last[token] > who {
			t.Errorf("%s went before %s", last[token], who)
		}
		last[token] = who
	}
	if st := l.Stats(); st.Held != st.Released+st.Left+st.TimedOut {
		t.Errorf("%+v does not add up", st)
	}
}

// TestNothingIsLostUnderRaces is the same without a clock that waits for all: on all cores at once.
func TestNothingIsLostUnderRaces(t *testing.T) {
	l, s := line(1000, time.Minute), &seats{free: 2}
	var running sync.WaitGroup
	for i := range 32 {
		token := fmt.Sprint(i % 5)
		running.Go(func() {
			for range 200 {
				if err := l.Wait(t.Context(), &Ask{Token: token, Now: time.Now(), Try: s.try(token)}); err != nil {
					t.Error(err)
					return
				}
				s.back()
				l.Freed(time.Now(), false)
			}
		})
	}
	running.Wait()
	if s.free != 2 || s.most > 2 || l.Depth() != 0 {
		t.Errorf("%d free, %d at once, %d wait", s.free, s.most, l.Depth())
	}
}

func TestRetryAfterIsWhatTheWaitWillBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s := line(1000, time.Hour), &seats{}
		for i := range 100 {
			come(t.Context(), t, l, s, "loud", fmt.Sprint(i))
		}
		if got := l.RetryAfter(time.Now(), "loud"); got != unknown {
			t.Errorf("before anybody went: %d s", got)
		}
		for range 20 { // two a second
			time.Sleep(500 * time.Millisecond)
			s.give(1)
			l.Freed(time.Now(), true)
			synctest.Wait()
		}
		if got := l.RetryAfter(time.Now(), "loud"); got < 36 || got > 45 {
			t.Errorf("behind 80, at two a second: %d s", got)
		}
		if got := l.RetryAfter(time.Now(), "other"); got != 1 {
			t.Errorf("in turn with one other: %d s", got)
		}
		l.Close(errors.New("over"))
	})
}

func BenchmarkFreedWhereNobodyWaits(b *testing.B) {
	l, now := line(10, 0), time.Now()
	for b.Loop() {
		l.Freed(now, true)
	}
}

func BenchmarkWaitAndGo(b *testing.B) {
	l, s := line(10, time.Minute), &seats{free: 1}
	ask := &Ask{Token: "t", Now: time.Now(), Try: func(time.Time) Outcome { s.free--; return Taken }}
	for b.Loop() {
		_ = l.Wait(b.Context(), ask)
		s.free++
	}
}

// Who has to wait says so once it is in the line, and can be counted; who has not, does not.
func TestWhoWaitsSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, s, said := line(1, time.Minute), &seats{free: 1}, 0
		ask := func() error {
			return l.Wait(t.Context(), &Ask{Now: time.Now(), Try: s.try("x"), Waits: func() {
				said++
				if l.Depth() != 1 {
					t.Errorf("%d wait when it says so", l.Depth())
				}
			}})
		}
		if err := ask(); err != nil || said != 0 {
			t.Errorf("one that has not to wait: said %d times, %v", said, err)
		}
		waits := make(chan error, 1)
		go func() { waits <- ask() }()
		synctest.Wait()
		if err := ask(); !errors.Is(err, ErrFull) || said != 1 {
			t.Errorf("one that may not: said %d times, %v", said, err)
		}
		s.give(1)
		l.Changed(time.Now(), 1)
		if err := <-waits; err != nil || said != 1 {
			t.Errorf("said %d times, %v", said, err)
		}
	})
}
