package store

import (
	"context"
	"encoding/base64"
	"fmt"

	"github.com/palisade-run/palisade/appliance/vault"
)

const secretColumns = "name, ciphertext, created_at, updated_at"

// Secrets implements vault.Rows, by name.
func (s *Store) Secrets(ctx context.Context) ([]vault.Row, error) {
	return list(ctx, s, statement{op: "listing secrets", sql: "SELECT " + secretColumns + " FROM secrets ORDER BY name"}, scanSecret)
}

// Secret implements vault.Rows.
func (s *Store) Secret(ctx context.Context, name string) (vault.Row, bool, error) {
	rows, err := list(ctx, s, statement{op: "reading secret " + name,
		sql: "SELECT " + secretColumns + " FROM secrets WHERE name = $1", args: []any{name}}, scanSecret)
	if err != nil || len(rows) == 0 {
		return vault.Row{}, false, err
	}
	return rows[0], true, nil
}

func scanSecret(row scanner) (vault.Row, error) {
	var r vault.Row
	var text string
	if err := row.Scan(&r.Name, &text, intoTime{&r.CreatedAt}, intoTime{&r.UpdatedAt}); err != nil {
		return r, err
	}
	var err error
	if r.Ciphertext, err = base64.StdEncoding.DecodeString(text); err != nil {
		return r, fmt.Errorf("secret %s: %w", r.Name, err)
	}
	return r, nil
}

// SaveSecret implements vault.Rows. The time of the first save stays.
func (s *Store) SaveSecret(ctx context.Context, r vault.Row) error {
	return s.write(ctx, "saving secret "+r.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "INSERT INTO secrets ("+secretColumns+") VALUES ($1, $2, $3, $4)"+
			" ON CONFLICT (name) DO UPDATE SET ciphertext = excluded.ciphertext, updated_at = excluded.updated_at",
			r.Name, base64.StdEncoding.EncodeToString(r.Ciphertext), r.CreatedAt, r.UpdatedAt)
		return err
	})
}

// DeleteSecret implements vault.Rows.
func (s *Store) DeleteSecret(ctx context.Context, name string) (bool, error) {
	var n int64
	err := s.write(ctx, "deleting secret "+name, func(ctx context.Context, t *tx) (err error) {
		n, err = t.exec(ctx, "DELETE FROM secrets WHERE name = $1", name)
		return err
	})
	return n > 0, err
}
