package autoscaler

import (
	"context"
	"errors"
	"time"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
	ErrConflict = errors.New("changed meanwhile")
)

// Kept is one service's policy as it is kept, with what goes with it.
type Kept struct {
	ServiceID string
	Policy    Policy
	Version   int64 // counts edits of Policy; an edit from an older one is refused
	EditedBy  string
	EditedAt  time.Time
	Memory    Memory // of its last decision; written without regard to Version
}

// Store keeps policies and decisions.
type Store interface {
	// Policies returns all of them.
	Policies(ctx context.Context) ([]Kept, error)
	// SavePolicy inserts (Version 0) or updates what an owner edits, and returns the row's new Version. ErrConflict
	// when the row has another Version than k. Memory is kept as it is in the row.
	SavePolicy(ctx context.Context, k Kept) (int64, error)
	// DeletePolicy removes a service's policy and its decisions; one that is not there is no error.
	DeletePolicy(ctx context.Context, serviceID string) error
	// AddDecision keeps a decision and its memory, in one transaction. Of each service the newest DecisionsKept stay.
	AddDecision(ctx context.Context, serviceID string, d Decision) error
	// Decisions of a service, newest first, at most limit.
	Decisions(ctx context.Context, serviceID string, limit int) ([]Decision, error)
}

// DecisionsKept is how many decisions of a service are kept.
const DecisionsKept = 1000
