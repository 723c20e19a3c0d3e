package sessions

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

// ServiceRequest asks for a new service.
type ServiceRequest struct {
	Name      string // "" for one that is made up: svc-XXXXXX
	Project   string
	CreatedBy string
	Replicas  int
	Public    bool
	Policy    *Policy // nil: the default
	Recipe    Recipe
}

// ServiceUpdate changes a service; nil leaves as it is. A changed recipe makes a new revision, which
// is rolled out; so does an unchanged one whose definition file says something else by now.
type ServiceUpdate struct {
	Name     *string
	Public   *bool
	Replicas *int
	Policy   *Policy
	Recipe   *Recipe
	By       string
}

// ServiceView is a service with what is derived of it.
type ServiceView struct {
	Service
	Recipe        Recipe
	ModelName     string // what clients ask for
	Status        ServiceStatus
	Sentence      string // why it is in Status
	HealthyRoutes int
	Routes        []RouteView      // live ones, oldest first
	Warnings      catalog.Problems // of the recipe; only after creating or updating
}

// RouteView is a session of a service, as people see it.
type RouteView struct {
	ID        string // the session's id
	Name      string
	Status    RouteStatus
	Session   Status
	Revision  int
	Weight    float64
	Address   string
	InFlight  int
	Reason    string // why the session is in its status
	Health    string // what the probes say
	CreatedAt time.Time
	StartedAt time.Time
	HealthyAt time.Time
	EndedAt   time.Time
	PID       int
	Exit      *Exit
}

// maxReplicas is far above what one box runs, and low enough that a slip of the hand is seen.
const maxReplicas = 1000

func checkReplicas(n int) error {
	if n < 0 || n > maxReplicas {
		return fmt.Errorf("%w: replicas %d: a number from 0 to %d", ErrInvalid, n, maxReplicas)
	}
	return nil
}

// Check reports what is wrong with a policy.
func (p Policy) Check() error {
	switch {
	case p.OnUnhealthy != OnUnhealthyReplace && p.OnUnhealthy != OnUnhealthyHold:
		return fmt.Errorf("%w: on_unhealthy %q: %q or %q", ErrInvalid, p.OnUnhealthy, OnUnhealthyReplace, OnUnhealthyHold)
	case p.UnhealthyTTL < 0 || p.TerminationGrace < 0:
		return fmt.Errorf("%w: unhealthy_ttl and termination_grace cannot be negative", ErrInvalid)
	case p.StartTimeout <= 0:
		return fmt.Errorf("%w: start_timeout must be more than 0", ErrInvalid)
	case p.MaxSurge < 0 || p.MaxUnavailable < 0 || p.MaxSurge+p.MaxUnavailable == 0:
		return fmt.Errorf("%w: max_surge and max_unavailable cannot be negative, nor both be 0", ErrInvalid)
	}
	return nil
}

// CreateService records a service; its routes start soon after. All that can be known to be wrong is
// told now: ErrInvalid (with catalog.Problems where a definition is), ErrExists, ErrNotFound.
func (m *Manager) CreateService(ctx context.Context, req ServiceRequest) (ServiceView, error) {
	now := time.Now().UTC()
	sv := Service{
		ID: newID("svc"), Name: req.Name, Project: req.Project, CreatedBy: req.CreatedBy, CreatedAt: now, UpdatedAt: now,
		Lifecycle: LifecycleActive, Replicas: req.Replicas, Public: req.Public, Policy: m.Policy, Revision: 1,
	}
	if sv.Name == "" {
		sv.Name = sv.ID[:10]
	}
	if req.Policy != nil {
		sv.Policy = *req.Policy
	}
	if err := errors.Join(checkName(sv.Name), checkReplicas(sv.Replicas), sv.Policy.Check()); err != nil {
		return ServiceView{}, err
	}
	res, err := m.resolve(ctx, sv.Project, sv.Name, req.Recipe)
	if err != nil {
		return ServiceView{}, err
	}
	rev := Revision{ServiceID: sv.ID, Number: 1, CreatedAt: now, CreatedBy: req.CreatedBy, Recipe: res.recipe, Launch: res.launch}
	m.mu.Lock()
	view, err := m.createLocked(ctx, sv, rev)
	m.mu.Unlock()
	view.Warnings = res.warnings
	if err == nil {
		m.changed()
	}
	return view, err
}

func (m *Manager) createLocked(ctx context.Context, sv Service, rev Revision) (ServiceView, error) {
	for _, other := range m.services {
		if other.Project == sv.Project && other.Name == sv.Name {
			return ServiceView{}, fmt.Errorf("service %q %w", sv.Name, ErrExists)
		}
	}
	// The row begins as one that should go: whatever breaks off before the last write, here or by a crash,
	// leaves a service that the plan removes and not one that runs half of what was asked.
	s := &service{Service: sv, revisions: []Revision{rev}}
	if err := m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleDestroying }); err != nil {
		return ServiceView{}, err
	}
	m.services[sv.ID] = s
	if err := m.Store.SaveRevision(ctx, rev); err != nil {
		return ServiceView{}, err
	}
	if err := m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleActive }); err != nil {
		return ServiceView{}, err
	}
	m.event(ctx, Event{ServiceID: sv.ID, Kind: "created", Message: fmt.Sprintf("%s wanted by %s", plural(sv.Replicas, "route"), sv.CreatedBy)})
	return m.view(s, time.Now()), nil
}

// UpdateService changes what is wanted. A new recipe is checked first as a whole.
func (m *Manager) UpdateService(ctx context.Context, project, ref string, up ServiceUpdate) (ServiceView, error) {
	current, err := m.Service(project, ref)
	if err != nil {
		return ServiceView{}, err
	}
	wanted := current.Service
	set(&wanted.Name, up.Name)
	set(&wanted.Public, up.Public)
	set(&wanted.Replicas, up.Replicas)
	set(&wanted.Policy, up.Policy)
	if err := errors.Join(checkName(wanted.Name), checkReplicas(wanted.Replicas), wanted.Policy.Check()); err != nil {
		return ServiceView{}, err
	}
	var rev *Revision
	var warnings catalog.Problems
	if up.Recipe != nil {
		res, err := m.resolve(ctx, wanted.Project, wanted.Name, *up.Recipe)
		if err != nil {
			return ServiceView{}, err
		}
		warnings = res.warnings
		rev = &Revision{ServiceID: wanted.ID, CreatedAt: time.Now().UTC(), CreatedBy: up.By, Recipe: res.recipe, Launch: res.launch}
	}
	view, err := m.edit(ctx, project, wanted.ID, func(s *service) error {
		for _, other := range m.services {
			if other != s && other.Project == wanted.Project && other.Name == wanted.Name {
				return fmt.Errorf("service %q %w", wanted.Name, ErrExists)
			}
		}
		what := "changed"
		number := s.Revision
		if rev != nil && !sameRevision(*rev, s.revision(s.Revision)) {
			rev.Number = s.revisions[len(s.revisions)-1].Number + 1
			if err := m.Store.SaveRevision(ctx, *rev); err != nil {
				return err
			}
			s.revisions = append(s.revisions, *rev)
			number = rev.Number
			what = fmt.Sprintf("changed; revision %d rolls out", number)
		}
		err := m.saveService(ctx, s, func(w *Service) {
			set(&w.Name, up.Name)
			set(&w.Public, up.Public)
			set(&w.Replicas, up.Replicas)
			set(&w.Policy, up.Policy)
			w.Revision = number
			w.Failures, w.LastError, w.RetryAt = 0, "", time.Time{}
		})
		if err == nil {
			m.event(ctx, Event{ServiceID: s.ID, Kind: "updated", Message: what + " by " + up.By})
		}
		return err
	})
	view.Warnings = warnings
	return view, err
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// sameRevision compares what would run; rows that came from the store have passed through JSON, so
// that is what is compared.
func sameRevision(a Revision, b *Revision) bool {
	if b == nil {
		return false
	}
	text := func(r *Revision) string {
		raw, err := json.Marshal([]any{r.Recipe, r.Launch})
		if err != nil {
			return err.Error()
		}
		return string(raw)
	}
	return text(&a) == text(b)
}

// edit runs change on a service and returns the view of what it then is.
func (m *Manager) edit(ctx context.Context, project, ref string, change func(*service) error) (ServiceView, error) {
	if err := ctx.Err(); err != nil {
		return ServiceView{}, err
	}
	m.mu.Lock()
	s, err := m.find(project, ref)
	if err == nil && s.Lifecycle != LifecycleActive {
		err = fmt.Errorf("service %q is being removed: %w", s.Name, ErrForbidden)
	}
	if err == nil {
		err = change(s)
	}
	if err != nil {
		m.mu.Unlock()
		return ServiceView{}, err
	}
	view := m.view(s, time.Now())
	m.mu.Unlock()
	m.changed()
	return view, nil
}

// find looks a service up by id or name. The caller holds mu.
func (m *Manager) find(project, ref string) (*service, error) {
	if s := m.services[ref]; s != nil && s.Project == project {
		return s, nil
	}
	for _, s := range m.services {
		if s.Project == project && s.Name == ref {
			return s, nil
		}
	}
	return nil, fmt.Errorf("service %q %w", ref, ErrNotFound)
}

// Scale is a wish for another number of routes.
type Scale struct {
	To     int // 0 keeps the address
	By     string
	Reason string
}

// ScaleService sets the number of routes.
func (m *Manager) ScaleService(ctx context.Context, project, ref string, wish Scale) (ServiceView, error) {
	if err := checkReplicas(wish.To); err != nil {
		return ServiceView{}, err
	}
	return m.edit(ctx, project, ref, func(s *service) error {
		from := s.Replicas
		if err := m.saveService(ctx, s, func(w *Service) { w.Replicas = wish.To; w.Failures, w.RetryAt = 0, time.Time{} }); err != nil {
			return err
		}
		m.event(ctx, Event{ServiceID: s.ID, Kind: "scaled", Message: fmt.Sprintf("from %d to %d by %s: %s", from, wish.To, wish.By, wish.Reason)})
		return nil
	})
}

// DestroyService ends all routes, with drain, and then the service.
func (m *Manager) DestroyService(ctx context.Context, project, ref, by string) error {
	_, err := m.edit(ctx, project, ref, func(s *service) error {
		m.event(ctx, Event{ServiceID: s.ID, Kind: "destroying", Message: "wanted by " + by})
		return m.saveService(ctx, s, func(w *Service) { w.Lifecycle = LifecycleDestroying })
	})
	return err
}

// ClearErrors forgets failed starts, so that the next one comes at once.
func (m *Manager) ClearErrors(ctx context.Context, project, ref, by string) error {
	_, err := m.edit(ctx, project, ref, func(s *service) error {
		m.event(ctx, Event{ServiceID: s.ID, Kind: "cleared", Message: "errors cleared by " + by})
		return m.saveService(ctx, s, func(w *Service) { w.Failures, w.LastError, w.RetryAt = 0, "", time.Time{} })
	})
	return err
}

// RollBack makes an older revision the wanted one.
func (m *Manager) RollBack(ctx context.Context, project, ref string, number int, by string) (ServiceView, error) {
	return m.edit(ctx, project, ref, func(s *service) error {
		if s.revision(number) == nil {
			return fmt.Errorf("revision %d of %q: %w", number, s.Name, ErrNotFound)
		}
		m.event(ctx, Event{ServiceID: s.ID, Kind: "updated", Message: fmt.Sprintf("revision %d wanted again by %s", number, by)})
		return m.saveService(ctx, s, func(w *Service) {
			w.Revision, w.Failures, w.LastError, w.RetryAt = number, 0, "", time.Time{}
		})
	})
}

// SetTrafficRatio sets a live route's weight in the balance; 0 takes it out.
func (m *Manager) SetTrafficRatio(ctx context.Context, project, ref, routeID string, ratio float64) error {
	if math.IsNaN(ratio) || ratio < 0 || ratio > 1000 {
		return fmt.Errorf("%w: traffic ratio %v: a number from 0 to 1000", ErrInvalid, ratio)
	}
	m.mu.Lock()
	s, err := m.find(project, ref)
	var route *runner
	if err == nil {
		i := slices.IndexFunc(s.routes, func(r *runner) bool { return r.id == routeID })
		if i < 0 {
			err = fmt.Errorf("route %q of service %q %w", routeID, s.Name, ErrNotFound)
		} else {
			route = s.routes[i]
		}
	}
	m.mu.Unlock()
	if err != nil {
		return err
	}
	if err := route.update(ctx, func(ses *Session) { ses.TrafficRatio = ratio }); err != nil {
		return err
	}
	m.changed()
	return nil
}

// Services of a project ("" for all), by name.
func (m *Manager) Services(project string) []ServiceView {
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	views := make([]ServiceView, 0, len(m.services))
	for _, s := range m.services {
		if project == "" || s.Project == project {
			views = append(views, m.view(s, now))
		}
	}
	slices.SortFunc(views, func(a, b ServiceView) int { return strings.Compare(a.Name, b.Name) })
	return views
}

// Service finds one by id or name.
func (m *Manager) Service(project, ref string) (ServiceView, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(project, ref)
	if err != nil {
		return ServiceView{}, err
	}
	return m.view(s, time.Now()), nil
}

// view derives what people see of a service. The caller holds mu.
func (m *Manager) view(s *service, now time.Time) ServiceView {
	state := m.stateOf(s)
	v := ServiceView{Service: s.Service}
	v.Status, v.Sentence = serviceStatus(state, now)
	if rev := s.revision(s.Revision); rev != nil {
		v.Recipe, v.ModelName = rev.Recipe, rev.Launch.ModelName
	}
	for _, r := range s.routes {
		ses, health := r.snapshot()
		rv := m.routeView(ses, health)
		if rv.Status == RouteHealthy {
			v.HealthyRoutes++
		}
		v.Routes = append(v.Routes, rv)
	}
	return v
}

func (m *Manager) routeView(s Session, h Health) RouteView {
	v := RouteView{
		ID: s.ID, Name: s.Name, Status: routeStatus(s, h), Session: s.Status, Revision: s.Revision, Weight: s.TrafficRatio,
		Address: s.Address, InFlight: m.Traffic.InFlight(s.ID), Reason: s.Reason,
		CreatedAt: s.CreatedAt, StartedAt: s.StartedAt, HealthyAt: s.HealthyAt, EndedAt: s.EndedAt, PID: s.PID, Exit: s.Exit,
	}
	if s.Status == StatusRunning {
		v.Health = h.sentence(s.Launch.Health)
	}
	return v
}

// Revisions of a service, oldest first.
func (m *Manager) Revisions(_ context.Context, project, ref string) ([]Revision, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, err := m.find(project, ref)
	if err != nil {
		return nil, err
	}
	return slices.Clone(s.revisions), nil
}

// Events of a service, newest first.
func (m *Manager) Events(ctx context.Context, project, ref string, limit int) ([]Event, error) {
	v, err := m.Service(project, ref)
	if err != nil {
		return nil, err
	}
	return m.Store.Events(ctx, v.ID, limit)
}

// FolderUsedBy says which service runs from a folder, or would after a roll-back.
func (m *Manager) FolderUsedBy(folderID string) (by string, used bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.services {
		for _, number := range []int{s.Revision, s.GoodRevision} {
			rev := s.revision(number)
			if rev != nil && (rev.Recipe.Folder == folderID || slices.ContainsFunc(rev.Recipe.Mounts, func(f FolderMount) bool { return f.Folder == folderID })) {
				return "service " + s.Name, true
			}
		}
	}
	return "", false
}
