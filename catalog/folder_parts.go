package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// recordsDir is where, below the folders' own place, it is written down what is on its way.
const recordsDir = ".uploads"

func (fo *Folders) recordPath(id string) string {
	return filepath.Join(fo.root, recordsDir, id+".json")
}

// boot tells one run of the box's kernel from another; "" where it does not say.
func (fo *Folders) boot() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// readUploads takes up what an earlier daemon was told, once.
func (fo *Folders) readUploads(ctx context.Context) error {
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
		f, there := byID[rec.FolderID]
		if err != nil || !there || rec.ID+".json" != filepath.Base(path) || rec.Offset > rec.Size {
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
func (fo *Folders) keep(u *upload) error {
	if err := os.MkdirAll(filepath.Join(fo.root, recordsDir), 0o700); err != nil {
		return explainFull("beginning an upload", err)
	}
	if err := fo.writeRecord(u.rec); err != nil {
		return err
	}
	fo.arriving.Lock()
	defer fo.arriving.Unlock()
	if len(fo.uploads) >= maxUploads {
		_ = os.Remove(fo.recordPath(u.rec.ID))
		return &fault{kind: ErrInUse, message: fmt.Sprintf("%d uploads are under way", len(fo.uploads)), hint: "finish some of them, or give them up"}
	}
	fo.uploads[u.rec.ID] = u
	return nil
}

func (fo *Folders) writeRecord(rec uploadRecord) error {
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

// openPart opens the part of an upload, to be read and written. Whoever may write in the folder may have put anything there.
func openPart(root *os.Root, id string) (*os.File, error) {
	name := filepath.Join(partsDir, id)
	file, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	for range 10 {
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
		// The last one before took the directory with it, and may have done so again by now.
		if err = root.Mkdir(partsDir, 0o700); err == nil || errors.Is(err, fs.ErrExist) {
			file, err = root.OpenFile(name, os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
		}
	}
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

// lost reports whether there is less of a part than has come: a session may have removed it. What comes next would be put
// behind a hole, under the checksum of what was there.
func lost(part *os.File, offset int64) (bool, error) {
	info, err := part.Stat()
	return err == nil && info.Size() < offset, err
}

var errPartLost = errors.New("what had come has been removed from the folder meanwhile")

// errLost begins the upload anew.
func (fo *Folders) errLost(u *upload) error {
	u.rec.reset()
	return errors.Join(&fault{
		kind: ErrOffset, message: "what had come of " + u.rec.Path + " has been removed from the folder meanwhile", hint: "send it again, from the beginning",
	}, fo.writeRecord(u.rec))
}

// check looks that what is written down of an upload is really there, and falls back to where it is. After a failure of the
// box all of it is read: what was written last may never have come to the disk.
func (fo *Folders) check(ctx context.Context, root *os.Root, u *upload) error {
	rec := &u.rec
	if rec.Offset == 0 {
		return nil
	}
	file, err := openPart(root, rec.ID)
	if err != nil {
		return writeFault(rec.Path, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if boot := fo.boot(); info.Size() >= rec.Offset && boot != "" && boot == rec.Boot {
		return nil
	}
	kept := mark{}
	sum, err := resumed(nil)
	for _, m := range append(rec.Marks, mark{rec.Offset, rec.SHA256, rec.State}) {
		if err != nil || ctx.Err() != nil || m.Offset > info.Size() {
			break
		}
		part := io.NewSectionReader(file, kept.Offset, m.Offset-kept.Offset)
		if _, err = fo.pour(func([]byte) error { return ctx.Err() }, part, sum); err != nil {
			break
		}
		if got, _ := sumOf(sum); got != m.SHA256 {
			break
		}
		kept = m
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	rec.Boot = fo.boot()
	if kept.Offset == 0 {
		rec.reset()
		return nil
	}
	rec.Offset, rec.SHA256, rec.State = kept.Offset, kept.SHA256, kept.State
	for i, m := range rec.Marks {
		if m.Offset > kept.Offset {
			rec.Marks = rec.Marks[:i]
			break
		}
	}
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
func (fo *Folders) sweepParts(ctx context.Context, folders []Folder, keep time.Duration, now time.Time) error {
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
		if old := now.Sub(u.rec.TouchedAt) > keep; old || !there {
			failed = errors.Join(failed, fo.expire(f, there, u))
		}
		u.mu.Unlock()
	}
	known := fo.underWay()
	for _, f := range folders {
		failed = errors.Join(failed, sweepUnknown(f, known, now))
	}
	return failed
}

func (fo *Folders) expire(f Folder, there bool, u *upload) error {
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
	return fo.forgetUpload(root, u)
}

// partPatience is for files that are just being written, of which nothing is written down.
const partPatience = time.Hour

func sweepUnknown(f Folder, known map[string]*upload, now time.Time) error {
	root, err := f.OpenRoot()
	if err != nil {
		return nil // its disk is away
	}
	defer root.Close()
	dir, err := root.OpenFile(partsDir, openListing, 0)
	if err != nil {
		return nil // nothing is under way
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil // somebody has put something else there
	}
	for _, e := range entries {
		info, infoErr := e.Info()
		if known[e.Name()] != nil || infoErr != nil || now.Sub(info.ModTime()) < partPatience {
			continue
		}
		if e := root.RemoveAll(filepath.Join(partsDir, e.Name())); e != nil {
			err = errors.Join(err, fmt.Errorf("deleting what is left of an upload in folder %s: %w", f.Name, e))
		}
	}
	_ = root.Remove(partsDir) // where nothing is left in it
	return err
}
