package folders

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Seal makes a folder whose files never change: fill puts them into its directory, and from then on nobody writes there, by
// whatever way. It is there when fill has ended well, or not at all. bytes is what it will hold, against the quotas.
// ErrExists, ErrInvalid, ErrQuota, ErrNoSpace.
func (fo *Keeper) Seal(ctx context.Context, spec Spec, bytes int64, fill func(context.Context, *os.Root) error) (f Folder, err error) {
	if f, err = newFolder(spec, fo.Settings.Box); err != nil {
		return Folder{}, err
	}
	f.Sealed = true
	if _, err := fo.Find(ctx, f.Project, f.Name); !errors.Is(err, ErrNotFound) {
		if err == nil {
			err = &fault{kind: ErrExists, message: fmt.Sprintf("there is a folder %s already", f.Name), hint: "choose another name"}
		}
		return Folder{}, err
	}
	room := fo.charge(f, f.ID)
	id, made := f.ID, int64(0)
	defer func() {
		room.settle(made)
		fo.counts.Lock()
		defer fo.counts.Unlock()
		if err != nil {
			delete(fo.accounts, id)
		} else if a := fo.accounts[id]; a != nil {
			a.apart = nil
		}
	}()
	if err := fo.admit(ctx, room, bytes); err != nil {
		return Folder{}, err
	}
	aside := cloningPrefix + f.ID
	fo.setCloning(aside, true)
	defer fo.setCloning(aside, false)
	path := filepath.Join(fo.root, aside)
	if err := fo.fill(ctx, path, fill); err != nil {
		return Folder{}, explainFull("making folder "+f.Name, err)
	}
	f.Path, made = filepath.Join(fo.root, f.ID), bytes
	return f, fo.bringHome(ctx, f, path)
}

// fill makes a directory and has somebody put files into it; on an error nothing of it is left.
func (fo *Keeper) fill(ctx context.Context, path string, put func(context.Context, *os.Root) error) (err error) {
	if err := fo.makePlace(path); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}()
	root, err := os.OpenRoot(path)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := put(ctx, root); err != nil {
		return err
	}
	// What was linked there is on the disk before the folder has a row.
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close(), os.Chmod(path, 0o755))
}

// bringHome writes a folder down whose directory has been made aside, and brings it to its place. First the row, then the
// place: a daemon that is killed between the two leaves no directory that nobody knows, and the next brings it home.
func (fo *Keeper) bringHome(ctx context.Context, f Folder, aside string) error {
	fo.changes.Lock()
	defer fo.changes.Unlock()
	if err := fo.save(ctx, f); err != nil {
		return errors.Join(err, os.RemoveAll(aside))
	}
	if err := os.Rename(aside, f.Path); err != nil {
		return errors.Join(fmt.Errorf("making folder %s: %w", f.Name, err), fo.store.DeleteFolder(ctx, f.ID), os.RemoveAll(aside))
	}
	return nil
}

func (f Folder) sealedFault() error {
	return &fault{
		kind: ErrDenied, message: fmt.Sprintf("folder %s is a revision of an installed model, which nobody changes", f.Name),
		hint: fmt.Sprintf("make a copy that is yours: palisade folder clone %s NAME; installed models: palisade model list", f.Name),
	}
}
