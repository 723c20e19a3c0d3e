package cluster

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
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

// That all is told up to a revision says nothing of a watch that was not there when it was said, though it comes after the watch is.
func TestProgress(t *testing.T) {
	said := func(revision int64, created bool) clientv3.WatchResponse {
		return clientv3.WatchResponse{Header: &pb.ResponseHeader{Revision: revision}, Created: created}
	}
	w := watching{next: 5, created: math.MaxInt64}
	for i, c := range []struct {
		revision int64
		created  bool
		next     int64
	}{
		{9, false, 5}, {10, true, 5}, {10, false, 5}, {12, false, 13}, {12, false, 13}, {20, false, 21},
	} {
		if !w.hear(said(c.revision, c.created)) || w.next != c.next {
			t.Errorf("%d: %d is to come next, want %d", i, w.next, c.next)
		}
	}
}
