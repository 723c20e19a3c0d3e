package daemon

import (
	"context"
	"path/filepath"
	"time"

	"github.com/palisade-run/palisade/catalog/folders"
)

// openFolders makes the room of folders. It and the manager ask each other: who uses a folder, and where a folder is.
func (d *daemon) openFolders() (*folders.Keeper, error) {
	settings, err := d.Config.Folders.Settings()
	if err != nil {
		return nil, err
	}
	fo := folders.New(d.store, filepath.Join(d.Config.Data, "folders"), func(id string) (string, bool) {
		if d.manager == nil { // who leads knows, and has asked
			return "", false
		}
		return d.manager.FolderUsedBy(id)
	}, d.Config.Data)
	fo.Settings = settings
	if d.seat.homes() {
		fo.Settings.Box, fo.Settings.Elsewhere = d.seat.name(), d.seat.goods
		fo.Settings.Known = func(box string) bool {
			_, there := d.seat.roster.Node(box)
			return there || !d.seat.roster.Known()
		}
	}
	return fo, nil
}

// How often folders are looked through: for what is past its time, and for those that hold more than they may.
const (
	sweepFoldersEvery = 10 * time.Minute
	countFoldersEvery = time.Minute
)

// tendFolders sweeps folders, at the start too, and tells the log of those that are over their quotas.
func (d *daemon) tendFolders(ctx context.Context) {
	sweep, count := time.NewTicker(sweepFoldersEvery), time.NewTicker(countFoldersEvery)
	defer sweep.Stop()
	defer count.Stop()
	over := map[string]bool{}
	d.sweepFolders(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-sweep.C:
			d.sweepFolders(ctx)
		case <-count.C:
			d.countFolders(ctx, over)
		}
	}
}

func (d *daemon) sweepFolders(ctx context.Context) {
	if err := d.folders.Sweep(ctx, time.Now()); err != nil && ctx.Err() == nil {
		d.Log.Warn("folders were not swept; it is tried again", "error", err)
	}
}

// countFolders tells of each folder once when it, or its project, comes to hold more than it may, and when that is over.
func (d *daemon) countFolders(ctx context.Context, over map[string]bool) {
	all, err := d.folders.List(ctx, "")
	if err != nil {
		return // asked again in a minute
	}
	for _, f := range all {
		if ctx.Err() != nil {
			return
		}
		sentence, err := d.folders.OverQuota(ctx, f)
		if err != nil {
			continue // its disk may be away, which is no news
		}
		switch is := sentence != ""; {
		case is && !over[f.ID]:
			over[f.ID] = true
			d.Log.Warn("a folder is over its quota; sessions that have it go on, and no new one may write in it", "folder", f.Name, "project", f.Project, "why", sentence)
		case !is && over[f.ID]:
			delete(over, f.ID)
			d.Log.Info("a folder is within its quota again", "folder", f.Name, "project", f.Project)
		}
	}
}
