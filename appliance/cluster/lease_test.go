package cluster_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
)

// halting is an etcd of whose members the one that is asked first does what it is asked, and is silent.
type halting struct {
	pb.UnimplementedLeaseServer

	mu               sync.Mutex
	granted, revoked map[int64]int // how often it was asked for, by number
}

func (h *halting) asked(of map[int64]int, id int64) (first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	of[id]++
	return of[id] == 1
}

func (h *halting) LeaseGrant(ctx context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	if h.asked(h.granted, r.ID) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, rpctypes.ErrGRPCLeaseExist
}

func (h *halting) LeaseRevoke(ctx context.Context, r *pb.LeaseRevokeRequest) (*pb.LeaseRevokeResponse, error) {
	if h.asked(h.revoked, r.ID) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, rpctypes.ErrGRPCLeaseNotFound
}

// clientOf is one of an etcd that has leases alone.
func clientOf(t *testing.T, leases pb.LeaseServer) *clientv3.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	pb.RegisterLeaseServer(server, leases)
	go func() { _ = server.Serve(l) }()
	t.Cleanup(server.Stop)
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + l.Addr().String()}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// A lease is had, and given back, though the member that is asked for it says nothing: another one is asked for the very same.
func TestALeaseOfASilentMember(t *testing.T) {
	h := &halting{granted: map[int64]int{}, revoked: map[int64]int{}}
	client := clientOf(t, h)
	a := cluster.New(client, clustertest.Prefix())
	lease, err := a.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if err := lease.End(t.Context()); err != nil {
		t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.granted) != 1 || len(h.revoked) != 1 {
		t.Errorf("asked for %v, and given back %v", h.granted, h.revoked)
	}
}

// Who stands again does not wait behind what is left of it, where that could not be given back: etcd keeps it, for it has elected since.
func TestALeaseThatIsLeft(t *testing.T) {
	etcd := clustertest.Start(t)
	client, raw, at := etcd.Client(t), etcd.Client(t), clustertest.Prefix()
	var is atomic.Bool
	client.Lease = keeping{client.Lease, &is}
	a := cluster.New(client, at)
	keys := func() (all []clientv3.LeaseID) {
		got, err := raw.Get(t.Context(), at+"leader/", clientv3.WithPrefix())
		if err != nil {
			t.Fatal(err)
		}
		for _, kv := range got.Kvs {
			all = append(all, clientv3.LeaseID(kv.Lease))
		}
		return all
	}
	lead := func(keeps bool) (left []clientv3.LeaseID) {
		t.Helper()
		for left == nil { // a busy machine may be late, but not each time
			_ = a.Lead(t.Context(), "one", func(context.Context, cluster.Reign) error {
				is.Store(keeps)
				left = keys()
				for _, id := range left {
					if _, err := raw.KeepAlive(t.Context(), id); err != nil {
						t.Error(err)
					}
				}
				return nil
			})
		}
		return left
	}
	first := lead(true)
	is.Store(false)
	lead(false)
	for _, id := range first {
		if left, err := raw.TimeToLive(t.Context(), id); err != nil || left.TTL > 0 {
			t.Errorf("a lease is left of before: %+v, %v", left, err)
		}
	}
	if left := keys(); len(left) > 0 {
		t.Errorf("nobody stands, and %v are in line", left)
	}
}

// keeping is etcd that lets no lease go while is says so.
type keeping struct {
	clientv3.Lease
	is *atomic.Bool
}

func (k keeping) Revoke(ctx context.Context, id clientv3.LeaseID) (*clientv3.LeaseRevokeResponse, error) {
	if k.is.Load() {
		return nil, errors.New("nobody leads etcd")
	}
	return k.Lease.Revoke(ctx, id)
}

// What a member does late that was silent does not take the place of what was announced since.
func TestAnnouncingBesideASilentMember(t *testing.T) {
	client, at := clustertest.Start(t).Client(t), clustertest.Prefix()
	if _, err := client.Put(t.Context(), at+"nodes/box", "{}"); err != nil {
		t.Fatal(err)
	}
	late := &lateKV{KV: client.KV, go_: make(chan struct{}), done: make(chan error, 1)}
	client.KV = late
	a := cluster.New(client, at)
	lease, err := a.Grant(t.Context(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"first", "second"} {
		if err := a.Announce(t.Context(), lease, "box", cluster.Alive{Version: version}, cluster.Inventory{}); err != nil {
			t.Fatal(err)
		}
	}
	close(late.go_)
	if err := <-late.done; err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(t.Context(), at+"alive/box")
	if err != nil || len(got.Kvs) != 1 || !strings.Contains(string(got.Kvs[0].Value), "second") {
		t.Errorf("it is announced as %v, %v", got, err)
	}
	if err := lease.End(t.Context()); err != nil {
		t.Error(err)
	}
}

// lateKV is etcd of which the member that is asked first does what it is asked, but only after a while.
type lateKV struct {
	clientv3.KV
	first sync.Once
	go_   chan struct{}
	done  chan error
}

func (l *lateKV) Txn(ctx context.Context) clientv3.Txn {
	txn := l.KV.Txn(ctx)
	l.first.Do(func() { txn = lateTxn{l.KV.Txn(context.WithoutCancel(ctx)), l} })
	return txn
}

type lateTxn struct {
	clientv3.Txn
	of *lateKV
}

func (t lateTxn) If(cs ...clientv3.Cmp) clientv3.Txn   { return lateTxn{t.Txn.If(cs...), t.of} }
func (t lateTxn) Then(ops ...clientv3.Op) clientv3.Txn { return lateTxn{t.Txn.Then(ops...), t.of} }
func (t lateTxn) Else(ops ...clientv3.Op) clientv3.Txn { return lateTxn{t.Txn.Else(ops...), t.of} }

func (t lateTxn) Commit() (*clientv3.TxnResponse, error) {
	<-t.of.go_
	done, err := t.Txn.Commit()
	t.of.done <- err
	return done, err
}

// Who stands for election, and who tells the others of a change, asks another member beside one that is silent.
func TestBesideASilentMember(t *testing.T) {
	etcd := clustertest.Start(t)
	for name, do := range map[string]func(a *cluster.Agreement) error{
		"standing": func(a *cluster.Agreement) error {
			return a.Lead(t.Context(), "one", func(context.Context, cluster.Reign) error { return nil })
		},
		"telling": func(a *cluster.Agreement) error { return a.Nudge(t.Context(), "tokens") },
	} {
		beside := func() bool {
			client := etcd.Client(t)
			silent := &silentKV{KV: client.KV}
			client.KV = silent
			for {
				if err := do(cluster.New(client, clustertest.Prefix())); err == nil {
					return silent.beside.Load()
				} else if t.Context().Err() != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
		}
		clustertest.Soon(t, name+": another member is asked while the first one says nothing", beside) // a busy machine may be late, but not each time
	}
}

// silentKV is etcd of which the member that is asked to write first says nothing.
type silentKV struct {
	clientv3.KV
	asked           atomic.Int64
	waiting, beside atomic.Bool // the first one is waited for, and another one was asked meanwhile
}

func (s *silentKV) write(ctx context.Context) error {
	if s.asked.Add(1) > 1 {
		s.beside.CompareAndSwap(false, s.waiting.Load())
		return nil
	}
	s.waiting.Store(true)
	defer s.waiting.Store(false)
	<-ctx.Done()
	return context.Cause(ctx)
}

func (s *silentKV) Put(ctx context.Context, key, value string, opts ...clientv3.OpOption) (*clientv3.PutResponse, error) {
	if err := s.write(ctx); err != nil {
		return nil, err
	}
	return s.KV.Put(ctx, key, value, opts...)
}

func (s *silentKV) Txn(ctx context.Context) clientv3.Txn {
	return silentTxn{s.KV.Txn(ctx), ctx, s, false}
}

type silentTxn struct {
	clientv3.Txn
	ctx  context.Context
	of   *silentKV
	puts bool
}

func (s silentTxn) If(cs ...clientv3.Cmp) clientv3.Txn {
	return silentTxn{s.Txn.If(cs...), s.ctx, s.of, s.puts}
}

func (s silentTxn) Then(ops ...clientv3.Op) clientv3.Txn {
	return silentTxn{s.Txn.Then(ops...), s.ctx, s.of, slices.ContainsFunc(ops, clientv3.Op.IsPut)}
}

func (s silentTxn) Commit() (*clientv3.TxnResponse, error) {
	if s.puts {
		if err := s.of.write(s.ctx); err != nil {
			return nil, err
		}
	}
	return s.Txn.Commit()
}

// slowLeases is an etcd that takes long to say that it has renewed a lease, longer than the lease lasts.
type slowLeases struct {
	pb.UnimplementedLeaseServer
	takes time.Duration
}

func (slowLeases) LeaseGrant(_ context.Context, r *pb.LeaseGrantRequest) (*pb.LeaseGrantResponse, error) {
	return &pb.LeaseGrantResponse{ID: r.ID, TTL: r.TTL}, nil
}

func (s slowLeases) LeaseKeepAlive(stream pb.Lease_LeaseKeepAliveServer) error {
	for {
		r, err := stream.Recv()
		if err != nil {
			return err
		}
		select {
		case <-time.After(s.takes):
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
		if err := stream.Send(&pb.LeaseKeepAliveResponse{ID: r.ID, TTL: int64(cluster.LeaseTime / time.Second)}); err != nil {
			return err
		}
	}
}

// A box whose lease may be over by the clock keeps it where it is not, and nobody hears of anything; one that leads does not.
func TestALeaseThatIsRenewedLate(t *testing.T) {
	client := clientOf(t, slowLeases{takes: cluster.LeaseTime + cluster.LeaseTime/4})
	a := cluster.New(client, clustertest.Prefix())
	presence, err := a.Presence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	place, err := a.Grant(t.Context(), cluster.LeaseTime)
	if err != nil {
		t.Fatal(err)
	}
	first := presence.Until()
	select {
	case <-place.Lost().Done():
	case <-time.After(clustertest.Patience):
		t.Error("a place is kept that may be over")
	}
	clustertest.Soon(t, "it is renewed late", func() bool { return presence.Until().After(first) })
	if err := presence.Lost().Err(); err != nil {
		t.Errorf("a lease that is renewed late is lost: %v", err)
	}
}

// A box that was cut off for long finds that its lease is gone, and not before etcd says so.
func TestAPresenceIsLost(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	cable, far := etcd.Cable(t)
	presence, err := cluster.New(far, clustertest.Prefix()).Presence(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cable.Pull()
	clustertest.Soon(t, "etcd has let it go", func() bool {
		left, err := client.Leases(t.Context())
		return err == nil && len(left.Leases) == 0
	})
	if err := presence.Lost().Err(); err != nil {
		t.Errorf("it is lost before etcd could say so: %v", err)
	}
	cable.Plug()
	select {
	case <-presence.Lost().Done():
	case <-time.After(clustertest.Patience):
		t.Fatal("it is not found to be gone")
	}
	if err := context.Cause(presence.Lost()); !errors.Is(err, cluster.ErrLeaseLost) {
		t.Error(err)
	}
}

// A box that loses its lease again, though it lives, has its next one last for longer, as etcd knows it.
func TestALeaseThatIsLostAgain(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	a := cluster.New(client, clustertest.Prefix())
	var lasts []int64
	for range 3 {
		presence, err := a.Presence(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		left, err := client.Leases(t.Context())
		if err != nil || len(left.Leases) != 1 {
			t.Fatalf("%v leases, %v", left, err)
		}
		of, err := client.TimeToLive(t.Context(), left.Leases[0].ID)
		if err != nil {
			t.Fatal(err)
		}
		lasts = append(lasts, of.GrantedTTL)
		if _, err := client.Revoke(t.Context(), left.Leases[0].ID); err != nil {
			t.Fatal(err)
		}
		select {
		case <-presence.Lost().Done():
		case <-time.After(clustertest.Patience):
			t.Fatal("it is not found to be gone")
		}
	}
	if short := int64(cluster.LeaseTime / time.Second); !slices.Equal(lasts, []int64{short, short, 2 * short}) {
		t.Errorf("they last for %v s", lasts)
	}
}

// What a box has is written again where it has changed, and not with each lease: each of the others would be told.
func TestAnnouncingWhatHasNotChanged(t *testing.T) {
	client, at := clustertest.Start(t).Client(t), clustertest.Prefix()
	if _, err := client.Put(t.Context(), at+"nodes/box", "{}"); err != nil {
		t.Fatal(err)
	}
	a := cluster.New(client, at)
	written := func(has cluster.Inventory) (lives, is int64) {
		lease, err := a.Presence(t.Context())
		if err == nil {
			err = a.Announce(t.Context(), lease, "box", cluster.Alive{Version: "1"}, has)
		}
		if err != nil {
			t.Fatal(err)
		}
		for of, revision := range map[string]*int64{"alive/box": &lives, "inventory/box": &is} {
			got, err := client.Get(t.Context(), at+of)
			if err != nil || len(got.Kvs) != 1 {
				t.Fatalf("%s: %v, %v", of, got, err)
			}
			*revision = got.Kvs[0].ModRevision
		}
		return lives, is
	}
	lives, has := written(cluster.Inventory{Images: []string{"one"}})
	again, same := written(cluster.Inventory{Images: []string{"one"}})
	_, other := written(cluster.Inventory{Images: []string{"two"}})
	if again == lives || same != has || other == has {
		t.Errorf("it lives at %d and %d; what it has is of %d, %d where that is the same, and %d where it is not", lives, again, has, same, other)
	}
}
