package store

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/catalog/folders"
)

const (
	folderColumns = "id, name, project, usage, path, imported, created_by, created_at, quota, trashed_at, trashed_by, sealed, home"
	grantColumns  = "folder_id, person, project, permission, created_by, created_at"
)

// Folders implements folders.Store, oldest first.
func (s *Store) Folders(ctx context.Context) ([]folders.Folder, error) {
	return list(ctx, s, statement{op: "listing folders",
		sql: "SELECT " + folderColumns + " FROM folders ORDER BY created_at, id"},
		func(row scanner) (folders.Folder, error) {
			var f folders.Folder
			err := row.Scan(&f.ID, &f.Name, &f.Project, &f.Usage, &f.Path, &f.Imported, &f.CreatedBy, intoTime{&f.CreatedAt},
				&f.Quota, intoTime{&f.TrashedAt}, &f.TrashedBy, &f.Sealed, &f.Home)
			return f, err
		})
}

// SaveFolder implements folders.Store.
func (s *Store) SaveFolder(ctx context.Context, f folders.Folder) error {
	return s.write(ctx, "saving folder "+f.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "INSERT INTO folders ("+folderColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
			f.ID, f.Name, f.Project, string(f.Usage), f.Path, f.Imported, f.CreatedBy, f.CreatedAt, f.Quota, f.TrashedAt, f.TrashedBy, f.Sealed, f.Home)
		return s.folderTaken(f, err)
	})
}

// UpdateFolder implements folders.Store. A row that is not there is folders.ErrNotFound.
func (s *Store) UpdateFolder(ctx context.Context, f folders.Folder) error {
	return s.write(ctx, "saving folder "+f.Name, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, "UPDATE folders SET name = $2, project = $3, usage = $4, path = $5, imported = $6, created_by = $7,"+
			" created_at = $8, quota = $9, trashed_at = $10, trashed_by = $11, sealed = $12, home = $13 WHERE id = $1",
			f.ID, f.Name, f.Project, string(f.Usage), f.Path, f.Imported, f.CreatedBy, f.CreatedAt, f.Quota, f.TrashedAt, f.TrashedBy, f.Sealed, f.Home)
		if err == nil && n == 0 {
			return folders.ErrNotFound
		}
		return s.folderTaken(f, err)
	})
}

// folderTaken recognises a name that another folder has.
func (s *Store) folderTaken(f folders.Folder, err error) error {
	if err != nil && s.dialect.unique(err) {
		return fmt.Errorf("a folder named %q in project %q: %w", f.Name, f.Project, folders.ErrExists)
	}
	return err
}

// DeleteFolder implements folders.Store. A row that is not there is folders.ErrNotFound.
func (s *Store) DeleteFolder(ctx context.Context, id string) error {
	return s.write(ctx, "deleting folder "+id, func(ctx context.Context, t *tx) error {
		if _, err := t.exec(ctx, "DELETE FROM folder_grants WHERE folder_id = $1", id); err != nil {
			return err
		}
		n, err := t.exec(ctx, "DELETE FROM folders WHERE id = $1", id)
		if err == nil && n == 0 {
			return folders.ErrNotFound
		}
		return err
	})
}

// Grants implements folders.GrantStore, oldest first.
func (s *Store) Grants(ctx context.Context) ([]folders.Grant, error) {
	return list(ctx, s, statement{op: "listing who shares folders",
		sql: "SELECT " + grantColumns + " FROM folder_grants ORDER BY created_at, folder_id, person, project"},
		func(row scanner) (folders.Grant, error) {
			var g folders.Grant
			err := row.Scan(&g.FolderID, &g.Person, &g.Project, &g.Permission, &g.CreatedBy, intoTime{&g.CreatedAt})
			return g, err
		})
}

// SaveGrant implements folders.GrantStore: it inserts or replaces.
func (s *Store) SaveGrant(ctx context.Context, g folders.Grant) error {
	return s.write(ctx, "sharing folder "+g.FolderID, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "INSERT INTO folder_grants ("+grantColumns+") VALUES ($1, $2, $3, $4, $5, $6)"+
			" ON CONFLICT (folder_id, person, project) DO UPDATE SET permission = excluded.permission,"+
			" created_by = excluded.created_by, created_at = excluded.created_at",
			g.FolderID, g.Person, g.Project, string(g.Permission), g.CreatedBy, g.CreatedAt)
		return err
	})
}

// DeleteGrant implements folders.GrantStore. A row that is not there is folders.ErrNotFound.
func (s *Store) DeleteGrant(ctx context.Context, folderID, person, project string) error {
	return s.write(ctx, "sharing folder "+folderID+" no longer", func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, "DELETE FROM folder_grants WHERE folder_id = $1 AND person = $2 AND project = $3", folderID, person, project)
		if err == nil && n == 0 {
			return folders.ErrNotFound
		}
		return err
	})
}
