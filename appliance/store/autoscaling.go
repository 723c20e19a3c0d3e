package store

import (
	"context"
	"fmt"
	"math"

	"github.com/palisade-run/palisade/autoscaler"
)

// Policies implements autoscaler.Store, by service. A policy that an older or a newer version wrote is read as far as
// this one knows its fields; what it lacks is zero, and the room's to fill.
func (s *Store) Policies(ctx context.Context) ([]autoscaler.Kept, error) {
	return list(ctx, s, statement{op: "listing autoscaling policies",
		sql: "SELECT service_id, policy, version, edited_by, edited_at, memory FROM autoscaling ORDER BY service_id"},
		func(row scanner) (autoscaler.Kept, error) {
			var k autoscaler.Kept
			err := row.Scan(&k.ServiceID, intoJSON{&k.Policy}, &k.Version, &k.EditedBy, intoTime{&k.EditedAt}, intoJSON{&k.Memory})
			return k, err
		})
}

// SavePolicy implements autoscaler.Store. An update of a row that is gone is autoscaler.ErrNotFound.
func (s *Store) SavePolicy(ctx context.Context, k autoscaler.Kept) (int64, error) {
	err := s.write(ctx, "saving an autoscaling policy", func(ctx context.Context, t *tx) error {
		if k.Version == 0 {
			return t.insertPolicy(ctx, &k)
		}
		return t.updatePolicy(ctx, &k)
	})
	if err != nil {
		return 0, err
	}
	return k.Version + 1, nil
}

func (t *tx) insertPolicy(ctx context.Context, k *autoscaler.Kept) error {
	n, err := t.exec(ctx, `INSERT INTO autoscaling (service_id, policy, version, edited_by, edited_at, memory, last_seq)
		VALUES ($1, $2, 1, $3, $4, $5, 0) ON CONFLICT (service_id) DO NOTHING`,
		k.ServiceID, asJSON{k.Policy}, k.EditedBy, k.EditedAt, asJSON{k.Memory})
	if err == nil && n == 0 {
		err = fmt.Errorf("service %s has an autoscaling policy already: %w", k.ServiceID, autoscaler.ErrConflict)
	}
	return err
}

// updatePolicy leaves the memory alone: a decision may have written it since k was read.
func (t *tx) updatePolicy(ctx context.Context, k *autoscaler.Kept) error {
	n, err := t.exec(ctx, `UPDATE autoscaling SET policy = $3, version = version + 1, edited_by = $4, edited_at = $5
		WHERE service_id = $1 AND version = $2`, k.ServiceID, k.Version, asJSON{k.Policy}, k.EditedBy, k.EditedAt)
	if err != nil || n == 1 {
		return err
	}
	exists, err := t.number(ctx, "SELECT COUNT(*) FROM autoscaling WHERE service_id = $1", k.ServiceID)
	if err != nil {
		return err
	}
	if exists == 0 {
		return fmt.Errorf("autoscaling policy of service %s: %w", k.ServiceID, autoscaler.ErrNotFound)
	}
	return fmt.Errorf("autoscaling policy of service %s has another version than %d: %w", k.ServiceID, k.Version, autoscaler.ErrConflict)
}

// DeletePolicy implements autoscaler.Store.
func (s *Store) DeletePolicy(ctx context.Context, serviceID string) error {
	return s.write(ctx, "removing an autoscaling policy", func(ctx context.Context, t *tx) error {
		// The policy first: its row is what a decision that comes at the same time waits for, and then does not find.
		if _, err := t.exec(ctx, "DELETE FROM autoscaling WHERE service_id = $1", serviceID); err != nil {
			return err
		}
		_, err := t.exec(ctx, "DELETE FROM decisions WHERE service_id = $1", serviceID)
		return err
	})
}

// AddDecision implements autoscaler.Store. A service without a policy has no decisions: autoscaler.ErrNotFound, so that
// one that comes late leaves nothing behind of a service that is gone.
func (s *Store) AddDecision(ctx context.Context, serviceID string, d autoscaler.Decision) error {
	return s.write(ctx, "saving a decision", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, "UPDATE autoscaling SET memory = $2, last_seq = last_seq + 1 WHERE service_id = $1", serviceID, asJSON{d.Memory})
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("autoscaling policy of service %s: %w", serviceID, autoscaler.ErrNotFound)
		}
		seq, err := t.number(ctx, "SELECT last_seq FROM autoscaling WHERE service_id = $1", serviceID)
		if err != nil {
			return err
		}
		if _, err := t.exec(ctx, "INSERT INTO decisions (service_id, seq, body) VALUES ($1, $2, $3)", serviceID, seq, asJSON{d}); err != nil {
			return err
		}
		// At most one row, found through the primary key.
		_, err = t.exec(ctx, "DELETE FROM decisions WHERE service_id = $1 AND seq <= $2", serviceID, seq-autoscaler.DecisionsKept)
		return err
	})
}

// Decisions implements autoscaler.Store: newest first means last saved first. A limit of 0 or less means all that are kept.
func (s *Store) Decisions(ctx context.Context, serviceID string, limit int) ([]autoscaler.Decision, error) {
	if limit <= 0 {
		limit = math.MaxInt32
	}
	return list(ctx, s, statement{op: "listing decisions", args: []any{serviceID, limit},
		sql: "SELECT body FROM decisions WHERE service_id = $1 ORDER BY seq DESC LIMIT $2"},
		func(row scanner) (autoscaler.Decision, error) {
			var d autoscaler.Decision
			err := row.Scan(intoJSON{&d})
			return d, err
		})
}
