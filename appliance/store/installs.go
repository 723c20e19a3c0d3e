package store

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/catalog/install"
)

// Installs implements install.Store, oldest first.
func (s *Store) Installs(ctx context.Context) ([]install.Install, error) {
	return list(ctx, s, statement{op: "listing installs",
		sql: "SELECT id, project, model, created_by, created_at, wish, state FROM installs ORDER BY created_at, id"},
		func(row scanner) (install.Install, error) {
			var in install.Install
			err := row.Scan(&in.ID, &in.Project, &in.Model, &in.CreatedBy, intoTime{&in.CreatedAt}, intoJSON{&in.Wish}, intoJSON{&in.State})
			return in, err
		})
}

// SaveInstall implements install.Store: it inserts or replaces.
func (s *Store) SaveInstall(ctx context.Context, in install.Install) error {
	return s.write(ctx, "saving the install of "+in.Model, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO installs (id, project, model, created_by, created_at, wish, state) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (id) DO UPDATE SET wish = excluded.wish, state = excluded.state`,
			in.ID, in.Project, in.Model, in.CreatedBy, in.CreatedAt, asJSON{in.Wish}, asJSON{in.State})
		return err
	})
}

// DeleteInstall implements install.Store.
func (s *Store) DeleteInstall(ctx context.Context, id string) error {
	return s.write(ctx, "removing install "+id, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM installs WHERE id = $1", id)
		return err
	})
}

// Models implements install.Store, by project and name.
func (s *Store) Models(ctx context.Context) ([]install.Model, error) {
	return list(ctx, s, statement{op: "listing models",
		sql: "SELECT id, project, name, created_by, created_at, state FROM models ORDER BY project, name"},
		func(row scanner) (install.Model, error) {
			var m install.Model
			err := row.Scan(&m.ID, &m.Project, &m.Name, &m.CreatedBy, intoTime{&m.CreatedAt}, intoJSON{&m.ModelState})
			return m, err
		})
}

// SaveModel implements install.Store: it inserts or replaces.
func (s *Store) SaveModel(ctx context.Context, m install.Model) error {
	return s.write(ctx, "saving model "+m.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO models (id, project, name, created_by, created_at, state) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, state = excluded.state`,
			m.ID, m.Project, m.Name, m.CreatedBy, m.CreatedAt, asJSON{m.ModelState})
		if err != nil && s.dialect.unique(err) {
			return fmt.Errorf("a model named %q in project %q: %w", m.Name, m.Project, install.ErrExists)
		}
		return err
	})
}

// DeleteModel implements install.Store.
func (s *Store) DeleteModel(ctx context.Context, id string) error {
	return s.write(ctx, "removing model "+id, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM models WHERE id = $1", id)
		return err
	})
}
