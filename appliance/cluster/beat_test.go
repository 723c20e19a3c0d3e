package cluster_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// Who leads, and does not say so any more, is followed by another one, though etcd keeps its lease. It cannot say so later.
func TestALeaderThatSaysNothing(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	key := at + "leader/mute"
	made, err := client.Put(t.Context(), key, "mute")
	if err != nil {
		t.Fatal(err)
	}
	term := made.Header.Revision
	if _, err := client.Put(t.Context(), at+"beat", strconv.FormatInt(term, 10)); err != nil {
		t.Fatal(err)
	}
	two := stand(t, client, at, "two")
	clustertest.Soon(t, "two leads", func() bool { return two.leads.Load() != nil })
	if after := two.leads.Load().Term.Revision(); after <= term {
		t.Errorf("term %d follows term %d", after, term)
	}
	if name, _, err := two.a.Leader(t.Context()); err != nil || name != "two" {
		t.Errorf("%s leads, %v", name, err)
	}
}

// Who finds another in its place leads no more, at once.
func TestALeaderThatIsDeposed(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	one := stand(t, client, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return one.leads.Load() != nil })
	if _, err := client.Delete(t.Context(), at+"leader/", clientv3.WithPrefix()); err != nil {
		t.Fatal(err)
	}
	if cause := <-one.cause; !errors.Is(cause, cluster.ErrDeposed) {
		t.Errorf("it ends for %v", cause)
	}
}

// Where etcd takes nothing new, who leads goes on for as long as it has its lease, and nobody takes its place.
func TestALeaderWhoseEtcdIsFull(t *testing.T) {
	etcd := clustertest.Start(t)
	at := clustertest.Prefix()
	cable, far := etcd.Cable(t)
	client := etcd.Client(t)
	var is atomic.Bool
	refused := make(chan struct{}, 100)
	far.KV, client.KV = full{far.KV, &is, refused}, full{client.KV, &is, refused}
	one := stand(t, far, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return one.leads.Load() != nil })
	first := one.leads.Load()
	two := stand(t, client, at, "two")
	clustertest.Soon(t, "two stands", func() bool {
		got, err := client.Get(t.Context(), at+"leader/", clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err == nil && got.Count == 2
	})
	is.Store(true)
	for range 12 { // each half a second of one, and two's: it would have been deposed by then
		<-refused
	}
	if one.leads.Load() != first || two.leads.Load() != nil {
		t.Error("one does not lead any more")
	}
	cable.Pull() // its lease goes by the connection
	if cause := <-one.cause; !errors.Is(cause, cluster.ErrLeaseLost) {
		t.Errorf("it ends for %v", cause)
	}
}

// full is etcd that takes nothing new while is says so.
type full struct {
	clientv3.KV
	is      *atomic.Bool
	refused chan<- struct{}
}

func (f full) Txn(ctx context.Context) clientv3.Txn { return fullTxn{f.KV.Txn(ctx), f} }

type fullTxn struct {
	clientv3.Txn
	of full
}

func (f fullTxn) If(cs ...clientv3.Cmp) clientv3.Txn { return fullTxn{f.Txn.If(cs...), f.of} }

func (f fullTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	for _, op := range ops {
		if op.IsPut() && f.of.is.Load() {
			return refusedTxn(f)
		}
	}
	return fullTxn{f.Txn.Then(ops...), f.of}
}

type refusedTxn struct {
	clientv3.Txn
	of full
}

func (r refusedTxn) Commit() (*clientv3.TxnResponse, error) {
	select {
	case r.of.refused <- struct{}{}:
	default:
	}
	return nil, rpctypes.ErrNoSpace
}
