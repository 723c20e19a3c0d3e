package sessions

import (
	"cmp"
	"slices"
	"time"

	"github.com/palisade-run/palisade/variants"
)

// publish hands the table of who can answer to Traffic, and wakes whoever waits for a change; where nothing is marked it does neither.
// A service's row is derived anew where it is marked, and all are by every pass that looks at everything: there is no second book that
// could differ from the statuses for long. When it returns, all that was so when it was called has been shown: of many at once, one
// shows it for the others. Where that is much work a while is left between one and the next, so that it takes a third of the time at
// most while much changes.
func (m *Manager) publish() {
	asked := m.asked.Add(1)
	m.publishing.Lock()
	defer m.publishing.Unlock()
	if m.shown >= asked {
		return
	}
	time.Sleep(time.Until(m.showNext))
	m.shown = m.asked.Load()
	began := time.Now()
	defer func() {
		if took := time.Since(began); took > time.Millisecond {
			m.showNext = time.Now().Add(min(2*took, mostUnshown))
		}
	}()
	m.mu.Lock()
	if !m.update() {
		m.mu.Unlock()
		return
	}
	waiters := m.change
	m.change = make(chan struct{})
	m.mu.Unlock()
	m.metrics.sessions.Reset()
	for status, n := range m.table.live {
		if n > 0 {
			m.metrics.sessions.WithLabelValues(string(status)).Set(float64(n))
		}
	}
	for of := range m.table.touched {
		m.metrics.routes.WithLabelValues(of.service, string(of.status)).Set(float64(m.table.count[of]))
	}
	m.Traffic.Apply(m.table.services())
	close(waiters)
}

// mostUnshown is how long a change waits at most because another one was shown right before.
const mostUnshown = 50 * time.Millisecond

// rowOf derives a service's part of the table. The caller holds mu.
func (m *Manager) rowOf(s *service) tableRow {
	row := tableRow{live: map[Status]int{}, count: map[RouteStatus]int{}, coming: s.comes(), gone: s.Lifecycle != LifecycleActive && len(s.routes) == 0}
	out := &ServiceRoutes{ID: s.ID, Name: s.Name, Project: s.Project, Public: s.Public, CreatedAt: s.CreatedAt, Routing: s.Routing, ScaledBy: s.ScaledBy, ScaledAt: s.ScaledAt}
	now := time.Now()
	state := m.stateOf(s)
	out.Status, _ = serviceStatus(state, now)
	out.ReadyAt = m.readyAt(s, now)
	if s.broken && hopeless(state) {
		out.Broken, out.RetryAt = s.LastError, s.RetryAt
	}
	out.Held = s.heldUp()
	if rev := s.revision(s.Revision); rev != nil {
		out.Aliases = aliases(s.Name, rev.Launch)
	}
	for _, status := range []RouteStatus{RouteHealthy, RouteUnhealthy, RouteProvisioning, RouteDraining, RouteFailedToStart} {
		row.count[status] = 0 // shown where there is none too
	}
	for _, r := range s.routes {
		ses, health := r.snapshot()
		status := routeStatus(ses, health)
		if ses.Alive() {
			row.live[ses.Status]++
			row.count[status]++
		}
		if ses.Address != "" && (status == RouteHealthy || status == RouteDraining) {
			out.Routes = append(out.Routes, RouteTarget{
				ID: ses.ID, Addr: ses.Address, Weight: ses.TrafficRatio, Draining: status == RouteDraining, Metrics: ses.Launch.Metrics,
			})
		}
	}
	row.routes = out
	return row
}

// heldUp is what keeps a service's routes from starting: a limit or no room, in words for whoever asks the service, without saying
// whose limit it is or who has the room: the service's page says that. The caller holds mu.
func (s *service) heldUp() (why string) {
	if len(s.routes) == 0 {
		return s.short
	}
	for _, r := range s.routes {
		ses, _ := r.snapshot()
		if ses.Leaving() {
			continue
		}
		if ses.Status != StatusPending || len(ses.Waits) == 0 {
			return "" // that one is on its way
		}
		why = "the box has no room for it yet"
		for _, w := range ses.Waits {
			if w.Predicate == PredicateProjectLimit || w.Predicate == PredicateUserLimit {
				why = heldByLimit(w.Predicate == PredicateUserLimit)
			}
		}
	}
	return why
}

// heldByLimit are the words for a limit of a service's project, or of the user whose it is.
func heldByLimit(users bool) string {
	if users {
		return "a limit of its owner keeps it from starting"
	}
	return "a limit of its project keeps it from starting"
}

// hopeless reports whether starts fail, and nothing is left that could come up.
func hopeless(s ServiceState) bool {
	return s.Service.Lifecycle == LifecycleActive && s.Service.Failures > 0 &&
		!slices.ContainsFunc(s.Routes, func(r RouteState) bool { return !r.leaving() })
}

// readyAt is when the first of a service's routes that start is expected to be healthy, where none is; zero where
// none starts or nobody knows. It is never in the past. The caller holds mu.
func (m *Manager) readyAt(s *service, now time.Time) (first time.Time) {
	for _, r := range s.routes {
		ses, health := r.snapshot()
		if health.State == HealthPassing && !ses.Leaving() {
			return time.Time{}
		}
	}
	for _, r := range s.routes {
		ses, _ := r.snapshot()
		if ses.Leaving() {
			continue
		}
		if at := m.expected(s, r, ses, now); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	if first.IsZero() {
		return first
	}
	return latest(first, now.Add(time.Second))
}

// expected is when a route that starts will be healthy, as others like it were; zero: nobody knows. The caller holds mu.
func (m *Manager) expected(s *service, r *runner, ses Session, now time.Time) time.Time {
	from := now
	if !ses.HealthyAt.IsZero() {
		return time.Time{}
	}
	switch ses.Status {
	case StatusPending:
		if len(ses.Waits) > 0 {
			return time.Time{} // until others have gone
		}
	case StatusPulling:
		return time.Time{}
	case StatusCreating, StatusRunning:
		from = cmp.Or(r.startingSince(), ses.StartedAt, now)
		if ses.Task.Cluster != nil {
			from = cmp.Or(r.joinedAt(), now) // it does not load before all of it runs
		}
	}
	var device *string
	if ses.Claim != nil {
		device = new(deviceOf(m.Ledger.Pool(), ses.Claim))
	}
	took, known := m.loadTime(s, ses.Revision, device)
	if !known {
		return time.Time{}
	}
	return from.Add(took)
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
