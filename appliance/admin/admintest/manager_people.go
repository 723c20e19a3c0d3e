package admintest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

// CheckSession implements training.Manager.
func (m *Manager) CheckSession(_ context.Context, req sessions.SessionRequest) (ps catalog.Problems) {
	wrong := func(field, message string) {
		ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: field, Message: message})
	}
	if req.Name != "" && sessions.CheckSessionName(req.Name) != nil {
		wrong("name", "2 to 64 letters, digits, '_' and '-'")
	}
	if req.Image == "" {
		wrong("image", "no image is named")
	}
	for _, ref := range req.DependsOn {
		if _, err := m.Session(req.Project, ref); err != nil {
			wrong("depends_on", err.Error())
		}
	}
	return ps
}

// Foresee implements training.Manager: who asks for more than four devices waits.
func (m *Manager) Foresee(ctx context.Context, req sessions.SessionRequest) (sessions.Forecast, catalog.Problems) {
	slots, err := accel.ParseSlots(req.Resources)
	ps := m.CheckSession(ctx, req)
	if err != nil {
		ps = append(ps, catalog.Problem{Severity: catalog.SeverityError, Field: "resources", Message: err.Error()})
	}
	f := sessions.Forecast{Demand: sessions.Demand{Slots: slots}, Node: "box"}
	if slots["cuda.device"] > 400 {
		f.Node, f.Waits = "", []sessions.Wait{{Predicate: sessions.PredicateResources, Sentence: "waits for " + req.Resources["cuda.device"] + " cuda.device: 4 of 8 free", Would: "would fit with 4"}}
	}
	return f, ps
}

// CreateSessions implements training.Manager. A session runs at once, unless it depends on another; a command decides
// how a batch session goes: "exit N" ends with that code, "hang" runs into its timeout, any other ends with success.
func (m *Manager) CreateSessions(_ context.Context, requests []sessions.SessionRequest) ([]sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, req := range requests {
		for _, s := range m.sessions {
			if s.Name == req.Name && s.Project == req.Project && s.Alive() {
				return nil, fmt.Errorf("session %q %w", req.Name, sessions.ErrExists)
			}
		}
	}
	var made []sessions.Session
	for _, req := range requests {
		m.serial++
		now := time.Now().UTC()
		s := &sessions.Session{
			ID: fmt.Sprintf("ses-%012d", m.serial), Name: req.Name, Project: req.Project, Type: req.Type, CreatedBy: req.CreatedBy, CreatedAt: now,
			Image: req.Image, Launch: req.Launch, Task: req.Task, Result: sessions.ResultUndefined, Status: sessions.StatusRunning,
			Reason: "its process runs", StartedAt: now, PID: 4000 + m.serial,
			Demand: sessions.Demand{Priority: sessions.DefaultPriority, DependsOn: req.DependsOn, StartsAt: req.StartsAt, Preemptible: req.Preemptible},
		}
		if s.Name == "" {
			s.Name = s.ID
		}
		if req.Priority != nil {
			s.Demand.Priority = *req.Priority
		}
		for _, mount := range req.Mounts {
			s.Mounts = append(s.Mounts, sessions.Mount{Source: "/folders/" + mount.Folder, Target: mount.Target, ReadOnly: mount.ReadOnly})
		}
		play(s)
		m.sessions = append(m.sessions, s)
		made = append(made, *s)
	}
	m.poke()
	return made, nil
}

// play has a session go as its command says.
func play(s *sessions.Session) {
	if len(s.Demand.DependsOn) > 0 {
		s.Status, s.Reason, s.PID, s.StartedAt = sessions.StatusPending, "waits for "+s.Demand.DependsOn[0]+", which has failed", 0, time.Time{}
		s.Waits = []sessions.Wait{{Predicate: sessions.PredicateDependencies, Sentence: s.Reason}}
		return
	}
	if s.Type != sessions.TypeBatch {
		return
	}
	code := 0
	_, _ = fmt.Sscanf(s.Task.Command, "exit %d", &code)
	s.Status, s.EndedAt, s.PID = sessions.StatusTerminated, s.CreatedAt, 0
	exit := sessions.Exit{Reason: sessions.ExitCompleted, Message: "Its process ended by itself.", FinishedAt: s.CreatedAt}
	s.Result, s.Task.Outcome = sessions.ResultSuccess, sessions.OutcomeFinished
	switch {
	case s.Task.Command == "hang":
		exit.Reason, exit.Code, exit.Message = sessions.ExitTimedOut, -2, "It ran for longer than its timeout of "+s.Task.Timeout.String()+" and was stopped."
		s.Result, s.Task.Outcome = sessions.ResultFailure, sessions.OutcomeTimeout
	case code != 0:
		exit.Reason, exit.Code, exit.Message = sessions.ExitFailed, code, fmt.Sprintf("Its process ended with exit code %d.", code)
		s.Result, s.Task.Outcome = sessions.ResultFailure, sessions.OutcomeFailed
	}
	s.Exit, s.Reason = &exit, exit.Message
}

// EarlierLogs implements admin.Sessions: a line for each run but the last.
func (m *Manager) EarlierLogs(_ context.Context, project, ref string) (io.ReadCloser, error) {
	s, err := m.Session(project, ref)
	if err != nil {
		return nil, err
	}
	if s.Task.Restarts == 0 {
		return nil, fmt.Errorf("session %s has no log of an earlier run: %w", s.Name, sessions.ErrNotFound)
	}
	var text strings.Builder
	for run := range s.Task.Restarts {
		fmt.Fprintf(&text, "[palisade: run %d]\nworked\n", run+1)
	}
	return io.NopCloser(strings.NewReader(text.String())), nil
}

// UpdateSession implements admin.Sessions.
func (m *Manager) UpdateSession(_ context.Context, project, ref string, up sessions.SessionUpdate) (sessions.Session, error) {
	return m.change(project, ref, func(s *sessions.Session) error {
		if up.Name != nil {
			if err := sessions.CheckSessionName(*up.Name); err != nil {
				return err
			}
			s.Name = *up.Name
		}
		if up.Priority != nil {
			s.Demand.Priority = *up.Priority
		}
		return nil
	})
}

// RestartSession implements admin.Sessions.
func (m *Manager) RestartSession(_ context.Context, project, ref, _ string) error {
	_, err := m.change(project, ref, func(s *sessions.Session) error {
		if s.Status != sessions.StatusRunning {
			return fmt.Errorf("session %s is %s, and only one that is RUNNING is started again: %w", s.Name, s.Status, sessions.ErrForbidden)
		}
		s.Task.Restarts++
		return nil
	})
	return err
}

var errRoute = errors.New("is a route of a service, which is changed by its service")

func (m *Manager) change(project, ref string, change func(*sessions.Session) error) (sessions.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		if s.Project != project || s.ID != ref && s.Name != ref {
			continue
		}
		switch {
		case !s.Personal():
			return sessions.Session{}, fmt.Errorf("session %s %w: %w", s.Name, errRoute, sessions.ErrForbidden)
		case !s.Alive():
			return sessions.Session{}, fmt.Errorf("session %s has ended: %w", s.Name, sessions.ErrForbidden)
		}
		err := change(s)
		m.poke()
		return *s, err
	}
	return sessions.Session{}, fmt.Errorf("session %q %w", ref, sessions.ErrNotFound)
}
