package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// someRow is a service with some of its four routes: two bits of shape for each say that it is not there, or there, or takes nothing new.
func someRow(service int, shape byte) *cluster.Row {
	id := fmt.Sprint("svc-", service)
	row := &cluster.Row{Service: sessions.ServiceRoutes{ID: id, Name: id}, Nodes: map[string]string{}}
	for r := range 4 {
		kind := shape >> (2 * r) & 3
		if kind == 0 {
			continue
		}
		route := fmt.Sprint(id, "/", r)
		row.Service.Routes = append(row.Service.Routes, sessions.RouteTarget{ID: route, Addr: "10.0.0.2:8000", Weight: 1, Draining: kind == 3})
		row.Nodes[route] = "one"
	}
	return row
}

// closedNow are the routes that take nothing new, of all that ever were in a table.
func closedNow(table map[string]*cluster.Row, ever map[string]bool) map[string]bool {
	closed := maps.Clone(ever)
	for _, row := range table {
		for _, r := range row.Service.Routes {
			if ever[r.ID] = true; r.Draining {
				closed[r.ID] = true
			} else {
				delete(closed, r.ID)
			}
		}
	}
	return closed
}

// FuzzPublisher: whatever is published in whichever order, while some of it cannot be written, what a publisher knows by the changes is
// what a look at all of it says, and in the end all is written as it is wanted.
func FuzzPublisher(f *testing.F) {
	for seed := range uint64(20) {
		random, steps := rand.New(rand.NewPCG(seed, 7)), make([]byte, 200)
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		f.Add(steps)
	}
	f.Fuzz(func(t *testing.T, steps []byte) {
		etcd := map[string]*cluster.Row{"svc-0": someRow(0, 0b01_11_01_00)}
		ever := map[string]bool{}
		closedNow(etcd, ever)
		revision, away := int64(0), false
		p := NewPublisher(maps.Clone(etcd), func() int { return 2 }, func(_ context.Context, rows map[string]*cluster.Row) (int64, error) {
			if away {
				return 0, errors.New("etcd is away")
			}
			for id, row := range rows {
				if etcd[id] = row; row == nil {
					delete(etcd, id)
				}
			}
			revision++
			return revision, nil
		})
		table, published := map[string]*cluster.Row{}, false
		for len(steps) >= 2 {
			what, shape := steps[0], steps[1]
			steps = steps[2:]
			service := int(what & 3)
			switch id := fmt.Sprint("svc-", service); what >> 2 & 7 {
			case 0, 1, 2:
				table[id] = someRow(service, shape)
			case 3:
				delete(table, id)
			case 4, 5:
				away = shape < 64
				_, _ = p.write(t.Context(), shape&1 == 0)
				continue
			}
			p.Publish(maps.Clone(table))
			published = true
			if got, want := slices.Sorted(maps.Keys(p.closed)), slices.Sorted(maps.Keys(closedNow(table, ever))); !slices.Equal(got, want) {
				t.Fatalf("%v are closed, and not %v", got, want)
			}
		}
		if !published {
			return
		}
		away = false
		for cost := 1; cost > 0; {
			var err error
			if cost, err = p.write(t.Context(), true); err != nil {
				t.Fatal(err)
			}
		}
		if !maps.EqualFunc(etcd, table, same) {
			t.Errorf("written is %v, and not %v", etcd, table)
		}
		if len(p.differ)+len(p.late) > 0 {
			t.Errorf("%v and %v are still to be written", p.differ, p.late)
		}
		for id, at := range p.closed {
			if at == 0 {
				t.Errorf("nobody is told that %s is closed", id)
			}
		}
	})
}

// FuzzRows: rows of which most are those of before say what all would say if they were made anew.
func FuzzRows(f *testing.F) {
	f.Add([]byte("a service comes, changes, wakes, and another one goes"))
	f.Add([]byte{0, 1, 1, 5, 2, 9, 3, 13, 4, 255, 0, 85, 8, 12, 16, 20, 0, 0, 24, 3})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var rows Rows
		services, woken, where := map[string]*sessions.ServiceRoutes{}, map[string]bool{}, map[string]string{}
		wakes := func(s *sessions.ServiceRoutes) bool { return woken[s.ID] }
		located := func(session, addr string) (string, string) { return where[session], "own " + addr }
		before := map[string]*cluster.Row{}
		for len(steps) >= 2 {
			what, shape := steps[0], steps[1]
			steps = steps[2:]
			id := fmt.Sprint("svc-", what&3)
			was := services[id]
			switch what >> 2 & 3 {
			case 0, 1:
				services[id] = &someRow(int(what&3), shape).Service
				for _, r := range services[id].Routes {
					where[r.ID] = fmt.Sprint("node-", shape&7)
					if shape&7 == 0 {
						where[r.ID] = "" // it is reported later
					}
				}
			case 2:
				delete(services, id)
			case 3:
				woken[id] = !woken[id]
				for session, node := range where {
					if node == "" {
						where[session] = "node-9"
					}
				}
			}
			list := slices.Collect(maps.Values(services))
			got := rows.Of(list, wakes, located)
			var anew Rows
			if want := anew.Of(list, wakes, located); !maps.EqualFunc(got, want, same) {
				t.Fatalf("%v, and not %v", got, want)
			}
			for other, row := range got {
				if is := slices.ContainsFunc(row.Service.Routes, func(r sessions.RouteTarget) bool { return row.Nodes[r.ID] == "" }); other != id && !is && before[other] != nil && before[other] != row &&
					same(before[other], row) {
					t.Fatalf("%s is made again, though %s has changed, which was %v", other, id, was)
				}
			}
			before = got
		}
	})
}
