package admintest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/people"
)

// Users implements people.Store.
func (m *memory) Users(context.Context) ([]people.User, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.users)), nil
}

// SaveUser implements people.Store.
func (m *memory) SaveUser(_ context.Context, u people.User) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == nil {
		m.users = map[string]people.User{}
	}
	m.users[u.Name] = u
	if !u.RemovedAt.IsZero() {
		maps.DeleteFunc(m.logins, func(_ string, s people.Session) bool { return s.User == u.Name })
		maps.DeleteFunc(m.members, func(key [2]string, _ people.Membership) bool { return key[1] == u.Name })
		delete(m.limits, [2]string{string(people.LimitUser), u.Name})
	}
	return nil
}

// LogIns implements people.Store.
func (m *memory) LogIns(context.Context) ([]people.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.logins)), nil
}

// SaveLogIn implements people.Store.
func (m *memory) SaveLogIn(_ context.Context, s people.Session) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.logins == nil {
		m.logins = map[string]people.Session{}
	}
	m.logins[s.ID] = s
	return nil
}

// TouchLogIns implements people.Store.
func (m *memory) TouchLogIns(_ context.Context, seen map[string]time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, at := range seen {
		if s, there := m.logins[id]; there {
			s.LastSeen = at
			m.logins[id] = s
		}
	}
	return nil
}

// DeleteLogIns implements people.Store.
func (m *memory) DeleteLogIns(_ context.Context, ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		delete(m.logins, id)
	}
	return nil
}

func (m *memory) Projects(context.Context) ([]people.Project, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.projects)), nil
}

func (m *memory) SaveProject(_ context.Context, p people.Project) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.projects == nil {
		m.projects = map[string]people.Project{}
	}
	m.projects[p.Name] = p
	if !p.RemovedAt.IsZero() {
		maps.DeleteFunc(m.members, func(key [2]string, _ people.Membership) bool { return key[0] == p.Name })
		delete(m.limits, [2]string{string(people.LimitProject), p.Name})
	}
	return nil
}

func (m *memory) Members(context.Context) ([]people.Membership, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.members)), nil
}

func (m *memory) SaveMember(_ context.Context, v people.Membership) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.members == nil {
		m.members = map[[2]string]people.Membership{}
	}
	m.members[[2]string{v.Project, v.User}] = v
	return nil
}

func (m *memory) DeleteMember(_ context.Context, project, user string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.members, [2]string{project, user})
	return nil
}
