package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/people"
)

const userColumns = "name, display_name, email, admin, source, issuer, subject, password, must_change, totp, totp_step, recovery, known, created_at, created_by, last_login, disabled_at, removed_at"

// Users implements people.Store, by name. Those who were removed are among them.
func (s *Store) Users(ctx context.Context) ([]people.User, error) {
	return list(ctx, s, statement{op: "listing users", sql: "SELECT " + userColumns + " FROM users ORDER BY name"}, func(row scanner) (people.User, error) {
		var u people.User
		err := row.Scan(&u.Name, &u.DisplayName, &u.Email, &u.Admin, &u.Source, &u.Issuer, &u.Subject, &u.Password, &u.MustChange, &u.TOTP, &u.TOTPStep,
			intoJSON{&u.Recovery}, intoJSON{&u.Known}, intoTime{&u.CreatedAt}, &u.CreatedBy, intoTime{&u.LastLogIn}, intoTime{&u.DisabledAt}, intoTime{&u.RemovedAt})
		return u, err
	})
}

// SaveUser implements people.Store. ErrExists when another user has the provider's subject. With one who is removed go their log-ins,
// their parts in projects and their limits, all or nothing.
func (s *Store) SaveUser(ctx context.Context, u people.User) error {
	return s.write(ctx, "saving user "+u.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO users (`+userColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
			ON CONFLICT (name) DO UPDATE SET display_name = excluded.display_name, email = excluded.email, admin = excluded.admin, source = excluded.source,
			issuer = excluded.issuer, subject = excluded.subject, password = excluded.password, must_change = excluded.must_change, totp = excluded.totp,
			totp_step = excluded.totp_step, recovery = excluded.recovery, known = excluded.known, created_at = excluded.created_at, created_by = excluded.created_by,
			last_login = excluded.last_login, disabled_at = excluded.disabled_at, removed_at = excluded.removed_at`,
			u.Name, u.DisplayName, u.Email, u.Admin, u.Source, u.Issuer, u.Subject, u.Password, u.MustChange, u.TOTP, u.TOTPStep,
			asJSON{u.Recovery}, asJSON{u.Known}, u.CreatedAt, u.CreatedBy, u.LastLogIn, u.DisabledAt, u.RemovedAt)
		if err != nil || u.RemovedAt.IsZero() {
			return err
		}
		for _, of := range []string{"DELETE FROM logins WHERE user_name = $1", "DELETE FROM project_members WHERE person = $1"} {
			if _, err := t.exec(ctx, of, u.Name); err != nil {
				return err
			}
		}
		_, err = t.exec(ctx, "DELETE FROM limits WHERE kind = $1 AND name = $2", string(people.LimitUser), u.Name)
		return err
	})
}

const loginColumns = "id, hash, user_name, source, created_at, last_seen, address, agent"

// LogIns implements people.Store, oldest first.
func (s *Store) LogIns(ctx context.Context) ([]people.Session, error) {
	return list(ctx, s, statement{op: "listing log-in sessions", sql: "SELECT " + loginColumns + " FROM logins ORDER BY created_at, id"}, func(row scanner) (people.Session, error) {
		var v people.Session
		err := row.Scan(&v.ID, &v.Hash, &v.User, &v.Source, intoTime{&v.CreatedAt}, intoTime{&v.LastSeen}, &v.Address, &v.Agent)
		return v, err
	})
}

// SaveLogIn implements people.Store. ErrExists when another session has the hash.
func (s *Store) SaveLogIn(ctx context.Context, v people.Session) error {
	return s.write(ctx, "saving log-in session "+v.ID, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO logins (`+loginColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
			ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, user_name = excluded.user_name, source = excluded.source, created_at = excluded.created_at,
			last_seen = excluded.last_seen, address = excluded.address, agent = excluded.agent`,
			v.ID, v.Hash, v.User, v.Source, v.CreatedAt, v.LastSeen, v.Address, v.Agent)
		return err
	})
}

// TouchLogIns implements people.Store. Ids that are not there, and times older than those kept, are left out.
func (s *Store) TouchLogIns(ctx context.Context, seen map[string]time.Time) error {
	if len(seen) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(seen)) // in one order, always, as in TouchTokens
	return s.write(ctx, "noting when log-in sessions were seen", func(ctx context.Context, t *tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, "UPDATE logins SET last_seen = $2 WHERE id = $1 AND (last_seen IS NULL OR last_seen < $2)", id, seen[id]); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeleteLogIns implements people.Store. One that is not there is no error.
func (s *Store) DeleteLogIns(ctx context.Context, ids ...string) error {
	ids = slices.Sorted(slices.Values(ids))
	return s.write(ctx, "removing log-in sessions", func(ctx context.Context, t *tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, "DELETE FROM logins WHERE id = $1", id); err != nil {
				return err
			}
		}
		return nil
	})
}
