package sessions

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/variants"
)

// publish hands the table of who can answer to Traffic, and wakes whoever waits for a change. The
// table is re-derived as a whole: there is no second book that could differ from the statuses.
func (m *Manager) publish() {
	m.publishing.Lock()
	defer m.publishing.Unlock()
	m.mu.Lock()
	table := make([]ServiceRoutes, 0, len(m.services))
	live := map[Status]int{}
	for _, s := range m.services {
		if s.Lifecycle == LifecycleActive || len(s.routes) > 0 {
			table = append(table, m.routesOf(s, live))
		}
	}
	waiters := m.change
	m.change = make(chan struct{})
	m.mu.Unlock()
	m.metrics.sessions.Reset()
	for status, n := range live {
		m.metrics.sessions.WithLabelValues(string(status)).Set(float64(n))
	}
	m.Traffic.Apply(table)
	close(waiters)
}

// routesOf derives a service's part of the table. The caller holds mu.
func (m *Manager) routesOf(s *service, live map[Status]int) ServiceRoutes {
	out := ServiceRoutes{ID: s.ID, Name: s.Name, Project: s.Project, Public: s.Public, CreatedAt: s.CreatedAt, Routing: s.Routing}
	out.Status, _ = serviceStatus(m.stateOf(s), time.Now())
	if rev := s.revision(s.Revision); rev != nil {
		out.Aliases = aliases(s.Name, rev.Launch)
	}
	count := map[RouteStatus]int{RouteHealthy: 0, RouteUnhealthy: 0, RouteProvisioning: 0, RouteDraining: 0}
	for _, r := range s.routes {
		ses, health := r.snapshot()
		status := routeStatus(ses, health)
		if ses.Alive() {
			live[ses.Status]++
			count[status]++
		}
		if ses.Address != "" && (status == RouteHealthy || status == RouteDraining) {
			out.Routes = append(out.Routes, RouteTarget{
				ID: ses.ID, Addr: ses.Address, Weight: ses.TrafficRatio, Draining: status == RouteDraining,
			})
		}
	}
	for status, n := range count {
		m.metrics.routes.With(prometheus.Labels{"service": s.Name, "status": string(status)}).Set(float64(n))
	}
	return out
}

// aliases are what a service's engine may call its model where that is not the service's name: an
// engine that is strict about names refuses any other.
func aliases(service string, launch variants.LaunchSpec) []string {
	var names []string
	for _, name := range []string{launch.ModelName, launch.Processes[0].Env["BACKEND_MODEL_NAME"]} {
		if name != "" && name != service && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Changed returns a channel that is closed at the next change of anything that views show.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.change
}
