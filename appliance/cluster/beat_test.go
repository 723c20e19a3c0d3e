package cluster_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// Who leads, and does not say so any more, is followed by another one, though etcd keeps its lease. It cannot say so later.
func TestALeaderThatSaysNothing(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	key := at + "leader/mute/beats"
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

// Two boxes die at once, the one that leads and the one that is next: a third one leads though etcd keeps the leases of both, and whether
// or not anybody has said yet that it leads.
func TestTheNextLeaderIsDead(t *testing.T) {
	etcd := clustertest.Start(t)
	for _, led := range []bool{true, false} {
		client, at := etcd.Client(t), clustertest.Prefix()
		made, err := client.Put(t.Context(), at+"leader/mute/beats", "mute")
		if err != nil {
			t.Fatal(err)
		}
		if led {
			if _, err := client.Put(t.Context(), at+"beat", strconv.FormatInt(made.Header.Revision, 10)); err != nil {
				t.Fatal(err)
			}
			if _, err := client.Put(t.Context(), at+"leader/dead/beats", "dead"); err != nil {
				t.Fatal(err)
			}
		}
		three := stand(t, client, at, "three")
		clustertest.Soon(t, "three leads", func() bool { return three.leads.Load() != nil })
	}
}

// Who loses its lease while it stands, as where etcd elects for long, goes on to listen where it stood: otherwise nobody ever takes the place of
// a leader that says nothing.
func TestWhatWasHeardBeforeCounts(t *testing.T) {
	client, at := clustertest.Start(t).Client(t), clustertest.Prefix()
	if _, err := client.Put(t.Context(), at+"leader/mute/beats", "mute"); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), at+"beat", "1"); err != nil {
		t.Fatal(err)
	}
	a, led, late := cluster.New(client, at), errors.New("enough"), time.After(clustertest.Patience)
	for {
		ctx, cancel := context.WithTimeout(t.Context(), cluster.LeaseTime) // who says nothing is listened to for longer
		err := a.Lead(ctx, "two", func(context.Context, cluster.Reign) error { return led })
		cancel()
		if errors.Is(err, led) {
			return
		}
		select {
		case <-late:
			t.Fatalf("it never leads: %v", err)
		default:
		}
	}
}

// Where each write of etcd takes its time, who leads goes on to.
func TestALeaderWhoseEtcdIsSlow(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	client.KV = slow{client.KV, 800 * time.Millisecond}
	a := cluster.New(client, clustertest.Prefix())
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	led := errors.New("enough")
	for { // a busy machine may be late, but not each time
		err := a.Lead(ctx, "one", func(ctx context.Context, _ cluster.Reign) error {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-time.After(2 * cluster.LeaseTime): // more than what was said once is good for
				return led
			}
		})
		if errors.Is(err, led) {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("it never leads for long: %v", err)
		}
	}
}

// slow is etcd whose writes take by longer.
type slow struct {
	clientv3.KV
	by time.Duration
}

func (s slow) Txn(ctx context.Context) clientv3.Txn { return slowTxn{s.KV.Txn(ctx), ctx, s.by} }

type slowTxn struct {
	clientv3.Txn
	ctx context.Context
	by  time.Duration
}

func (s slowTxn) If(cs ...clientv3.Cmp) clientv3.Txn { return slowTxn{s.Txn.If(cs...), s.ctx, s.by} }

func (s slowTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	if !slices.ContainsFunc(ops, clientv3.Op.IsPut) {
		return s.Txn.Then(ops...)
	}
	return slowTxn{s.Txn.Then(ops...), s.ctx, s.by}
}

func (s slowTxn) Commit() (*clientv3.TxnResponse, error) {
	select {
	case <-s.ctx.Done():
		return nil, context.Cause(s.ctx)
	case <-time.After(s.by):
		return s.Txn.Commit()
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

// Where etcd takes nothing new, who leads goes on for as long as it has its lease, and nobody takes its place: not at the moment when there
// is room again either, by what was written before. Then it says again that it leads.
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
	raw := etcd.Client(t)
	said := func() *mvccpb.KeyValue {
		got, err := raw.Get(t.Context(), at+"beat")
		if err != nil || got.Count == 0 {
			return &mvccpb.KeyValue{}
		}
		return got.Kvs[0]
	}
	is.Store(true)
	for range 12 { // each half a second of one, and two's: it would have been deposed by then
		<-refused
	}
	clustertest.Soon(t, "there is nothing by which one could be taken for silent", func() bool { return said().ModRevision == 0 })
	if one.leads.Load() != first || two.leads.Load() != nil {
		t.Error("one does not lead any more")
	}
	is.Store(false)
	clustertest.Soon(t, "one says again that it leads", func() bool { return string(said().Value) == strconv.FormatInt(first.Term.Revision(), 10) })
	if one.leads.Load() != first || two.leads.Load() != nil {
		t.Error("one does not lead any more since there is room")
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
