package daemon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
//  4. It is written down that all is here. Then what was there is put aside, what came takes its place, and the database may be used. Where
//     that is cut off, or fails, whoever opens the directory next ends it.
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
	lock, err := lockData(ctx, o.Config) // 2
	if held, ok := errors.AsType[lockedError](err); ok {
		return out, hinted{fmt.Errorf("the appliance runs: process %s works on %s", held.holder, held.dir), "stop it first, as `systemctl stop palisade` does; or restore elsewhere with --data DIR"}
	}
	if err != nil {
		return out, err
	}
	defer lock.release()
	r := &restoring{BackupRestore: o, head: h, manifest: m, stage: filepath.Join(o.Config.Data, restoreStage), began: time.Now()}
	if err := r.mayBegin(); err != nil {
		return out, err
	}
	defer r.tidy()
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
	out = api.BackupVerified{Backup: backupOf(h), Opened: keys != nil, Tables: len(m.Tables), Models: toFetch(m.Models), Torn: m.Torn, Left: m.Left, LeftOut: m.LeftOut}
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
	began    time.Time
}

// tidy takes away what is of no use any more: what was staged, unless it is written down that it is to take its place.
func (r *restoring) tidy() {
	if _, err := os.Lstat(filepath.Join(r.Config.Data, restoreJournal)); errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(filepath.Join(r.Config.Data, restoreJournal+".new"))
		_ = os.RemoveAll(r.stage)
	}
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
	names := append(keptFiles(), databaseFile)
	for _, p := range r.manifest.Parts {
		names = append(names, p.Name)
	}
	for _, name := range names {
		within := name == partFolders && !r.head.Folders // some of what is in it gives way, and not itself
		if at := filepath.Join(r.Config.Data, name); mountedAt(at, within) {
			return hinted{fmt.Errorf("%s is a disk of its own, and cannot give way to what the backup has. Nothing was changed", at), "unmount it for the restore, and have what is restored brought to it then; or restore elsewhere with --data DIR"}
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

// mountedAt tells whether a path is on another mount than the directory it is in, between which nothing can be renamed: within, what is in
// it, wherever a link leads; else itself.
func mountedAt(path string, within bool) bool {
	const mask = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID
	follow := unix.AT_SYMLINK_NOFOLLOW
	if within {
		follow = 0
	}
	var at, in unix.Statx_t
	err := errors.Join(unix.Statx(unix.AT_FDCWD, path, follow, mask, &at), unix.Statx(unix.AT_FDCWD, filepath.Dir(path), 0, mask, &in))
	known := at.Mask&in.Mask&unix.STATX_MNT_ID != 0
	return err == nil && (known && at.Mnt_id != in.Mnt_id || at.Dev_major != in.Dev_major || at.Dev_minor != in.Dev_minor)
}

// source is what a database says of where its rows are from. No two restores say the same.
func (r *restoring) source() string {
	return fmt.Sprintf("of %s, restored at %s", r.head.MadeAt.Format(time.RFC3339), r.began.UTC().Format(time.RFC3339Nano))
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
	if r.inside { // nobody takes it for the appliance's before it is in its place
		return r.refill.Finish(ctx)
	}
	return nil
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
	switch {
	case part == partData && slices.Contains(keptFiles(), f.Name) && f.Mode.IsRegular():
	case part == partSettings && f.Mode.IsRegular():
		f.Name = restoredFile
	case !slices.Contains(keptDirs(backup.Head{Folders: true, Models: true}), part): // whoever knows the public key can have made the backup
		return hinted{fmt.Errorf("%q of %q is nothing that an appliance keeps", f.Name, part), "restore it with the palisade that made it"}
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

// linkOwn gives a file of this box a name below stage, and nowhere else: whoever knows the public key can have made the backup. Where the
// file cannot have another name there, it is copied, if it is what its name says.
func (r *restoring) linkOwn(blob, name string) error {
	dir, err := r.root.Open(filepath.Dir(name))
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Linkat(unix.AT_FDCWD, blob, int(dir.Fd()), filepath.Base(name), 0)
	if !errors.Is(err, unix.EXDEV) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EMLINK) && !errors.Is(err, unix.EOPNOTSUPP) {
		return err
	}
	from, err := os.Open(blob)
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, sum), from)
	if err = errors.Join(err, to.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != filepath.Base(blob) {
		return errors.Join(fs.ErrNotExist, r.root.Remove(name)) // it is to be fetched again
	}
	return nil
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
