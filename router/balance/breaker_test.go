package balance

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestBreaker(t *testing.T) {
	b, routes := balanceOf(Settings{}, 1, 1)
	now, a := start, routes[0]
	a.Failed(now, Connect)
	a.Failed(now, Connect) // beside it, the same event
	if got := picks(b, Ask{Now: now}, 4); got != "bbbb" {
		t.Errorf("while it is open: %s", got)
	}
	now = now.Add(firstPause)
	if got := picks(b, Ask{Now: now}, 6); strings.Count(got, "a") != 1 {
		t.Errorf("when due, one tries it: %s", got)
	}
	a.Failed(now.Add(time.Millisecond), Connect)
	if now = now.Add(firstPause + time.Millisecond); a.State(now) != Open {
		t.Error("the second time it is not open for longer")
	}
	now = now.Add(firstPause)
	if got := picks(b, Ask{Now: now}, 6); strings.Count(got, "a") != 1 {
		t.Errorf("when due again, one tries it: %s", got)
	}
	if got := a.State(now); got != HalfOpen || !a.Suspect() {
		t.Errorf("while one tries it is %v", got)
	}
	a.Worked()
	if got := picks(b, Ask{Now: now}, 6); strings.Count(got, "a") != 3 || a.State(now) != Closed || a.Suspect() {
		t.Errorf("after it worked: %s", got)
	}
	for range 20 {
		a.Failed(now, Connect)
		if a.State(now.Add(mostPause)) == Open {
			t.Fatal("open for longer than the most")
		}
		now = now.Add(mostPause)
	}
	// All are open: they are used all the same.
	a.Failed(now, Connect)
	routes[1].Failed(now, Connect)
	if got := picks(b, Ask{Now: now}, 4); got != "abab" && got != "baba" {
		t.Errorf("when all are open: %s", got)
	}
}

func TestGatewayFaultsOpenAfterFiveInARow(t *testing.T) {
	r := NewRoute("a", nil)
	for range 3 {
		for range tolerated {
			r.Failed(start, Gateway)
		}
		if r.State(start) != Closed {
			t.Fatal("open after four")
		}
		r.Worked()
	}
	for range tolerated + 1 {
		r.Failed(start, Gateway)
	}
	if r.State(start) != Open {
		t.Error("closed after five")
	}
	due := start.Add(firstPause)
	b := &Balance{}
	b.Set([]Member{{Route: r, Weight: 1}, {Route: NewRoute("b", nil), Weight: 1}}, Settings{})
	if got := picks(b, Ask{Now: due}, 4); strings.Count(got, "a") != 1 {
		t.Errorf("one tries it: %s", got)
	}
	r.Failed(due, Gateway) // one is enough in a trial
	if r.State(due.Add(firstPause)) != Open || r.State(due.Add(2*firstPause)) != HalfOpen {
		t.Error("the second pause is not twice the first")
	}
}

// One of all that come at once has the trial.
func TestOneTrial(t *testing.T) {
	for _, policy := range []Kind{RoundRobin, LeastInFlight, SessionAffinity, Prefix} {
		b, routes := balanceOf(Settings{Policy: policy}, 1, 1)
		routes[0].Failed(start, Connect)
		now := start.Add(firstPause)
		var tried atomic.Int32
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				for j := range 50 {
					r, v := b.Acquire(&Ask{Now: now, Key: uint64(i*50 + j + 1)})
					if v == Taken && r == routes[0] {
						tried.Add(1)
					}
				}
			})
		}
		all.Wait()
		if tried.Load() != 1 {
			t.Errorf("%v: %d have the trial", policy, tried.Load())
		}
	}
}

// A trial for which there was no slot is not lost.
func TestATrialWithoutASlot(t *testing.T) {
	b, routes := balanceOf(Settings{Limit: 1}, 1, 1)
	routes[0].Take(0)
	routes[0].Failed(start, Connect)
	now := start.Add(firstPause)
	if got := picks(b, Ask{Now: now}, 4); got != "bbbb" {
		t.Errorf("while it is full: %s", got)
	}
	routes[0].Release()
	if got := picks(b, Ask{Now: now}, 4); strings.Count(got, "a") != 1 {
		t.Errorf("then: %s", got)
	}
}

func TestBudget(t *testing.T) {
	b, routes := balanceOf(Settings{}, 1, 1)
	spend := func() (n int) {
		for {
			r, v := b.Acquire(&Ask{Now: start, Tried: routes[:1], Retry: true})
			if v != Taken {
				if v != Spent {
					t.Fatalf("got %v", v)
				}
				return n
			}
			if r != routes[1] {
				t.Fatal("got the one that was tried")
			}
			r.Release()
			n++
		}
	}
	earn := func(n int) {
		for range n {
			b.Earn()
		}
	}
	if got := spend(); got != 10 {
		t.Errorf("at first %d retries, want 10", got)
	}
	earn(50)
	if got := spend(); got != 10 {
		t.Errorf("50 requests pay for %d retries, want 10", got)
	}
	earn(700)
	if got := spend(); got != 100 {
		t.Errorf("%d retries were saved, want 100", got)
	}
	earn(5)
	for range 3 { // one that finds no route costs nothing
		if _, v := b.Acquire(&Ask{Now: start, Tried: routes, Retry: true}); v != None {
			t.Fatalf("got %v", v)
		}
	}
	if got := spend(); got != 1 {
		t.Errorf("%d are left, want 1", got)
	}
}

// Of two that see the same mark, one gets the trial; the other's late word changes nothing.
func TestAClaimIsOnce(t *testing.T) {
	r := NewRoute("a", nil)
	r.Failed(start, Connect)
	m, due := r.mark.Load(), start.Add(firstPause)
	first := r.claim(m, due)
	if first == nil || r.claim(m, due) != nil {
		t.Fatal("not one claim")
	}
	r.Worked()
	r.unclaim(first, m)
	if r.State(due) != Closed {
		t.Error("a trial that was given back late speaks against a route that works")
	}
}
