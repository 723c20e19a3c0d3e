package daemon

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/store"
)

// takeOver puts what came in the place of what was there.
func (r *restoring) takeOver(ctx context.Context) (out api.BackupRestored, err error) {
	j := journal{Aside: restoreAside + r.began.UTC().Format("20060102T150405Z")}
	if !r.inside {
		j.Rows = &refilled{Database: config.DatabaseID(r.Config.DSN()), Source: r.source()}
	}
	entries, err := os.ReadDir(r.stage)
	if err != nil {
		return out, err
	}
	for _, e := range entries {
		if e.Name() != partFolders || r.head.Folders {
			j.Names = append(j.Names, e.Name())
			continue
		}
		folders, err := os.ReadDir(filepath.Join(r.stage, partFolders)) // of models alone: the others, which it has not, stay
		if err != nil {
			return out, err
		}
		for _, f := range folders {
			j.Names = append(j.Names, filepath.Join(partFolders, f.Name()))
		}
	}
	j.Gone = []string{filepath.Base(spillDir(r.Config.Data)), backupRecordFile} // what was counted since, and is in no rows any more
	r.giveAll(ctx)
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	text, err := json.Marshal(j)
	if err == nil {
		err = syncDisk(r.stage) // all of it is on the disk before it is said that it is
	}
	if err == nil {
		err = writeWhole(filepath.Join(r.Config.Data, restoreJournal), text)
	}
	if err == nil {
		err = finishRestore(context.WithoutCancel(ctx), r.Config)
	}
	if err != nil {
		return out, err
	}
	out = api.BackupRestored{
		Data: r.Config.Data, Database: store.Redact(r.Config.DSN()), MadeAt: r.head.MadeAt, Version: r.head.Version, Schema: r.head.Schema,
		Models: toFetch(r.manifest.Models), Torn: r.manifest.Torn, Left: r.manifest.Left, LeftOut: r.manifest.LeftOut,
	}
	out.Rows, out.Files = countsOf(r.manifest)
	if _, err := os.Stat(filepath.Join(r.Config.Data, j.Aside)); err == nil {
		out.Aside = filepath.Join(r.Config.Data, j.Aside)
	}
	if slices.Contains(j.Names, restoredFile) {
		out.Settings = filepath.Join(r.Config.Data, restoredFile)
	}
	return out, nil
}

// giveAll lets files that root has made, and that were nobody else's, belong to whom the data directory belongs to.
func (r *restoring) giveAll(ctx context.Context) {
	uid, gid, ok := otherOwner(r.Config.Data)
	if !ok {
		return
	}
	give := &tree{
		skip: func(string) bool { return false },
		lost: func(string, error) error { return nil }, // who cannot read it says so when the appliance starts
		fn: func(one inTree) error {
			if s, ok := one.info.Sys().(*syscall.Stat_t); ok && s.Uid == 0 {
				_ = one.root.Lchown(one.in, uid, gid)
			}
			return nil
		},
	}
	_ = give.walk(ctx, r.stage)
}

// otherOwner is whom a directory belongs to, where that is not root and this process is: what it makes there is for that user.
func otherOwner(dir string) (uid, gid int, ok bool) {
	info, err := os.Stat(dir)
	if err != nil || os.Geteuid() != 0 {
		return 0, 0, false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return int(owner.Uid), int(owner.Gid), ok && owner.Uid != 0
}

// journal says that a restore is decided, and which files are to take their places.
type journal struct {
	Names []string  `json:"names"`          // in restoreStage, of directories or of what is in them
	Gone  []string  `json:"gone"`           // of the data directory, that nothing takes the place of
	Aside string    `json:"aside"`          // where what was there goes
	Rows  *refilled `json:"rows,omitempty"` // nil: they are in one of the files
}

// refilled is a database that is to be used, once the files are in their places.
type refilled struct {
	Database string `json:"database"` // config.DatabaseID
	Source   string `json:"source"`   // what it says of where its rows are from
}

// finishRestore ends a restore that is decided, wherever it was cut off or has failed; it does nothing where there is none.
//  1. Each name is put aside, and what came takes its place. What is not staged any more has done so: the stage goes last.
//  2. The database may be used.
//  3. The journal goes, and what is left of the stage.
func finishRestore(ctx context.Context, c config.Config) error {
	name := filepath.Join(c.Data, restoreJournal)
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var j journal
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	if err == nil {
		err = syncDirectory(c.Data) // the journal stays, whatever comes
	}
	if err == nil {
		err = j.place(c.Data) // 1
	}
	if err == nil && j.Rows != nil {
		err = j.Rows.finish(ctx, c) // 2
	}
	if err == nil {
		err = os.Remove(name) // 3
	}
	if err != nil {
		return hinted{fmt.Errorf("putting what was restored in its place, which %s says: %w", name, err), cmp.Or(adviceOf(err), "see to it, then start again: it is gone on with. What was there before is not lost: see "+filepath.Join(c.Data, j.Aside))}
	}
	if err := syncDirectory(c.Data); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(c.Data, restoreStage))
}

func (j *journal) place(dir string) error {
	stage, aside := filepath.Join(dir, restoreStage), filepath.Join(dir, j.Aside)
	if _, err := os.Lstat(stage); err != nil {
		return err // it is nowhere said that all is in its place
	}
	if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if uid, gid, ok := otherOwner(dir); ok {
		_ = os.Lchown(aside, uid, gid) // who cannot look into it asks root
	}
	for _, name := range j.Gone {
		if err := moveAside(dir, aside, name); err != nil {
			return err
		}
	}
	for _, name := range j.Names {
		if _, err := os.Lstat(filepath.Join(stage, name)); errors.Is(err, fs.ErrNotExist) {
			continue // it is there already
		}
		if name == databaseFile { // a database and its log belong together
			if err := errors.Join(moveAside(dir, aside, name+"-wal"), moveAside(dir, aside, name+"-shm")); err != nil {
				return err
			}
		}
		if err := makeWay(dir, aside, name); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	_ = os.Remove(filepath.Join(aside, partFolders)) // where nothing was there
	_ = os.Remove(aside)
	return syncDisk(dir)
}

// makeWay puts aside what has a name, and sees to the directory that the name is in.
func makeWay(dir, aside, name string) error {
	for _, in := range []string{dir, aside} {
		parent := filepath.Dir(filepath.Join(in, name))
		err := os.Mkdir(parent, 0o700)
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		if uid, gid, ok := otherOwner(dir); ok && err == nil {
			_ = os.Lchown(parent, uid, gid) // who cannot look into it asks root
		}
	}
	return moveAside(dir, aside, name)
}

func moveAside(dir, aside, name string) error {
	if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return os.Rename(filepath.Join(dir, name), filepath.Join(aside, name))
}

func (r *refilled) finish(ctx context.Context, c config.Config) error {
	if config.DatabaseID(c.DSN()) != r.Database {
		return hinted{fmt.Errorf("the rows are in another database, %s, and not in %s", r.Database, store.Redact(c.DSN())), "start once with that one, in the settings or with --database"}
	}
	return store.FinishRefill(ctx, c.DSN(), r.Source)
}

// syncDirectory returns when names in a directory are on the disk.
func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
