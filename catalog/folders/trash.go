package folders

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// How the directories are called, below the folders' own place, of those that are no folders any more, or not yet.
const (
	removedPrefix = ".removed-" // the contents are being deleted
	cloningPrefix = ".cloning-" // the contents are being copied there
	trashDir      = ".trash"    // put aside, by id
)

func (s Settings) keepTrash() time.Duration   { return cmp.Or(s.KeepTrash, 7*24*time.Hour) }
func (s Settings) keepUploads() time.Duration { return cmp.Or(s.KeepUploads, 24*time.Hour) }

// KeptUntil is when a folder in the trash goes for good.
func (fo *Keeper) KeptUntil(f Folder) time.Time { return f.TrashedAt.Add(fo.Settings.keepTrash()) }

// Remove puts a folder into the trash, from where it can be restored for a while. ErrInUse says who uses it.
func (fo *Keeper) Remove(ctx context.Context, project, ref, by string) error {
	away, err := fo.putAside(ctx, project, ref, by)
	if err != nil || away.ID == "" {
		return err
	}
	return fo.within(ctx, away, Operation{Do: doRemove, By: by}, nil)
}

// putAside is Remove of a folder whose home is here; another one it only finds, and returns.
func (fo *Keeper) putAside(ctx context.Context, project, ref, by string) (away Folder, err error) {
	fo.changes.Lock()
	defer fo.changes.Unlock()
	f, err := fo.Find(ctx, project, ref)
	if err != nil {
		return Folder{}, err
	}
	if err := fo.unused(f); err != nil {
		return Folder{}, err
	}
	if fo.Orphaned(f) {
		return Folder{}, fo.forget(ctx, f) // there is nothing that could be restored
	}
	if fo.Away(f) {
		return f, nil
	}
	was := f.Path
	f.TrashedAt, f.TrashedBy = time.Now().UTC().Truncate(time.Microsecond), by
	if !f.Imported {
		f.Path = filepath.Join(fo.root, trashDir, f.ID)
	}
	return Folder{}, fo.move(ctx, f, was)
}

// Discard removes a folder for good, at once. Of an imported one the directory stays.
func (fo *Keeper) Discard(ctx context.Context, project, ref string) error {
	f, err := fo.Find(ctx, project, ref)
	if err != nil {
		return err
	}
	if err := fo.Remove(ctx, project, f.ID, ""); err != nil || fo.Orphaned(f) {
		return err
	}
	return fo.Purge(ctx, project, f.ID)
}

func (fo *Keeper) unused(f Folder) error {
	if by, used := fo.inUse(f.ID); used {
		return &fault{kind: ErrInUse, message: fmt.Sprintf("folder %s is in use by %s", f.Name, by), hint: "remove what uses it first"}
	}
	return nil
}

// move writes a folder down as it is to be, and brings its directory from where it was to where it is then. Whatever
// interrupts it, the next daemon finds the directory: see settlePlaces.
func (fo *Keeper) move(ctx context.Context, f Folder, was string) error {
	moved := false
	if f.Path != was {
		if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
			return explainFull("moving folder "+f.Name, err)
		}
		err := os.Rename(was, f.Path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("moving folder %s: %w", f.Name, err)
		}
		moved = err == nil
	}
	err := fo.store.UpdateFolder(ctx, f)
	if err != nil && moved {
		err = errors.Join(err, os.Rename(f.Path, was))
	}
	if errors.Is(err, ErrExists) {
		return &fault{kind: ErrExists, message: fmt.Sprintf("there is a folder %s already", f.Name), hint: "give it another name: --name"}
	}
	if err != nil {
		return fmt.Errorf("moving folder %s: %w", f.Name, err)
	}
	return nil
}

// settlePlaces brings home directories that an interrupted move has left where the row does not say they are, and returns
// all folders.
func (fo *Keeper) settlePlaces(ctx context.Context) (folders []Folder, failed error) {
	fo.changes.Lock() // no move is under way
	defer fo.changes.Unlock()
	folders, err := fo.store.Folders(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing folders: %w", err)
	}
	for _, f := range fo.ours(folders) {
		if f.Imported {
			continue
		}
		live, aside := filepath.Join(fo.root, f.ID), filepath.Join(fo.root, trashDir, f.ID)
		if f.Path != live && f.Path != aside {
			continue
		}
		// One that was just being put aside or restored, cloned, or purged: nothing of it has been deleted as long as it has a row.
		for _, other := range []string{live, aside, filepath.Join(fo.root, cloningPrefix+f.ID), filepath.Join(fo.root, removedPrefix+f.ID)} {
			if _, err := os.Lstat(f.Path); !errors.Is(err, os.ErrNotExist) {
				break
			}
			if err := os.Rename(other, f.Path); err != nil && !errors.Is(err, os.ErrNotExist) {
				failed = errors.Join(failed, fmt.Errorf("bringing back the directory of folder %s: %w", f.Name, err))
			}
		}
	}
	return folders, failed
}

// Trash lists a project's folders in the trash, or all with project "", the latest first.
func (fo *Keeper) Trash(ctx context.Context, project string) ([]Folder, error) {
	all, err := fo.store.Folders(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing folders: %w", err)
	}
	out := slices.DeleteFunc(all, func(f Folder) bool {
		return f.TrashedAt.IsZero() || project != "" && f.Project != project
	})
	slices.SortFunc(out, func(a, b Folder) int { return b.TrashedAt.Compare(a.TrashedAt) })
	return out, nil
}

// findTrashed finds a folder in the trash by its id or name; of several with one name the latest.
func (fo *Keeper) findTrashed(ctx context.Context, project, ref string) (Folder, error) {
	all, err := fo.Trash(ctx, project)
	if err != nil {
		return Folder{}, err
	}
	names := make([]string, len(all))
	for i, f := range all {
		if names[i] = f.Name; f.ID == ref {
			return f, nil
		}
	}
	for _, f := range all {
		if f.Name == ref {
			return f, nil
		}
	}
	hint := spelling.DidYouMean(ref, names)
	if hint == "" {
		hint = "palisade folder trash shows what is in it"
	}
	return Folder{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no folder %q in the trash", spelling.Short(ref)), hint: hint}
}

// Restore takes a folder out of the trash, under its name or another. ErrNotFound, ErrExists, ErrInvalid.
func (fo *Keeper) Restore(ctx context.Context, project, ref, name string) (Folder, error) {
	f, err := fo.takeOut(ctx, project, ref, name)
	if err == nil && fo.Away(f) {
		err = fo.within(ctx, f, Operation{Do: doRestore, Name: name}, &f)
	}
	return f, err
}

// takeOut is Restore of a folder whose home is here; another one it only finds.
func (fo *Keeper) takeOut(ctx context.Context, project, ref, name string) (Folder, error) {
	fo.changes.Lock()
	defer fo.changes.Unlock()
	f, err := fo.findTrashed(ctx, project, ref)
	if err != nil {
		return Folder{}, err
	}
	if name != "" {
		if err := CheckName(name); err != nil {
			return Folder{}, err
		}
		f.Name = name
	}
	if fo.Away(f) {
		return f, nil
	}
	was := f.Path
	f.TrashedAt, f.TrashedBy = time.Time{}, ""
	if !f.Imported {
		f.Path = filepath.Join(fo.root, f.ID)
	}
	return f, fo.move(ctx, f, was)
}

// Purge deletes a folder in the trash for good; of an imported one the directory stays. ErrNotFound.
func (fo *Keeper) Purge(ctx context.Context, project, ref string) error {
	away, err := fo.purge(ctx, project, ref)
	if err != nil {
		return err
	}
	if away.ID != "" {
		return fo.within(ctx, away, Operation{Do: doPurge}, nil)
	}
	return fo.sweepRemoved(ctx)
}

// purge makes a folder in the trash one of which only the contents are left, for sweepRemoved; one whose home is elsewhere it only
// finds, and returns.
func (fo *Keeper) purge(ctx context.Context, project, ref string) (away Folder, err error) {
	fo.changes.Lock()
	defer fo.changes.Unlock()
	f, err := fo.findTrashed(ctx, project, ref) // by now: it may just have been restored
	if err != nil {
		return Folder{}, err
	}
	if fo.Orphaned(f) {
		return Folder{}, fo.forget(ctx, f)
	}
	if fo.Away(f) {
		return f, nil
	}
	if f.Imported {
		return Folder{}, fo.forget(ctx, f)
	}
	// First out of the way, in one step, then the row, then the contents: whatever interrupts this, no row is left without
	// its directory and no half-deleted folder can be restored.
	aside := filepath.Join(fo.root, removedPrefix+f.ID)
	moved := os.Rename(f.Path, aside)
	if moved != nil && !errors.Is(moved, os.ErrNotExist) {
		return Folder{}, fmt.Errorf("removing folder %s: %w", f.Name, moved)
	}
	if err := fo.forget(ctx, f); err != nil {
		if moved == nil {
			err = errors.Join(err, os.Rename(aside, f.Path))
		}
		return Folder{}, err
	}
	return Folder{}, nil
}

func (fo *Keeper) forget(ctx context.Context, f Folder) error {
	if err := fo.store.DeleteFolder(ctx, f.ID); err != nil {
		return fmt.Errorf("removing folder %s: %w", f.Name, err)
	}
	fo.counts.Lock()
	defer fo.counts.Unlock()
	delete(fo.accounts, f.ID)
	return nil
}

// sweepRemoved deletes the contents of removed folders, those of an earlier interrupted removal too, and of clones that were
// interrupted. It may take long, and holds nobody up.
func (fo *Keeper) sweepRemoved(ctx context.Context) error {
	fo.changes.Lock()
	cloning := maps.Clone(fo.cloning)
	rows, err := fo.store.Folders(ctx)
	left, leftErr := filepath.Glob(filepath.Join(fo.root, removedPrefix+"*"))
	clones, clonesErr := filepath.Glob(filepath.Join(fo.root, cloningPrefix+"*"))
	fo.changes.Unlock()
	if err = errors.Join(err, leftErr, clonesErr); err != nil {
		return fmt.Errorf("looking what is left of removed folders: %w", err)
	}
	for _, dir := range append(left, clones...) {
		_, id, _ := strings.Cut(filepath.Base(dir), "-")
		if cloning[filepath.Base(dir)] || slices.ContainsFunc(rows, func(f Folder) bool { return f.ID == id }) {
			continue // what has a row is brought home: see settlePlaces
		}
		if e := os.RemoveAll(dir); e != nil {
			err = errors.Join(err, fmt.Errorf("deleting the contents of a removed folder: %w", e))
		}
	}
	return err
}

// Sweep removes what is past its time at now: folders that have been in the trash for long enough, uploads that stand
// still, and what was left by interruptions.
func (fo *Keeper) Sweep(ctx context.Context, now time.Time) error {
	all, err := fo.settlePlaces(ctx)
	if err != nil && all == nil {
		return err
	}
	failed := errors.Join(err, fo.shut())
	for _, f := range all {
		if fo.Away(f) && !fo.Orphaned(f) {
			continue
		}
		if !f.TrashedAt.IsZero() && now.After(fo.KeptUntil(f)) {
			if _, err := fo.purge(ctx, f.Project, f.ID); !errors.Is(err, ErrNotFound) { // it was taken out meanwhile
				failed = errors.Join(failed, err)
			}
		}
	}
	failed = errors.Join(failed, fo.sweepRemoved(ctx))
	if all, err = fo.store.Folders(ctx); err != nil {
		return errors.Join(failed, fmt.Errorf("listing folders: %w", err))
	}
	return errors.Join(failed, fo.sweepParts(ctx, fo.ours(all), fo.Settings.keepUploads(), now))
}
