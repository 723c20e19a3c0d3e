package router

import (
	"context"
	"errors"
	"time"
)

// Kinds of errors of this room. Test with errors.Is; the text that wraps them is for people.
var (
	ErrNotFound = errors.New("not found")
	ErrInvalid  = errors.New("invalid")
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
}

// TokenStore keeps tokens' rows.
type TokenStore interface {
	Tokens(ctx context.Context) ([]Token, error)
	SaveToken(ctx context.Context, t Token) error // inserts or updates
	// TouchTokens sets LastUsed of many at once.
	TouchTokens(ctx context.Context, used map[string]time.Time) error
}
