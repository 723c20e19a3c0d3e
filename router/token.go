package router

import (
	"context"
	"errors"
	"time"

	"github.com/palisade-run/palisade/router/quota"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid")
)

// Why a token does not count. Check gives these.
var (
	ErrTokenMissing   = errors.New("no token was given")
	ErrTokenMalformed = errors.New("this is no token of Palisade")
	ErrTokenUnknown   = errors.New("this token is not known")
	ErrTokenExpired   = errors.New("this token has expired")
	ErrTokenRevoked   = errors.New("this token was revoked")
)

// Token lets a client use one service, or all services of a project. Only its hash is kept.
type Token struct {
	ID        string // "tok-" and 12 characters; safe to show
	Hash      string // hex SHA-256 of the secret
	Name      string
	Project   string
	ServiceID string // "" for every service of Project
	CreatedBy string
	CreatedAt time.Time
	ExpiresAt time.Time
	LastUsed  time.Time // zero: never. Accurate to a minute
	RevokedAt time.Time // zero: not revoked
	Limits    quota.Limits
}

// Allows tells whether the token is for the service.
func (t *Token) Allows(serviceID, project string) bool {
	if t.ServiceID != "" {
		return t.ServiceID == serviceID
	}
	return t.Project == project
}

// State of the token at now: nil, ErrTokenRevoked or ErrTokenExpired.
func (t *Token) State(now time.Time) error {
	switch {
	case !t.RevokedAt.IsZero():
		return ErrTokenRevoked
	case !now.Before(t.ExpiresAt):
		return ErrTokenExpired
	}
	return nil
}

// TokenStore keeps tokens' rows.
type TokenStore interface {
	// Tokens gives them all, the expired and the revoked too.
	Tokens(ctx context.Context) ([]Token, error)
	SaveToken(ctx context.Context, t Token) error // inserts or updates
	// TouchTokens sets LastUsed of many at once.
	TouchTokens(ctx context.Context, used map[string]time.Time) error
}
