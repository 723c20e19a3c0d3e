package sessions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/variants"
)

// Deps are what a manager needs of others.
type Deps struct {
	Store     Store
	Runtime   Runtime
	Observer  Observer
	Traffic   Traffic
	Folders   FolderFinder
	Variants  *variants.Table
	Probe     Prober                // nil: Probe
	Registry  prometheus.Registerer // nil: no metrics
	Log       *slog.Logger
	Timeouts  Timeouts                                    // zero fields get defaults
	Policy    Policy                                      // of services whose owner says nothing; zero: DefaultPolicy
	Destroyed func(ctx context.Context, serviceID string) // a service is gone for good; may be nil
}

// FolderFinder finds a folder by id or name.
type FolderFinder interface {
	Find(ctx context.Context, project, ref string) (catalog.Folder, error)
}

// Timeouts bound what has no other bound.
type Timeouts struct {
	Pull      time.Duration // an image; default 6 h
	Start     time.Duration // Runtime.Start; default 2 min
	StopGrace time.Duration // SIGTERM to SIGKILL, after the drain; default 10 s
	Stop      time.Duration // beyond the grace, until everything is gone; default 1 min
	Save      time.Duration // one write to the store; default 10 s
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, to time.Duration) {
		if *d <= 0 {
			*d = to
		}
	}
	set(&t.Pull, 6*time.Hour)
	set(&t.Start, 2*time.Minute)
	set(&t.StopGrace, 10*time.Second)
	set(&t.Stop, time.Minute)
	set(&t.Save, 10*time.Second)
	return t
}

// Manager keeps services as their owners want them. It is the only writer of services; each
// session's runner is the only writer of the session's status.
//
// Lock order: publishing, then mu, then a runner's own.
type Manager struct {
	Deps
	metrics *metrics
	poked   chan struct{} // of size 1: look again now
	wg      sync.WaitGroup
	ctx     context.Context // of Run; runners live in it
	cancel  context.CancelFunc

	mu       sync.Mutex
	services map[string]*service
	sessions map[string]*runner // all that are kept, ended ones too
	closing  bool

	publishing sync.Mutex
	change     chan struct{} // closed and replaced at every change; guarded by mu
}

// service is what the manager holds of one service.
type service struct {
	Service
	revisions []Revision // oldest first
	routes    []*runner  // live ones, oldest first
}

func (s *service) revision(number int) *Revision {
	for i := range s.revisions {
		if s.revisions[i].Number == number {
			return &s.revisions[i]
		}
	}
	return nil
}

// NewManager returns a manager that knows nothing yet: Adopt comes first, then Run.
func NewManager(d Deps) *Manager {
	if d.Probe == nil {
		d.Probe = Probe
	}
	if d.Policy == (Policy{}) {
		d.Policy = DefaultPolicy()
	}
	d.Timeouts = d.Timeouts.withDefaults()
	m := &Manager{
		Deps: d, metrics: newMetrics(d.Registry), poked: make(chan struct{}, 1),
		services: map[string]*service{}, sessions: map[string]*runner{}, change: make(chan struct{}),
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Run decides until ctx ends; then it waits until every runner has let go of its session. Sessions go
// on running.
func (m *Manager) Run(ctx context.Context) error {
	defer m.wg.Wait()
	defer m.cancel()
	defer m.close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-m.poked:
		case <-timer.C:
		}
		timer.Reset(m.pass(ctx, time.Now()))
	}
}

func (m *Manager) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closing = true
}

// poke asks for a pass soon. Passes re-derive everything, so one that is already asked for is enough.
func (m *Manager) poke() {
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// passEvery is how often services are looked at though nothing is known to have happened.
const passEvery = 10 * time.Second

// pass looks at every service once, does what Plan says, and returns when to look again.
func (m *Manager) pass(ctx context.Context, now time.Time) time.Duration {
	started := time.Now()
	wait := passEvery
	m.mu.Lock()
	for _, s := range m.services {
		s.routes = slices.DeleteFunc(s.routes, func(r *runner) bool { ses, _ := r.snapshot(); return r.settled() && ses.Status.Terminal() })
		if slices.ContainsFunc(s.routes, func(r *runner) bool { return !r.settled() }) {
			continue // the runner pokes when it has told
		}
		actions, again := Plan(m.stateOf(s), now)
		for _, a := range actions {
			m.apply(ctx, s, a)
		}
		if !again.IsZero() {
			wait = min(wait, max(again.Sub(now), time.Millisecond))
		}
	}
	expired := m.expired(now)
	m.mu.Unlock()
	for _, r := range expired {
		m.forget(ctx, r)
	}
	m.publish()
	m.metrics.pass.Observe(time.Since(started).Seconds())
	return wait
}

// stateOf is what Plan and people see of a service. The caller holds mu.
func (m *Manager) stateOf(s *service) ServiceState {
	state := ServiceState{Service: s.Service, Routes: make([]RouteState, 0, len(s.routes))}
	for _, r := range s.routes {
		ses, health := r.snapshot()
		if ses.Alive() {
			state.Routes = append(state.Routes, m.routeState(ses, health))
		}
	}
	return state
}

func (m *Manager) routeState(s Session, h Health) RouteState {
	since := h.Since
	if since.IsZero() {
		since = s.CreatedAt
	}
	detail := h.Detail
	if s.Status != StatusRunning {
		detail = s.Reason
	}
	return RouteState{
		ID: s.ID, Revision: s.Revision, Status: routeStatus(s, h), Since: since, HealthyAt: s.HealthyAt,
		InFlight: m.Traffic.InFlight(s.ID), Detail: detail,
	}
}

// apply does one planned action. What cannot be written down is not done: the next pass tries again.
func (m *Manager) apply(ctx context.Context, s *service, a PlanAction) {
	m.metrics.decisions.WithLabelValues(string(a.Kind)).Inc()
	log := m.Log.With("service", s.ID, "name", s.Name)
	log.Info("plan: " + a.String())
	var err error
	switch a.Kind {
	case PlanStart:
		err = m.startSession(ctx, s, a)
	case PlanRetire:
		m.endRoute(s, a.Route, stopRequest{reason: a.Reason})
	case PlanGiveUp:
		m.endRoute(s, a.Route, stopRequest{reason: a.Reason, failed: true})
	case PlanAccept:
		err = m.saveService(ctx, s, func(w *Service) { w.GoodRevision = a.Revision })
	case PlanSettle:
		err = m.saveService(ctx, s, func(w *Service) { w.Failures, w.LastError, w.RetryAt = 0, "", time.Time{} })
	case PlanRollBack:
		err = m.rollBack(ctx, s, a)
	case PlanDestroy:
		err = m.finishDestroy(ctx, s)
	}
	if err != nil {
		log.Error("plan could not be carried out; it will be tried again", "action", a.String(), "error", err)
		return
	}
	switch a.Kind {
	case PlanSettle, PlanDestroy, PlanStart: // nothing new to tell, or told already
	default:
		m.event(ctx, Event{ServiceID: s.ID, SessionID: a.Route, Kind: string(a.Kind), Message: a.Reason})
	}
}

// saveService writes a changed copy of the service and takes it over if it was written. The caller
// holds mu.
func (m *Manager) saveService(ctx context.Context, s *service, change func(*Service)) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	wanted := s.Service
	change(&wanted)
	wanted.UpdatedAt = time.Now().UTC()
	version, err := m.Store.SaveService(ctx, wanted)
	if err != nil {
		return err
	}
	wanted.Version = version
	s.Service = wanted
	return nil
}

// event keeps what happened. It is for people: a failure to write it stops nothing.
func (m *Manager) event(ctx context.Context, e Event) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.Timeouts.Save)
	defer cancel()
	e.At = time.Now().UTC()
	if err := m.Store.AddEvent(ctx, e); err != nil {
		m.Log.Error("event was not written", "service", e.ServiceID, "event", e.Message, "error", err)
	}
}

// startSession records one more session of the action's revision and hands it to a runner. The caller
// holds mu.
func (m *Manager) startSession(ctx context.Context, s *service, a PlanAction) error {
	rev := s.revision(a.Revision)
	if rev == nil {
		return fmt.Errorf("revision %d of %s: %w", a.Revision, s.Name, ErrNotFound)
	}
	id := newID("ses")
	ses := Session{
		ID: id, Name: s.Name + "-" + id[len(id)-6:], Project: s.Project, Type: TypeInference, CreatedBy: s.CreatedBy,
		CreatedAt: time.Now().UTC(), ServiceID: s.ID, Revision: rev.Number, Image: rev.Recipe.Image, Launch: rev.Launch,
		Status: StatusPending, Reason: a.Reason, Result: ResultUndefined, TrafficRatio: 1,
	}
	var err error
	if ses.Limits, err = limitsOf(rev.Recipe); err != nil {
		return err
	}
	if ses.Mounts, err = m.mountsOf(ctx, s.Project, rev.Recipe, rev.Launch.Mount); err != nil {
		return m.startRefused(ctx, s, err)
	}
	r := newRunner(m.runnerDeps(), ses)
	r.unsaved = []Transition{{SessionID: id, To: StatusPending, Reason: a.Reason, At: ses.CreatedAt}}
	if err := r.save(ctx); err != nil {
		return err
	}
	m.sessions[id] = r
	s.routes = append(s.routes, r)
	m.launch(r)
	m.event(ctx, Event{ServiceID: s.ID, SessionID: id, Kind: "started", Message: a.Reason})
	return nil
}

// startRefused counts a start that could not even be tried, such as of a folder that is gone.
func (m *Manager) startRefused(ctx context.Context, s *service, why error) error {
	m.event(ctx, Event{ServiceID: s.ID, Kind: "failed", Message: why.Error()})
	return m.saveService(ctx, s, func(w *Service) { m.countFailure(w, why.Error()) })
}

func (m *Manager) countFailure(w *Service, why string) {
	w.Failures++
	w.LastError = why
	w.RetryAt = time.Now().UTC().Add(Backoff(w.Failures, rand.Float64()))
}

// launch runs a runner in its own goroutine, unless the manager is closing. The caller holds mu.
func (m *Manager) launch(r *runner) {
	if m.closing {
		return
	}
	m.wg.Go(func() { r.run(m.ctx) })
}

func (m *Manager) runnerDeps() runnerDeps {
	return runnerDeps{
		store: m.Store, runtime: m.Runtime, observe: m.Observer, traffic: m.Traffic, probe: m.Probe, metrics: m.metrics,
		limits: m.Timeouts, policy: m.policyOf, changed: m.changed, ended: m.ended, log: m.Log,
	}
}

func (m *Manager) policyOf(serviceID string) Policy {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.services[serviceID]; s != nil {
		return s.Policy
	}
	return m.Policy
}

// endRoute asks a route's session to end. The caller holds mu.
func (m *Manager) endRoute(s *service, id string, req stopRequest) {
	for _, r := range s.routes {
		if r.id == id {
			r.end(req, false)
		}
	}
}

// changed is called by runners: the table follows at once, and the plan is looked at again.
func (m *Manager) changed() {
	m.publish()
	m.poke()
}

// ended takes in that a session cannot go on.
func (m *Manager) ended(s Session, stop *stopRequest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	sv := m.services[s.ServiceID]
	if sv == nil || sv.Lifecycle != LifecycleActive {
		return
	}
	m.event(m.ctx, Event{ServiceID: sv.ID, SessionID: s.ID, Kind: "ended", Message: s.Reason})
	if why, failed := failedStart(s, stop); failed && s.Revision == sv.Revision {
		if err := m.saveService(m.ctx, sv, func(w *Service) { m.countFailure(w, why) }); err != nil {
			m.Log.Error("failed start was not counted", "service", sv.ID, "session", s.ID, "error", err)
		}
	}
}

// failedStart says whether a session's end counts as a start that failed, and the sentence for it: it
// ended though nobody wanted it to, before it had been healthy for long enough.
func failedStart(s Session, stop *stopRequest) (why string, failed bool) {
	if stop != nil && !stop.failed {
		return "", false
	}
	if !s.HealthyAt.IsZero() && time.Since(s.HealthyAt) >= settledAfter {
		return "", false
	}
	return s.Reason, true
}

// rollBack makes the action's revision the wanted one again. The caller holds mu.
func (m *Manager) rollBack(ctx context.Context, s *service, a PlanAction) error {
	failed := s.revision(s.Revision)
	if failed == nil {
		return errors.New("the wanted revision is not known")
	}
	marked := *failed
	marked.Failed = a.Reason
	if err := m.Store.SaveRevision(ctx, marked); err != nil {
		return err
	}
	*failed = marked
	return m.saveService(ctx, s, func(w *Service) {
		w.Revision, w.Failures, w.RetryAt = a.Revision, 0, time.Time{}
		w.LastError = fmt.Sprintf("rolled back to revision %d: %s", a.Revision, a.Reason)
	})
}

// finishDestroy forgets a service of which nothing runs any more. The caller holds mu.
func (m *Manager) finishDestroy(ctx context.Context, s *service) error {
	if err := m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleDestroyed }); err != nil {
		return err
	}
	m.event(ctx, Event{ServiceID: s.ID, Kind: "destroyed", Message: "nothing of it runs any more"})
	delete(m.services, s.ID)
	m.metrics.routes.DeletePartialMatch(prometheus.Labels{"service": s.Name})
	if m.Destroyed != nil {
		m.Destroyed(ctx, s.ID)
	}
	return nil
}
