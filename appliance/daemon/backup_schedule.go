package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/audit"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/autoscaler/cron"
)

// Bounds of the schedule.
const (
	backupLook  = 15 * time.Second // between two looks at the clock
	backupAgain = 10 * time.Minute // after one that came to nothing
	backupLate  = time.Hour        // then one is missed
	// clockBack is how far a clock may be set back without what was before being forgotten. What lies further ahead was noted by a clock
	// that was wrong.
	clockBack = time.Hour
)

// due is the moment of the schedule that a backup is to be made for; zero: none.
func (r backupRecord) due(times *cron.Times, now time.Time) time.Time {
	slot := times.Last(now)
	done := !slot.After(r.Slot) && !r.Slot.After(now.Add(clockBack))
	waits := now.Before(r.Tried.Add(backupAgain)) && !r.Tried.After(now.Add(clockBack))
	if slot.IsZero() || done || waits {
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
	now := time.Now()
	if b.known.due(times, now).IsZero() {
		return nil
	}
	last, err := b.recall(ctx)
	if err != nil {
		b.known.Tried = now
		return err
	}
	slot := last.due(times, now)
	if slot.IsZero() {
		return nil
	}
	seal, err := b.d.Config.Backup.Seal()
	var made api.Backup
	if err == nil {
		made, err = b.toShelf(ctx, backup.Head{Scheduled: true, Folders: b.d.Config.Backup.Folders, Models: b.d.Config.Backup.Models}, seal, nil)
	}
	if errors.Is(err, backup.ErrBusy) {
		if !b.busy {
			b.busy = true
			b.d.Log.Info("the backup that the schedule wants waits for another that is being made")
		}
		return nil // the next look finds it due still
	}
	b.busy = false
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b.known.Tried = time.Now()
	if err != nil {
		b.note(ctx, func(r *backupRecord) { r.Tried, r.Error = time.Now(), err.Error() })
		return err
	}
	b.known = backupRecord{Slot: slot}
	decides := b.note(ctx, func(r *backupRecord) { r.Slot, r.Tried, r.Error = slot, time.Time{}, "" })
	b.d.audit.Add(ctx, audit.Entry{At: time.Now(), Via: "schedule", Project: admin.DefaultProject, Action: "createBackup", Target: "backups/" + made.Name})
	if !decides {
		return nil // which are to go is the next one's to say
	}
	id, err := b.identity(ctx)
	if err != nil {
		return err
	}
	gone, err := b.shelf.Prune(id, made.Name, b.d.Config.Backup.Keep)
	for _, name := range gone {
		b.d.Log.Info("a backup was removed: there are newer ones", "file", name)
	}
	if err != nil {
		b.d.Log.Warn("older backups were not removed", "error", err)
	}
	return nil
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
	switch slot := times.Last(now.Add(-backupLate)); {
	case r.At.After(now.Add(clockBack)):
		status = api.CheckWarning
		detail = fmt.Sprintf("the last one bears a time that is yet to come: %s on %s, %s. This clock, or the one that it was made by, is wrong", r.Name, r.Box, r.At.UTC().Format(time.RFC3339))
	case r.At.IsZero() && r.Error != "" || !r.At.IsZero() && r.At.Before(slot):
		status = api.CheckWarning
		detail = "the last one is older than the schedule says: " + detail
	}
	if r.LeftOut > 0 {
		status = api.CheckWarning
		detail += fmt.Sprintf("; %d files could not be read and are not in it: palisade backup verify with its key names them", r.LeftOut)
	}
	if r.Error != "" {
		status = api.CheckWarning
		detail += "; the last try: " + r.Error
	}
	return status, detail
}
