package store

import (
	"context"

	"github.com/palisade-run/palisade/catalog/index"
)

const (
	catalogColumns = "name, url, dir, track, pin, unsigned, key_id, revision, previous, serial, digest," +
		" added_by, added_at, updated_at, checked_at, problem"
	catalogKeyColumns = "id, name, text, added_by, added_at"
)

// Catalogs implements index.Store, by name.
func (s *Store) Catalogs(ctx context.Context) ([]index.Catalog, error) {
	return list(ctx, s, statement{op: "listing catalogs", sql: "SELECT " + catalogColumns + " FROM catalogs ORDER BY name"},
		func(row scanner) (index.Catalog, error) {
			var c index.Catalog
			err := row.Scan(&c.Name, &c.URL, &c.Dir, &c.Track, &c.Pin, &c.Unsigned, &c.Key, &c.Revision, &c.Previous, &c.Serial, &c.Digest,
				&c.AddedBy, intoTime{&c.AddedAt}, intoTime{&c.UpdatedAt}, intoTime{&c.CheckedAt}, &c.Problem)
			return c, err
		})
}

// SaveCatalog implements index.Store.
func (s *Store) SaveCatalog(ctx context.Context, c index.Catalog) error {
	return s.write(ctx, "saving catalog "+c.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO catalogs (`+catalogColumns+`)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)
			ON CONFLICT (name) DO UPDATE SET url = excluded.url, dir = excluded.dir, track = excluded.track, pin = excluded.pin,
			unsigned = excluded.unsigned, key_id = excluded.key_id, revision = excluded.revision, previous = excluded.previous,
			serial = excluded.serial, digest = excluded.digest, added_by = excluded.added_by, added_at = excluded.added_at,
			updated_at = excluded.updated_at, checked_at = excluded.checked_at, problem = excluded.problem`,
			c.Name, c.URL, c.Dir, c.Track, c.Pin, c.Unsigned, c.Key, c.Revision, c.Previous, c.Serial, c.Digest,
			c.AddedBy, c.AddedAt, c.UpdatedAt, c.CheckedAt, c.Problem)
		return err
	})
}

// DeleteCatalog implements index.Store. One that is not there is no error.
func (s *Store) DeleteCatalog(ctx context.Context, name string) error {
	return s.write(ctx, "removing catalog "+name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM catalogs WHERE name = $1", name)
		return err
	})
}

// CatalogKeys implements index.Store, oldest first.
func (s *Store) CatalogKeys(ctx context.Context) ([]index.TrustedKey, error) {
	return list(ctx, s, statement{op: "listing trusted keys", sql: "SELECT " + catalogKeyColumns + " FROM catalog_keys ORDER BY added_at, id"},
		func(row scanner) (index.TrustedKey, error) {
			var k index.TrustedKey
			err := row.Scan(&k.ID, &k.Name, &k.Text, &k.AddedBy, intoTime{&k.AddedAt})
			return k, err
		})
}

// SaveCatalogKey implements index.Store.
func (s *Store) SaveCatalogKey(ctx context.Context, k index.TrustedKey) error {
	return s.write(ctx, "trusting key "+k.ID, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "INSERT INTO catalog_keys ("+catalogKeyColumns+") VALUES ($1, $2, $3, $4, $5)"+
			" ON CONFLICT (id) DO UPDATE SET name = excluded.name, text = excluded.text, added_by = excluded.added_by, added_at = excluded.added_at",
			k.ID, k.Name, k.Text, k.AddedBy, k.AddedAt)
		return err
	})
}

// DeleteCatalogKey implements index.Store. One that is not there is no error.
func (s *Store) DeleteCatalogKey(ctx context.Context, id string) error {
	return s.write(ctx, "trusting key "+id+" no longer", func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM catalog_keys WHERE id = $1", id)
		return err
	})
}
