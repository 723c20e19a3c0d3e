package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/sessions"
)

// candidate is a box that stands for election again and again, and writes down when it led.
type candidate struct {
	name  string
	a     *cluster.Agreement
	leads atomic.Pointer[cluster.Reign] // nil: not now, as far as it knows
	cause chan error                    // of the end of each reign
}

func stand(t *testing.T, client *clientv3.Client, at, name string) *candidate {
	c := &candidate{name: name, a: cluster.New(client, at), cause: make(chan error, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			_ = c.a.Lead(ctx, name, func(ctx context.Context, r cluster.Reign) error {
				c.leads.Store(&r)
				<-ctx.Done()
				c.leads.Store(nil)
				c.cause <- context.Cause(ctx)
				return nil
			})
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return c
}

// A leader that is cut off stops before another leads, and what it writes afterwards is refused.
func TestALeaderThatIsCutOff(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	cable, far := etcd.Cable(t)
	at := clustertest.Prefix()
	one := stand(t, far, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return one.leads.Load() != nil })
	first := *one.leads.Load()
	two := stand(t, client, at, "two")
	cable.Pull()
	began := time.Now()
	clustertest.Soon(t, "two leads", func() bool { return two.leads.Load() != nil })
	if one.leads.Load() != nil {
		t.Error("both lead, as far as they know")
	}
	t.Logf("two leads %s after one was cut off", time.Since(began).Round(10*time.Millisecond))
	second := *two.leads.Load()
	if cause := <-one.cause; !errors.Is(cause, cluster.ErrLeaseLost) {
		t.Errorf("one ends for %v", cause)
	}
	if second.Term <= first.Term {
		t.Errorf("term %d follows term %d", second.Term, first.Term)
	}
	// As one that was frozen: it comes back and does not know yet.
	n := cluster.Node{Name: "box", State: cluster.In}
	if err := two.a.PutNode(t.Context(), first, n); !errors.Is(err, cluster.ErrDeposed) {
		t.Errorf("what is decided in a term that is over: %v", err)
	}
	if err := two.a.PutNode(t.Context(), second, n); err != nil {
		t.Error(err)
	}
	cable.Plug()
	if name, term, err := two.a.Leader(t.Context()); err != nil || name != "two" || term != second.Term {
		t.Errorf("%s leads in term %d: %v", name, term, err)
	}
}

// Who stops gives its place away at once.
func TestALeaderThatStops(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	led := errors.New("enough")
	a := cluster.New(client, at)
	if err := a.Lead(t.Context(), "one", func(context.Context, cluster.Reign) error { return led }); !errors.Is(err, led) {
		t.Errorf("%v", err)
	}
	if name, term, err := a.Leader(t.Context()); err != nil || name != "" || term != 0 {
		t.Errorf("%q leads in term %d: %v", name, term, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Lead(ctx, "one", func(context.Context, cluster.Reign) error { t.Error("it leads"); return nil }); err == nil {
		t.Error("it stood for election without time")
	}
}

// An era of its own makes the terms of an etcd that is made anew, or goes on from what one member had, greater than those of before.
func TestEras(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	lead := func(a *cluster.Agreement) (term cluster.Term) {
		t.Helper()
		if err := a.Lead(t.Context(), "one", func(ctx context.Context, r cluster.Reign) error {
			term = r.Term
			if name, now, err := a.Leader(ctx); err != nil || name != "one" || now != term {
				t.Errorf("%s leads in term %d, and not in %d: %v", name, now, term, err)
			}
			if _, err := a.PutTable(ctx, r, map[string]*cluster.Row{"svc": {}}); err != nil {
				t.Error(err)
			}
			return a.PutNode(ctx, r, cluster.Node{Name: "box", State: cluster.In})
		}); err != nil {
			t.Error(err)
		}
		return term
	}
	a := cluster.New(client, clustertest.Prefix())
	first := lead(a)
	if era := cluster.EraAfter(0); era != 0 {
		t.Errorf("the first era of all is %d", era)
	}
	next := cluster.EraAfter(first)
	for range 2 {
		if err := a.BeginEra(t.Context(), next); err != nil {
			t.Fatal(err)
		}
	}
	second := lead(a)
	if lowest := cluster.Term(1)<<40 + 1; first >= lowest || second < lowest {
		t.Errorf("term %d and, in the era after it, %d", first, second)
	}
	if err := a.BeginEra(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if now, err := a.Era(t.Context()); err != nil || now != next {
		t.Errorf("an era that was over is back: %d %v", now, err)
	}
	if after := cluster.EraAfter(second); after != next+1 {
		t.Errorf("era %d comes after %d", after, next)
	}
}

func TestALeaseIsKeptAndLost(t *testing.T) {
	etcd := clustertest.Start(t)
	cable, far := etcd.Cable(t)
	l, err := cluster.New(far, clustertest.Prefix()).Grant(t.Context(), cluster.LeaseTime)
	if err != nil {
		t.Fatal(err)
	}
	first := l.Until()
	clustertest.Soon(t, "it is renewed", func() bool { return l.Until().After(first) })
	cable.Pull()
	select {
	case <-l.Lost().Done():
	case <-time.After(clustertest.Patience):
		t.Fatal("it is kept by nobody")
	}
	if late := time.Since(l.Until()); late < 0 {
		t.Errorf("it is said to be lost %s before it is", -late)
	}
	if !errors.Is(context.Cause(l.Lost()), cluster.ErrLeaseLost) {
		t.Error(context.Cause(l.Lost()))
	}
}

// A roster knows who is a node, who lives and who has fallen silent; also across a time in which the past was thrown away.
func TestRoster(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	cable, far := etcd.Cable(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	leader := stand(t, client, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return leader.leads.Load() != nil })
	reign := *leader.leads.Load()

	roster := cluster.New(far, at).NewRoster(time.Now, nil)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { roster.Follow(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
	for _, name := range []string{"one", "two"} {
		if err := a.PutNode(t.Context(), reign, cluster.Node{Name: name, State: cluster.In, Labels: map[string]string{"rack": "r1"}}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := a.Grant(t.Context(), cluster.LeaseTime)
	if err != nil {
		t.Fatal(err)
	}
	has := cluster.Inventory{Node: accel.Node{Name: "two", Memory: 64}, Images: []string{"engine:1"}}
	if err := a.Announce(t.Context(), l, "two", cluster.Alive{Version: "1.2.3"}, has); err != nil {
		t.Fatal(err)
	}
	clustertest.Soon(t, "two is heard of, and one is not", func() bool {
		n := roster.Nodes()
		return roster.Known() && len(n) == 2 && n[0].Unheard && n[0].Alive == nil && n[1].Alive != nil && n[1].Alive.Version == "1.2.3" && n[1].Inventory != nil && n[1].Inventory.Node.Memory == 64 && n[1].Labels["rack"] == "r1"
	})
	if err := a.PutNode(t.Context(), reign, cluster.Node{Name: "three", State: cluster.Waiting}); err != nil {
		t.Fatal(err)
	}
	clustertest.Soon(t, "three waits, and is not counted", func() bool {
		silent, all := roster.Silent(time.Minute)
		return roster.Len() == 3 && silent == 1 && all == 2
	})
	if err := a.RemoveNode(t.Context(), reign, "three"); err != nil {
		t.Fatal(err)
	}
	if silent, all := roster.Silent(time.Nanosecond); silent != 0 || all != 1 {
		t.Errorf("who is silent for longer is counted: %d of %d", silent, all)
	}
	clustertest.Soon(t, "three is gone", func() bool { return roster.Len() == 2 })
	// What happens while it is cut off, and is thrown away before it is back, is found out all the same.
	cable.Pull()
	if err := l.End(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := a.RemoveNode(t.Context(), reign, "one"); err != nil {
		t.Fatal(err)
	}
	now, err := client.Get(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Compact(t.Context(), now.Header.Revision); err != nil {
		t.Fatal(err)
	}
	if n := roster.Nodes(); len(n) != 2 || n[1].Alive == nil {
		t.Errorf("cut off, it makes something up: %+v", n)
	}
	cable.Plug()
	clustertest.Soon(t, "one is gone, and two is silent", func() bool {
		n := roster.Nodes()
		silent, all := roster.Silent(time.Minute)
		return len(n) == 1 && n[0].Name == "two" && n[0].Alive == nil && !n[0].Silent.IsZero() && !n[0].Unheard && silent == 1 && all == 1
	})
}

func TestGuardRefusesTermsThatAreOver(t *testing.T) {
	var kept []cluster.Term
	broken := errors.New("the disk is full")
	var fails bool
	g := cluster.NewGuard(5, func(term cluster.Term) error {
		if fails {
			return broken
		}
		kept = append(kept, term)
		return nil
	})
	for _, tt := range []struct {
		term  cluster.Term
		fails bool
		want  error
	}{
		{4, false, cluster.ErrDeposed}, {5, false, nil}, {8, true, broken}, {7, false, nil}, {8, false, nil}, {7, false, cluster.ErrDeposed}, {8, false, nil},
	} {
		fails = tt.fails
		if err := g.Pass(tt.term); !errors.Is(err, tt.want) {
			t.Errorf("term %d: %v, want %v", tt.term, err, tt.want)
		}
	}
	if g.Pass(0) == nil || g.Pass(-1) == nil {
		t.Error("no term at all is let through")
	}
	if fmt.Sprint(kept) != "[7 8]" {
		t.Errorf("kept are %v", kept)
	}
}

// An error of another box is of the same kind here, and has the hint that it had.
func TestFaultsKeepTheirKind(t *testing.T) {
	for _, kind := range []error{
		sessions.ErrNoInstance, sessions.ErrInstanceExists, sessions.ErrNotSupported, sessions.ErrNoImage, sessions.ErrImageDenied,
		sessions.ErrImagePlatform, sessions.ErrRuntimeDown,
	} {
		f := &cluster.Fault{Kind: cluster.KindOf(fmt.Errorf("here: %w", kind)), Text: "there", Hint: "do this"}
		err := f.Remote()
		if !errors.Is(err, kind) || err.Error() != "there" {
			t.Errorf("%v has become %v", kind, err)
		}
		if h, ok := errors.AsType[interface {
			error
			Hint() string
		}](err); !ok || h.Hint() != "do this" {
			t.Errorf("%v has no hint", err)
		}
	}
	f := &cluster.Fault{Text: "there"}
	if _, hints := f.Remote().(interface{ Hint() string }); hints || cluster.KindOf(errors.New("x")) != "" {
		t.Error("what has no hint or kind has one")
	}
}

// A node that lives is emptied before it is removed. With a silent one goes all that is known of it, and of no other.
func TestANodeIsRemoved(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	leader := stand(t, client, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return leader.leads.Load() != nil })
	r := *leader.leads.Load()
	ctx := t.Context()
	alive := map[string]*cluster.Lease{}
	for _, name := range []string{"empty", "full", "full-2"} {
		l, err := a.Grant(ctx, cluster.LeaseTime)
		if err != nil {
			t.Fatal(err)
		}
		alive[name] = l
		if err := errors.Join(a.PutNode(ctx, r, cluster.Node{Name: name, State: cluster.In}), a.Announce(ctx, l, name, cluster.Alive{}, cluster.Inventory{})); err != nil {
			t.Fatal(err)
		}
	}
	const many = 120 // more than one transaction takes
	for i := range many {
		w := cluster.Wanted{Round: "1", Spec: sessions.Spec{ID: fmt.Sprint("s", i)}}
		if err := a.Want(ctx, r, "full", w); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			if err := a.Tell(ctx, "full", w.Spec.ID, cluster.Report{Round: "1", State: cluster.Running}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Want(ctx, r, "full-2", cluster.Wanted{Round: "1", Spec: sessions.Spec{ID: "other"}}); err != nil {
		t.Fatal(err)
	}
	for name, busy := range map[string]bool{"empty": false, "full": true, "full-2": true} {
		if err := a.MayRemoveNode(ctx, name); errors.Is(err, cluster.ErrBusy) != busy || (err != nil) != busy {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := a.RemoveNode(ctx, r, "empty"); err != nil {
		t.Error(err)
	}
	err := a.RemoveNode(ctx, r, "full")
	if hint, ok := errors.AsType[interface {
		error
		Hint() string
	}](err); !errors.Is(err, cluster.ErrBusy) || !ok || hint.Hint() == "" {
		t.Errorf("one that lives and has sessions: %v", err)
	}
	if err := alive["full"].End(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.MayRemoveNode(ctx, "full"); err != nil {
		t.Errorf("one that is silent: %v", err)
	}
	for range 2 {
		if err := a.RemoveNode(ctx, r, "full"); err != nil {
			t.Error(err)
		}
	}
	got, err := client.Get(ctx, at, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, kv := range got.Kvs {
		if key := string(kv.Key[len(at):]); !strings.HasPrefix(key, "leader/") && key != "beat" && !strings.HasPrefix(key, "alive/empty") {
			left = append(left, key)
		}
	}
	if want := "[alive/full-2 inventory/full-2 nodes/full-2 placed/other wanted/full-2/other]"; fmt.Sprint(left) != want {
		t.Errorf("left are %s, want %s", left, want)
	}
	if err := a.Want(ctx, r, "full-2", cluster.Wanted{Round: "2", Spec: sessions.Spec{ID: "s0"}}); err != nil {
		t.Errorf("what it had is begun elsewhere: %v", err)
	}
	// One that is believed no more goes though it says that it lives, and cannot say so again.
	if err := a.ExpelNode(ctx, r, "full-2"); err != nil {
		t.Error(err)
	}
	if got, err = client.Get(ctx, at, clientv3.WithPrefix(), clientv3.WithKeysOnly()); err != nil {
		t.Fatal(err)
	}
	for _, kv := range got.Kvs {
		if key := string(kv.Key[len(at):]); strings.Contains(key, "full-2") || strings.HasPrefix(key, "placed/") {
			t.Errorf("left is %s", key)
		}
	}
	if err := a.Announce(ctx, alive["full-2"], "full-2", cluster.Alive{}, cluster.Inventory{}); !errors.Is(err, cluster.ErrNoNode) {
		t.Errorf("one that was taken out says that it lives: %v", err)
	}
}

// An answer to LetGo is lost, and the node takes the session in again before the first one is heard: that one takes nothing away.
func TestLettingGoLate(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	leader := stand(t, client, at, "one")
	clustertest.Soon(t, "one leads", func() bool { return leader.leads.Load() != nil })
	r := *leader.leads.Load()
	ctx := t.Context()
	report := func() cluster.Report {
		all, err := a.Reports(ctx, "box")
		if err != nil {
			t.Fatal(err)
		}
		return all["s"]
	}
	took := func(round string) {
		t.Helper()
		var w cluster.Wanted
		if err := a.Want(ctx, r, "box", cluster.Wanted{Round: round, Spec: sessions.Spec{ID: "s"}}); err != nil {
			t.Fatal(err)
		}
		follow, stop := context.WithCancel(ctx)
		a.FollowWanted(follow, "box", func(all map[string]cluster.Wanted) { w = all["s"]; stop() })
		if err := a.TakeIn(ctx, "box", w); err != nil {
			t.Fatal(err)
		}
	}
	took("1")
	if err := a.Unwant(ctx, r, "box", "s"); err != nil {
		t.Fatal(err)
	}
	// A transaction that waits between what it reads and what it writes.
	held := &holding{KV: client.KV, go_: make(chan struct{}), read: make(chan struct{})}
	slow := clientv3.NewCtxClient(ctx)
	slow.KV = held
	late := make(chan error, 1)
	go func() { late <- cluster.New(slow, at).LetGo(ctx, "box", "s") }()
	<-held.read
	if err := a.LetGo(ctx, "box", "s"); err != nil {
		t.Fatal(err)
	}
	took("2")
	close(held.go_)
	if err := <-late; err == nil {
		t.Error("it is told that it has let it go")
	}
	if report().Round != "2" {
		t.Errorf("what it has taken in since is %+v", report())
	}
}

// holding is etcd whose transactions wait.
type holding struct {
	clientv3.KV
	read, go_ chan struct{}
}

func (h *holding) Txn(ctx context.Context) clientv3.Txn {
	close(h.read)
	<-h.go_
	return h.KV.Txn(ctx)
}
