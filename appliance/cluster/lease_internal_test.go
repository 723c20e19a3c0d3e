package cluster

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// A member of etcd that was frozen, and led, does not know what was granted meanwhile: it is not believed for itself. And whoever leads etcd
// next is asked soon, however long it took.
func TestALeaseIsDoubted(t *testing.T) {
	const gone, late = "gone", "gone, late"
	for name, tc := range map[string]struct {
		says []string // those that are asked, the last one for all that follow; "": nothing; "kept": what it says
		err  error
		took time.Duration
	}{
		"it is kept":           {[]string{"kept"}, nil, 0},
		"one does not know it": {[]string{gone, "kept"}, nil, hedgeAfter},
		"two do not that were asked at the same time": {[]string{late, gone, "kept"}, nil, 2 * hedgeAfter},
		"nobody knows it": {[]string{gone}, rpctypes.ErrLeaseNotFound, hedgeAfter},
		"one does not, and one who is asked afterwards": {[]string{"", gone, "", gone, "kept"}, rpctypes.ErrLeaseNotFound, 3 * hedgeAfter},
		"etcd elects for long":                          {[]string{"", "", "", "", "", "kept"}, nil, 5 * hedgeAfter},
		"it never ends to":                              {[]string{""}, context.DeadlineExceeded, LeaseTime},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), LeaseTime)
				defer cancel()
				next := make(chan string, 100)
				for i := range cap(next) {
					next <- tc.says[min(i, len(tc.says)-1)]
				}
				began := time.Now()
				_, err := keptByAny(ctx, hedge{pace: &pace{}, soon: hedgesEver}, time.Now, func(ctx context.Context) (renewal, error) {
					switch <-next {
					case "kept":
						return renewal{asked: time.Now(), ttl: LeaseTime}, nil
					case late:
						time.Sleep(hedgeAfter + hedgeAfter/2)
						return renewal{}, rpctypes.ErrLeaseNotFound
					case gone:
						time.Sleep(time.Millisecond)
						return renewal{}, rpctypes.ErrLeaseNotFound
					}
					<-ctx.Done()
					return renewal{}, context.Cause(ctx)
				})
				took := time.Since(began).Truncate(10 * time.Millisecond)
				if !errors.Is(err, tc.err) || took != tc.took {
					t.Errorf("%v after %s; want %v after %s", err, took, tc.err, tc.took)
				}
			})
		})
	}
}

// A lease is given back as soon as etcd has elected: what it was asked before that is lost.
func TestALeaseIsGivenBackSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), LeaseTime)
		defer cancel()
		began := time.Now()
		etcd := electing{until: began.Add(4*hedgeAfter + hedgeAfter/2)}
		err := revoke(ctx, &pace{}, &clientv3.Client{Lease: etcd}, 1)
		if took := time.Since(began); err != nil || took != 5*hedgeAfter {
			t.Errorf("%v after %s", err, took)
		}
	})
}

// electing is etcd of which nobody leads until then.
type electing struct {
	clientv3.Lease
	until time.Time
}

func (e electing) Revoke(ctx context.Context, _ clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	if time.Now().Before(e.until) {
		<-ctx.Done()
		return nil, context.Cause(ctx)
	}
	return &clientv3.LeaseRevokeResponse{}, nil
}
