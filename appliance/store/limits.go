package store

import (
	"context"

	"github.com/palisade-run/palisade/appliance/people"
)

// Limits implements people.LimitStore, by kind and name.
func (s *Store) Limits(ctx context.Context) ([]people.LimitRow, error) {
	return list(ctx, s, statement{op: "listing limits", sql: "SELECT kind, name, limits, changed_by, changed_at FROM limits ORDER BY kind, name"},
		func(row scanner) (people.LimitRow, error) {
			var r people.LimitRow
			err := row.Scan(&r.Kind, &r.Name, intoJSON{&r.Limits}, &r.ChangedBy, intoTime{&r.ChangedAt})
			return r, err
		})
}

// SaveLimits implements people.LimitStore.
func (s *Store) SaveLimits(ctx context.Context, r people.LimitRow) error {
	return s.write(ctx, "saving the limits of "+string(r.Kind)+" "+r.Name, func(ctx context.Context, t *tx) error {
		table := "users"
		if r.Kind == people.LimitProject {
			table = "projects"
		}
		if err := t.notRemoved(ctx, table, r.Name); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO limits (kind, name, limits, changed_by, changed_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (kind, name) DO UPDATE SET limits = excluded.limits, changed_by = excluded.changed_by, changed_at = excluded.changed_at`,
			string(r.Kind), r.Name, asJSON{r.Limits}, r.ChangedBy, r.ChangedAt)
		return err
	})
}

// DeleteLimits implements people.LimitStore. Ones that are not there are no error.
func (s *Store) DeleteLimits(ctx context.Context, kind people.LimitKind, name string) error {
	return s.write(ctx, "clearing the limits of "+string(kind)+" "+name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM limits WHERE kind = $1 AND name = $2", string(kind), name)
		return err
	})
}
