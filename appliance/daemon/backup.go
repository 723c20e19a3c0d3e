package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/autoscaler/cron"
)

// backups makes and keeps backups of the appliance, one at a time. In a cluster whoever leads does.
type backups struct {
	d     *daemon
	shelf backup.Shelf

	mu     sync.Mutex
	run    *backupRun
	failed *api.Backup // the newest that came to nothing since one did not

	recording sync.Mutex // one at a time changes the record
}

// backupRun is a backup that is being made.
type backupRun struct {
	cancel context.CancelCauseFunc
	head   backup.Head
	name   string

	mu    sync.Mutex
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
	all, err := b.shelf.List()
	if err != nil {
		return nil, err
	}
	var out []api.Backup
	b.mu.Lock()
	if b.run != nil {
		out = append(out, b.run.view())
	} else if b.failed != nil {
		out = append(out, *b.failed)
	}
	b.mu.Unlock()
	for _, k := range all {
		out = append(out, backupKept(k))
	}
	return out, nil
}

// Backup implements admin.Backups.
func (b *backups) Backup(name string) (api.Backup, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run != nil && b.run.name == name {
		return b.run.view(), nil
	}
	if b.failed != nil && b.failed.Name == name {
		return *b.failed, nil
	}
	k, err := b.shelf.Find(name)
	if err != nil {
		return api.Backup{}, err
	}
	return backupKept(k), nil
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
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.run != nil && b.run.name == name {
		b.run.cancel(errCancelled)
		return nil
	}
	if b.failed != nil && b.failed.Name == name {
		b.failed = nil
		return nil
	}
	return b.shelf.Remove(name)
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
	b.d.deciding.run(func(ctx context.Context) {
		answered := false
		_, err := b.toShelf(ctx, backup.Head{Folders: req.Folders, Models: req.Models}, seal, func(v api.Backup) { view, answered = v, true; begun <- nil })
		begun <- err
		if err != nil && answered && ctx.Err() == nil { // else who asked is told
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
	draft, err := b.shelf.Begin(time.Now(), what.likely())
	if err != nil {
		return out, err
	}
	run.mu.Lock()
	run.name = draft.Name
	run.mu.Unlock()
	if begun != nil {
		begun(run.view())
	}
	if _, err = what.write(ctx, draft, seal); err == nil {
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
	b.d.Log.Info("a backup was made", "file", draft.Name, "bytes", kept.Bytes, "took", time.Since(took).Round(time.Millisecond), "scheduled", h.Scheduled)
	return backupKept(kept), b.remember(ctx, func(r *backupRecord) { r.At, r.Name, r.Box = kept.Head.MadeAt, draft.Name, kept.Head.Box })
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
	ctx, run, end, err := b.begin(ctx, backup.Head{Folders: req.Folders, Models: req.Models})
	if err != nil {
		return err
	}
	defer func() { end(err) }()
	what, err := b.look(ctx, run)
	if err != nil {
		return err
	}
	defer what.Close()
	_, err = what.write(ctx, w, seal)
	return err
}

// Bounds of the schedule.
const (
	backupLook  = 15 * time.Second // between two looks at the clock
	backupAgain = 10 * time.Minute // after one that came to nothing
	backupLate  = time.Hour        // then one is missed
)

// due is the moment of the schedule that a backup is to be made for; zero: none.
func (r backupRecord) due(times *cron.Times, now time.Time) time.Time {
	slot := times.Last(now)
	if slot.IsZero() || !slot.After(r.Slot) || now.Before(r.Tried.Add(backupAgain)) {
		return time.Time{}
	}
	return slot
}

// keepSchedule makes backups when the schedule says so.
func (b *backups) keepSchedule(ctx context.Context) {
	times, err := b.d.Config.Backup.Times()
	if err != nil || times == nil {
		return // Validate has said why
	}
	tick := time.NewTicker(backupLook)
	defer tick.Stop()
	for {
		if err := b.onSchedule(ctx, times); err != nil && ctx.Err() == nil {
			b.d.Log.Warn("the backup that the schedule wants was not made; it is tried again", "error", err, "again", backupAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *backups) onSchedule(ctx context.Context, times *cron.Times) error {
	last, err := b.recall(ctx)
	if err != nil {
		return err
	}
	slot := last.due(times, time.Now())
	if slot.IsZero() {
		return nil
	}
	seal, err := b.d.Config.Backup.Seal()
	var made api.Backup
	if err == nil {
		made, err = b.toShelf(ctx, backup.Head{Scheduled: true, Folders: b.d.Config.Backup.Folders, Models: b.d.Config.Backup.Models}, seal, nil)
	}
	if errors.Is(err, backup.ErrBusy) {
		return nil // the next look finds it due still
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return errors.Join(err, b.remember(ctx, func(r *backupRecord) { r.Tried, r.Error = time.Now(), err.Error() }))
	}
	b.d.audit.Add(ctx, audit.Entry{At: time.Now(), Via: "schedule", Project: admin.DefaultProject, Action: "createBackup", Target: "backups/" + made.Name})
	if err := b.remember(ctx, func(r *backupRecord) { r.Slot, r.Tried, r.Error = slot, time.Time{}, "" }); err != nil {
		return err
	}
	gone, err := b.shelf.Prune(b.d.Config.Backup.Keep)
	for _, name := range gone {
		b.d.Log.Info("a backup was removed: there are newer ones", "file", name)
	}
	return err
}

// checkBackups tells of a schedule that is not kept.
func (d *daemon) checkBackups(ctx context.Context) []api.Check {
	times, err := d.Config.Backup.Times()
	if err != nil || times == nil || d.backups == nil {
		return nil
	}
	check := api.Check{Name: "backups", Status: api.CheckOK}
	last, err := d.backups.recall(ctx)
	if err != nil {
		check.Status, check.Detail = api.CheckWarning, err.Error()
		return []api.Check{check}
	}
	check.Status, check.Detail = last.standing(times, time.Now())
	if check.Status != api.CheckOK {
		check.Hint = "palisade backup create makes one now, or says what is wrong"
	}
	return []api.Check{check}
}

// standing says how old the last backup is, and whether that is too old.
func (r backupRecord) standing(times *cron.Times, now time.Time) (status, detail string) {
	status, detail = api.CheckOK, "none was made yet"
	if !r.At.IsZero() {
		detail = fmt.Sprintf("%s on %s, %s ago", r.Name, r.Box, now.Sub(r.At).Round(time.Minute))
	}
	if slot := times.Last(now.Add(-backupLate)); r.At.IsZero() && r.Error != "" || !r.At.IsZero() && r.At.Before(slot) {
		status = api.CheckWarning
		detail = "the last one is older than the schedule says: " + detail
	}
	if r.Error != "" {
		status = api.CheckWarning
		detail += "; the last try: " + r.Error
	}
	return status, detail
}
