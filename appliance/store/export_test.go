package store

import (
	"context"

	"github.com/palisade-run/palisade/sessions"
)

// Writing is a transaction in which tests write.
type Writing struct{ *tx }

// Note keeps a load time.
func (w Writing) Note(ctx context.Context, l sessions.LoadTime) error {
	_, err := w.exec(ctx, `INSERT INTO load_times (`+loadTimeColumns+`) VALUES ($1, $2, $3, $4, '', '', '')`, l.Key, l.Device, l.At, int64(l.Took))
	return err
}

// Transaction is the same for what is written in one.
func (w Writing) Transaction() any { return w.sql }

// Together is writeTogether.
func (s *Store) Together(ctx context.Context, op string, fn func(context.Context, Writing) error) error {
	return s.writeTogether(ctx, op, func(ctx context.Context, t *tx) error { return fn(ctx, Writing{t}) })
}

// Alone is write.
func (s *Store) Alone(ctx context.Context, op string, fn func(context.Context, Writing) error) error {
	return s.write(ctx, op, func(ctx context.Context, t *tx) error { return fn(ctx, Writing{t}) })
}

// Save saves a session.
func (w Writing) Save(ctx context.Context, v sessions.Session) error {
	return saveSession(ctx, w.tx, v)
}

// Waiting is how many have asked for what is not begun.
func (s *Store) Waiting() int {
	s.together.mu.Lock()
	defer s.together.mu.Unlock()
	return len(s.together.waiting)
}
