package sessions

import (
	"errors"
	"fmt"

	"github.com/palisade-run/palisade/accel"
)

// ErrLimit says that a project, or a person, would have more services or routes than it may.
var ErrLimit = errors.New("limit reached")

// LimitError is ErrLimit in numbers.
type LimitError struct {
	Kind  string // "project" or "user"
	Name  string
	What  string // "service" or "route"
	Limit int
	Has   int
	Asked int // how many more
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("%s %s may have %s and has %d: %d more %s too many",
		e.Kind, e.Name, plural(e.Limit, e.What), e.Has, e.Asked, map[bool]string{true: "is", false: "are"}[e.Asked == 1])
}

// Unwrap makes it ErrLimit.
func (e *LimitError) Unwrap() error { return ErrLimit }

// Hint says what to do.
func (e *LimitError) Hint() string {
	return fmt.Sprintf("remove or scale down what is not needed, or ask an administrator to raise it: palisade %s limits %s --%ss %d",
		e.Kind, e.Name, e.What, e.Has+e.Asked)
}

// bound says which limit it is, whatever is asked for.
func (e *LimitError) bound() string {
	return fmt.Sprintf("%s %s: %d %ss", e.Kind, e.Name, e.Limit, e.What)
}

// CappedError says that the autoscaler's wish was carried out as far as a limit lets it.
type CappedError struct {
	*LimitError

	At int // how many routes are wanted now
}

func (e *CappedError) Error() string {
	return fmt.Sprintf("held at %s, for %s %s may have %s in all; palisade %s limits %s --routes raises it",
		plural(e.At, "route"), e.Kind, e.Name, plural(e.Limit, "route"), e.Kind, e.Name)
}

// SetQuotas replaces the bounds of all users and projects. They hold from now on: the queue is planned again, and what is asked
// for is measured by them. Nothing that runs is ended for them.
func (m *Manager) SetQuotas(q Quotas) {
	m.mu.Lock()
	m.quotas = q
	m.mu.Unlock()
	m.markAll()
	m.changed()
}

// bearer is somebody whom a quota bounds.
type bearer struct {
	kind, name string
	quota      Quota
	counts     func(*Service) bool
}

// bearersOf are who is charged with a service: its project, and who made it.
func (m *Manager) bearersOf(s *Service) []bearer {
	m.mu.Lock()
	q := m.quotas
	m.mu.Unlock()
	project, user := s.Project, s.CreatedBy
	all := []bearer{{"project", project, q.ofProject(project), func(o *Service) bool { return o.Project == project }}}
	if user != "" {
		all = append(all, bearer{"user", user, q.ofUser(user), func(o *Service) bool { return o.CreatedBy == user }})
	}
	return all
}

// held counts the services that are to stay, and the routes that they want, besides one. The caller holds writing or mu.
func (m *Manager) held(counts func(*Service) bool, besides string) (services, routes int) {
	for id, o := range m.services {
		if id != besides && o.Lifecycle == LifecycleActive && counts(&o.Service) {
			services++
			routes += o.Replicas
		}
	}
	return services, routes
}

// admits says whether a service, of which had routes are wanted, may want as many as to; a new one is one service more. Fewer,
// or as many, it always may. The caller holds writing until that is written down: nobody is let in meanwhile.
func (m *Manager) admits(s *Service, had, to int, fresh bool) error {
	for _, b := range m.bearersOf(s) {
		services, routes := m.held(b.counts, s.ID)
		if fresh && b.quota.Services > 0 && services >= b.quota.Services {
			return &LimitError{Kind: b.kind, Name: b.name, What: "service", Limit: b.quota.Services, Has: services, Asked: 1}
		}
		if to > had && b.quota.Routes > 0 && routes+to > b.quota.Routes {
			return &LimitError{Kind: b.kind, Name: b.name, What: "route", Limit: b.quota.Routes, Has: routes + had, Asked: to - had}
		}
	}
	return nil
}

// within is how many routes a service may want of those that the autoscaler wishes, and why no more; never fewer than it has.
// The caller holds writing.
func (m *Manager) within(s *Service, wished int) (int, *LimitError) {
	to, why := wished, (*LimitError)(nil)
	for _, b := range m.bearersOf(s) {
		_, routes := m.held(b.counts, s.ID)
		if most := max(b.quota.Routes-routes, s.Replicas); b.quota.Routes > 0 && to > most {
			to, why = most, &LimitError{Kind: b.kind, Name: b.name, What: "route", Limit: b.quota.Routes, Has: routes + s.Replicas, Asked: wished - s.Replicas}
		}
	}
	return to, why
}

// UsedByProject is what a project holds, of all that a quota may bound.
func (m *Manager) UsedByProject(name string) Quota {
	return m.used(func(s *Service) bool { return s.Project == name }, func(h *Held) bool { return h.Project == name })
}

// UsedByUser is what a person holds.
func (m *Manager) UsedByUser(name string) Quota {
	return m.used(func(s *Service) bool { return s.CreatedBy == name }, func(h *Held) bool { return h.Owner == name })
}

func (m *Manager) used(service func(*Service) bool, session func(*Held) bool) Quota {
	q, _ := m.queue()
	out := Quota{Slots: accel.Slots{}}
	for i := range q.Running {
		if h := &q.Running[i]; session(h) {
			out.Sessions++
			for slot, amount := range h.slots() {
				out.Slots[slot] += amount
			}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	out.Services, out.Routes = m.held(service, "")
	return out
}

// HeldOf is how much of what is held counts for the line of a slot; see bound.
func (q Quota) HeldOf(slot accel.Slot, held accel.Slots) accel.Amount {
	_, has, _, _ := q.bound(slot, held, nil)
	return has
}
