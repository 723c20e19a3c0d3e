package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func balanceOf(weights ...float64) (*balance, []*route) {
	b := &balance{}
	var routes []*route
	for i := range weights {
		routes = append(routes, testRoute(string(rune('a'+i))))
	}
	b.set(routes, weights)
	return b, routes
}

func testRoute(id string) *route {
	return &route{id: id, upstream: newUpstream("127.0.0.1:1", Config{}.withDefaults(), &buffers{}, nil)}
}

// picks makes n picks in a row and names them.
func picks(b *balance, now time.Time, n int) string {
	var out strings.Builder
	for range n {
		s := b.acquire(now)
		if s == nil {
			out.WriteByte('-')
			continue
		}
		out.WriteString(s.route.id)
		s.release()
	}
	return out.String()
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		weights []float64
		want    string
	}{
		{[]float64{1, 1}, "abababab"},
		{[]float64{3, 3, 3}, "abcabcabc"},
		{[]float64{5, 1, 1}, "aabacaaaabacaa"},
		{[]float64{2, 1}, "abaaba"},
		{[]float64{0.5, 0.25}, "abaaba"},
		{[]float64{1, 0, 1}, "acacac"},
		{[]float64{1, -1}, "aaa"},
		{[]float64{math.NaN(), 1, math.Inf(1)}, "bbb"},
		{[]float64{0, 0}, "--"},
		{nil, "--"},
	} {
		b, _ := balanceOf(c.weights...)
		if got := picks(b, time.Time{}, len(c.want)); got != c.want {
			t.Errorf("weights %v: %s, want %s", c.weights, got, c.want)
		}
	}
}

func TestPickSharesByWeight(t *testing.T) {
	b, _ := balanceOf(7, 2, 1)
	counts := map[rune]int{}
	for _, c := range picks(b, time.Time{}, 1000) {
		counts[c]++
	}
	if want := map[rune]int{'a': 700, 'b': 200, 'c': 100}; !cmp.Equal(counts, want) {
		t.Errorf("got %v, want %v", counts, want)
	}
}

func TestTurnsSurviveANewTable(t *testing.T) {
	b, routes := balanceOf(1, 1)
	got := picks(b, time.Time{}, 3)
	b.set(routes, []float64{1, 1})
	if got += picks(b, time.Time{}, 3); got != "ababab" {
		t.Errorf("got %s", got)
	}
	// One comes: it gets its share at once, and no more than that.
	b.set(append(routes, testRoute("n")), []float64{1, 1, 1})
	if got := picks(b, time.Time{}, 30); strings.Count(got, "n") != 10 || strings.Contains(got, "nn") {
		t.Errorf("with a new one: %s", got)
	}
	// The rest go on evenly after one has left.
	b.set(routes, []float64{1, 1})
	if got := picks(b, time.Time{}, 8); strings.Contains(got, "aaa") || strings.Contains(got, "bbb") {
		t.Errorf("without it: %s", got)
	}
}

func TestAnother(t *testing.T) {
	b, routes := balanceOf(1, 1, 1)
	if s := b.another(time.Time{}, routes[:2]); s == nil || s.route != routes[2] {
		t.Errorf("got %v", s)
	}
	if s := b.another(time.Time{}, routes); s != nil {
		t.Errorf("got %s, which was tried", s.route.id)
	}
}

func TestRetryBudget(t *testing.T) {
	b, routes := balanceOf(1, 1)
	spend := func() (n int) {
		for s := b.another(time.Time{}, routes[:1]); s != nil; s = b.another(time.Time{}, routes[:1]) {
			s.release()
			n++
		}
		return n
	}
	if got := spend(); got != retryFree {
		t.Errorf("at first %d retries, want %d", got, retryFree)
	}
	picks(b, time.Time{}, 50)
	if got := spend(); got != 10 && got != 9 { // a fifth, in binary fractions
		t.Errorf("50 requests pay for %d retries, want 10", got)
	}
	picks(b, time.Time{}, 700)
	if got := spend(); got != retryFree+retrySaved {
		t.Errorf("%d retries were saved, want %d", got, retryFree+retrySaved)
	}
}

func TestAvoidance(t *testing.T) {
	b, routes := balanceOf(1, 1)
	now := at("2026-01-01T00:00:00Z")
	a := routes[0]
	a.avoid.failed(now)
	a.avoid.failed(now) // beside it, the same event
	if got := picks(b, now, 4); got != "bbbb" {
		t.Errorf("while avoided: %s", got)
	}
	now = now.Add(firstAvoid)
	if got := picks(b, now, 6); strings.Count(got, "a") != 1 {
		t.Errorf("when due, one tries it: %s", got)
	}
	a.avoid.failed(now.Add(time.Millisecond))
	if now = now.Add(firstAvoid + time.Millisecond); !a.avoid.active(now) {
		t.Error("the second time it is not avoided for longer")
	}
	now = now.Add(firstAvoid)
	if got := picks(b, now, 6); strings.Count(got, "a") != 1 {
		t.Errorf("when due again, one tries it: %s", got)
	}
	a.avoid.worked()
	if got := picks(b, now, 6); strings.Count(got, "a") != 3 {
		t.Errorf("after it worked: %s", got)
	}
	for range 20 {
		a.avoid.failed(now)
		now = now.Add(mostAvoid)
		if a.avoid.active(now) {
			t.Fatal("avoided for longer than the most")
		}
	}
	// All are avoided: they are used all the same.
	a.avoid.failed(now)
	routes[1].avoid.failed(now)
	if got := picks(b, now, 4); got != "abab" && got != "baba" {
		t.Errorf("when all are avoided: %s", got)
	}
}

func TestWaitIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, routes := balanceOf(1)
		r := routes[0]
		if err := r.waitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		s, s2 := b.acquire(time.Now()), b.acquire(time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.waitIdle(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 requests") {
			t.Errorf("got %v", err)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- r.waitIdle(t.Context()) }()
		}
		s.release()
		s.release() // once is enough, more does no harm
		synctest.Wait()
		if len(done) != 0 || r.inFlight() != 1 {
			t.Fatal("idle too early")
		}
		s2.release()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

// Nothing is handed out on a route once set has taken it out, however the two race.
func TestSetIsABarrier(t *testing.T) {
	b, routes := balanceOf(1, 1)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if s := b.acquire(time.Time{}); s != nil {
						s.release()
					}
				}
			}
		})
	}
	for range 200 {
		b.set(routes, []float64{1, 0})
		if err := routes[1].waitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := routes[1].total.Load()
		picks(b, time.Time{}, 10)
		if got := routes[1].total.Load(); got != before {
			t.Fatalf("%d requests came after it was out", got-before)
		}
		b.set(routes, []float64{1, 1})
	}
	close(stop)
	load.Wait()
}

func BenchmarkPick(b *testing.B) {
	for _, n := range []int{2, 10, 100} {
		weights := make([]float64, n)
		for i := range weights {
			weights[i] = 1
		}
		bal, _ := balanceOf(weights...)
		now := time.Now()
		b.Run(fmt.Sprintf("%d-routes", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bal.acquire(now).release()
			}
		})
	}
}
