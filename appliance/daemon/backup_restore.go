package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/backup"
	"github.com/palisade-run/palisade/appliance/config"
	"github.com/palisade-run/palisade/appliance/store"
)

// BackupRestore is what RestoreBackup is asked for.
type BackupRestore struct {
	Config   config.Config // of the appliance that comes out of it: where its data and its rows go
	Archive  string        // the backup's file
	Keys     backup.Keys
	Replace  bool // what is in the data directory is put aside
	Log      *slog.Logger
	Progress func(phase string, done, total int64) // in bytes of the file; may be nil
}

// RestoreBackup makes an appliance of a backup. In order:
//  1. The whole file is read, and compared with what it says of itself. Nothing is changed before that.
//  2. The data directory is locked; it is empty, or what is in it is to be replaced.
//  3. Rows go into an empty database, which nobody takes for a whole one until the end, and are read back. Files go beside those that are
//     there.
//  4. What was there is put aside, and what came takes its place. Where that is cut off, whoever opens the directory next ends it.
func RestoreBackup(ctx context.Context, o BackupRestore) (out api.BackupRestored, err error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	f, size, err := openBackup(o.Archive)
	if err != nil {
		return out, err
	}
	defer f.Close()
	tell := func(phase string) backup.Progress {
		return func(done, total int64) {
			if o.Progress != nil {
				o.Progress(phase, done, total)
			}
		}
	}
	h, m, err := backup.Verify(ctx, f, size, &o.Keys, tell("verifying")) // 1
	if err != nil {
		return out, err
	}
	known, err := store.KnownSchema()
	if err != nil {
		return out, err
	}
	if h.Schema > known {
		return out, hinted{fmt.Errorf("%w: palisade %s made it, with schema %d; this one knows up to %d. Nothing was changed", backup.ErrNewer, h.Version, h.Schema, known), "restore it with palisade " + h.Version + " or a newer one"}
	}
	lock, err := lockData(o.Config.Data) // 2
	if held, ok := errors.AsType[lockedError](err); ok {
		return out, hinted{fmt.Errorf("the appliance runs: process %s works on %s", held.holder, held.dir), "stop it first, as `systemctl stop palisade` does; or restore elsewhere with --data DIR"}
	}
	if err != nil {
		return out, err
	}
	defer lock.release()
	r := &restoring{BackupRestore: o, head: h, manifest: m, stage: filepath.Join(o.Config.Data, restoreStage)}
	if err := r.mayBegin(); err != nil {
		return out, err
	}
	defer func() { _ = os.RemoveAll(r.stage) }()                    // empty by then, or of no use
	if err := r.fill(ctx, f, size, tell("restoring")); err != nil { // 3
		return out, err
	}
	return r.takeOver(ctx) // 4
}

func openBackup(name string) (*os.File, int64, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no file that can be read twice", name)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// VerifyBackup reads a backup's file: its checksum and, where keys are given, all that is in it.
func VerifyBackup(ctx context.Context, name string, keys *backup.Keys, progress func(done, total int64)) (out api.BackupVerified, err error) {
	f, size, err := openBackup(name)
	if err != nil {
		return out, err
	}
	defer f.Close()
	h, m, err := backup.Verify(ctx, f, size, keys, progress)
	if err != nil {
		return out, err
	}
	out = api.BackupVerified{Backup: backupOf(h), Opened: keys != nil, Tables: len(m.Tables), Models: toFetch(m.Models), Torn: m.Torn}
	out.Backup.Name, out.Backup.Bytes = filepath.Base(name), size
	out.Rows, out.Files = countsOf(m)
	return out, nil
}

func countsOf(m backup.Manifest) (rows, files int64) {
	for _, t := range m.Tables {
		rows += t.Rows
	}
	for _, p := range m.Parts {
		files += p.Files
	}
	return rows, files
}

func toFetch(all []backup.Model) (out []api.BackupModel) {
	for _, m := range all {
		out = append(out, api.BackupModel{Name: m.Name, Project: m.Project, From: m.From, Bytes: m.Bytes})
	}
	return out
}

// Names in the data directory.
const (
	restoreStage   = ".restoring"        // files as they come
	restoreJournal = "restore.json"      // they are whole, and are to take their places
	restoreAside   = "before-restore-"   // with the time: what was there
	restoredFile   = "settings.restored" // the settings that the appliance had
	databaseFile   = "palisade.db"       // config.Config.DSN, where nothing is said
)

// restoring is one restore under way.
type restoring struct {
	BackupRestore
	head     backup.Head
	manifest backup.Manifest
	stage    string
	root     *os.Root // of stage
	refill   *store.Refill
	dirs     []backup.File // whose modes and times are set at the end
	inside   bool          // the database is a file of the data directory
}

// harmless are names in a data directory that no appliance has put there, or that say nothing of one.
func harmless(name string) bool {
	return slices.Contains([]string{"lock", "backups", "lost+found", restoreStage}, name) || strings.HasPrefix(name, restoreAside)
}

func (r *restoring) mayBegin() error {
	if _, err := os.Stat(filepath.Join(r.Config.Data, clusterDir)); err == nil {
		return hinted{fmt.Errorf("%s is that of a box of a cluster, whose rows are all boxes'", r.Config.Data), "restore on a box of its own, with --data DIR; make a cluster of that with `palisade cluster init`, and have the others join it anew"}
	}
	entries, err := os.ReadDir(r.Config.Data)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !harmless(e.Name()) && !r.Replace {
			return hinted{fmt.Errorf("%s is not empty: %s is in it. Nothing was changed", r.Config.Data, e.Name()), "restore elsewhere with --data DIR, or give --replace, which puts aside what the backup replaces"}
		}
	}
	need := int64(1 << 20)
	for _, t := range r.manifest.Tables {
		need += 2 * t.Bytes
	}
	for _, p := range r.manifest.Parts {
		need += p.Bytes
	}
	return backup.Room(r.Config.Data, need)
}

// database is where the rows go: beside the one that is there, where that is a file of the data directory.
func (r *restoring) database() string {
	own := filepath.Join(r.Config.Data, databaseFile)
	if config.DatabaseID(r.Config.DSN()) != config.DatabaseID("sqlite:"+own) {
		return r.Config.DSN()
	}
	r.inside = true
	return "sqlite:" + filepath.Join(r.stage, databaseFile)
}

// source is what a database says of where its rows are from.
func (r *restoring) source() string {
	return fmt.Sprintf("of %s", r.head.MadeAt.Format(time.RFC3339))
}

// fill brings rows and files.
func (r *restoring) fill(ctx context.Context, f io.ReaderAt, size int64, told backup.Progress) (err error) {
	if err := os.RemoveAll(r.stage); err != nil {
		return err
	}
	if err := os.Mkdir(r.stage, 0o700); err != nil {
		return err
	}
	if r.root, err = os.OpenRoot(r.stage); err != nil {
		return err
	}
	defer r.root.Close()
	if r.refill, err = store.BeginRefill(ctx, r.database(), r.head.Schema, r.source(), r.Log); err != nil {
		return err
	}
	defer r.refill.Close()
	if _, _, err := backup.Read(ctx, backup.Archive{File: f, Size: size, Keys: r.Keys}, r, told); err != nil {
		return err
	}
	var want []store.Rows
	for _, t := range r.manifest.Tables {
		want = append(want, store.Rows{Table: t.Name, Count: t.Rows, SHA256: t.Sum})
	}
	if err := r.refill.Keep(ctx, want); err != nil {
		return err
	}
	if r.head.Data != r.Config.Data {
		if err := r.refill.Relocate(ctx, r.head.Data, r.Config.Data); err != nil {
			return err
		}
	}
	for _, d := range slices.Backward(r.dirs) {
		if err := r.dress(d.Name, d); err != nil {
			return err
		}
	}
	if err := r.refill.Finish(ctx, r.source()); err != nil {
		return err
	}
	return syncDisk(r.stage)
}

// syncDisk returns when all that was written is on the disk.
func syncDisk(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}

// Table implements backup.Taker.
func (r *restoring) Table(ctx context.Context, name string, columns []string, next func() ([]any, error)) error {
	return r.refill.Table(ctx, name, columns, next)
}

// File implements backup.Taker.
func (r *restoring) File(_ context.Context, part string, f backup.File) error {
	switch part {
	case partData:
	case partSettings:
		f.Name = restoredFile
	default:
		if err := r.root.Mkdir(part, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
		f.Name = part + "/" + f.Name
	}
	switch {
	case f.Mode.IsDir():
		r.dirs = append(r.dirs, f)
		return r.root.Mkdir(f.Name, 0o700)
	case f.Mode&fs.ModeSymlink != 0:
		if err := r.root.Symlink(f.Link, f.Name); err != nil {
			return err
		}
		return r.own(f.Name, f)
	case f.Blob != "":
		return r.linkBlob(f)
	}
	file, err := r.root.OpenFile(f.Name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, f.Body)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return r.dress(f.Name, f)
}

// linkBlob gives a model's file its name in a folder; where its bytes are not here, they are to be fetched again.
func (r *restoring) linkBlob(f backup.File) error {
	if !sumOf(f.Blob) {
		return fmt.Errorf("%s is said to be a file of a model that is none", f.Name)
	}
	blob := filepath.Join(partBlobs, "sha256", f.Blob[:2], f.Blob)
	err := r.root.Link(blob, f.Name)
	if errors.Is(err, fs.ErrNotExist) { // of models that are on this box, and stay
		err = r.linkOwn(filepath.Join(r.Config.Data, blob), f.Name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// linkOwn gives a file of this box a name below stage, and nowhere else: whoever knows the public key can have made the backup.
func (r *restoring) linkOwn(blob, name string) error {
	dir, err := r.root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.Linkat(unix.AT_FDCWD, blob, int(dir.Fd()), filepath.Base(name), 0)
}

// dress gives a file the mode, the time and the owner that it had.
func (r *restoring) dress(name string, f backup.File) error {
	err := r.own(name, f)
	if err == nil {
		err = r.root.Chmod(name, f.Mode.Perm())
	}
	if err == nil {
		err = r.root.Chtimes(name, f.Time, f.Time)
	}
	return err
}

func (r *restoring) own(name string, f backup.File) error {
	if os.Geteuid() != 0 || f.UID == 0 && f.GID == 0 {
		return nil
	}
	return r.root.Lchown(name, f.UID, f.GID)
}

// takeOver puts what came in the place of what was there.
func (r *restoring) takeOver(ctx context.Context) (out api.BackupRestored, err error) {
	if ctx.Err() != nil {
		return out, context.Cause(ctx)
	}
	j := journal{Aside: restoreAside + time.Now().UTC().Format("20060102T150405Z")}
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
	if r.inside {
		j.Gone = append(j.Gone, databaseFile+"-wal", databaseFile+"-shm")
	}
	r.giveAll()
	text, err := json.Marshal(j)
	if err == nil {
		err = writeWhole(filepath.Join(r.Config.Data, restoreJournal), text)
	}
	if err == nil {
		err = finishRestore(r.Config.Data)
	}
	if err != nil {
		return out, fmt.Errorf("putting what was restored in its place: %w", err)
	}
	out = api.BackupRestored{
		Data: r.Config.Data, Database: store.Redact(r.Config.DSN()), MadeAt: r.head.MadeAt, Version: r.head.Version, Schema: r.head.Schema,
		Models: toFetch(r.manifest.Models), Torn: r.manifest.Torn,
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
func (r *restoring) giveAll() {
	info, err := os.Stat(r.Config.Data)
	if err != nil || os.Geteuid() != 0 {
		return
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return
	}
	root, err := os.OpenRoot(r.stage)
	if err != nil {
		return
	}
	defer root.Close()
	_ = fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if at, statErr := root.Lstat(path); err == nil && statErr == nil {
			if s, ok := at.Sys().(*syscall.Stat_t); ok && s.Uid == 0 {
				_ = root.Lchown(path, int(owner.Uid), int(owner.Gid)) // who cannot read it says so when the appliance starts
			}
		}
		return nil
	})
}

// journal says which files are to take their places.
type journal struct {
	Names []string `json:"names"` // in restoreStage, of directories or of what is in them
	Gone  []string `json:"gone"`  // of the data directory, that nothing takes the place of
	Aside string   `json:"aside"` // where what was there goes
}

// finishRestore ends a restore whose files are all here, wherever it was cut off; it does nothing where there is none.
func finishRestore(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, restoreJournal))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var j journal
	if err == nil {
		err = json.Unmarshal(text, &j)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(dir, restoreJournal), err)
	}
	stage, aside := filepath.Join(dir, restoreStage), filepath.Join(dir, j.Aside)
	if err := os.Mkdir(aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, name := range j.Gone {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, name := range j.Names {
		if _, err := os.Lstat(filepath.Join(stage, name)); errors.Is(err, fs.ErrNotExist) {
			continue // it is there already
		}
		if err := makeWay(dir, aside, name); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(stage, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	_ = os.Remove(aside) // where nothing was there
	if err := syncDisk(dir); err != nil {
		return err
	}
	if err := os.RemoveAll(stage); err != nil {
		return err
	}
	return os.Remove(filepath.Join(dir, restoreJournal))
}

// makeWay puts aside what has a name, and sees to the directory that the name is in.
func makeWay(dir, aside, name string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700); err != nil {
		return err
	}
	if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(aside, name)), 0o700); err != nil {
		return err
	}
	return os.Rename(filepath.Join(dir, name), filepath.Join(aside, name))
}
