package daemon

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
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

func (r *refusing) Txn(ctx context.Context) clientv3.Txn { return refusedTxn{r.KV.Txn(ctx), r} }

type refusedTxn struct {
	clientv3.Txn
	of *refusing
}

func (t refusedTxn) If(c ...clientv3.Cmp) clientv3.Txn  { return refusedTxn{t.Txn.If(c...), t.of} }
func (t refusedTxn) Then(o ...clientv3.Op) clientv3.Txn { return refusedTxn{t.Txn.Then(o...), t.of} }
func (t refusedTxn) Else(o ...clientv3.Op) clientv3.Txn { return refusedTxn{t.Txn.Else(o...), t.of} }
func (t refusedTxn) Commit() (*clientv3.TxnResponse, error) {
	if t.of.refuses.Load() {
		t.of.asked.Add(1)
		return nil, errors.New("it takes nothing now")
	}
	return t.Txn.Commit()
}

// What cannot be announced is announced later with the same lease, and the box does not take itself for heard of until then: the others do
// not, and begin elsewhere what it runs.
func TestWhatCannotBeAnnouncedNow(t *testing.T) {
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
	ctx, cancel := context.WithCancel(t.Context())
	s := &seat{
		log: slog.New(slog.DiscardHandler), node: node, agreement: cluster.New(client, at), goods: has, pool: &pool{ledger: accel.NewLedger()}, loops: newLoops(ctx),
		present: newPresence(), heard: heardFile{path: filepath.Join(t.TempDir(), heardName)},
	}
	lease, err := s.agreement.Presence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before, err := s.agreement.Presence(ctx)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	etcd.refuses.Store(true)
	go func() { ended <- s.announce(ctx, lease, before) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		s.loops.end()
	})
	clustertest.Soon(t, "it is tried", func() bool { return etcd.asked.Load() > 2 })
	if at := s.heard.last(); !at.IsZero() {
		t.Errorf("it takes itself for heard of until %s", at)
	}
	if lease.Lost().Err() != nil || before.Lost().Err() != nil {
		t.Error("a lease is given back that nothing has taken the place of")
	}
	etcd.refuses.Store(false)
	clustertest.Soon(t, "it is announced with the lease that it had, and is heard of", func() bool {
		got, err := client.Get(ctx, at+"alive/box")
		return err == nil && len(got.Kvs) == 1 && !s.heard.last().IsZero()
	})
	if lease.Lost().Err() != nil {
		t.Error("the lease is lost with which it is announced")
	}
	clustertest.Soon(t, "the lease of before is given back", func() bool { return before.Lost().Err() != nil })
}
