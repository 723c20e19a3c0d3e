package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// A change is told once, and etcd may say nothing just then: it is asked until it answers, and not without a change.
func TestLookAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		changed, answers := make(chan struct{}, 1), []error{nil, errors.New("away"), errors.New("away"), nil}
		var asked []time.Duration
		began := time.Now()
		go lookAgain(ctx, changed, func(context.Context) error {
			asked = append(asked, time.Since(began))
			return answers[len(asked)-1]
		})
		for range 2 {
			changed <- struct{}{}
			time.Sleep(time.Hour)
		}
		cancel()
		synctest.Wait()
		if want := []time.Duration{0, time.Hour, time.Hour + retryFollow, time.Hour + 2*retryFollow}; !slices.Equal(asked, want) {
			t.Errorf("asked at %s, want %s", asked, want)
		}
	})
}

// One watch asks for all that are on its stream, and for no other stream's.
func TestMayAsk(t *testing.T) {
	a, now := New(nil, ""), time.Unix(1000, 0)
	for i, c := range []struct {
		stream int64
		at     time.Duration
		want   bool
	}{
		{0, 0, true}, {0, time.Millisecond, false}, {1, time.Millisecond, true}, {0, askAgain/2 - 1, false}, {0, askAgain / 2, true}, {1, askAgain / 2, false},
		{2, time.Hour, true},
	} {
		if got := a.mayAsk(c.stream, now.Add(c.at)); got != c.want {
			t.Errorf("%d: stream %d may ask after %s: %v", i, c.stream, c.at, got)
		}
	}
	if len(a.asked) != 1 {
		t.Errorf("streams that are over are remembered: %v", a.asked)
	}
}

// Who is silent is asked once a second, more often where that is not answered, and given up at two.
func TestLookAgainAfter(t *testing.T) {
	for _, c := range []struct{ silent, patience, want time.Duration }{
		{0, silentAfter, askAfter},
		{300 * time.Millisecond, silentAfter, 700 * time.Millisecond},
		{askAfter, silentAfter, askAgain},
		{askAfter + 2*askAgain, silentAfter, 201 * time.Millisecond},
		{silentAfter, silentAfter, time.Millisecond},
		{silentAfter, 2 * silentAfter, askAgain},
	} {
		if got := lookAgainAfter(c.silent, c.patience); got != c.want {
			t.Errorf("silent for %s of %s: again after %s, want %s", c.silent, c.patience, got, c.want)
		}
	}
}
