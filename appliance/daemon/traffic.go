package daemon

import (
	"github.com/palisade-run/palisade/router"
	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/repeat"
	"github.com/palisade-run/palisade/router/waiting"
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
		table[i].Traffic = trafficOf(s)
		for _, r := range s.Routes {
			table[i].Routes = append(table[i].Routes, router.Route{ID: r.ID, Addr: r.Addr, Weight: r.Weight, Draining: r.Draining})
		}
	}
	t.SetServices(table)
}

// trafficOf says in the router's words how requests find a service's routes. Nobody waits for a service that
// its owner has scaled to zero: no route is on its way.
func trafficOf(s sessions.ServiceRoutes) router.Traffic {
	r := s.Routing
	kind, _ := balance.ParseKind(r.Balance) // it was checked when it was set
	t := router.Traffic{
		Balance:        balance.Settings{Policy: kind, Limit: r.MaxInFlight},
		AffinityHeader: r.AffinityHeader, AffinityCookie: r.AffinityCookie,
		Repeat: repeat.Settings{Window: r.RepeatWindow}, AskUsage: r.Usage != sessions.UsageOff, Capture: r.Capture,
	}
	if s.Status != sessions.ServiceIdle {
		t.Hold = waiting.Settings{Most: r.Held(), Timeout: r.HoldTimeout}
	}
	return t
}
