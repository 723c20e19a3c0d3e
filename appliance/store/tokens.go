package store

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/router"
)

const tokenColumns = "id, hash, name, project, service_id, created_by, created_at, expires_at, last_used, revoked_at, limits"

// Tokens implements router.TokenStore, oldest first. Expired and revoked ones are among them.
func (s *Store) Tokens(ctx context.Context) ([]router.Token, error) {
	return list(ctx, s, statement{op: "listing tokens",
		sql: "SELECT " + tokenColumns + " FROM tokens ORDER BY created_at, id"},
		func(row scanner) (router.Token, error) {
			var v router.Token
			err := row.Scan(&v.ID, &v.Hash, &v.Name, &v.Project, &v.ServiceID, &v.CreatedBy, intoTime{&v.CreatedAt},
				intoTime{&v.ExpiresAt}, intoTime{&v.LastUsed}, intoTime{&v.RevokedAt}, intoJSON{&v.Limits})
			return v, err
		})
}

// SaveToken implements router.TokenStore. A revocation stays, and LastUsed never goes back, whatever an
// older copy of the token says. ErrExists when another token has the hash.
func (s *Store) SaveToken(ctx context.Context, v router.Token) error {
	return s.write(ctx, "saving token "+v.ID, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO tokens (`+tokenColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, name = excluded.name, project = excluded.project,
			service_id = excluded.service_id, created_by = excluded.created_by, created_at = excluded.created_at,
			expires_at = excluded.expires_at, limits = excluded.limits, `+laterUse("tokens")+`, `+firstRevocation("tokens"),
			v.ID, v.Hash, v.Name, v.Project, v.ServiceID, v.CreatedBy, v.CreatedAt, v.ExpiresAt, v.LastUsed, v.RevokedAt, asJSON{v.Limits})
		return err
	})
}

// TouchTokens implements router.TokenStore. Ids that are not there, and times older than those kept, are
// left out.
func (s *Store) TouchTokens(ctx context.Context, used map[string]time.Time) error {
	if len(used) == 0 {
		return nil
	}
	// In one order, always: two that touch the same rows must not wait for each other in a ring.
	ids := slices.Sorted(maps.Keys(used))
	return s.write(withoutTerm(ctx), "noting when tokens were used", func(ctx context.Context, t *tx) error {
		for _, id := range ids {
			if _, err := t.exec(ctx, "UPDATE tokens SET last_used = $2 WHERE id = $1 AND (last_used IS NULL OR last_used < $2)",
				id, used[id]); err != nil {
				return err
			}
		}
		return nil
	})
}

const keyColumns = "id, hash, name, created_by, created_at, last_used, revoked_at, owner, scope, project, expires_at"

// Keys implements keys.Store, oldest first. Revoked ones are among them.
func (s *Store) Keys(ctx context.Context) ([]keys.Key, error) {
	return list(ctx, s, statement{op: "listing API keys",
		sql: "SELECT " + keyColumns + " FROM api_keys ORDER BY created_at, id"},
		func(row scanner) (keys.Key, error) {
			var k keys.Key
			err := row.Scan(&k.ID, &k.Hash, &k.Name, &k.CreatedBy, intoTime{&k.CreatedAt}, intoTime{&k.LastUsed}, intoTime{&k.RevokedAt},
				&k.Owner, &k.Scope, &k.Project, intoTime{&k.ExpiresAt})
			return k, err
		})
}

// SaveKey implements keys.Store. A revocation stays, and LastUsed never goes back, whatever an older
// copy of the key says. ErrExists when another key has the hash.
func (s *Store) SaveKey(ctx context.Context, k keys.Key) error {
	return s.write(ctx, "saving API key "+k.ID, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO api_keys (`+keyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
			ON CONFLICT (id) DO UPDATE SET hash = excluded.hash, name = excluded.name, created_by = excluded.created_by,
			created_at = excluded.created_at, owner = excluded.owner, scope = excluded.scope, project = excluded.project,
			expires_at = excluded.expires_at, `+laterUse("api_keys")+`, `+firstRevocation("api_keys"),
			k.ID, k.Hash, k.Name, k.CreatedBy, k.CreatedAt, k.LastUsed, k.RevokedAt, k.Owner, string(k.Scope), k.Project, k.ExpiresAt)
		return err
	})
}

// laterUse is the part of an upsert that keeps the later of two times of use.
func laterUse(table string) string {
	return "last_used = CASE WHEN " + table + ".last_used IS NULL OR excluded.last_used > " + table + ".last_used" +
		" THEN excluded.last_used ELSE " + table + ".last_used END"
}

// firstRevocation is the part of an upsert that never takes a revocation back.
func firstRevocation(table string) string {
	return "revoked_at = COALESCE(" + table + ".revoked_at, excluded.revoked_at)"
}
