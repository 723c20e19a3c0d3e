package fleet_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/clustertest"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
)

// Who leads next writes what is other than what was written last, though it has heard nothing of that before.
func TestATableIsTakenOverAsItWasWrittenLast(t *testing.T) {
	a := cluster.New(clustertest.Start(t).Client(t), clustertest.Prefix())
	first, leading := leads(t, a, "first")
	drains, serves := rowOf("chat", sessions.RouteTarget{ID: "ses-1", Draining: true}), rowOf("chat", sessions.RouteTarget{ID: "ses-1"})
	gone := rowOf("gone", sessions.RouteTarget{ID: "ses-2"})
	if _, err := a.PutTable(t.Context(), first, map[string]*cluster.Row{"chat": drains, "gone": gone}); err != nil {
		t.Fatal(err)
	}
	leading.end()
	second, next := leads(t, a, "second")
	t.Cleanup(next.end)
	p, err := fleet.TakeOver(t.Context(), a, second, func() int { return 2 })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(live(p.Run).end)
	p.Publish(map[string]*cluster.Row{"chat": serves})
	if p.Closes("ses-1") || !p.Closes("ses-2") {
		t.Errorf("it closes what serves: %v, and what is gone: %v", p.Closes("ses-1"), p.Closes("ses-2"))
	}
	ctx, cancel := context.WithTimeout(t.Context(), clustertest.Patience)
	defer cancel()
	for {
		now, err := a.Table(ctx)
		if err != nil {
			t.Fatalf("it is not written: %v", err)
		}
		if len(now.Rows) == 1 && !now.Rows["chat"].Service.Routes[0].Draining {
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// A route that those before have closed last is closed for a box that has heard of that, and for no other: nothing is written of it again.
func TestWhatWasClosedBeforeIsNotToldToAll(t *testing.T) {
	a := cluster.New(clustertest.Start(t).Client(t), clustertest.Prefix())
	first, leading := leads(t, a, "first")
	route := sessions.RouteTarget{ID: "ses-1"}
	if _, err := a.PutTable(t.Context(), first, map[string]*cluster.Row{"chat": rowOf("chat", route)}); err != nil {
		t.Fatal(err)
	}
	route.Draining = true
	closed, err := a.PutTable(t.Context(), first, map[string]*cluster.Row{"chat": rowOf("chat", route)})
	if err != nil {
		t.Fatal(err)
	}
	leading.end()
	second, next := leads(t, a, "second")
	t.Cleanup(next.end)
	p, err := fleet.TakeOver(t.Context(), a, second, func() int { return 2 })
	if err != nil {
		t.Fatal(err)
	}
	p.Publish(map[string]*cluster.Row{"chat": rowOf("chat", route)})
	t.Cleanup(live(p.Run).end)
	clustertest.Soon(t, "who has heard of it is taken to know", func() bool { return p.Told("ses-1", closed) })
	if p.Told("ses-1", closed-1) {
		t.Error("a box that has not heard of it is taken to know")
	}
}

// A stop goes on with its grace where who asked for it decides no more; where it only has no patience left, SIGKILL follows.
func TestAStopIsLeftToWhoLeadsNext(t *testing.T) {
	client := clustertest.Start(t).Client(t)
	at := clustertest.Prefix()
	a := cluster.New(client, at)
	n := newNode("one")
	working := n.agent(t, client, at)
	reign, leading := leads(t, a, "first")
	t.Cleanup(leading.end)
	f, hears := fleetOf(t, a, reign, 0, n)
	t.Cleanup(hears.end)
	if _, err := f.Node("one").Start(t.Context(), spec("a")); err != nil {
		t.Fatal(err)
	}
	working.end() // nobody does what is said
	asking, leave := context.WithCancelCause(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- f.Node("one").Stop(asking, "a", time.Hour) }()
	grace := make(chan time.Duration, 100)
	t.Cleanup(live(func(ctx context.Context) {
		a.FollowOrders(ctx, func(orders []cluster.Order, _ bool) {
			for _, o := range orders {
				if o.Wanted != nil && o.Wanted.Stop != nil {
					grace <- o.Wanted.Stop.Grace
				}
			}
		})
	}).end)
	if got := <-grace; got != time.Hour {
		t.Errorf("it is given %s", got)
	}
	leave(sessions.ErrAskerGone)
	if err := <-stopped; !errors.Is(err, sessions.ErrAskerGone) {
		t.Errorf("who decides no more hears %v", err)
	}
	if _, err := a.WantStop(t.Context(), reign, "one", "a", cluster.Stop{Grace: time.Minute}); err != nil {
		t.Fatal(err)
	}
	if got := <-grace; got != time.Minute {
		t.Errorf("before the next one says so it is given %s", got)
	}
}
