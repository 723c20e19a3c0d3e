package sessions

import (
	"context"
	"maps"
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
	out := ServiceRoutes{ID: s.ID, Name: s.Name, Project: s.Project, Public: s.Public, CreatedAt: s.CreatedAt}
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

const (
	keepEndedPerService = 10             // ended sessions of a service whose logs stay readable
	keepEndedFor        = 24 * time.Hour // of services that are gone
)

// expired returns the ended sessions that nobody needs any more: beyond the newest few of each
// service, and those of services that went long ago. The caller holds mu.
func (m *Manager) expired(now time.Time) []*runner {
	ended := map[string][]*runner{}
	for _, r := range m.sessions {
		s, _ := r.snapshot()
		select {
		case <-r.done:
		default:
			continue
		}
		if s.Status.Terminal() {
			ended[s.ServiceID] = append(ended[s.ServiceID], r)
		}
	}
	var out []*runner
	for id, rs := range ended {
		slices.SortFunc(rs, func(a, b *runner) int { return b.session.EndedAt.Compare(a.session.EndedAt) })
		for i, r := range rs {
			gone := m.services[id] == nil && now.Sub(r.session.EndedAt) > keepEndedFor
			if i >= keepEndedPerService || gone {
				out = append(out, r)
			}
		}
	}
	return out
}

// forget removes an ended session with its log. It is tried again at the next pass if it fails.
func (m *Manager) forget(ctx context.Context, r *runner) {
	ctx, cancel := context.WithTimeout(ctx, m.Timeouts.Save)
	defer cancel()
	if err := m.Runtime.Remove(ctx, r.id); err != nil {
		m.Log.Error("old session was not removed; it will be", "session", r.id, "error", err)
		return
	}
	if err := m.Store.DeleteSession(ctx, r.id); err != nil {
		m.Log.Error("old session's row was not removed; it will be", "session", r.id, "error", err)
		return
	}
	m.mu.Lock()
	delete(m.sessions, r.id)
	m.mu.Unlock()
}

// Adopt reads what is wanted from the store and what runs from the runtime, and brings them together:
// sessions that run are watched again, those that ended meanwhile are seen, and instances that nobody
// knows are stopped. It must return before Run and before anything is asked of the manager.
func (m *Manager) Adopt(ctx context.Context) error {
	services, err := m.Store.Services(ctx)
	if err != nil {
		return err
	}
	for _, sv := range services {
		revisions, err := m.Store.Revisions(ctx, sv.ID)
		if err != nil {
			return err
		}
		m.services[sv.ID] = &service{Service: sv, revisions: revisions}
	}
	sessions, err := m.Store.Sessions(ctx)
	if err != nil {
		return err
	}
	instances, err := m.Runtime.List(ctx)
	if err != nil {
		return err
	}
	running := map[string]*Instance{}
	for i := range instances {
		running[instances[i].ID] = &instances[i]
	}
	m.mu.Lock()
	for _, s := range sessions {
		m.adopt(s, running[s.ID])
		delete(running, s.ID)
	}
	m.mu.Unlock()
	m.sweep(ctx, slices.Collect(maps.Values(running)))
	m.publish()
	return nil
}

// adopt takes one recorded session over. The caller holds mu.
func (m *Manager) adopt(s Session, in *Instance) {
	r := newRunner(m.runnerDeps(), s)
	m.sessions[s.ID] = r
	if r.told = over(s); s.Status.Terminal() {
		close(r.done)
		return
	}
	switch s.Status {
	case StatusCreating:
		r.adopted = in
	case StatusRunning:
		if in != nil && in.Running {
			r.session.PID, r.session.Address = in.PID, routeAddress(s, *in)
			r.health = remembered(s, time.Now())
		}
	case StatusTerminating, StatusPreempted:
		r.stop = &stopRequest{reason: s.Reason}
	}
	if sv := m.services[s.ServiceID]; sv != nil {
		sv.routes = append(sv.routes, r)
	} else if s.Type == TypeInference {
		r.end(stopRequest{reason: "its service is gone"}, false)
	}
	m.launch(r)
}

// remembered is the health of a session that has been healthy before the daemon restarted: it gets
// traffic at once, for a restart is no reason to refuse requests, and loses it at the first probe that
// fails.
func remembered(s Session, now time.Time) Health {
	if s.HealthyAt.IsZero() {
		return Health{}
	}
	h := Health{State: HealthPassing, Since: now, FirstAt: s.HealthyAt, Detail: "healthy before the daemon restarted"}
	if s.Launch.Health != nil {
		h.Failures = s.Launch.Health.MaxRetries
	}
	return h
}

// sweep ends and removes instances that no row knows, such as one whose row could not be written.
func (m *Manager) sweep(ctx context.Context, orphans []*Instance) {
	for _, in := range orphans {
		m.Log.Warn("an instance that nobody knows is removed", "session", in.ID)
		m.wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Stop+m.Timeouts.StopGrace)
			defer cancel()
			if err := m.Runtime.Stop(ctx, in.ID, m.Timeouts.StopGrace); err != nil {
				m.Log.Error("stopping an unknown instance", "session", in.ID, "error", err)
				return
			}
			if err := m.Runtime.Remove(ctx, in.ID); err != nil {
				m.Log.Error("removing an unknown instance", "session", in.ID, "error", err)
			}
		})
	}
}
