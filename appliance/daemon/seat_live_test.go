package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/appliance/cluster/goods"
	"github.com/palisade-run/palisade/appliance/cluster/trust"
)

// refusing is an etcd that writes nothing while says so.
type refusing struct {
	clientv3.KV
	refuses atomic.Bool
	asked   atomic.Int64 // while it refused
}

func (r *refusing) Txn(ctx context.Context) clientv3.Txn {
	if !r.refuses.Load() {
		return r.KV.Txn(ctx)
	}
	r.asked.Add(1)
	return refusedTxn{}
}

type refusedTxn struct{}

func (t refusedTxn) If(...clientv3.Cmp) clientv3.Txn  { return t }
func (t refusedTxn) Then(...clientv3.Op) clientv3.Txn { return t }
func (t refusedTxn) Else(...clientv3.Op) clientv3.Txn { return t }
func (refusedTxn) Commit() (*clientv3.TxnResponse, error) {
	return nil, errors.New("it takes nothing now")
}

// announcing is a box of a cluster that announces itself.
type announcing struct {
	*seat
	t      *testing.T
	client *clientv3.Client
	etcd   *refusing
	key    string
}

func newAnnouncing(t *testing.T) *announcing {
	client, at := clustertest.Start(t).Client(t), clustertest.Prefix()
	if _, err := client.Put(t.Context(), at+"nodes/box", "{}"); err != nil {
		t.Fatal(err)
	}
	etcd := &refusing{KV: client.KV}
	client.KV = etcd
	node, err := trust.Found(t.TempDir(), "box", time.Now)
	if err != nil {
		t.Fatal(err)
	}
	has, err := goods.New(goods.Deps{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	s := &seat{
		log: slog.New(slog.DiscardHandler), node: node, agreement: cluster.New(client, at), goods: has, pool: &pool{ledger: accel.NewLedger()}, loops: newLoops(t.Context()),
		present: newPresence(), heard: heardFile{path: filepath.Join(t.TempDir(), heardName)},
	}
	t.Cleanup(s.loops.end)
	return &announcing{s, t, client, etcd, at + "alive/box"}
}

func (a *announcing) lease() *cluster.Lease {
	a.t.Helper()
	lease, err := a.agreement.Presence(a.t.Context())
	if err != nil {
		a.t.Fatal(err)
	}
	return lease
}

// left is what an announcement left when it ended.
type left struct {
	lease *cluster.Lease
	err   error
}

// begin announces the box; end has that end, as a process does.
func (a *announcing) begin(lease, before *cluster.Lease) (ended chan left, end func()) {
	ctx, cancel := context.WithCancel(a.t.Context())
	ended = make(chan left, 1)
	go func() {
		lease, err := a.announce(ctx, lease, before)
		ended <- left{lease, err}
	}()
	a.t.Cleanup(cancel)
	return ended, cancel
}

// said is with which lease it is announced; 0: it is not.
func (a *announcing) said() int64 {
	got, err := a.client.Get(a.t.Context(), a.key)
	if err != nil || len(got.Kvs) == 0 {
		return 0
	}
	return got.Kvs[0].Lease
}

// What cannot be announced is announced later with the same lease, and the box does not take itself for heard of until then: the others do
// not, and begin elsewhere what it runs.
func TestWhatCannotBeAnnouncedNow(t *testing.T) {
	a := newAnnouncing(t)
	lease, before := a.lease(), a.lease()
	a.etcd.refuses.Store(true)
	ended, end := a.begin(lease, before)
	clustertest.Soon(t, "it is tried", func() bool { return a.etcd.asked.Load() > 2 })
	if at := a.heard.last(); !at.IsZero() {
		t.Errorf("it takes itself for heard of until %s", at)
	}
	if lease.Lost().Err() != nil || before.Lost().Err() != nil {
		t.Error("a lease is given back that nothing has taken the place of")
	}
	a.etcd.refuses.Store(false)
	clustertest.Soon(t, "it is announced with the lease that it had, and is heard of", func() bool { return a.said() != 0 && !a.heard.last().IsZero() })
	if lease.Lost().Err() != nil {
		t.Error("the lease is lost with which it is announced")
	}
	clustertest.Soon(t, "the lease of before is given back", func() bool { return before.Lost().Err() != nil })
	if end(); <-ended != (left{}) || lease.Lost().Err() != nil {
		t.Error("a process that ends keeps its lease, for the next one")
	}
}

// Another lease takes the place of one without a moment in which the box is not announced; where it cannot, what the box is announced with
// stays.
func TestALeaseInThePlaceOfAnother(t *testing.T) {
	a := newAnnouncing(t)
	first := a.lease()
	ended, end := a.begin(first, nil)
	clustertest.Soon(t, "it is announced", func() bool { return a.said() != 0 })
	end()
	<-ended
	was := a.said()
	gone := make(chan struct{})
	watch := a.client.Watch(t.Context(), a.key)
	go func() {
		defer close(gone)
		for said := range watch {
			for _, event := range said.Events {
				if event.Type == clientv3.EventTypeDelete {
					return
				}
			}
		}
	}()

	a.etcd.refuses.Store(true)
	second := a.lease()
	ended, _ = a.begin(second, first)
	clustertest.Soon(t, "it is tried", func() bool { return a.etcd.asked.Load() > 2 })
	if err := second.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := <-ended; l.lease != first || first.Lost().Err() != nil || a.said() != was {
		t.Errorf("one that was lost before it was announced leaves %p, %v, and the box announced with %d; want %p and %d", l.lease, l.err, a.said(), first, was)
	}

	a.etcd.refuses.Store(false)
	third := a.lease()
	a.begin(third, first)
	clustertest.Soon(t, "another one takes its place", func() bool { return a.said() != was && first.Lost().Err() != nil })
	clustertest.Soon(t, "etcd has the lease of before no more", func() bool {
		kept, err := a.client.TimeToLive(t.Context(), clientv3.LeaseID(was))
		return err == nil && kept.TTL < 0
	})
	select {
	case <-gone:
		t.Error("the others heard that it was gone meanwhile")
	default:
	}
}

// What etcd lets go of is announced anew with another lease; where that is so again, with one that lasts longer.
func TestWhatIsLetGoAgain(t *testing.T) {
	a := newAnnouncing(t)
	var before *cluster.Lease
	var lasts []int64
	for range 3 {
		lease := a.lease()
		ended, _ := a.begin(lease, before)
		clustertest.Soon(t, "it is announced", func() bool { return a.said() != 0 && (before == nil || before.Lost().Err() != nil) })
		of, err := a.client.TimeToLive(t.Context(), clientv3.LeaseID(a.said()))
		if err != nil {
			t.Fatal(err)
		}
		lasts = append(lasts, of.GrantedTTL)
		got, err := a.client.Get(t.Context(), a.key)
		if err != nil {
			t.Fatal(err)
		}
		var alive cluster.Alive
		if err := json.Unmarshal(got.Kvs[0].Value, &alive); err != nil {
			t.Fatal(err)
		}
		if _, err := a.client.Delete(t.Context(), a.key); err != nil {
			t.Fatal(err)
		}
		clustertest.Soon(t, "that it is gone is heard", func() bool {
			a.present.is(&alive)
			a.present.is(nil)
			select {
			case l := <-ended:
				before = l.lease
				return l.lease == lease && errors.Is(l.err, errUnannounced)
			default:
				return false
			}
		})
	}
	if short := int64(cluster.LeaseTime / time.Second); !slices.Equal(lasts, []int64{short, short, 2 * short}) {
		t.Errorf("the leases last for %v s", lasts)
	}
}
