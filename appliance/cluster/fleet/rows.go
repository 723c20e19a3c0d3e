package fleet

import (
	"maps"
	"slices"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/sessions"
)

// Rows makes rows of what sessions say. The row of a service that is as it was is the very one that was made before: a Publisher does not
// look at it again. The zero value has made none.
type Rows struct {
	made map[string]made // by service
}

// made is a row, and what it was made of.
type made struct {
	of  *sessions.ServiceRoutes
	row *cluster.Row
}

// Of are services as all boxes are to route to them, by id: each has its routes on the nodes, and at the addresses there, that located
// says, and wakes tells whether a request that waits for it has a route started. Where a route is is asked when its service has
// changed; as long as that is not known (""), each time.
func (r *Rows) Of(services []*sessions.ServiceRoutes, wakes func(*sessions.ServiceRoutes) bool, located func(session, addr string) (node, own string)) map[string]*cluster.Row {
	if r.made == nil {
		r.made = map[string]made{}
	}
	rows := make(map[string]*cluster.Row, len(services))
	for _, s := range services {
		woken := wakes(s)
		if was := r.made[s.ID]; was.of == s && was.row.Wakes == woken {
			rows[s.ID] = was.row
			continue
		}
		row := &cluster.Row{Service: *s, Nodes: make(map[string]string, len(s.Routes)), Wakes: woken}
		row.Service.Routes = slices.Clone(s.Routes)
		known := true
		for i := range row.Service.Routes {
			t := &row.Service.Routes[i]
			row.Nodes[t.ID], t.Addr = located(t.ID, t.Addr)
			known = known && row.Nodes[t.ID] != ""
		}
		rows[s.ID] = row
		if r.made[s.ID] = (made{s, row}); !known {
			delete(r.made, s.ID)
		}
	}
	maps.DeleteFunc(r.made, func(id string, _ made) bool { return rows[id] == nil })
	return rows
}
