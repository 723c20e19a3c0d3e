package sessions

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/folders"
)

// ServiceView is a service with what is derived of it.
type ServiceView struct {
	Service
	Recipe        Recipe
	ModelName     string // what clients ask for
	Status        ServiceStatus
	Sentence      string    // why it is in Status
	ReadyAt       time.Time // when a route that starts is expected to be healthy, where none is; zero: not known
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
	ReadyAt   time.Time // of one that starts: when it is expected to be healthy, as others like it were; zero: not known
	EndedAt   time.Time
	PID       int
	Exit      *Exit
	Waits     []Wait // what keeps it from starting
	// Containers are all that it is of, the one that answers first; nil: it is one.
	Containers []Session
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
	v.ReadyAt = m.readyAt(s, now)
	if rev := s.revision(s.Revision); rev != nil {
		v.Recipe, v.ModelName = rev.Recipe, rev.Launch.ModelName
	}
	for _, r := range s.routes {
		ses, health := r.snapshot()
		rv := m.routeView(ses, health)
		if ses.Task.Cluster != nil {
			for _, member := range m.membersOf(r, ses) {
				one, _ := member.snapshot()
				rv.Containers = append(rv.Containers, one)
			}
		}
		switch rv.Status {
		case RouteHealthy:
			v.HealthyRoutes++
		case RouteProvisioning:
			rv.ReadyAt = m.expected(s, r, ses, now)
		}
		v.Routes = append(v.Routes, rv)
	}
	return v
}

func (m *Manager) routeView(s Session, h Health) RouteView {
	v := RouteView{
		ID: s.ID, Name: s.Name, Status: routeStatus(s, h), Session: s.Status, Revision: s.Revision, Weight: s.TrafficRatio,
		Address: s.Address, InFlight: m.Traffic.InFlight(s.ID), Reason: s.Reason,
		CreatedAt: s.CreatedAt, StartedAt: s.StartedAt, HealthyAt: s.HealthyAt, EndedAt: s.EndedAt, PID: s.PID, Exit: s.Exit, Waits: s.Waits,
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

// FolderUsedBy says which service runs from a folder, or would after a roll-back, or which session of a person has it.
func (m *Manager) FolderUsedBy(folderID string) (by string, used bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mounts := func(s *service, number int) bool {
		rev := s.revision(number)
		return rev != nil && rev.Recipe.mounts(folderID)
	}
	for _, s := range m.services {
		if mounts(s, s.Revision) || mounts(s, s.GoodRevision) {
			return "service " + s.Name, true
		}
	}
	first := ""
	for _, r := range m.sessions {
		ses, _ := r.snapshot()
		if s := m.services[ses.ServiceID]; s != nil && ses.Alive() && mounts(s, ses.Revision) {
			return "service " + s.Name, true // one of an older revision still runs while it drains, and all containers of it
		}
		if ses.Alive() && slices.Contains(ses.Task.Folders, folderID) && (first == "" || ses.Name < first) {
			first = ses.Name
		}
	}
	if first == "" {
		return "", false
	}
	return "session " + first, true
}

// mounts reports whether the recipe's sessions see the folder.
func (r Recipe) mounts(folderID string) bool {
	is := func(ref string) bool {
		id, _ := folders.SplitRef(ref)
		return id == folderID
	}
	return is(r.Folder) || slices.ContainsFunc(r.Mounts, func(f FolderMount) bool { return is(f.Folder) })
}
