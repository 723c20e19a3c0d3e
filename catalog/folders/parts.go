package folders

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// recordsDir is where, below the folders' own place, it is written down what is on its way.
const recordsDir = ".uploads"

func (fo *Keeper) recordPath(id string) string {
	return filepath.Join(fo.root, recordsDir, id+".json")
}

// boot tells one run of the box's kernel from another; "" where it does not say.
func (fo *Keeper) boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// readUploads takes up what an earlier daemon was told, once.
func (fo *Keeper) readUploads(ctx context.Context) error {
	fo.arriving.Lock()
	defer fo.arriving.Unlock()
	if fo.uploads != nil {
		return nil
	}
	all, err := fo.store.Folders(ctx)
	if err != nil {
		return fmt.Errorf("listing folders: %w", err)
	}
	byID := map[string]Folder{}
	for _, f := range all {
		byID[f.ID] = f
	}
	records, err := filepath.Glob(filepath.Join(fo.root, recordsDir, "*.json"))
	if err != nil {
		return err
	}
	fo.uploads = map[string]*upload{}
	for _, path := range records {
		text, err := os.ReadFile(path)
		var rec uploadRecord
		if err == nil {
			err = json.Unmarshal(text, &rec)
		}
		rec.Checksum = cmp.Or(rec.Checksum, SHA256) // an earlier version knew no other, and wrote down none
		f, there := byID[rec.FolderID]
		if err != nil || !there || rec.ID+".json" != filepath.Base(path) || rec.Offset > rec.Size || rec.Digest == "" {
			_ = os.Remove(path)
			continue
		}
		u := &upload{rec: rec, charge: fo.charge(f, rec.ID)}
		u.charge.take(rec.Size)
		fo.uploads[rec.ID] = u
	}
	return nil
}

// keep makes an upload known, and writes it down.
func (fo *Keeper) keep(u *upload) error {
	if err := os.MkdirAll(filepath.Join(fo.root, recordsDir), 0o700); err != nil {
		return explainFull("beginning an upload", err)
	}
	if err := fo.writeRecord(u.rec); err != nil {
		return err
	}
	fo.arriving.Lock()
	defer fo.arriving.Unlock()
	if len(fo.uploads) >= maxUploads {
		u.gone = true
		_ = os.Remove(fo.recordPath(u.rec.ID))
		return &fault{kind: ErrInUse, message: fmt.Sprintf("%d uploads are under way", len(fo.uploads)), hint: "finish some of them, or give them up"}
	}
	fo.uploads[u.rec.ID] = u
	return nil
}

func (fo *Keeper) writeRecord(rec uploadRecord) error {
	text, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	path := fo.recordPath(rec.ID)
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return explainFull("writing down how far an upload is", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing down how far an upload is: %w", err)
	}
	return nil
}

// newPart makes the part of an upload, to be read and written.
func newPart(root *os.Root, id string) (*os.File, error) {
	name := filepath.Join(partsDir, id)
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	for range 10 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// The last one before took the directory with it, and may have done so again by now.
		if err = root.Mkdir(partsDir, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			file, err = root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		}
	}
	return file, err
}

// openPart opens the part of an upload. Whoever may write in the folder may have put anything there.
func openPart(root *os.Root, id string) (*os.File, error) {
	name := filepath.Join(partsDir, id)
	file, err := root.OpenFile(name, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fault{kind: ErrInvalid, message: name + " is no plain file", hint: "somebody has put it there: remove it"}
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// openWhole opens the part of an upload in which all is that is written down of it: where less is, the upload falls back to
// that. The caller holds its mu.
func (fo *Keeper) openWhole(ctx context.Context, root *os.Root, u *upload) (*os.File, error) {
	file, err := openPart(root, u.rec.ID)
	if errors.Is(err, fs.ErrNotExist) {
		file, err = newPart(root, u.rec.ID)
	}
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	// What another boot of the box wrote last may never have come to the disk.
	boot := fo.boot()
	if info.Size() < u.rec.Offset || !u.sure && (boot == "" || boot != u.rec.Boot) {
		err = fo.fallBack(ctx, file, info.Size(), u)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	u.sure = true
	return file, nil
}

// fallBack reads what is here of an upload, and lets it go on from the last of its marks up to which that is right. Where ctx
// ends it before, the next goes on.
func (fo *Keeper) fallBack(ctx context.Context, file *os.File, size int64, u *upload) error {
	rec := &u.rec
	if u.kept.Offset > size {
		u.kept = mark{}
	}
	sum, err := rec.Checksum.resumed(u.kept.State)
	for _, m := range append(slices.Clone(rec.Marks), mark{rec.Offset, rec.Digest, rec.State}) {
		if m.Offset <= u.kept.Offset {
			continue
		}
		if err != nil || m.Offset > size {
			break
		}
		part := io.NewSectionReader(file, u.kept.Offset, m.Offset-u.kept.Offset)
		if _, err = fo.pour(func([]byte) error { return ctx.Err() }, part, sum); err != nil {
			break
		}
		if got, _ := rec.Checksum.digestOf(sum); got != m.Digest {
			break
		}
		u.kept = m
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	kept := u.kept
	u.kept, rec.Boot = mark{}, fo.boot()
	if kept.Offset == 0 {
		rec.reset()
		return nil
	}
	rec.Offset, rec.Digest, rec.State = kept.Offset, kept.Digest, kept.State
	rec.Marks = slices.DeleteFunc(rec.Marks, func(m mark) bool { return m.Offset > kept.Offset })
	return nil
}

// makeAll makes a directory and those above it, for whoever a session runs as: see openToSessions.
func makeAll(root *os.Root, dir string) error {
	if dir == "." {
		return nil
	}
	if info, err := root.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	if err := makeAll(root, filepath.Dir(dir)); err != nil {
		return err
	}
	err := root.Mkdir(dir, openDirectory)
	if errors.Is(err, fs.ErrExist) {
		info, err := root.Stat(dir)
		if err != nil {
			return err // it may be a link that leads out
		}
		if info.IsDir() {
			return nil
		}
		return &fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}
	}
	if err != nil {
		return err
	}
	return root.Chmod(dir, openDirectory) // whatever this process's mask is
}

// What the appliance makes in folders can be written by every user of a session, and of the box by nobody: the way there
// leads through the data directory, which is the appliance's alone.
const (
	openDirectory fs.FileMode = 0o777
	openFile      fs.FileMode = 0o666
)

// sweepParts removes what is left of uploads: those that nobody has touched for keep, and parts that nobody knows.
func (fo *Keeper) sweepParts(ctx context.Context, folders []Folder, keep time.Duration, now time.Time) error {
	if err := fo.readUploads(ctx); err != nil {
		return err
	}
	byID := map[string]Folder{}
	for _, f := range folders {
		byID[f.ID] = f
	}
	var failed error
	for _, u := range fo.underWay() {
		u.mu.Lock()
		f, there := byID[u.rec.FolderID]
		_, err := os.Lstat(fo.recordPath(u.rec.ID))
		ended := errors.Is(err, fs.ErrNotExist) // by the daemon from which this one took over
		if old := now.Sub(u.rec.TouchedAt) > keep; !u.gone && (old || ended || !there) {
			failed = errors.Join(failed, fo.expire(f, there, u))
		}
		u.mu.Unlock()
	}
	for _, f := range folders {
		failed = errors.Join(failed, fo.sweepUnknown(f, now))
	}
	return failed
}

func (fo *Keeper) expire(f Folder, there bool, u *upload) error {
	if !there {
		u.gone = true
		u.charge.settle(0)
		fo.unlist(u.rec.ID)
		return nil
	}
	root, err := f.OpenRoot()
	if errors.Is(err, ErrNotFound) {
		return nil // its disk is away, and may come back
	}
	if err != nil {
		return err
	}
	defer root.Close()
	fo.forgetUpload(root, u)
	return nil
}

// partPatience is for files that are just being written, of which nothing is written down.
const partPatience = time.Hour

func (fo *Keeper) sweepUnknown(f Folder, now time.Time) error {
	before := fo.underWay()
	root, err := f.OpenRoot()
	if err != nil {
		return nil // its disk is away
	}
	defer root.Close()
	dir, err := openDir(root, partsDir)
	if err != nil {
		return nil // nothing is under way
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if errors.Is(err, fs.ErrNotExist) { // another sweep has found nothing left in it, and removed it
		err = nil
	}
	since := fo.underWay() // an upload is known before its part is there
	for _, e := range entries {
		info, infoErr := e.Info()
		if before[e.Name()] != nil || since[e.Name()] != nil || infoErr != nil || now.Sub(info.ModTime()) < partPatience {
			continue
		}
		if e := root.RemoveAll(filepath.Join(partsDir, e.Name())); e != nil {
			err = errors.Join(err, fmt.Errorf("deleting what is left of an upload in folder %s: %w", f.Name, e))
		}
	}
	_ = root.Remove(partsDir) // where nothing is left in it
	return err
}
