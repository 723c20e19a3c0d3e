package daemon

import (
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/sessions"
)

// traffic is the router as sessions see it: InFlight and WaitIdle are the router's own.
type traffic struct{ *router.Router }

var _ sessions.Traffic = traffic{}

// Apply says in the router's words who can answer.
func (t traffic) Apply(services []sessions.ServiceRoutes) {
	table := make([]router.Service, len(services))
	for i, s := range services {
		table[i] = router.Service{ID: s.ID, Name: s.Name, Project: s.Project, Aliases: s.Aliases, Public: s.Public, CreatedAt: s.CreatedAt, Status: string(s.Status)}
		for _, r := range s.Routes {
			table[i].Routes = append(table[i].Routes, router.Route{ID: r.ID, Addr: r.Addr, Weight: r.Weight, Draining: r.Draining})
		}
	}
	t.SetServices(table)
}
