package store

import (
	"context"
	"fmt"

	"github.com/palisade-run/palisade/catalog"
)

const folderColumns = "id, name, project, usage, path, imported, created_by, created_at"

// Folders implements catalog.FolderStore, oldest first.
func (s *Store) Folders(ctx context.Context) ([]catalog.Folder, error) {
	return list(ctx, s, statement{op: "listing folders",
		sql: "SELECT " + folderColumns + " FROM folders ORDER BY created_at, id"},
		func(row scanner) (catalog.Folder, error) {
			var f catalog.Folder
			err := row.Scan(&f.ID, &f.Name, &f.Project, &f.Usage, &f.Path, &f.Imported, &f.CreatedBy, intoTime{&f.CreatedAt})
			return f, err
		})
}

// SaveFolder implements catalog.FolderStore.
func (s *Store) SaveFolder(ctx context.Context, f catalog.Folder) error {
	return s.write(ctx, "saving folder "+f.Name, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, "INSERT INTO folders ("+folderColumns+") VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
			f.ID, f.Name, f.Project, string(f.Usage), f.Path, f.Imported, f.CreatedBy, f.CreatedAt)
		if err != nil && s.dialect.unique(err) {
			return fmt.Errorf("a folder named %q in project %q: %w", f.Name, f.Project, catalog.ErrExists)
		}
		return err
	})
}

// DeleteFolder implements catalog.FolderStore. A row that is not there is catalog.ErrNotFound.
func (s *Store) DeleteFolder(ctx context.Context, id string) error {
	return s.write(ctx, "deleting folder "+id, func(ctx context.Context, t *tx) error {
		n, err := t.exec(ctx, "DELETE FROM folders WHERE id = $1", id)
		if err == nil && n == 0 {
			return catalog.ErrNotFound
		}
		return err
	})
}
