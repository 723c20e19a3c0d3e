package cluster_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/sessions"
)

// After a break a watch goes on where it was: what is there is read once. Where the past was thrown away it is read again.
func TestAWatchGoesOn(t *testing.T) {
	etcd := clustertest.Start(t)
	client, at := etcd.Client(t), clustertest.Prefix()
	leader := stand(t, client, at, "one")
	clustertest.Soon(t, "it leads", func() bool { return leader.leads.Load() != nil })
	want := func(id string) {
		t.Helper()
		if err := leader.a.Want(t.Context(), *leader.leads.Load(), "two", cluster.Wanted{Round: id, Spec: sessions.Spec{ID: id}}); err != nil {
			t.Fatal(err)
		}
	}
	want("a")

	cable, far := etcd.Cable(t)
	a := cluster.New(far, at)
	var mu sync.Mutex
	seen, whole := map[string]bool{}, 0
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		a.FollowOrders(ctx, func(orders []cluster.Order, all bool) {
			mu.Lock()
			defer mu.Unlock()
			if all {
				whole++
			}
			for _, o := range orders {
				seen[o.Session] = o.Wanted != nil
			}
		})
	})
	t.Cleanup(func() { cancel(); following.Wait() })
	has := func(id string) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return seen[id] }
	}
	clustertest.Soon(t, "it knows what was there", has("a"))

	outage := func(meanwhile func()) {
		t.Helper()
		lease, err := a.Grant(t.Context(), cluster.LeaseTime)
		if err != nil {
			t.Fatal(err)
		}
		cable.Pull()
		meanwhile()
		select { // longer than a watch may be silent
		case <-lease.Lost().Done():
		case <-time.After(clustertest.Patience):
			t.Fatal("it is not cut off")
		}
		cable.Plug()
	}
	outage(func() { want("b") })
	clustertest.Soon(t, "it hears what came meanwhile", has("b"))
	mu.Lock()
	if whole != 1 {
		t.Errorf("all was read %d times", whole)
	}
	mu.Unlock()

	outage(func() {
		want("c")
		now, err := client.Get(t.Context(), "x", clientv3.WithCountOnly())
		if err == nil {
			_, err = client.Compact(t.Context(), now.Header.Revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	clustertest.Soon(t, "it hears what came before the past was thrown away", has("c"))
}

// Of many boxes a few stand for election; when they have gone another one does.
func TestFewStand(t *testing.T) {
	etcd := clustertest.Start(t)
	client, at := etcd.Client(t), clustertest.Prefix()
	standing := func() int64 {
		got, err := client.Get(t.Context(), at+"leader/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err != nil {
			t.Fatal(err)
		}
		return got.Count
	}
	few, end := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			_ = cluster.New(client, at).Lead(few, fmt.Sprint("few", i), func(ctx context.Context, _ cluster.Reign) error {
				<-ctx.Done()
				return nil
			})
		})
		clustertest.Soon(t, "another one stands", func() bool { return standing() == int64(i+1) })
	}
	last := stand(t, client, at, "last")
	end()
	all.Wait()
	clustertest.Soon(t, "another one leads", func() bool { return last.leads.Load() != nil })
	if n := standing(); n != 1 {
		t.Errorf("%d stand", n)
	}
}

// Where many boxes come and go, who follows them hears of many at a time, and of all of them.
func TestManyBoxesComeAndGo(t *testing.T) {
	client, at := clustertest.Start(t).Client(t), clustertest.Prefix()
	var mu sync.Mutex
	var messages, whole int
	living := map[string]bool{}
	ctx, cancel := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() {
		cluster.New(client, at).FollowLiving(ctx, func(boxes []cluster.Item, all bool) {
			mu.Lock()
			defer mu.Unlock()
			if messages++; all {
				whole++
				clear(living)
			}
			for _, b := range boxes {
				if delete(living, b.Key); b.Value != nil {
					living[b.Key] = true
				}
			}
		})
	})
	t.Cleanup(func() { cancel(); following.Wait() })
	has := func(n int) func() bool {
		return func() bool { mu.Lock(); defer mu.Unlock(); return whole > 0 && len(living) == n }
	}
	clustertest.Soon(t, "it follows", has(0))
	const boxes = 1000
	name := func(i int) string { return fmt.Sprintf("%salive/box-%04d", at, i) }
	for i := range boxes {
		if _, err := client.Put(t.Context(), name(i), "{}"); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Soon(t, "it knows all", has(boxes))
	for i := range boxes - 1 {
		if _, err := client.Delete(t.Context(), name(i)); err != nil {
			t.Fatal(err)
		}
	}
	clustertest.Soon(t, "it knows which is left", has(1))
	mu.Lock()
	defer mu.Unlock()
	if messages > boxes || whole > 1 {
		t.Errorf("%d messages of %d changes, and all was read %d times", messages, 2*boxes-1, whole)
	}
}
