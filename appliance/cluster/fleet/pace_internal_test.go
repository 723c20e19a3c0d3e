package fleet

import (
	"fmt"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

func TestHowSoonARowIsWritten(t *testing.T) {
	row := func(change func(*cluster.Row), routes ...sessions.RouteTarget) *cluster.Row {
		r := &cluster.Row{Service: sessions.ServiceRoutes{ID: "chat", Routes: routes}, Nodes: map[string]string{}}
		for _, t := range routes {
			r.Nodes[t.ID] = "one"
		}
		if change != nil {
			change(r)
		}
		return r
	}
	a, b := sessions.RouteTarget{ID: "a", Addr: "10.0.0.2:8000"}, sessions.RouteTarget{ID: "b", Addr: "10.0.0.3:8000"}
	draining := a
	draining.Draining = true
	for name, c := range map[string]struct {
		was, is *cluster.Row
		before  time.Duration
		want    haste
	}{
		"a service without routes":      {is: row(nil), want: beside},
		"a service with one":            {is: row(nil, a), want: atOnce},
		"the same":                      {was: row(nil, a), is: row(nil, a), want: none},
		"the same, as it is read back":  {was: row(func(r *cluster.Row) { r.Nodes = nil }), is: row(nil), want: none},
		"the first route":               {was: row(nil), is: row(nil, a), want: atOnce},
		"one more":                      {was: row(nil, a), is: row(nil, a, b), want: beside},
		"one less":                      {was: row(nil, a, b), is: row(nil, a), want: atOnce},
		"one that closes":               {was: row(nil, a), is: row(nil, draining), want: atOnce},
		"one that is closed goes":       {was: row(nil, draining, b), is: row(nil, b), want: beside},
		"one that opens again":          {was: row(nil, draining, b), is: row(nil, a, b), want: beside},
		"another name":                  {was: row(nil, a), is: row(func(r *cluster.Row) { r.Service.Name = "talk" }, a), want: beside},
		"it wakes":                      {was: row(nil), is: row(func(r *cluster.Row) { r.Wakes = true }), want: beside},
		"what keeps its routes":         {was: row(nil), is: row(func(r *cluster.Row) { r.Service.Held = "no room" }), want: telling},
		"its status":                    {was: row(nil), is: row(func(r *cluster.Row) { r.Service.Status = "starting" }), want: telling},
		"what is expected, just said":   {was: row(nil), is: row(func(r *cluster.Row) { r.Service.ReadyAt = time.Unix(7, 0) }), before: time.Second, want: none},
		"what is expected, said before": {was: row(nil), is: row(func(r *cluster.Row) { r.Service.ReadyAt = time.Unix(7, 0) }), before: outlookEvery, want: telling},
	} {
		if got := hasteOf(c.was, c.is, c.before); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

func TestHowManyRowsAreWrittenAtATime(t *testing.T) {
	some := func(n int, h haste, late time.Duration) (all []pending) {
		for i := range n {
			all = append(all, pending{id: fmt.Sprint(h, i), haste: h, late: late, cost: 1000})
		}
		return all
	}
	for name, c := range map[string]struct {
		waiting       []pending
		bytes         int
		routes, tells int
	}{
		"nothing":                      {bytes: 1000},
		"all of it fits":               {append(some(20, beside, 0), some(20, telling, 0)...), 1 << 20, 20, 20},
		"as much as fits":              {some(20, beside, 0), 5500, 5, 0},
		"one at least of each":         {append(some(20, telling, time.Hour), some(2, beside, 0)...), 10, 1, 1},
		"a small part of what is told": {some(20, telling, time.Hour), 32_000, 0, 4},
		"to be done with all in time":  {some(1000, beside, 0), 5000, 100, 0},
		"with what is left":            {some(500, beside, 5*time.Second), 5000, 100, 0},
		"and all when it is time":      {some(200, beside, 9*time.Second), 5000, 200, 0},
		"what came later waits":        {append(some(50, beside, 9*time.Second), some(500, beside, 0)...), 1, 55, 0},
		"or late":                      {some(200, beside, time.Minute), 5000, 200, 0},
	} {
		routes, tells := 0, 0
		for _, p := range admit(c.waiting, c.bytes) {
			if p.haste == beside {
				routes++
			} else {
				tells++
			}
		}
		if routes != c.routes || tells != c.tells {
			t.Errorf("%s: %d and %d, want %d and %d", name, routes, tells, c.routes, c.tells)
		}
	}
	late := append(some(3, beside, time.Second), pending{id: "z", haste: beside, late: 2 * time.Second, cost: 1000})
	if got := admit(late, 1000); len(got) != 1 || got[0].id != "z" {
		t.Errorf("first goes %v", got)
	}
}

// The next write follows when all boxes may be told again, or later where etcd took long and many wait for it.
func TestNextAfter(t *testing.T) {
	began := time.Unix(1000, 0)
	for _, c := range []struct {
		boxes      int
		took, want time.Duration // after it began
	}{
		{3, time.Millisecond, 2 * time.Millisecond},
		{3, 4 * time.Second, 4*time.Second + 3*time.Millisecond},
		{1000, 10 * time.Millisecond, gap(1000)},
		{1000, 200 * time.Millisecond, 400 * time.Millisecond},
		{1000, 4 * time.Second, 4*time.Second + mostBusy},
		{5000, 4 * time.Second, 4*time.Second + mostBusy},
	} {
		if got := nextAfter(began, began.Add(c.took), c.boxes).Sub(began); got != c.want {
			t.Errorf("%d boxes, a write of %s: the next one after %s, want %s", c.boxes, c.took, got, c.want)
		}
	}
}
