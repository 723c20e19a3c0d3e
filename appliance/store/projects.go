package store

import (
	"context"

	"github.com/palisade-run/palisade/appliance/people"
)

// Projects implements people.ProjectStore, by name. Removed ones are among them.
func (s *Store) Projects(ctx context.Context) ([]people.Project, error) {
	return list(ctx, s, statement{op: "listing projects", sql: "SELECT name, title, created_by, created_at, removed_at FROM projects ORDER BY name"},
		func(row scanner) (people.Project, error) {
			var p people.Project
			err := row.Scan(&p.Name, &p.Title, &p.CreatedBy, intoTime{&p.CreatedAt}, intoTime{&p.RemovedAt})
			return p, err
		})
}

// SaveProject implements people.ProjectStore. With one that is removed go its members and its limits, all or nothing.
func (s *Store) SaveProject(ctx context.Context, p people.Project) error {
	return s.write(ctx, "saving project "+p.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO projects (name, title, created_by, created_at, removed_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (name) DO UPDATE SET title = excluded.title, created_by = excluded.created_by, created_at = excluded.created_at,
			removed_at = excluded.removed_at`, p.Name, p.Title, p.CreatedBy, p.CreatedAt, p.RemovedAt)
		if err != nil || p.RemovedAt.IsZero() {
			return err
		}
		if _, err := t.exec(ctx, "DELETE FROM project_members WHERE project = $1", p.Name); err != nil {
			return err
		}
		_, err = t.exec(ctx, "DELETE FROM limits WHERE kind = $1 AND name = $2", string(people.LimitProject), p.Name)
		return err
	})
}

// Members implements people.ProjectStore.
func (s *Store) Members(ctx context.Context) ([]people.Membership, error) {
	return list(ctx, s, statement{op: "listing members", sql: "SELECT project, person, role, added_by, added_at FROM project_members ORDER BY project, person"},
		func(row scanner) (people.Membership, error) {
			var m people.Membership
			err := row.Scan(&m.Project, &m.User, &m.Role, &m.AddedBy, intoTime{&m.AddedAt})
			return m, err
		})
}

// SaveMember implements people.ProjectStore.
func (s *Store) SaveMember(ctx context.Context, m people.Membership) error {
	return s.write(ctx, "saving a member of project "+m.Project, func(ctx context.Context, t *tx) error {
		if err := t.notRemoved(ctx, "projects", m.Project); err != nil {
			return err
		}
		if err := t.notRemoved(ctx, "users", m.User); err != nil {
			return err
		}
		_, err := t.exec(ctx, `INSERT INTO project_members (project, person, role, added_by, added_at) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (project, person) DO UPDATE SET role = excluded.role, added_by = excluded.added_by, added_at = excluded.added_at`,
			m.Project, m.User, int64(m.Role), m.AddedBy, m.AddedAt)
		return err
	})
}

// notRemoved makes sure, to the end of the transaction, that a user or a project was not removed: what is kept of one goes with it,
// and what came later would stay. people.ErrNotFound. One without a row is none that was removed.
func (t *tx) notRemoved(ctx context.Context, table, name string) error {
	if _, err := t.exec(ctx, "UPDATE "+table+" SET name = name WHERE name = $1", name); err != nil { // who removes it waits, or is waited for
		return err
	}
	n, err := t.number(ctx, "SELECT COUNT(*) FROM "+table+" WHERE name = $1 AND removed_at IS NOT NULL", name)
	if err == nil && n > 0 {
		err = &people.Fault{Kind: people.ErrNotFound, Text: name + " was removed", Advice: "palisade user list and palisade project list show who and what there is"}
	}
	return err
}

// DeleteMember implements people.ProjectStore. One that is not there is no error.
func (s *Store) DeleteMember(ctx context.Context, project, user string) error {
	return s.write(ctx, "removing a member of project "+project, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM project_members WHERE project = $1 AND person = $2", project, user)
		return err
	})
}
