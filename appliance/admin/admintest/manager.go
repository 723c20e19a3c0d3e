package admintest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
	"github.com/palisade-run/palisade/sessions"
	"github.com/palisade-run/palisade/sessions/terminal/holder"
)

// Manager is a manager of services without engines. A service stays PROVISIONING until somebody watches it: each look
// of a watcher takes its script one step on. The image chooses the script:
//
//	broken   every start fails
//	stuck    it starts and no probe ever passes
//	missing  CreateService finds the model definition wrong, in two places
//	disk     CreateService fails for reasons of the box
//	panic    CreateService panics
//	doubtful CreateService warns of the model definition
//	other    pulled, created, started, healthy
//
// A session that asks for more than 4 cuda.device waits, for two reasons, and goes on waiting.
type Manager struct {
	folders *folders.Keeper

	mu      sync.Mutex
	serial  int
	running int // commands of Exec

	terminals map[string]*holder.Held // by session and name
	services  []*service
	sessions  []*sessions.Session
	changed   chan struct{}
}

type service struct {
	sessions.Service
	revisions []sessions.Revision
	steps     []func()
	events    []sessions.Event
	health    map[string]string // of routes
}

func newManager(fo *folders.Keeper) *Manager {
	return &Manager{folders: fo, changed: make(chan struct{})}
}

var name = regexp.MustCompile(`^\w[\w.-]{0,62}\w$`)

// CreateService implements admin.Services.
func (m *Manager) CreateService(ctx context.Context, req sessions.ServiceRequest) (sessions.ServiceView, error) {
	switch req.Recipe.Image {
	case "missing":
		return sessions.ServiceView{}, fmt.Errorf("%w: %w", sessions.ErrInvalid, catalog.Problems{
			{Severity: catalog.SeverityError, File: "model-definition.yaml", Line: 3, Column: 5, Field: "models[0].prot", Message: "unknown key", Hint: "did you mean port?"},
			{Severity: catalog.SeverityWarning, File: "model-definition.yaml", Line: 4, Column: 5, Field: "models[0].x", Message: "unknown key"},
		})
	case "disk":
		return sessions.ServiceView{}, errors.New("secret detail of the box")
	case "panic":
		panic("wanted by the test")
	}
	if req.Recipe.Folder != "" {
		f, err := m.folders.Reach(ctx, folders.Who{Person: req.CreatedBy, Project: req.Project}, req.Recipe.Folder, folders.ReadOnly)
		if err != nil {
			return sessions.ServiceView{}, err
		}
		req.Recipe.Folder = f.ID
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.serial++
	if req.Name == "" {
		req.Name = fmt.Sprintf("svc-%06d", m.serial)
	}
	var errs []error
	if !name.MatchString(req.Name) {
		errs = append(errs, fmt.Errorf("%w: name %q: 2 to 64 letters", sessions.ErrInvalid, req.Name))
	}
	if req.Replicas < 0 || req.Replicas > 1000 {
		errs = append(errs, fmt.Errorf("%w: replicas %d: a number from 0 to 1000", sessions.ErrInvalid, req.Replicas))
	}
	if req.Priority != nil && (*req.Priority < sessions.MinPriority || *req.Priority > sessions.MaxPriority) {
		errs = append(errs, fmt.Errorf("%w: priority %d: a number from 0 to 100", sessions.ErrInvalid, *req.Priority))
	}
	if req.Routing != nil {
		errs = append(errs, req.Routing.Check())
	}
	if err := errors.Join(errs...); err != nil {
		return sessions.ServiceView{}, err
	}
	if _, err := m.find(req.Project, req.Name); err == nil {
		return sessions.ServiceView{}, fmt.Errorf("service %q %w", req.Name, sessions.ErrExists)
	}
	now := time.Now().UTC()
	s := &service{Service: sessions.Service{
		ID: fmt.Sprintf("svc-%012d", m.serial), Name: req.Name, Project: req.Project, CreatedBy: req.CreatedBy, CreatedAt: now, UpdatedAt: now,
		Version: 1, Lifecycle: sessions.LifecycleActive, Replicas: req.Replicas, Public: req.Public, Policy: sessions.DefaultPolicy(), Routing: sessions.DefaultRouting(), Revision: 1,
	}, health: map[string]string{}}
	if req.Policy != nil {
		s.Policy = *req.Policy
	}
	if req.Routing != nil {
		s.Routing = *req.Routing
	}
	s.Priority = sessions.DefaultPriority
	if req.Priority != nil {
		s.Priority = *req.Priority
	}
	s.revisions = []sessions.Revision{{ServiceID: s.ID, Number: 1, CreatedAt: now, CreatedBy: req.CreatedBy, Recipe: req.Recipe}}
	m.services = append(m.services, s)
	m.event(s, "created", fmt.Sprintf("%d routes wanted by %s", req.Replicas, req.CreatedBy))
	m.start(s)
	m.poke()
	v := m.view(s)
	if req.Recipe.Image == "doubtful" {
		v.Warnings = catalog.Problems{{
			Severity: catalog.SeverityWarning, File: "model-definition.yaml", Line: 4, Column: 5, Field: "models[0].service.colour", Message: "unknown key",
		}}
	}
	return v, nil
}

// start adds the sessions that are missing and writes their script.
func (m *Manager) start(s *service) {
	for live := m.live(s); len(live) < s.Replicas; live = m.live(s) {
		m.serial++
		ses := &sessions.Session{
			ID: fmt.Sprintf("ses-%012d", m.serial), Name: fmt.Sprintf("%s-%d", s.Name, m.serial), Project: s.Project, Type: sessions.TypeInference,
			CreatedBy: s.CreatedBy, CreatedAt: time.Now().UTC(), ServiceID: s.ID, Revision: s.Revision, Image: s.revisions[s.Revision-1].Recipe.Image,
			Status: sessions.StatusPending, Result: sessions.ResultUndefined, TrafficRatio: 1, Reason: "wanted",
			Demand: sessions.Demand{Priority: s.Priority},
		}
		// What is wrong with it would have been found by CreateService.
		ses.Demand.Slots, _ = accel.ParseSlots(s.revisions[s.Revision-1].Recipe.Resources)
		if ses.Demand.Slots["cuda.device"] > 400 {
			ses.Waits = []sessions.Wait{
				{Predicate: sessions.PredicateResources, Sentence: "waits for 8 cuda.device: 4 of 8 free", Would: "would fit if service demo had one route less"},
				{Predicate: sessions.PredicateSelector, Sentence: "no node has zone=b"},
			}
			ses.Reason = ses.Waits[0].String()
			m.sessions = append(m.sessions, ses)
			continue
		}
		m.sessions = append(m.sessions, ses)
		s.steps = append(s.steps, m.script(s, ses)...)
	}
}

func (m *Manager) script(s *service, ses *sessions.Session) []func() {
	to := func(status sessions.Status, reason string) func() {
		return func() { ses.Status, ses.Reason = status, reason }
	}
	started := func() {
		ses.Status, ses.Reason, ses.Address, ses.PID = sessions.StatusRunning, "started", "10.0.0.2:8000", 4711
		ses.StartedAt = time.Now().UTC()
		s.health[ses.ID] = "first probe failed: connection refused"
	}
	switch ses.Image {
	case "stuck":
		return []func(){to(sessions.StatusCreating, "starting"), started}
	case "broken":
		fail := func() { s.Failures++; s.LastError = "exit code 1: no such model"; s.Version++ }
		return []func(){to(sessions.StatusCreating, "starting"), fail, fail, fail}
	}
	return []func(){to(sessions.StatusPulling, "layer 1 of 2"), to(sessions.StatusCreating, "starting"), started, func() {
		s.health[ses.ID], ses.HealthyAt = "passing", time.Now().UTC()
		s.GoodRevision = s.Revision
	}}
}

func (m *Manager) live(s *service) []*sessions.Session {
	var out []*sessions.Session
	for _, ses := range m.sessions {
		if ses.ServiceID == s.ID && !ses.Status.Terminal() {
			out = append(out, ses)
		}
	}
	return out
}

func (m *Manager) event(s *service, kind, message string) {
	s.events = slices.Insert(s.events, 0, sessions.Event{ServiceID: s.ID, At: time.Now().UTC(), Kind: kind, Message: message})
}

func (m *Manager) poke() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Changed implements admin.Revisions: a look takes every script one step on.
func (m *Manager) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	more := false
	for _, s := range m.services {
		if len(s.steps) > 0 {
			s.steps[0]()
			s.steps = s.steps[1:]
			more = true
		}
	}
	if more {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	return m.changed
}

func (m *Manager) find(project, ref string) (*service, error) {
	for _, s := range m.services {
		if s.Project == project && (s.ID == ref || s.Name == ref) {
			return s, nil
		}
	}
	return nil, fmt.Errorf("service %q %w", ref, sessions.ErrNotFound)
}

func (m *Manager) has(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.services, func(s *service) bool { return s.ID == id })
}

func (m *Manager) view(s *service) sessions.ServiceView { return s.view(m.live(s)) }

// view is how a service is, with these sessions of it.
func (s *service) view(live []*sessions.Session) sessions.ServiceView {
	v := sessions.ServiceView{Service: s.Service, Recipe: s.revisions[s.Revision-1].Recipe, ModelName: s.Name}
	for _, ses := range live {
		r := sessions.RouteView{
			ID: ses.ID, Name: ses.Name, Session: ses.Status, Revision: ses.Revision, Weight: ses.TrafficRatio, Address: ses.Address,
			Reason: ses.Reason, Health: s.health[ses.ID], CreatedAt: ses.CreatedAt, StartedAt: ses.StartedAt, Status: sessions.RouteProvisioning,
		}
		if !ses.HealthyAt.IsZero() {
			r.Status = sessions.RouteHealthy
			v.HealthyRoutes++
		}
		v.Routes = append(v.Routes, r)
	}
	v.Sentence = fmt.Sprintf("%d of %d routes healthy", v.HealthyRoutes, s.Replicas)
	switch {
	case s.Lifecycle == sessions.LifecycleDestroying:
		v.Status = sessions.ServiceDestroying
	case s.Replicas == 0:
		v.Status, v.Sentence = sessions.ServiceIdle, "scaled to zero"
	case v.HealthyRoutes >= s.Replicas:
		v.Status = sessions.ServiceHealthy
	case v.HealthyRoutes > 0:
		v.Status = sessions.ServiceDegraded
	case s.Failures > 0:
		v.Status = sessions.ServiceUnhealthy
	default:
		v.Status = sessions.ServiceProvisioning
	}
	return v
}

// edit changes a service under the lock.
func (m *Manager) edit(project, ref string, change func(s *service) error) (sessions.ServiceView, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(project, ref)
	if err == nil {
		err = change(s)
	}
	if err != nil {
		return sessions.ServiceView{}, err
	}
	s.Version++
	m.start(s)
	m.poke()
	return m.view(s), nil
}

// UpdateService implements admin.Services.
func (m *Manager) UpdateService(_ context.Context, project, ref string, up sessions.ServiceUpdate) (sessions.ServiceView, error) {
	return m.edit(project, ref, func(s *service) error {
		if up.Name != nil {
			s.Name = *up.Name
		}
		if up.Public != nil {
			s.Public = *up.Public
		}
		if up.Priority != nil {
			s.Priority = *up.Priority
		}
		if up.Replicas != nil {
			s.Replicas, s.ScaledBy, s.ScaledAt = *up.Replicas, up.By, time.Now().UTC()
		}
		if up.Policy != nil {
			s.Policy = *up.Policy
		}
		if up.Routing != nil {
			if err := up.Routing.Check(); err != nil {
				return err
			}
			s.Routing = *up.Routing
		}
		if up.Recipe != nil {
			s.revisions = append(s.revisions, sessions.Revision{Number: len(s.revisions) + 1, CreatedAt: time.Now().UTC(), CreatedBy: up.By, Recipe: *up.Recipe})
			s.Revision = len(s.revisions)
			m.retire(s, 0)
		}
		m.event(s, "updated", "changed by "+up.By)
		return nil
	})
}

// retire ends live sessions down to a number.
func (m *Manager) retire(s *service, to int) {
	for _, ses := range m.live(s)[min(to, len(m.live(s))):] {
		ses.Status, ses.EndedAt = sessions.StatusTerminated, time.Now().UTC()
	}
	s.steps = nil
}

// ScaleService implements admin.Services.
func (m *Manager) ScaleService(_ context.Context, project, ref string, wish sessions.Scale) (sessions.ServiceView, error) {
	to := wish.To
	if to < 0 || to > 1000 {
		return sessions.ServiceView{}, fmt.Errorf("%w: replicas %d: a number from 0 to 1000", sessions.ErrInvalid, to)
	}
	return m.edit(project, ref, func(s *service) error {
		if wish.Auto {
			m.event(s, "autoscaled", wish.Reason)
		} else {
			m.event(s, "scaled", fmt.Sprintf("from %d to %d by %s: %s", s.Replicas, to, wish.By, wish.Reason))
		}
		s.Replicas, s.ScaledBy, s.ScaledAt = to, wish.By, time.Now().UTC()
		m.retire(s, to)
		return nil
	})
}

// DestroyService implements admin.Services: the service is gone at once.
func (m *Manager) DestroyService(_ context.Context, project, ref, _ string) error {
	_, err := m.edit(project, ref, func(s *service) error {
		s.Replicas = 0
		m.retire(s, 0)
		m.services = slices.DeleteFunc(m.services, func(o *service) bool { return o == s })
		return nil
	})
	return err
}

// Services implements admin.Services.
func (m *Manager) Services(project string) []sessions.ServiceView {
	m.mu.Lock()
	defer m.mu.Unlock()
	live := map[string][]*sessions.Session{} // by service: each of them would look through all
	for _, ses := range m.sessions {
		if ses.ServiceID != "" && !ses.Status.Terminal() {
			live[ses.ServiceID] = append(live[ses.ServiceID], ses)
		}
	}
	out := make([]sessions.ServiceView, 0, len(m.services))
	for _, s := range m.services {
		if project == "" || s.Project == project {
			out = append(out, s.view(live[s.ID]))
		}
	}
	return out
}

// Service implements admin.Services.
func (m *Manager) Service(project, ref string) (sessions.ServiceView, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(project, ref)
	if err != nil {
		return sessions.ServiceView{}, err
	}
	return m.view(s), nil
}

// Revisions implements admin.Revisions.
func (m *Manager) Revisions(_ context.Context, project, ref string) ([]sessions.Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(project, ref)
	if err != nil {
		return nil, err
	}
	return slices.Clone(s.revisions), nil
}

// RollBack implements admin.Revisions.
func (m *Manager) RollBack(_ context.Context, project, ref string, number int, by string) (sessions.ServiceView, error) {
	return m.edit(project, ref, func(s *service) error {
		if number < 1 || number > len(s.revisions) {
			return fmt.Errorf("revision %d of %q: %w", number, s.Name, sessions.ErrNotFound)
		}
		s.Revision = number
		m.retire(s, 0)
		m.event(s, "updated", fmt.Sprintf("revision %d wanted again by %s", number, by))
		return nil
	})
}

// Events implements admin.Revisions.
func (m *Manager) Events(_ context.Context, project, ref string, limit int) ([]sessions.Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(project, ref)
	if err != nil {
		return nil, err
	}
	return slices.Clone(s.events[:min(limit, len(s.events))]), nil
}

// ClearErrors implements admin.Revisions.
func (m *Manager) ClearErrors(_ context.Context, project, ref, _ string) error {
	_, err := m.edit(project, ref, func(s *service) error { s.Failures, s.LastError = 0, ""; return nil })
	return err
}

// SetTrafficRatio implements admin.Revisions.
func (m *Manager) SetTrafficRatio(_ context.Context, project, ref, id string, ratio float64) error {
	if !(ratio >= 0 && ratio <= 1000) {
		return fmt.Errorf("%w: traffic ratio %v: a number from 0 to 1000", sessions.ErrInvalid, ratio)
	}
	_, err := m.edit(project, ref, func(s *service) error {
		for _, ses := range m.live(s) {
			if ses.ID == id {
				ses.TrafficRatio = ratio
				return nil
			}
		}
		return sessions.ErrNotFound
	})
	return err
}
