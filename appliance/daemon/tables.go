package daemon

import (
	"maps"
	"net"
	"slices"
	"strconv"

	"github.com/palisade-run/palisade/appliance/cluster"
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// site is a box, as a table is made for it.
type site struct {
	name  string
	alive func(node string) bool          // whether another box is heard of
	own   func(session, addr string) bool // whether a route of this box is to be believed
	// doubted and silent tell whether another box did not answer this one when it was asked last, or more than once, though it is heard of.
	doubted, silent func(node string) bool
	// reach is how a route on another box is reached from this one; an error where it is not.
	reach func(node, session string, ports ...int) (ip string, err error)
}

// tableFor is what a box routes by: its own routes by their addresses, and those of others by a way there. Those of boxes that are not
// heard of are lost, and of boxes that are silent as well, where a service has others; those of a box that only may be get nothing new
// then: a box that is slow for a moment does what it has.
func tableFor(rows map[string]*cluster.Row, at site) []router.Service {
	table := make([]router.Service, 0, len(rows))
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		row := rows[id]
		s := serviceOf(&row.Service, row.Wakes)
		s.Routes = nil
		doubted, silent, others := map[int]bool{}, map[int]bool{}, false
		for _, r := range row.Service.Routes {
			node := row.Nodes[r.ID]
			route := router.Route{ID: r.ID, Addr: r.Addr, Weight: r.Weight, Draining: r.Draining}
			if (node == "" || node == at.name) && at.own != nil && !at.own(r.ID, r.Addr) {
				continue
			}
			if node != "" && node != at.name {
				host, port, err := net.SplitHostPort(r.Addr)
				n, numeric := strconv.Atoi(port)
				if err != nil || numeric != nil || host == "" {
					continue
				}
				ip, err := at.reach(node, r.ID, n)
				if err != nil {
					continue
				}
				route.Addr, route.Far, route.Lost = net.JoinHostPort(ip, port), true, !at.alive(node)
				doubted[len(s.Routes)], silent[len(s.Routes)] = at.doubted(node), at.silent(node)
			}
			others = others || !route.Draining && !route.Lost && !doubted[len(s.Routes)] && !silent[len(s.Routes)] && route.Weight > 0
			s.Routes = append(s.Routes, route)
		}
		for i := range s.Routes {
			r := &s.Routes[i]
			r.Lost = r.Lost || others && silent[i]
			if r.Lost || others && doubted[i] { // lost ones for routers of before as well, which know of none
				r.Weight = 0
			}
		}
		table = append(table, s)
	}
	return table
}

// serviceOf says in the router's words what a service is.
func serviceOf(s *sessions.ServiceRoutes, wakes bool) router.Service {
	out := router.Service{ID: s.ID, Name: s.Name, Project: s.Project, Aliases: s.Aliases, Public: s.Public, CreatedAt: s.CreatedAt, Status: string(s.Status)}
	out.ReadyAt, out.Broken, out.RetryAt, out.Held = s.ReadyAt, s.Broken, s.RetryAt, s.Held
	out.Zero = s.Status == sessions.ServiceIdle
	out.Wakes = wakes
	out.Traffic = trafficOf(s, out.Zero && !out.Wakes)
	for _, r := range s.Routes {
		out.Routes = append(out.Routes, router.Route{ID: r.ID, Addr: r.Addr, Weight: r.Weight, Draining: r.Draining})
	}
	return out
}

// standsOf are for who answers requests of before.
func standsOf(table []router.Service) map[string]standing {
	stands := make(map[string]standing, len(table))
	for _, s := range table {
		stands[s.ID] = standing{s.Routes, outlook{s.ReadyAt, s.Broken, s.RetryAt, s.Held}}
	}
	return stands
}
