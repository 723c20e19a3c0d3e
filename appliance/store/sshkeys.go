package store

import (
	"context"

	"github.com/palisade-run/palisade/appliance/ssh/authorized"
)

const sshKeyColumns = "id, name, owner, project, fingerprint, line, created_at, last_used, account"

// SSHKeys implements authorized.Store, oldest first.
func (s *Store) SSHKeys(ctx context.Context) ([]authorized.Key, error) {
	return list(ctx, s, statement{op: "listing SSH keys", sql: "SELECT " + sshKeyColumns + " FROM ssh_keys ORDER BY created_at, id"},
		func(row scanner) (authorized.Key, error) {
			var k authorized.Key
			err := row.Scan(&k.ID, &k.Name, &k.Owner, &k.Project, &k.Fingerprint, &k.Line, intoTime{&k.CreatedAt}, intoTime{&k.LastUsed}, &k.User)
			return k, err
		})
}

// SaveSSHKey implements authorized.Store. LastUsed never goes back, whatever an older copy of the key says. ErrExists when
// another key has the fingerprint, or the owner another of that name.
func (s *Store) SaveSSHKey(ctx context.Context, k authorized.Key) error {
	return s.write(ctx, "saving SSH key "+k.ID, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, `INSERT INTO ssh_keys (`+sshKeyColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (id) DO UPDATE SET name = excluded.name, owner = excluded.owner, project = excluded.project,
			fingerprint = excluded.fingerprint, line = excluded.line, account = excluded.account, created_at = excluded.created_at, `+laterUse("ssh_keys"),
			k.ID, k.Name, k.Owner, k.Project, k.Fingerprint, k.Line, k.CreatedAt, k.LastUsed, k.User)
		return err
	})
}

// DeleteSSHKey implements authorized.Store. One that is not there is no error.
func (s *Store) DeleteSSHKey(ctx context.Context, id string) error {
	return s.write(ctx, "removing SSH key "+id, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "DELETE FROM ssh_keys WHERE id = $1", id)
		return err
	})
}
