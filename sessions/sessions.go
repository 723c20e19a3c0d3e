package sessions

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
)

// SessionFilter chooses sessions; zero fields choose all.
type SessionFilter struct {
	Service string // service id or name
	Status  []Status
	Live    bool // not ended
}

// Sessions of a project ("" for all) that are kept, newest first.
func (m *Manager) Sessions(project string, f SessionFilter) []Session {
	m.mu.Lock()
	defer m.mu.Unlock()
	service := f.Service
	if s, err := m.find(project, f.Service); err == nil {
		service = s.ID
	}
	var out []Session
	for _, r := range m.sessions {
		s, _ := r.snapshot()
		switch {
		case project != "" && s.Project != project:
		case f.Service != "" && s.ServiceID != service:
		case f.Live && !s.Alive():
		case len(f.Status) > 0 && !slices.Contains(f.Status, s.Status):
		default:
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Session) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Session finds one by id, or by name: the live one, else the newest, for people run what they call the same again and again.
func (m *Manager) Session(project, ref string) (Session, error) {
	r, err := m.runnerOf(project, ref)
	if err != nil {
		return Session{}, err
	}
	s, _ := r.snapshot()
	return s, nil
}

func (m *Manager) runnerOf(project, ref string) (*runner, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var found *runner
	var best Session
	for _, r := range m.sessions {
		s, _ := r.snapshot()
		if project != "" && s.Project != project {
			continue
		}
		if s.ID == ref {
			return r, nil
		}
		if s.Name == ref && (found == nil || s.Alive() || !best.Alive() && s.CreatedAt.After(best.CreatedAt)) {
			found, best = r, s
		}
	}
	if found == nil {
		return nil, fmt.Errorf("session %q %w", ref, ErrNotFound)
	}
	return found, nil
}

// Transitions of a session, oldest first.
func (m *Manager) Transitions(ctx context.Context, project, ref string) ([]Transition, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	return m.Store.Transitions(ctx, s.ID)
}

// Logs of a session, ended or not.
func (m *Manager) Logs(ctx context.Context, project, ref string, opts LogOptions) (io.ReadCloser, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	log, err := m.Observer.Logs(ctx, s.ID, opts)
	if errors.Is(err, ErrNoInstance) {
		return nil, fmt.Errorf("session %s has no log: %w: it is %s, %s", s.Name, ErrNotFound, s.Status, s.Reason)
	}
	return log, err
}

// Stats samples what a running session uses.
func (m *Manager) Stats(ctx context.Context, project, ref string) (Stats, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return Stats{}, err
	}
	return m.Observer.Stats(ctx, s.ID)
}

// TerminateSession ends a session. A service's route is drained and then replaced, and that does not
// count as a failure. Forced skips drain and grace.
func (m *Manager) TerminateSession(_ context.Context, project, ref, by string, forced bool) error {
	r, err := m.runnerOf(project, ref)
	if err != nil {
		return err
	}
	all := m.containersOf(r) // of a session of several the one that is named may have done its part
	if !slices.ContainsFunc(all, func(r *runner) bool { s, _ := r.snapshot(); return s.Alive() }) {
		s, _ := r.snapshot()
		return fmt.Errorf("session %s has ended: %w", s.Name, ErrForbidden)
	}
	for _, r := range all {
		r.end(stopRequest{reason: "ended by " + by}, forced)
	}
	return nil
}
