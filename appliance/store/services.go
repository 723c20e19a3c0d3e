package store

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/palisade-run/palisade/sessions"
)

const serviceColumns = `id, name, project, created_by, created_at, updated_at, version, lifecycle,
	replicas, public, policy, revision, good_revision, failures, last_error, retry_at, priority, routing,
	scaled_by, scaled_at`

func scanService(row scanner) (sessions.Service, error) {
	v := sessions.Service{Routing: sessions.DefaultRouting()} // for what an older version did not write
	err := row.Scan(&v.ID, &v.Name, &v.Project, &v.CreatedBy, intoTime{&v.CreatedAt}, intoTime{&v.UpdatedAt},
		&v.Version, &v.Lifecycle, &v.Replicas, &v.Public, intoJSON{&v.Policy}, &v.Revision, &v.GoodRevision,
		&v.Failures, &v.LastError, intoTime{&v.RetryAt}, &v.Priority, intoJSON{&v.Routing}, &v.ScaledBy, intoTime{&v.ScaledAt})
	return v, err
}

// Services implements sessions.ServiceStore, oldest first.
func (s *Store) Services(ctx context.Context) ([]sessions.Service, error) {
	return list(ctx, s, statement{op: "listing services",
		sql: "SELECT " + serviceColumns + " FROM services WHERE lifecycle <> 'destroyed' ORDER BY created_at, id"}, scanService)
}

// SaveService implements sessions.ServiceStore. A row that is gone is sessions.ErrNotFound.
func (s *Store) SaveService(ctx context.Context, v sessions.Service) (int64, error) {
	version := v.Version + 1
	err := s.write(ctx, "saving service "+v.Name, func(ctx context.Context, t *tx) error {
		if v.Version == 0 {
			return s.insertService(ctx, t, v)
		}
		return s.updateService(ctx, t, v)
	})
	if err != nil {
		return 0, err
	}
	return version, nil
}

func (s *Store) insertService(ctx context.Context, t *tx, v sessions.Service) error {
	n, err := t.exec(ctx, `INSERT INTO services (`+serviceColumns+`)
		VALUES ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
		ON CONFLICT (id) DO NOTHING`,
		v.ID, v.Name, v.Project, v.CreatedBy, v.CreatedAt, v.UpdatedAt, string(v.Lifecycle), v.Replicas, v.Public,
		asJSON{v.Policy}, v.Revision, v.GoodRevision, v.Failures, v.LastError, v.RetryAt, v.Priority, asJSON{v.Routing},
		v.ScaledBy, v.ScaledAt)
	if err != nil {
		return s.nameTaken(err, v)
	}
	if n == 0 {
		return fmt.Errorf("service %s was saved before: %w", v.ID, sessions.ErrConflict)
	}
	return nil
}

func (s *Store) updateService(ctx context.Context, t *tx, v sessions.Service) error {
	n, err := t.exec(ctx, `UPDATE services SET name = $3, project = $4, created_by = $5, created_at = $6, updated_at = $7,
		version = version + 1, lifecycle = $8, replicas = $9, public = $10, policy = $11, revision = $12,
		good_revision = $13, failures = $14, last_error = $15, retry_at = $16, priority = $17, routing = $18,
		scaled_by = $19, scaled_at = $20
		WHERE id = $1 AND version = $2`,
		v.ID, v.Version, v.Name, v.Project, v.CreatedBy, v.CreatedAt, v.UpdatedAt, string(v.Lifecycle), v.Replicas, v.Public,
		asJSON{v.Policy}, v.Revision, v.GoodRevision, v.Failures, v.LastError, v.RetryAt, v.Priority, asJSON{v.Routing},
		v.ScaledBy, v.ScaledAt)
	if err != nil {
		return s.nameTaken(err, v)
	}
	if n == 1 {
		return nil
	}
	exists, err := t.number(ctx, "SELECT COUNT(*) FROM services WHERE id = $1", v.ID)
	if err != nil {
		return err
	}
	if exists == 0 {
		return fmt.Errorf("service %s: %w", v.ID, sessions.ErrNotFound)
	}
	return fmt.Errorf("service %s has a newer version than %d: %w", v.ID, v.Version, sessions.ErrConflict)
}

// nameTaken translates the one unique index that can refuse a service.
func (s *Store) nameTaken(err error, v sessions.Service) error {
	if s.dialect.unique(err) {
		return fmt.Errorf("a service named %q in project %q: %w", v.Name, v.Project, sessions.ErrExists)
	}
	return err
}

const revisionColumns = "service_id, number, created_at, created_by, recipe, launch, failed"

// SaveRevision implements sessions.ServiceStore. It may come before its service's own save, and should:
// a crash between the two then leaves a revision that nothing points to, which the next one of that
// number replaces, and never a service without what it runs.
func (s *Store) SaveRevision(ctx context.Context, r sessions.Revision) error {
	return s.write(ctx, "saving a revision", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO revisions (`+revisionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (service_id, number) DO UPDATE SET created_at = excluded.created_at,
			created_by = excluded.created_by, recipe = excluded.recipe, launch = excluded.launch, failed = excluded.failed`,
			r.ServiceID, r.Number, r.CreatedAt, r.CreatedBy, asJSON{r.Recipe}, asJSON{r.Launch}, r.Failed)
		return err
	})
}

// Revisions implements sessions.ServiceStore.
func (s *Store) Revisions(ctx context.Context, serviceID string) ([]sessions.Revision, error) {
	return list(ctx, s, statement{op: "listing revisions", args: []any{serviceID},
		sql: "SELECT " + revisionColumns + " FROM revisions WHERE service_id = $1 ORDER BY number"},
		func(row scanner) (sessions.Revision, error) {
			var r sessions.Revision
			err := row.Scan(&r.ServiceID, &r.Number, intoTime{&r.CreatedAt}, &r.CreatedBy,
				intoJSON{&r.Recipe}, intoJSON{&r.Launch}, &r.Failed)
			return r, err
		})
}

// eventsKept is how many events of a service stay: some days of a service that flaps.
const eventsKept = 1000

// AddEvent implements sessions.EventStore.
func (s *Store) AddEvent(ctx context.Context, all ...sessions.Event) error {
	all = slices.Clone(all)
	return s.writeTogether(ctx, "saving events", func(ctx context.Context, t *tx) error {
		for _, e := range all {
			if err := addEvent(ctx, t, e); err != nil {
				return err
			}
		}
		return nil
	})
}

func addEvent(ctx context.Context, t *tx, e sessions.Event) error {
	// The count's row is locked from here on: numbers are given out one by one, without gaps.
	seq, err := t.number(ctx, `INSERT INTO event_counts (service_id, last_seq) VALUES ($1, 1)
		ON CONFLICT (service_id) DO UPDATE SET last_seq = event_counts.last_seq + 1 RETURNING last_seq`, e.ServiceID)
	if err != nil {
		return err
	}
	if _, err := t.exec(ctx, `INSERT INTO events (service_id, seq, session_id, at, kind, message)
		VALUES ($1, $2, $3, $4, $5, $6)`, e.ServiceID, seq, e.SessionID, e.At, e.Kind, e.Message); err != nil {
		return err
	}
	if seq <= eventsKept {
		return nil
	}
	// At most one row, found through the primary key.
	_, err = t.exec(ctx, "DELETE FROM events WHERE service_id = $1 AND seq <= $2", e.ServiceID, seq-eventsKept)
	return err
}

// Events implements sessions.EventStore: newest first means last saved first. A limit of 0 or less
// means all that are kept.
func (s *Store) Events(ctx context.Context, serviceID string, limit int) ([]sessions.Event, error) {
	if limit <= 0 {
		limit = math.MaxInt32
	}
	return list(ctx, s, statement{op: "listing events", args: []any{serviceID, limit},
		sql: "SELECT service_id, session_id, at, kind, message FROM events WHERE service_id = $1 ORDER BY seq DESC LIMIT $2"},
		func(row scanner) (sessions.Event, error) {
			var e sessions.Event
			err := row.Scan(&e.ServiceID, &e.SessionID, intoTime{&e.At}, &e.Kind, &e.Message)
			return e, err
		})
}
