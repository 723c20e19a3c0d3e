package admintest

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
)

// Backups are real files, sealed to whom is named, of an appliance that has no rows.
type Backups struct{ shelf backup.Shelf }

// Backups implements admin.Backups.
func (b *Backups) Backups() ([]api.Backup, error) {
	all, err := b.shelf.List()
	var out []api.Backup
	for _, k := range all {
		out = append(out, shown(k))
	}
	return out, err
}

func shown(k backup.Kept) api.Backup {
	out := api.Backup{
		Name: k.Name, State: api.BackupDone, MadeAt: k.Head.MadeAt, Bytes: k.Bytes, Version: k.Head.Version, Box: k.Head.Box,
		Folders: k.Head.Folders, Models: k.Head.Models, Sealed: k.Head.Sealed, Scheduled: k.Head.Scheduled,
	}
	if k.Err != nil {
		out.State, out.Error = api.BackupFailed, k.Err.Error()
	}
	return out
}

// Backup implements admin.Backups.
func (b *Backups) Backup(name string) (api.Backup, error) {
	k, err := b.shelf.Find(name)
	return shown(k), err
}

// StartBackup implements admin.Backups: it is done at once.
func (b *Backups) StartBackup(ctx context.Context, req api.BackupCreate) (api.Backup, error) {
	if err := sealOf(req).Check(); err != nil {
		return api.Backup{}, err
	}
	draft, err := b.shelf.Begin("0123abcd", time.Now(), 1<<20)
	if err != nil {
		return api.Backup{}, err
	}
	if err := b.StreamBackup(ctx, req, draft); err != nil {
		draft.Drop()
		return api.Backup{}, err
	}
	if err := draft.Keep(); err != nil {
		return api.Backup{}, err
	}
	return b.Backup(draft.Name)
}

func sealOf(req api.BackupCreate) backup.Seal {
	return backup.Seal{Recipients: req.Recipients, Passphrase: req.Passphrase}
}

// StreamBackup implements admin.Backups.
func (b *Backups) StreamBackup(_ context.Context, req api.BackupCreate, w io.Writer) error {
	head := backup.Head{MadeAt: time.Now(), Version: "0.0.0-test", Schema: 1, Database: "sqlite", Box: "box-1", Folders: req.Folders, Models: req.Models}
	out, err := backup.NewWriter(w, head, sealOf(req))
	if err != nil {
		return err
	}
	_, err = out.Close([]backup.Model{{Name: "small", Project: "default", From: "hf:a/small", Bytes: 8 << 30}})
	return err
}

// RemoveBackup implements admin.Backups.
func (b *Backups) RemoveBackup(name string) error { return b.shelf.Remove(name) }

// VerifyBackup implements admin.Backups.
func (b *Backups) VerifyBackup(ctx context.Context, name string) (api.Backup, error) {
	f, size, err := b.shelf.Open(name)
	if err != nil {
		return api.Backup{}, err
	}
	defer f.Close()
	if _, err := backup.CheckSum(ctx, f, size, nil); err != nil {
		return api.Backup{}, err
	}
	return b.Backup(name)
}

// OpenBackup implements admin.Backups.
func (b *Backups) OpenBackup(name string) (*os.File, int64, error) { return b.shelf.Open(name) }
