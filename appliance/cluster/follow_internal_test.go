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
