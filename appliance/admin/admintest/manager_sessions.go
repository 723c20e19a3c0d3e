package admintest

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

// Sessions implements admin.Sessions: in the order in which they were made.
func (m *Manager) Sessions(project string, f sessions.SessionFilter) []sessions.Session {
	var out []sessions.Session
	m.EachSession(project, f, func(s *sessions.Session) { out = append(out, *s) })
	return out
}

// EachSession implements admin.Sessions.
func (m *Manager) EachSession(project string, f sessions.SessionFilter, do func(s *sessions.Session)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if (project == "" || s.Project == project) && f.Chooses(s) {
			do(s)
		}
	}
}

// NewestSessions implements admin.Sessions.
func (m *Manager) NewestSessions(project string, f sessions.SessionFilter, offset, most int) (part []sessions.Session, total int) {
	var order sessions.Newest[*sessions.Session]
	if most > 0 {
		order.Keep = offset + most
	}
	m.EachSession(project, f, func(s *sessions.Session) {
		total++
		order.Add(s.CreatedAt, s.ID, s)
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	chosen := order.Rows()
	for _, s := range chosen[min(offset, len(chosen)):] {
		part = append(part, *s)
	}
	return part, total
}

// Session implements admin.Sessions.
func (m *Manager) Session(project, ref string) (sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.Project == project && (s.ID == ref || s.Name == ref) {
			return *s, nil
		}
	}
	return sessions.Session{}, fmt.Errorf("session %q %w", ref, sessions.ErrNotFound)
}

// Transitions implements admin.Sessions.
func (m *Manager) Transitions(_ context.Context, project, ref string) ([]sessions.Transition, error) {
	s, err := m.Session(project, ref)
	return []sessions.Transition{
		{SessionID: s.ID, To: sessions.StatusPending, Reason: "wanted", At: s.CreatedAt},
		{SessionID: s.ID, From: sessions.StatusPending, To: sessions.StatusScheduled, Reason: "there is room", At: s.CreatedAt},
	}, err
}

// Logs implements admin.Sessions: three lines; with follow they end with the session. A session that waits for a place, or one of
// image stuck that is new, has no log yet.
func (m *Manager) Logs(_ context.Context, project, ref string, o sessions.LogOptions) (io.ReadCloser, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	if s.Status == sessions.StatusPending && (len(s.Waits) > 0 || s.Image == "stuck") {
		return nil, fmt.Errorf("session %s has no log: %w: it is %s, %s", s.Name, sessions.ErrNotFound, s.Status, s.Reason)
	}
	lines := []string{"loading", "loaded", "listening on " + s.ID}
	if o.Tail > 0 {
		lines = lines[max(0, len(lines)-o.Tail):]
	}
	text := strings.NewReader(strings.Join(lines, "\n") + "\n")
	if !o.Follow || s.Status.Terminal() {
		return io.NopCloser(text), nil
	}
	r, w := io.Pipe()
	go func() { _, _ = io.Copy(w, text) }() // the pipe stays open, as a running engine's log does
	return r, nil
}

// Stats implements admin.Sessions.
func (m *Manager) Stats(_ context.Context, project, ref string) (sessions.Stats, error) {
	s, err := m.Session(project, ref)
	if err == nil && s.Status != sessions.StatusRunning {
		err = sessions.ErrNoInstance
	}
	return sessions.Stats{At: time.Now(), CPUTime: 1500 * time.Millisecond, Memory: 64 << 20, Pids: 3, RxBytes: -1, TxBytes: -1, ReadBytes: -1, WriteBytes: -1}, err
}

// TerminateSession implements admin.Sessions.
func (m *Manager) TerminateSession(_ context.Context, project, ref, by string, _ bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.Project == project && (s.ID == ref || s.Name == ref) {
			if s.Status.Terminal() {
				return fmt.Errorf("session %s has ended: %w", s.Name, sessions.ErrForbidden)
			}
			if s.Personal() {
				s.Result = sessions.ResultUndefined
			}
			s.Status, s.Reason, s.EndedAt = sessions.StatusTerminated, "ended by "+by, time.Now().UTC()
			s.Exit = &sessions.Exit{Reason: sessions.ExitStopped, Code: 143, Signal: "SIGTERM", Message: "stopped", FinishedAt: s.EndedAt}
			m.poke()
			return nil
		}
	}
	return fmt.Errorf("session %q %w", ref, sessions.ErrNotFound)
}

func (m *Manager) uses(folderID string) (string, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.services {
		if s.revisions[s.Revision-1].Recipe.Folder == folderID {
			return "service " + s.Name, true
		}
	}
	return "", false
}

// Containers implements admin.Sessions: none has several.
func (m *Manager) Containers(project, ref string) ([]sessions.Session, error) {
	s, err := m.Session(project, ref)
	return []sessions.Session{s}, err
}

// Commit implements admin.Sessions: sessions of the image host have nothing to make an image of.
func (m *Manager) Commit(_ context.Context, project, ref string, c sessions.Commit, progress func(sessions.Progress)) (sessions.Image, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return sessions.Image{}, err
	}
	if s.Image == "host" {
		return sessions.Image{}, fmt.Errorf("session %s runs the box's own programs: %w", s.Name, sessions.ErrNotSupported)
	}
	progress(sessions.Progress{Message: "packing what it has changed"})
	return sessions.Image{Name: c.Image, Digest: "sha256:00", Size: 4096}, nil
}
