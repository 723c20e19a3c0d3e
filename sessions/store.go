package sessions

import (
	"context"
	"errors"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("exists already")
	ErrInvalid   = errors.New("invalid")
	ErrConflict  = errors.New("changed meanwhile")
	ErrForbidden = errors.New("not in this state")
	// ErrUnavailable is what a Store answers that cannot be reached for the moment.
	ErrUnavailable = errors.New("not available")
)

// ServiceStore keeps services and their revisions.
type ServiceStore interface {
	// Services returns all that are not destroyed.
	Services(ctx context.Context) ([]Service, error)
	// SaveService inserts (Version 0) or updates, and returns the row's new Version. ErrConflict when
	// the row has another Version than s; ErrExists when another live service of the project has the name.
	SaveService(ctx context.Context, s Service) (int64, error)
	// SaveRevision inserts or updates.
	SaveRevision(ctx context.Context, r Revision) error
	// Revisions of a service, oldest first.
	Revisions(ctx context.Context, serviceID string) ([]Revision, error)
}

// SessionStore keeps sessions and what they went through.
type SessionStore interface {
	// Sessions returns every session kept, ended ones too, oldest first.
	Sessions(ctx context.Context) ([]Session, error)
	// SaveSession inserts or updates the row; what it went through, oldest first, is added to its history in the same
	// transaction. What is there already is not added again.
	SaveSession(ctx context.Context, s Session, went ...Transition) error
	// AddSessions inserts new sessions, with the first entry of each one's history: all of them or none.
	AddSessions(ctx context.Context, all []Session) error
	// DeleteSession removes the row and its history.
	DeleteSession(ctx context.Context, id string) error
	// Transitions of a session, oldest first.
	Transitions(ctx context.Context, sessionID string) ([]Transition, error)
}

// EventStore keeps what happened to services.
type EventStore interface {
	// AddEvent keeps all of them or none, the first as the oldest.
	AddEvent(ctx context.Context, all ...Event) error
	// Events of a service, newest first, at most limit.
	Events(ctx context.Context, serviceID string, limit int) ([]Event, error)
}

// LoadTimeStore keeps how long routes took to come up.
type LoadTimeStore interface {
	// AddLoadTime keeps one, and forgets all but the newest LoadTimesKept of its key and device.
	AddLoadTime(ctx context.Context, t LoadTime) error
	// LoadTimes returns all that are kept, oldest first.
	LoadTimes(ctx context.Context) ([]LoadTime, error)
}

// Store is all that this room keeps.
type Store interface {
	ServiceStore
	SessionStore
	EventStore
}
