package fleet_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/appliance/cluster/fleet"
	"github.com/palisade-run/palisade/sessions"
)

// rowOf is a service with routes, all on one box.
func rowOf(id string, routes ...sessions.RouteTarget) *cluster.Row {
	row := &cluster.Row{Service: sessions.ServiceRoutes{ID: id, Name: id, Routes: routes}, Nodes: map[string]string{}}
	for _, r := range routes {
		row.Nodes[r.ID] = "one"
	}
	return row
}

// What is expected of routes that are not there yet changes all the time: that alone is written now and then.
func TestTheTableIsWrittenWhereItChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		writes := 0
		p := fleet.NewPublisher(map[string]*cluster.Row{}, func() int { return 2 }, func(_ context.Context, rows map[string]*cluster.Row) (int64, error) {
			writes += len(rows)
			return 1, nil
		})
		go p.Run(ctx)
		row := rowOf("chat")
		for i := range 100 {
			again := *row
			again.Service.ReadyAt = time.Now().Add(time.Duration(i) * time.Second)
			p.Publish(map[string]*cluster.Row{"chat": &again})
			time.Sleep(100 * time.Millisecond)
		}
		synctest.Wait()
		if writes < 2 || writes > 4 {
			t.Errorf("%d writes in 10 s", writes)
		}
		p.Publish(map[string]*cluster.Row{})
		synctest.Wait()
		before := writes
		p.Publish(map[string]*cluster.Row{})
		synctest.Wait()
		if writes != before {
			t.Error("no news was written")
		}
		cancel()
	})
}

// Where much changes at once on many boxes, routes that come beside others wait, and are written together; what goes, and the first
// route of a service, does not.
func TestTheTableIsWrittenAsFastAsBoxesReadIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var mu sync.Mutex // for the race detector: what a timer wakes is not ordered after who read before
		written, writes := map[string]*cluster.Row{}, 0
		p := fleet.NewPublisher(map[string]*cluster.Row{}, func() int { return 1000 }, func(_ context.Context, rows map[string]*cluster.Row) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			for id, row := range rows {
				written[id] = row
				writes++
			}
			return int64(writes), nil
		})
		go p.Run(ctx)
		table := map[string]*cluster.Row{}
		has := func(id string) []sessions.RouteTarget {
			mu.Lock()
			defer mu.Unlock()
			return written[id].Service.Routes
		}
		wrote := func() int {
			mu.Lock()
			defer mu.Unlock()
			return writes
		}
		show := func() {
			p.Publish(maps.Clone(table))
			synctest.Wait()
		}
		routes := func(n int) (all []sessions.RouteTarget) {
			for i := range n {
				all = append(all, sessions.RouteTarget{ID: fmt.Sprint("r", i), Addr: "10.0.0.2:8000"})
			}
			return all
		}
		for i := range 1000 {
			id := fmt.Sprint("s", i)
			table[id] = rowOf(id, routes(1)...)
		}
		show()
		if n := wrote(); n != 1000 {
			t.Fatalf("%d first routes of 1000 services are written", n)
		}
		began := time.Now()
		for n := 2; n <= 10; n++ {
			for id := range table {
				table[id] = rowOf(id, routes(n)...)
			}
			show()
		}
		if n := wrote(); n != 1000 {
			t.Errorf("%d more routes do not wait", n-1000)
		}
		table["s0"] = rowOf("s0", routes(1)...) // those beside it were not told yet: nothing is closed
		table["s1"] = rowOf("s1", sessions.RouteTarget{ID: "r0", Addr: "10.0.0.2:8000", Draining: true})
		show()
		time.Sleep(250 * time.Millisecond) // each box is told four times a second at most
		synctest.Wait()
		if !has("s1")[0].Draining {
			t.Error("a route that takes nothing new is shown as one that does")
		}
		for len(has("s2")) != 10 {
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("routes wait %s", took)
		}
		synctest.Wait()
		if n := wrote(); n > 2000 {
			t.Errorf("%d writes for 1000 services that got nine routes more", n-1000)
		}
	})
}

// On few boxes nothing waits that anybody would notice.
func TestAFewBoxesReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		last := 0
		p := fleet.NewPublisher(map[string]*cluster.Row{}, func() int { return 5 }, func(_ context.Context, rows map[string]*cluster.Row) (int64, error) {
			last = len(rows["chat"].Service.Routes)
			return 1, nil
		})
		go p.Run(ctx)
		var routes []sessions.RouteTarget
		for i := range 50 {
			routes = append(routes, sessions.RouteTarget{ID: fmt.Sprint("r", i)})
			p.Publish(map[string]*cluster.Row{"chat": rowOf("chat", routes...)})
			time.Sleep(20 * time.Millisecond)
			synctest.Wait()
			if last != i+1 {
				t.Fatalf("%d routes are written of %d", last, i+1)
			}
		}
	})
}
