package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/door"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// rowOf is a service with routes, each on a box: "a@one".
func rowOf(id string, routes map[string]string) *cluster.Row {
	row := &cluster.Row{Service: sessions.ServiceRoutes{ID: id, Name: id}, Nodes: map[string]string{}}
	for _, route := range slices.Sorted(maps.Keys(routes)) {
		row.Nodes[route] = routes[route]
		row.Service.Routes = append(row.Service.Routes, sessions.RouteTarget{ID: route, Addr: "10.0.0.2:8000", Weight: 1})
	}
	return row
}

func never(string) bool { return false }

func TestTableFor(t *testing.T) {
	rows := map[string]*cluster.Row{
		"chat":  rowOf("chat", map[string]string{"a": "one", "b": "two", "c": "three", "d": "dead"}),
		"empty": rowOf("empty", nil),
		"far":   rowOf("far", map[string]string{"e": "four", "f": "four"}),
		"wide":  rowOf("wide", map[string]string{"g": "two", "h": "four", "i": "slow"}),
	}
	at := func(name string) site {
		return site{
			name: name, alive: func(node string) bool { return node != "dead" }, doubted: func(node string) bool { return node == "four" || node == "slow" }, silent: func(node string) bool { return node == "four" },
			reach: func(node, session string, ports ...int) (string, error) {
				if node == "three" {
					return "", errors.New("no address is free")
				}
				return "127.77.1." + fmt.Sprint(len(node)), nil
			},
		}
	}
	routes := func(name string) (out []router.Route) {
		for _, s := range tableFor(rows, at(name)) {
			out = append(out, s.Routes...)
		}
		return out
	}
	own := func(id string) router.Route { return router.Route{ID: id, Addr: "10.0.0.2:8000", Weight: 1} }
	far := func(id string, n int) router.Route {
		return router.Route{ID: id, Addr: fmt.Sprintf("127.77.1.%d:8000", n), Weight: 1, Far: true}
	}
	lost := func(r router.Route) router.Route {
		r.Weight, r.Lost = 0, true
		return r
	}
	slow := router.Route{ID: "i", Addr: "127.77.1.4:8000", Far: true} // it does what it has
	want := map[string][]router.Route{
		// A box that does not answer is asked all the same where nobody else is there.
		"one": {own("a"), far("b", 3), lost(far("d", 4)), far("e", 4), far("f", 4), far("g", 3), lost(far("h", 4)), slow},
		"two": {far("a", 3), own("b"), lost(far("d", 4)), far("e", 4), far("f", 4), own("g"), lost(far("h", 4)), slow},
		// One that the others do not hear of has its own routes all the same.
		"dead": {far("a", 3), far("b", 3), own("d"), far("e", 4), far("f", 4), far("g", 3), lost(far("h", 4)), slow},
	}
	for name, want := range want {
		if diff := cmp.Diff(want, routes(name)); diff != "" {
			t.Errorf("on %s (-want +got):\n%s", name, diff)
		}
	}
}

// A box that may not have read that a route is closed counts as one with a request there; once it has, its requests count.
func TestADrainWaitsForAllBoxes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		revision, fails := int64(10), true
		p := fleet.NewPublisher(map[string]*cluster.Row{}, func() int { return 2 }, func(_ context.Context, rows map[string]*cluster.Row) (int64, error) {
			if fails {
				return 0, errors.New("etcd is away")
			}
			revision++
			return revision, nil
		})
		go p.Run(ctx)
		other := &peer{name: "two", over: ctx.Done(), told: p.Told, living: func(string) bool { return true }}
		fails = false
		p.Publish(map[string]*cluster.Row{"chat": rowOf("chat", map[string]string{"a": "one", "b": "two"})})
		synctest.Wait()
		other.hear(door.Load{Revision: revision}, carried{})
		if n := other.flying("a"); n != 0 {
			t.Errorf("%d in flight on an open route", n)
		}
		fails = true
		p.Publish(map[string]*cluster.Row{"chat": rowOf("chat", map[string]string{"b": "two"})})
		synctest.Wait()
		other.hear(door.Load{Revision: 1 << 40}, carried{})
		if n := other.flying("a"); n != 1 {
			t.Errorf("%d in flight while nobody could be told that it is closed", n)
		}
		fails = false
		time.Sleep(time.Second) // it is tried again
		synctest.Wait()
		other.hear(door.Load{Revision: revision - 1}, carried{})
		if n := other.flying("a"); n != 1 {
			t.Errorf("%d in flight of a box that has not read it", n)
		}
		other.hear(door.Load{Revision: revision, Flying: map[string]int{"a": 3}}, carried{})
		if n := other.flying("a"); n != 3 {
			t.Errorf("%d in flight, want its own 3", n)
		}
		other.hear(door.Load{Revision: revision}, carried{})
		if n := other.flying("a"); n != 0 {
			t.Errorf("%d in flight, all is done", n)
		}
		cancel()
	})
}

// Requests that other boxes let through count from when they were heard of, and go on when their routers begin anew.
func TestPeersCount(t *testing.T) {
	ps := &peers{}
	over := make(chan struct{})
	p := ps.of("two", func() *peer {
		return &peer{name: "two", over: over, told: func(string, int64) bool { return true }, living: func(string) bool { return true }}
	})
	say := func(began int64, total uint64) {
		p.hear(door.Load{}, carried{Began: began, Totals: map[string]uint64{"chat": total}})
	}
	say(1, 1000)
	say(1, 1010)
	say(2, 5) // it began anew
	say(2, 7)
	if got := ps.totals()["chat"]; got != 17 {
		t.Errorf("%d requests, want 17", got)
	}
	if p.gone() {
		t.Error("gone while it lives")
	}
	close(over)
	if !p.gone() {
		t.Error("it outlives the life that heard of it")
	}
}
