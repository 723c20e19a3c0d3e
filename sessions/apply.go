package sessions

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// apply does one planned action; what it starts is begun by begin. What cannot be written down is not done: the next pass tries
// again. The caller holds writing.
func (m *Manager) apply(ctx context.Context, s *service, a PlanAction) error {
	m.metrics.decisions.WithLabelValues(string(a.Kind)).Inc()
	m.Log.Info("plan: "+a.String(), "service", s.ID, "name", s.Name)
	e := Event{ServiceID: s.ID, SessionID: a.Route, Kind: string(a.Kind), Message: a.Reason}
	var err error
	switch a.Kind {
	case PlanStart:
		return m.draftStart(ctx, s, a)
	case PlanDestroy:
		return m.finishDestroy(ctx, s)
	case PlanSettle:
		return m.saveService(ctx, s, (*Service).clearFailures)
	case PlanRetire:
		m.endRoute(s, a.Route, stopRequest{reason: a.Reason})
	case PlanGiveUp:
		err = m.giveUp(ctx, s, a)
	case PlanAccept:
		err = m.saveService(ctx, s, func(w *Service) { w.GoodRevision = a.Revision })
	case PlanRollBack:
		err = m.rollBack(ctx, s, a)
	}
	if err == nil {
		m.event(ctx, e)
	}
	return err
}

// saveService writes a changed copy of the service and takes it over if it was written. The caller
// holds writing.
func (m *Manager) saveService(ctx context.Context, s *service, change func(*Service)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	wanted := s.Service
	change(&wanted)
	wanted.UpdatedAt = time.Now().UTC()
	version, err := m.Store.SaveService(ctx, wanted)
	if errors.Is(err, ErrConflict) || errors.Is(err, ErrExists) {
		m.reread(ctx)
	}
	if err != nil {
		return err
	}
	wanted.Version = version
	m.mu.Lock()
	s.Service = wanted
	m.mu.Unlock()
	m.mark(s.ID, "")
	return nil
}

func (m *Manager) saveRevision(ctx context.Context, r Revision) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	return m.Store.SaveRevision(ctx, r)
}

// reread takes over what the store has. Nobody else writes services, so a write that the store refuses for
// what is in it means that an earlier one was done of which the answer was lost. The caller holds writing.
func (m *Manager) reread(ctx context.Context) {
	defer m.markAll()
	rows, err := m.Store.Services(ctx)
	if err != nil {
		m.Log.Error("services were not read again; they will be", "error", err)
		return
	}
	there := make(map[string]bool, len(rows))
	for _, row := range rows {
		there[row.ID] = true
		s := m.services[row.ID]
		if s == nil {
			s = &service{}
			if s.revisions, err = m.Store.Revisions(ctx, row.ID); err != nil {
				m.Log.Error("revisions were not read again; they will be", "service", row.ID, "error", err)
				continue
			}
		}
		m.mu.Lock()
		s.Service = row
		m.services[row.ID] = s
		m.mu.Unlock()
	}
	for id, s := range m.services {
		if !there[id] {
			m.drop(s)
		}
	}
}

// drop forgets a service. The caller holds writing.
func (m *Manager) drop(s *service) {
	m.mu.Lock()
	delete(m.services, s.ID)
	m.mu.Unlock()
	m.metrics.routes.DeletePartialMatch(prometheus.Labels{"service": s.Name})
	m.views.everything() // another one may have its name
}

// event keeps what happened. It is for people: a failure to write it stops nothing.
func (m *Manager) event(ctx context.Context, all ...Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	for i := range all {
		all[i].At = time.Now().UTC()
	}
	if err := m.Store.AddEvent(ctx, all...); err != nil {
		for _, e := range all {
			m.Log.Error("event was not written", "service", e.ServiceID, "event", e.Message, "error", err)
		}
	}
}

// Note keeps what somebody else did for a service, or could not, among its events. ErrNotFound where it is gone.
func (m *Manager) Note(ctx context.Context, serviceID, kind, message string) error {
	m.mu.Lock()
	_, there := m.services[serviceID]
	m.mu.Unlock()
	if !there {
		return fmt.Errorf("service %s %w", serviceID, ErrNotFound)
	}
	ctx, cancel := context.WithTimeout(ctx, m.Timeouts.Save)
	defer cancel()
	return m.Store.AddEvent(ctx, Event{ServiceID: serviceID, At: time.Now().UTC(), Kind: kind, Message: message})
}

// countFailure writes down that a start has failed. cameUp: it answered for a while. The caller holds writing.
func (m *Manager) countFailure(ctx context.Context, s *service, cameUp bool, why string) error {
	m.mu.Lock()
	s.broken = !cameUp
	m.mu.Unlock()
	m.mark(s.ID, "")
	return m.saveService(ctx, s, func(w *Service) {
		w.Failures++
		w.LastError = why
		w.RetryAt = time.Now().UTC().Add(Backoff(w.Failures, rand.Float64()))
	})
}

// endRoute asks a route's session to end. The caller holds writing.
func (m *Manager) endRoute(s *service, id string, req stopRequest) {
	for _, r := range s.routes {
		if r.id == id {
			r.end(req, false)
		}
	}
}

// giveUp ends a route that is no good. Whether that is a failed start is known now, and is counted now:
// counted when it has been stopped, its replacement would have started without back-off.
func (m *Manager) giveUp(ctx context.Context, s *service, a PlanAction) error {
	m.endRoute(s, a.Route, stopRequest{reason: a.Reason})
	i := slices.IndexFunc(s.routes, func(r *runner) bool { return r.id == a.Route })
	if i < 0 {
		return nil
	}
	ses, _ := s.routes[i].snapshot()
	if ses.Revision != s.Revision || settledIn(ses) {
		return nil
	}
	return m.countFailure(ctx, s, !ses.HealthyAt.IsZero(), failureOf(ses, a.Reason))
}

// ended takes in that a session cannot go on. One that nobody asked to end, and that had not been healthy
// for long enough, is a failed start.
func (m *Manager) ended(s Session, stop *stopRequest) {
	if s.IsSub() {
		return // its route ends for it, and that is told
	}
	if stop != nil || settledIn(s) { // nothing is counted: where a box with hundreds of them has died, plans do not wait until all are told of
		m.mu.Lock()
		sv := m.services[s.ServiceID]
		tell := sv != nil && sv.Lifecycle == LifecycleActive
		m.mu.Unlock()
		if tell {
			m.event(m.ctx, Event{ServiceID: s.ServiceID, SessionID: s.ID, Kind: "ended", Message: s.Reason})
		}
		return
	}
	// The wait is bounded by those who hold it. The daemon's end does not cut it: what is not counted now never is.
	if err := m.take(context.Background()); err != nil {
		return
	}
	defer m.give()
	sv := m.services[s.ServiceID]
	if sv == nil || sv.Lifecycle != LifecycleActive {
		return
	}
	m.event(m.ctx, Event{ServiceID: sv.ID, SessionID: s.ID, Kind: "ended", Message: s.Reason})
	if s.Revision == sv.Revision {
		if err := m.countFailure(m.ctx, sv, !s.HealthyAt.IsZero(), failureOf(s, s.Reason)); err != nil {
			m.Log.Error("failed start was not counted", "service", sv.ID, "session", s.ID, "error", err)
		}
	}
}

// failureOf is why a start counts as failed, which it does also where the session was healthy for a while.
func failureOf(s Session, why string) string {
	if s.HealthyAt.IsZero() {
		return why
	}
	return fmt.Sprintf("it was healthy, but for less than %s: %s", settledAfter, why)
}

// settledIn reports whether a session has been healthy for long enough to count as one that came up.
func settledIn(s Session) bool {
	return !s.HealthyAt.IsZero() && time.Since(s.HealthyAt) >= settledAfter
}

// rollBack makes the action's revision the wanted one again. The caller holds writing.
func (m *Manager) rollBack(ctx context.Context, s *service, a PlanAction) error {
	failed := s.revision(s.Revision)
	if failed == nil {
		return errors.New("the wanted revision is not known")
	}
	marked := *failed
	marked.Failed = a.Reason
	if err := m.saveRevision(ctx, marked); err != nil {
		return err
	}
	m.mu.Lock()
	*failed = marked
	m.mu.Unlock()
	return m.saveService(ctx, s, func(w *Service) {
		w.Revision = a.Revision
		w.clearFailures()
		w.LastError = fmt.Sprintf("rolled back to revision %d: %s", a.Revision, a.Reason)
	})
}

// finishDestroy forgets a service of which nothing runs any more. The caller holds writing.
func (m *Manager) finishDestroy(ctx context.Context, s *service) error {
	if m.Destroyed != nil {
		removing, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
		defer cancel()
		if err := m.Destroyed(removing, s.ID); err != nil {
			return err
		}
	}
	if err := m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleDestroyed }); err != nil {
		return err
	}
	m.event(ctx, Event{ServiceID: s.ID, Kind: "destroyed", Message: "nothing of it runs any more"})
	m.drop(s)
	return nil
}
