package fleet_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/agent"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/runtimetest"
	"github.com/palisade-run/palisade/variants"
)

// life is something that goes on until it is ended.
type life struct {
	end func()
}

func live(run func(context.Context)) *life {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { run(ctx) })
	return &life{sync.OnceFunc(func() { cancel(); wg.Wait() })}
}

// leads makes a box lead, and returns its reign and what ends it.
func leads(t *testing.T, a *cluster.Agreement, box string) (cluster.Reign, *life) {
	t.Helper()
	reigns := make(chan cluster.Reign)
	l := live(func(ctx context.Context) {
		if err := a.Lead(ctx, box, func(ctx context.Context, r cluster.Reign) error {
			reigns <- r
			<-ctx.Done()
			return nil
		}); err != nil && ctx.Err() == nil {
			t.Errorf("%s leads: %v", box, err)
		}
	})
	select {
	case r := <-reigns:
		return r, l
	case <-time.After(clustertest.Patience):
		t.Fatalf("%s does not lead", box)
		return cluster.Reign{}, nil
	}
}

// node is one with a runtime that is not real, on a real etcd.
type node struct {
	name    string
	runtime *runtimetest.Fake
	heard   func() time.Time
}

func newNode(name string) *node {
	return &node{name, runtimetest.NewFake(), func() time.Time { return time.Now().Add(time.Hour) }}
}

// agent runs the node's agent until it is ended.
func (n *node) agent(t *testing.T, client *clientv3.Client, prefix string) *life {
	_, l := n.agentOf(t, client, prefix)
	return l
}

func (n *node) agentOf(t *testing.T, client *clientv3.Client, prefix string) (*agent.Agent, *life) {
	a := agent.New(agent.Deps{
		Node: n.name, Desk: cluster.New(client, prefix), Runtime: n.runtime, Heard: n.heard, Grace: time.Second, Log: slog.New(slog.DiscardHandler),
	})
	l := live(func(ctx context.Context) {
		if err := a.Run(ctx); err != nil && ctx.Err() == nil {
			t.Errorf("agent of %s: %v", n.name, err)
		}
	})
	select {
	case <-a.Synced():
	case <-time.After(clustertest.Patience):
		t.Fatalf("%s does not begin", n.name)
	}
	return a, l
}

// A node that is none any more ends what it runs, and begins nothing, whatever is still wanted of it.
func TestANodeThatGivesUp(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	n := newNode("one")
	own, running := n.agentOf(t, client, at)
	t.Cleanup(running.end)
	reign, leading := leads(t, a, "one")
	t.Cleanup(leading.end)
	f, hears := fleetOf(t, a, reign, 0, n)
	t.Cleanup(hears.end)
	if _, err := f.Node("one").Start(t.Context(), spec("a")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	own.GiveUp(ctx)
	clustertest.Soon(t, "it runs nothing", func() bool { return len(n.runtime.Running()) == 0 })
	if err := a.Want(t.Context(), reign, "one", cluster.Wanted{Round: "2", Spec: spec("b")}); err != nil {
		t.Fatal(err)
	}
	clustertest.Soon(t, "what it ran is let go", func() bool {
		all, err := a.Reports(t.Context(), "one")
		return err == nil && len(all) == 0
	})
	if got := n.runtime.Running(); len(got) != 0 {
		t.Errorf("it has begun %v", got)
	}
}

// fleetOf is the fleet of a reign, with the doors of nodes.
func fleetOf(t *testing.T, a fleet.Desk, r cluster.Reign, fence time.Duration, nodes ...*node) (*fleet.Fleet, *life) {
	f := fleet.New(fleet.Deps{Desk: a, Reign: r, Fence: func(sessions.Spec) time.Duration { return fence }, Door: func(name string) (fleet.Box, error) {
		for _, n := range nodes {
			if n.name == name {
				return n.runtime, nil
			}
		}
		return nil, errors.New("no such node")
	}})
	return f, live(f.Run)
}

// A node far away is a runtime like the one that is here: also after its box, and the one that leads, were started again.
func TestANodeIsARuntime(t *testing.T) {
	isARuntime(t, func(a *cluster.Agreement) fleet.Desk { return a })
}

// What is wanted and what is reported are heard of each for itself: what is removed is not there any more, though one of both is late.
func TestANodeIsARuntimeThoughItHearsLate(t *testing.T) {
	for which, desk := range map[string]func(*cluster.Agreement) fleet.Desk{
		"orders":  func(a *cluster.Agreement) fleet.Desk { return lateOrders{a} },
		"reports": func(a *cluster.Agreement) fleet.Desk { return lateReports{a} },
	} {
		t.Run(which, func(t *testing.T) { isARuntime(t, desk) })
	}
}

// late is later than etcd takes to tell of something else.
const late = 20 * time.Millisecond

type lateOrders struct{ *cluster.Agreement }

func (l lateOrders) FollowOrders(ctx context.Context, f func([]cluster.Order, bool)) {
	l.Agreement.FollowOrders(ctx, func(orders []cluster.Order, all bool) {
		<-time.After(late)
		f(orders, all)
	})
}

type lateReports struct{ *cluster.Agreement }

func (l lateReports) FollowReports(ctx context.Context, f func([]cluster.Told, bool)) {
	l.Agreement.FollowReports(ctx, func(told []cluster.Told, all bool) {
		<-time.After(late)
		f(told, all)
	})
}

func isARuntime(t *testing.T, desk func(*cluster.Agreement) fleet.Desk) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	runtimetest.Run(t, runtimetest.Harness{
		New: func(t *testing.T) func() runtimetest.Box {
			at := clustertest.Prefix()
			a := cluster.New(client, at)
			n := newNode("one")
			var lives, heard []*life
			end := func(lives []*life) {
				for _, l := range lives {
					l.end()
				}
			}
			t.Cleanup(func() { end(append(lives, heard...)) })
			return func() runtimetest.Box {
				end(lives)
				reign, leading := leads(t, a, "one")
				f, hearing := fleetOf(t, desk(a), reign, 0, n)
				heard = append(heard, hearing) // who waits by the fleet of before hears of it still
				lives = []*life{n.agent(t, client, at), leading}
				return f.Node("one")
			}
		},
		Image: "any", Program: runtimetest.Argv, Parallel: true,
	})
}

// spec is a session that runs until it is ended.
func spec(id string) sessions.Spec {
	return sessions.Spec{ID: id, Name: id, Image: "any", Processes: []variants.Process{{Name: "main", Argv: runtimetest.Argv(runtimetest.Forever())}}}
}

// Who leads no more decides nothing more, however little it knows of that; who leads next finds all that runs.
func TestWhoLeadsNoMoreDecidesNothing(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	n := newNode("one")
	t.Cleanup(n.agent(t, client, at).end)
	first, leading := leads(t, a, "first")
	old, hearing := fleetOf(t, a, first, 0, n)
	t.Cleanup(hearing.end)
	if _, err := old.Node("one").Start(t.Context(), spec("a")); err != nil {
		t.Fatal(err)
	}
	leading.end()
	second, next := leads(t, a, "second")
	t.Cleanup(next.end)
	if second.Term <= first.Term {
		t.Errorf("term %d follows %d", second.Term, first.Term)
	}
	if name, term, err := a.Leader(t.Context()); err != nil || name != "second" || term != second.Term {
		t.Errorf("%s leads in term %d: %v", name, term, err)
	}
	// It says nothing of the session: see sessions.Resumer.
	if _, err := old.Node("one").Start(t.Context(), spec("b")); !errors.Is(err, cluster.ErrDeposed) || !errors.Is(err, sessions.ErrAskerGone) {
		t.Errorf("the first one starts a session: %v", err)
	}
	if err := old.Node("one").Stop(t.Context(), "a", 0); !errors.Is(err, cluster.ErrDeposed) || !errors.Is(err, sessions.ErrAskerGone) {
		t.Errorf("the first one ends a session: %v", err)
	}
	f, hears := fleetOf(t, a, second, 0, n)
	t.Cleanup(hears.end)
	list, err := f.Node("one").List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Running {
		t.Errorf("the second one finds %+v, %v", list, err)
	}
	if got := n.runtime.Running(); len(got) != 1 || got[0] != "a" {
		t.Errorf("there run %v", got)
	}
}

// An id is on one node at a time, from whichever side one comes.
func TestAnIDIsOnOneNode(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	one, two := newNode("one"), newNode("two")
	t.Cleanup(one.agent(t, client, at).end)
	t.Cleanup(two.agent(t, client, at).end)
	reign, leading := leads(t, a, "one")
	t.Cleanup(leading.end)
	f, hearing := fleetOf(t, a, reign, 0, one, two)
	t.Cleanup(hearing.end)
	start := func(on *node) error {
		_, err := f.Node(on.name).Start(t.Context(), spec("a"))
		return err
	}
	if err := start(one); err != nil {
		t.Fatal(err)
	}
	if err := start(two); !errors.Is(err, sessions.ErrInstanceExists) {
		t.Errorf("it runs on one, and on two: %v", err)
	}
	if err := errors.Join(f.Node("one").Stop(t.Context(), "a", 0), f.Node("one").Remove(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	if err := start(two); err != nil {
		t.Errorf("one has let it go, and two: %v", err)
	}
	if len(one.runtime.Running()) != 0 || len(two.runtime.Running()) != 1 {
		t.Errorf("one runs %v, two %v", one.runtime.Running(), two.runtime.Running())
	}
}

// A node that is cut off goes on with what nobody may begin elsewhere, and ends by itself what somebody may. When it is back it
// gives up what was moved, and nothing ran twice under one id at any time.
func TestANodeThatIsCutOff(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	cable, far := etcd.Cable(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	one, two := newNode("one"), newNode("two")
	var cut atomic.Pointer[time.Time]
	one.heard = func() time.Time {
		if at := cut.Load(); at != nil {
			return *at
		}
		return time.Now()
	}
	t.Cleanup(one.agent(t, far, at).end)
	t.Cleanup(two.agent(t, client, at).end)
	reign, leading := leads(t, a, "two")
	t.Cleanup(leading.end)
	f, hearing := fleetOf(t, a, reign, 0, one, two)
	t.Cleanup(hearing.end)
	const fence = 200 * time.Millisecond
	fenced, hears := fleetOf(t, a, reign, fence, one, two)
	t.Cleanup(hears.end)
	for _, start := range []func() error{
		func() error { _, err := f.Node("one").Start(t.Context(), spec("stays")); return err },
		func() error { _, err := f.Node("one").Start(t.Context(), spec("moved")); return err },
		func() error { _, err := fenced.Node("one").Start(t.Context(), spec("fenced")); return err },
	} {
		if err := start(); err != nil {
			t.Fatal(err)
		}
	}
	cable.Pull()
	cut.Store(new(time.Now()))
	clustertest.Soon(t, "it ends by itself what may be begun elsewhere", func() bool { return len(one.runtime.Running()) == 2 })
	if err := a.Abandon(t.Context(), reign, "one", "fenced"); err != nil {
		t.Fatal(err)
	}
	if _, err := fenced.Node("two").Start(t.Context(), spec("fenced")); err != nil {
		t.Errorf("what it has ended by itself is begun elsewhere: %v", err)
	}
	if err := a.Unwant(t.Context(), reign, "one", "moved"); err != nil { // a service's route: another has been started in its place
		t.Fatal(err)
	}
	cable.Plug()
	cut.Store(nil)
	clustertest.Soon(t, "it gives up what was moved", func() bool { got := one.runtime.Running(); return len(got) == 1 && got[0] == "stays" })
	clustertest.Soon(t, "nothing of that is left", func() bool {
		reports, err := a.Reports(t.Context(), "one")
		return err == nil && len(reports) == 1 && reports["stays"].State == cluster.Running
	})
	if got := two.runtime.Running(); len(got) != 1 || got[0] != "fenced" {
		t.Errorf("two runs %v", got)
	}
	if _, err := f.Node("one").Start(t.Context(), spec("fenced")); !errors.Is(err, sessions.ErrInstanceExists) {
		t.Errorf("what two runs is begun on one too: %v", err)
	}
}

// Who leads next finds what the one before has wanted and the node has not said anything of, hears what comes of it, and can take it
// back.
func TestWhatWasWantedBefore(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	n := newNode("one")
	first, leading := leads(t, a, "first")
	for _, id := range []string{"goes on", "nobody's", "none"} {
		s := spec(id)
		s.Labels = map[string]string{"claim": id}
		if id == "none" {
			s.Image = "refused"
		}
		if err := a.Want(t.Context(), first, "one", cluster.Wanted{Round: "of " + id, Spec: s}); err != nil {
			t.Fatal(err)
		}
	}
	leading.end()
	second, next := leads(t, a, "second")
	t.Cleanup(next.end)
	f, hears := fleetOf(t, a, second, 0, n)
	t.Cleanup(hears.end)
	one := f.Node("one")
	list, err := one.List(t.Context())
	if err != nil || len(list) != 3 {
		t.Fatalf("it finds %+v, %v", list, err)
	}
	for _, in := range list {
		if !in.Running || !in.StartedAt.IsZero() || in.Labels["claim"] != in.ID {
			t.Errorf("it finds %+v", in)
		}
	}
	leaving, leave := context.WithCancelCause(t.Context())
	leave(sessions.ErrAskerGone)
	if _, err := one.Resume(leaving, "goes on"); !errors.Is(err, context.Canceled) { // and the start goes on
		t.Errorf("who decides no more waits for it: %v", err)
	}
	n.runtime.OnStart(func(s sessions.Spec) error {
		if s.Image == "refused" {
			return sessions.ErrNoImage
		}
		return nil
	})
	t.Cleanup(n.agent(t, client, at).end)
	in, err := one.Resume(t.Context(), "goes on")
	if err != nil || in.ID != "goes on" || in.StartedAt.IsZero() || !in.Running {
		t.Errorf("what it was begun with comes to %+v, %v", in, err)
	}
	if _, err := one.Resume(t.Context(), "none"); !errors.Is(err, sessions.ErrNoImage) {
		t.Errorf("what is refused comes to %v", err)
	}
	if err := errors.Join(one.Stop(t.Context(), "nobody's", 0), one.Remove(t.Context(), "nobody's")); err != nil {
		t.Error(err)
	}
	if _, err := one.Resume(t.Context(), "nobody's"); !errors.Is(err, sessions.ErrNoInstance) {
		t.Errorf("what is wanted no more: %v", err)
	}
	if list, err := one.List(t.Context()); err != nil || len(list) != 1 || list[0].StartedAt.IsZero() {
		t.Errorf("there are %+v, %v", list, err)
	}
}

// What a later version wants this one cannot read: it goes on as it is, but no longer unseen than it was begun with.
func TestAFenceHoldsForWhatCannotBeRead(t *testing.T) {
	etcd := clustertest.Start(t)
	client := etcd.Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	n := newNode("one")
	var heard atomic.Pointer[time.Time]
	heard.Store(new(time.Now().Add(time.Hour)))
	n.heard = func() time.Time { return *heard.Load() }
	t.Cleanup(n.agent(t, client, at).end)
	reign, leading := leads(t, a, "one")
	t.Cleanup(leading.end)
	fenced, hears := fleetOf(t, a, reign, 2*time.Second, n)
	t.Cleanup(hears.end)
	free, hears := fleetOf(t, a, reign, 0, n)
	t.Cleanup(hears.end)
	for id, f := range map[string]*fleet.Fleet{"fenced": fenced, "free": free} {
		if _, err := f.Node("one").Start(t.Context(), spec(id)); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Put(t.Context(), at+"wanted/one/"+id, `{"round": 7}`); err != nil {
			t.Fatal(err)
		}
	}
	if got := n.runtime.Running(); len(got) != 2 {
		t.Errorf("while it is heard of there run %v", got)
	}
	heard.Store(new(time.Now().Add(-time.Hour)))
	// Something changes, and all is looked at.
	if _, err := client.Put(t.Context(), at+"wanted/one/fenced", `{"round": 8}`); err != nil {
		t.Fatal(err)
	}
	clustertest.Soon(t, "what is fenced ends", func() bool { got := n.runtime.Running(); return len(got) == 1 && got[0] == "free" })
}
