package sessions

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// SessionFilter chooses sessions; zero fields choose all.
type SessionFilter struct {
	Service string // service id or name
	Status  []Status
	Live    bool // not ended
	Types   []Type
	Owner   string          // who made it
	Search  string          // in its name, id or image; small letters stand for large ones too
	NoSubs  bool            // of a session of several containers the main one alone
	IDs     map[string]bool // one of these; nil: any
	Array   string          // id of an array that it is of, or the name that its sessions begin with
}

// takes reports whether a session is one of those that are chosen; Service, which may be a name, is left to the caller.
func (f SessionFilter) takes(s *Session) bool {
	switch {
	case f.Live && !s.Alive(), len(f.Status) > 0 && !slices.Contains(f.Status, s.Status), len(f.Types) > 0 && !slices.Contains(f.Types, s.Type):
		return false
	case f.IDs != nil && !f.IDs[s.ID]:
		return false
	case f.Array != "" && !s.ofArray(f.Array):
		return false
	case f.Owner != "" && s.CreatedBy != f.Owner, f.NoSubs && s.IsSub():
		return false
	case f.Search == "":
		return true
	}
	part := strings.ToLower(f.Search)
	return strings.Contains(strings.ToLower(s.Name), part) || strings.Contains(s.ID, part) || strings.Contains(strings.ToLower(s.Image), part)
}

// ofArray reports whether a session is one of an array, by the array's id or by what its sessions are called before their index.
func (s *Session) ofArray(ref string) bool {
	a := s.Task.Array
	return a != nil && (a.ID == ref || s.Name == ref+"-"+strconv.Itoa(a.Index))
}

// Chooses reports whether f chooses a session; Service is an id here.
func (f SessionFilter) Chooses(s *Session) bool {
	return (f.Service == "" || s.ServiceID == f.Service) && f.takes(s)
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
	endWhole(all, stopRequest{reason: "ended by " + by}, forced)
	return nil
}

// endWhole ends all containers of a session, the main one first. That of a route ends alone where there is time: while it answers
// the requests that it has, it needs the others, which end after it (see fate).
func endWhole(all []*runner, req stopRequest, forced bool) {
	for _, r := range all {
		if s, _ := r.snapshot(); forced || s.Type != TypeInference || s.main() {
			r.end(req, forced)
		}
	}
}
