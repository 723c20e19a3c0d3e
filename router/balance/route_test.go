package balance

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestWaitIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRoute("a", nil)
		if err := r.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.Take(0)
		r.Take(0)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.WaitIdle(ctx); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 requests") {
			t.Errorf("got %v", err)
		}
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- r.WaitIdle(t.Context()) }()
		}
		r.Release()
		synctest.Wait()
		if len(done) != 0 || r.InFlight() != 1 {
			t.Fatal("idle too early")
		}
		r.Release()
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
}

func TestTheLastOneOutIsTold(t *testing.T) {
	r := NewRoute("a", nil)
	r.Take(0)
	r.Take(0)
	r.SetClosed(true)
	if r.Take(0) {
		t.Error("taken though it is closed")
	}
	if r.Release() {
		t.Error("the first of two is the last")
	}
	if !r.Release() {
		t.Error("the second of two is not the last")
	}
	r.SetClosed(false)
	if !r.Take(1) || r.Take(1) {
		t.Error("not taken up to its limit")
	}
	if r.Release() {
		t.Error("an open route has a last one")
	}
	if r.Total() != 3 {
		t.Errorf("total %d", r.Total())
	}
}

func TestOneReleaseTooManyIsHeard(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("nothing was said")
		}
	}()
	NewRoute("a", nil).Release()
}

// After SetClosed nobody takes it, and WaitIdle misses none that did before, however all race.
func TestClosedAndIdleIsTheEnd(t *testing.T) {
	r := NewRoute("a", nil)
	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if r.Take(3) {
						if n := r.InFlight(); n < 1 || n > 3 {
							t.Errorf("%d in flight, at most 3", n)
						}
						r.Release()
					}
					runtime.Gosched()
				}
			}
		})
	}
	for range 500 {
		r.SetClosed(true)
		if err := r.WaitIdle(t.Context()); err != nil {
			t.Fatal(err)
		}
		total, flying := r.Total(), r.InFlight()
		if again := r.Total(); flying != 0 || again != total {
			t.Fatalf("%d in flight, %d more came", flying, again-total)
		}
		r.SetClosed(false)
	}
	close(stop)
	load.Wait()
}
