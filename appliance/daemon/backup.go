package daemon

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
)

// backups makes and keeps backups of the appliance, one at a time. In a cluster whoever leads does.
type backups struct {
	d     *daemon
	shelf backup.Shelf

	mu     sync.Mutex
	run    *backupRun
	failed *api.Backup // the newest that came to nothing since one did not

	recording sync.Mutex // one at a time changes the record

	naming sync.Mutex
	id     string // which appliance this is, for those who keep theirs in the same directory; "": not asked for yet
	named  bool   // the record has it

	// What the schedule knows, though the record of it cannot be written. Its loop alone uses it.
	known backupRecord
	busy  bool // it was said that another is being made
}

// backupRun is a backup that is being made.
type backupRun struct {
	cancel context.CancelCauseFunc
	head   backup.Head

	mu    sync.Mutex
	name  string
	phase string
	done  int64
	total int64
}

func (r *backupRun) tell(phase string, more int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.phase = phase
	r.done += more
}

func (r *backupRun) call(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.name = name
}

func (r *backupRun) is(name string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.name == name
}

func (r *backupRun) view() api.Backup {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := backupOf(r.head)
	out.Name, out.State, out.Phase, out.Done, out.Total = r.name, api.BackupRunning, r.phase, r.done, max(r.total, r.done)
	return out
}

func (d *daemon) openBackups() {
	d.backups = &backups{d: d, shelf: backup.Shelf{Dir: d.Config.BackupDir()}}
}

func backupOf(h backup.Head) api.Backup {
	return api.Backup{
		State: api.BackupDone, MadeAt: h.MadeAt, Version: h.Version, Schema: h.Schema, Database: h.Database, Box: h.Box,
		Scheduled: h.Scheduled, Folders: h.Folders, Models: h.Models, Sealed: h.Sealed,
	}
}

func backupKept(k backup.Kept) api.Backup {
	out := backupOf(k.Head)
	out.Name, out.Bytes = k.Name, k.Bytes
	if k.Err != nil {
		out.State, out.Error = api.BackupFailed, k.Err.Error()
	}
	return out
}

// Backups implements admin.Backups.
func (b *backups) Backups() ([]api.Backup, error) {
	var out []api.Backup
	b.mu.Lock()
	if b.run != nil {
		out = append(out, b.run.view())
	} else if b.failed != nil {
		out = append(out, *b.failed)
	}
	b.mu.Unlock()
	all, err := b.shelf.List()
	if err != nil {
		return nil, err
	}
	for _, k := range all {
		if len(out) > 0 && out[0].Name == k.Name { // it has become whole since
			out = out[1:]
		}
		out = append(out, backupKept(k))
	}
	return out, nil
}

// Backup implements admin.Backups.
func (b *backups) Backup(name string) (api.Backup, error) {
	if b, fresh := b.fresh(name); fresh {
		return b, nil
	}
	k, err := b.shelf.Find(name)
	if err != nil {
		return api.Backup{}, err
	}
	return backupKept(k), nil
}

// fresh is one that is being made, or was the last to fail.
func (b *backups) fresh(name string) (api.Backup, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run != nil && b.run.is(name) {
		return b.run.view(), true
	}
	if b.failed != nil && b.failed.Name == name {
		return *b.failed, true
	}
	return api.Backup{}, false
}

// OpenBackup implements admin.Backups.
func (b *backups) OpenBackup(name string) (*os.File, int64, error) { return b.shelf.Open(name) }

// VerifyBackup implements admin.Backups.
func (b *backups) VerifyBackup(ctx context.Context, name string) (api.Backup, error) {
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

// errCancelled ends a backup that somebody does not want any more.
var errCancelled = errors.New("it was cancelled")

// RemoveBackup implements admin.Backups: one that is being made is cancelled.
func (b *backups) RemoveBackup(name string) error {
	if b.forget(name) {
		return nil
	}
	return b.shelf.Remove(name)
}

// forget cancels one that is being made, and forgets one that has failed.
func (b *backups) forget(name string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.run != nil && b.run.is(name):
		b.run.cancel(errCancelled)
	case b.failed != nil && b.failed.Name == name:
		b.failed = nil
	default:
		return false
	}
	return true
}

// begin makes one the only one that is made. The function ends it.
func (b *backups) begin(ctx context.Context, h backup.Head) (context.Context, *backupRun, func(error), error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run != nil {
		return nil, nil, nil, hinted{backup.ErrBusy, "see how far it is: palisade backup list"}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	h.MadeAt = time.Now()
	h.Version, h.Box, h.Data = b.d.Version.Version, boxName(b.d.Config, ""), b.d.Config.Data
	b.run = &backupRun{cancel: cancel, head: h, phase: "looking at what there is"}
	run := b.run
	return ctx, run, func(err error) {
		cancel(nil)
		b.mu.Lock()
		defer b.mu.Unlock()
		b.run, b.failed = nil, nil
		if err == nil {
			return
		}
		view := run.view()
		view.State, view.Error = api.BackupFailed, err.Error()
		b.failed = &view
	}, nil
}

// sealOf is who is to open a backup: who was named, or whom the settings name.
func (b *backups) sealOf(req api.BackupCreate) (backup.Seal, error) {
	if len(req.Recipients) > 0 || req.Passphrase != "" {
		return backup.Seal{Recipients: req.Recipients, Passphrase: req.Passphrase}, nil
	}
	return b.d.Config.Backup.Seal()
}

// StartBackup implements admin.Backups.
func (b *backups) StartBackup(ctx context.Context, req api.BackupCreate) (api.Backup, error) {
	seal, err := b.sealOf(req)
	if err == nil {
		err = seal.Check()
	}
	if err != nil {
		return api.Backup{}, err
	}
	begun := make(chan error, 2) // that it began, and that it is over
	var view api.Backup
	b.d.deciding.run(func(deciding context.Context) {
		deciding, cancel := context.WithCancelCause(deciding)
		defer cancel(nil)
		unheard := context.AfterFunc(ctx, func() { cancel(errCancelled) }) // whoever asks cannot cancel it by its name yet
		answered := false
		_, err := b.toShelf(deciding, backup.Head{Folders: req.Folders, Models: req.Models}, seal, func(v api.Backup) {
			unheard()
			view, answered = v, true
			begun <- nil
		})
		begun <- err
		if err != nil && answered && deciding.Err() == nil { // else who asked is told
			b.d.Log.Warn("no backup was made", "error", err)
		}
	})
	select {
	case err := <-begun:
		return view, err
	case <-ctx.Done():
		return api.Backup{}, context.Cause(ctx)
	}
}

// toShelf makes one in the directory of backups. Begun is told once it has a name.
func (b *backups) toShelf(ctx context.Context, h backup.Head, seal backup.Seal, begun func(api.Backup)) (out api.Backup, err error) {
	if h.Appliance, err = b.identity(ctx); err != nil {
		return out, err
	}
	ctx, run, end, err := b.begin(ctx, h)
	if err != nil {
		return out, err
	}
	defer func() { end(err) }()
	took := time.Now()
	what, err := b.look(ctx, run)
	if err != nil {
		return out, err
	}
	defer what.Close()
	draft, err := b.shelf.Begin(run.head.Appliance, time.Now(), what.likely)
	if err != nil {
		return out, err
	}
	run.call(draft.Name)
	if begun != nil {
		begun(run.view())
	}
	m, err := what.write(ctx, draft, seal)
	if err == nil {
		err = draft.Keep()
	}
	if err != nil {
		draft.Drop()
		return out, err
	}
	kept, err := b.shelf.Find(draft.Name)
	if err != nil {
		return out, err
	}
	b.d.Log.Info("a backup was made", "file", draft.Name, "bytes", kept.Bytes, "took", time.Since(took).Round(time.Millisecond), "scheduled", h.Scheduled, "left_out", m.LeftOut)
	b.note(ctx, func(r *backupRecord) {
		r.At, r.Name, r.Box, r.LeftOut = kept.Head.MadeAt, draft.Name, kept.Head.Box, m.LeftOut
	})
	return backupKept(kept), nil
}

// StreamBackup implements admin.Backups.
func (b *backups) StreamBackup(ctx context.Context, req api.BackupCreate, w io.Writer) (err error) {
	seal, err := b.sealOf(req)
	if err == nil {
		err = seal.Check()
	}
	if err != nil {
		return err
	}
	id, err := b.identity(ctx)
	if err != nil {
		return err
	}
	ctx, run, end, err := b.begin(ctx, backup.Head{Folders: req.Folders, Models: req.Models, Appliance: id})
	if err != nil {
		return err
	}
	defer func() { end(err) }()
	run.call("stream-" + run.head.MadeAt.UTC().Format("20060102T150405.000Z")) // it can be cancelled by that
	what, err := b.look(ctx, run)
	if err != nil {
		return err
	}
	defer what.Close()
	_, err = what.write(ctx, w, seal)
	return err
}
