package folders

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Kinds of errors of uploads.
var (
	// ErrOffset says that bytes begin elsewhere than where the upload goes on: ask where that is.
	ErrOffset = errors.New("not where the upload goes on")
	// ErrChecksum says that what arrived is not what was sent.
	ErrChecksum = errors.New("checksum does not match")
)

// Upload is a file that comes in parts. It survives the connection, the client and the daemon.
type Upload struct {
	ID         string    `json:"id"` // "upl-" and 26 characters: who knows it may go on with it
	FolderID   string    `json:"folder"`
	Path       string    `json:"path"` // in the folder
	Size       int64     `json:"size"`
	Offset     int64     `json:"offset"` // bytes that are here
	Checksum   Checksum  `json:"checksum"`
	Digest     string    `json:"digest"` // of these: sha256:HEX
	Executable *bool     `json:"executable,omitempty"`
	Modified   time.Time `json:"modified,omitzero"` // what the file is to have; zero: when it is finished
	By         string    `json:"by"`
	CreatedAt  time.Time `json:"created_at"`
	TouchedAt  time.Time `json:"touched_at"` // when something came last
}

// UploadSpec is what an upload is to be.
type UploadSpec struct {
	Path       string
	Size       int64
	Executable *bool
	Modified   time.Time
	By         string
	Checksum   Checksum // "": SHA256
}

// Bounds of uploads.
const (
	maxUploads = 10_000  // under way, in all folders
	markEvery  = 1 << 30 // bytes between two places to which an upload falls back after a power failure
	maxSize    = 1 << 53 // bytes of one file: what every JSON reader can count
)

// partsDir is where in a folder files are that are on their way into it.
const partsDir = ".palisade-uploads"

// mark is a place in an upload with the checksum up to it.
type mark struct {
	Offset int64  `json:"offset"`
	Digest string `json:"digest"`
	State  []byte `json:"state"` // of the hash, from where it can go on
}

// uploadRecord is what is kept of an upload, in a file.
type uploadRecord struct {
	Upload
	State []byte `json:"state"`
	Marks []mark `json:"marks,omitempty"`
	Boot  string `json:"boot"` // of the box: what was written before another one may not be there
}

// upload is one under way. mu is held for each write, so that a request that has been taken over writes nothing more.
type upload struct {
	mu     sync.Mutex
	rec    uploadRecord
	turn   int  // of the request that may write: the latest
	gone   bool // finished, dropped or taken over
	sure   bool // what is written down of it is here: see openWhole
	kept   mark // how far that is known, where looking was interrupted
	charge *charge
}

// BeginUpload prepares an upload. One that was begun before by the same person, for the same path and size, is taken over:
// whatever else went on with it can no more, and Offset says what is here of it. ErrInvalid, ErrQuota.
func (fo *Keeper) BeginUpload(ctx context.Context, f Folder, spec UploadSpec) (out Upload, err error) {
	if is, err := fo.elsewhere(ctx, f, Operation{Do: doBegin, Upload: &spec}, nil, &out); is {
		return out, err
	}
	if spec.Size < 0 || spec.Size > maxSize {
		return Upload{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("a file cannot have %d bytes", spec.Size)}
	}
	if spec.Checksum = cmp.Or(spec.Checksum, SHA256); spec.Checksum != SHA256 && spec.Checksum != XXH64 {
		return Upload{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("there is no checksum %q", spelling.Short(string(spec.Checksum))), hint: "sha256 or xxh64"}
	}
	root, name, err := enter(f, spec.Path)
	if err != nil {
		return Upload{}, err
	}
	defer root.Close()
	if _, err := writable(root, name); err != nil {
		return Upload{}, err
	}
	if err := fo.readUploads(ctx); err != nil {
		return Upload{}, err
	}
	now := time.Now().UTC()
	u := &upload{sure: true, rec: uploadRecord{
		Upload: Upload{
			ID: "upl-" + strings.ToLower(rand.Text()), FolderID: f.ID, Path: name, Size: spec.Size, Executable: spec.Executable, Modified: spec.Modified, By: spec.By, Checksum: spec.Checksum, CreatedAt: now, TouchedAt: now,
		},
		Boot: fo.boot(),
	}}
	u.rec.reset()
	u.charge = fo.charge(f, u.rec.ID)
	before := fo.takeOver(f, u)
	noRoom := u.charge.set(ctx, max(0, spec.Size-sizeOf(root, name)))
	if noRoom != nil && before == "" {
		return Upload{}, noRoom
	}
	// It is known before its part is there, so that no sweep takes that, and nobody writes before. What was here of it stays
	// whatever is wrong now.
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := fo.keep(u); err != nil {
		u.charge.settle(0)
		fo.removePart(root, before)
		return Upload{}, err
	}
	if before != "" {
		_ = root.Rename(filepath.Join(partsDir, before), filepath.Join(partsDir, u.rec.ID)) // where it is lost, openWhole says so
	}
	if noRoom != nil {
		return Upload{}, noRoom
	}
	part, err := fo.openWhole(ctx, root, u)
	if err == nil {
		err = errors.Join(part.Close(), fo.writeRecord(u.rec))
	}
	if err == nil {
		err = roomFor(root, u.rec.Upload)
	}
	if err != nil && u.rec.Offset == 0 {
		fo.forgetUpload(root, u)
	}
	return u.rec.Upload, uploadFault(name, err)
}

// roomFor says that a disk has not the room for what is still to come of a file, before that fills it: a part that is kept to
// be gone on with would take the last room from everybody else.
func roomFor(root *os.Root, up Upload) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	var disk unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &disk); err != nil {
		return fmt.Errorf("looking how full the disk is: %w", err)
	}
	free, missing := int64(disk.Bavail)*disk.Bsize, up.Size-up.Offset
	if missing <= free {
		return nil
	}
	return explainFull(fmt.Sprintf("%d bytes are to come, and %d are free", missing, free), unix.ENOSPC)
}

// reset forgets what is here.
func (r *uploadRecord) reset() {
	r.Offset, r.Marks = 0, nil
	r.Digest, r.State = r.Checksum.digestOf(r.Checksum.begin())
}

// takeOver finds what was begun before for the same file, ends it, and lays its state over that of next. It returns its id;
// "" where there is none.
func (fo *Keeper) takeOver(f Folder, next *upload) (before string) {
	rec := &next.rec
	for id, u := range fo.underWay() {
		// These do not change: whoever is just being finished, which may take long, holds nobody else up.
		if u.rec.FolderID != f.ID || u.rec.Path != rec.Path || u.rec.Size != rec.Size || u.rec.By != rec.By || u.rec.Checksum != rec.Checksum {
			continue
		}
		u.mu.Lock()
		same := !u.gone
		if same {
			u.gone = true
			rec.Offset, rec.Digest, rec.State, rec.Marks = u.rec.Offset, u.rec.Digest, u.rec.State, u.rec.Marks
			rec.Boot, rec.CreatedAt = u.rec.Boot, u.rec.CreatedAt
			next.sure, next.kept = u.sure, u.kept
			next.charge.inherit(u.charge)
			fo.unlist(id)
		}
		u.mu.Unlock()
		if same {
			return id
		}
	}
	return ""
}

// statOf is what a plain file is that may be replaced.
func statOf(root *os.Root, name string) (*syscall.Stat_t, bool) {
	info, err := root.Lstat(name)
	if err != nil || !info.Mode().IsRegular() {
		return nil, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return st, ok
}

func sizeOf(root *os.Root, name string) int64 {
	if info, err := root.Lstat(name); err == nil && info.Mode().IsRegular() {
		return info.Size()
	}
	return 0
}

// Upload finds one under way. ErrNotFound.
func (fo *Keeper) Upload(ctx context.Context, f Folder, id string) (out Upload, err error) {
	if is, err := fo.elsewhere(ctx, f, Operation{Do: doUpload, ID: id}, nil, &out); is {
		return out, err
	}
	u, err := fo.findUpload(ctx, f, id)
	if err != nil {
		return Upload{}, err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return Upload{}, err
	}
	defer root.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return Upload{}, noUpload(id)
	}
	part, err := fo.openWhole(ctx, root, u)
	if err == nil {
		err = part.Close()
	}
	return u.rec.Upload, uploadFault(u.rec.Path, err)
}

// underWay is a copy: who locks an upload may hold it for long.
func (fo *Keeper) underWay() map[string]*upload {
	fo.arriving.Lock()
	defer fo.arriving.Unlock()
	return maps.Clone(fo.uploads)
}

// unlist forgets an upload whose part is gone, or goes.
func (fo *Keeper) unlist(id string) {
	fo.arriving.Lock()
	delete(fo.uploads, id)
	fo.arriving.Unlock()
	_ = os.Remove(fo.recordPath(id)) // else it is swept
}

func (fo *Keeper) findUpload(ctx context.Context, f Folder, id string) (*upload, error) {
	if err := fo.readUploads(ctx); err != nil {
		return nil, err
	}
	fo.arriving.Lock()
	defer fo.arriving.Unlock()
	if u := fo.uploads[id]; u != nil && u.rec.FolderID == f.ID {
		return u, nil
	}
	return nil, noUpload(id)
}

func noUpload(id string) error {
	return &fault{
		kind: ErrNotFound, message: fmt.Sprintf("there is no upload %q", spelling.Short(id)),
		hint: "it is finished, was given up, or another client has taken it over: begin again, which goes on where it was",
	}
}

// Uploads lists what is on its way into a folder, oldest first.
func (fo *Keeper) Uploads(ctx context.Context, f Folder) (out []Upload, err error) {
	if is, err := fo.elsewhere(ctx, f, Operation{Do: doUploads}, nil, &out); is {
		return out, err
	}
	if err := fo.readUploads(ctx); err != nil {
		return nil, err
	}
	out = []Upload{}
	for _, u := range fo.underWay() {
		if u.rec.FolderID != f.ID {
			continue
		}
		u.mu.Lock()
		if !u.gone {
			out = append(out, u.rec.Upload)
		}
		u.mu.Unlock()
	}
	slices.SortFunc(out, func(a, b Upload) int { return a.CreatedAt.Compare(b.CreatedAt) })
	return out, nil
}

// Chunk is a part of an upload.
type Chunk struct {
	Offset int64 // where it begins
	Body   io.Reader
	CRC32C *uint32 // its checksum; nil: what arrives is taken as it is
}

// Append adds a chunk and returns the upload as it is then. With a checksum it counts as a whole or not at all; without, what
// came before an error counts. ErrOffset, ErrChecksum, ErrNotFound, ErrNoSpace.
func (fo *Keeper) Append(ctx context.Context, f Folder, id string, c Chunk) (out Upload, err error) {
	if is, err := fo.elsewhere(ctx, f, Operation{Do: doAppend, ID: id, Offset: c.Offset, CRC32C: c.CRC32C}, c.Body, &out); is {
		return out, err
	}
	u, err := fo.findUpload(ctx, f, id)
	if err != nil {
		return Upload{}, err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return Upload{}, err
	}
	defer root.Close()
	u.mu.Lock()
	if u.gone {
		u.mu.Unlock()
		return Upload{}, noUpload(id)
	}
	came := u.rec.Offset
	file, err := fo.openWhole(ctx, root, u)
	if err == nil && u.rec.Offset < came {
		err = errors.Join(lostFault(u.rec), file.Close())
	} else if err == nil && c.Offset != u.rec.Offset {
		err = errors.Join(offsetFault(c.Offset, u.rec.Offset), file.Close())
	}
	if err != nil {
		defer u.mu.Unlock()
		return u.rec.Upload, uploadFault(u.rec.Path, err)
	}
	u.turn++
	turn, left := u.turn, u.rec.Size-u.rec.Offset
	sum, err := u.rec.Checksum.resumed(u.rec.State)
	u.mu.Unlock()
	if err != nil {
		return Upload{}, errors.Join(fmt.Errorf("going on with upload %s: %w", id, err), file.Close())
	}
	crc := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	at := c.Offset
	n, err := fo.pour(func(p []byte) error {
		if int64(len(p)) > left-(at-c.Offset) {
			return &fault{kind: ErrInvalid, message: fmt.Sprintf("the file has %d bytes, and more came", u.rec.Size)}
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if u.turn != turn || u.gone {
			return offsetFault(at, u.rec.Offset)
		}
		_, err := file.WriteAt(p, at)
		at += int64(len(p))
		return err
	}, c.Body, io.MultiWriter(sum, crc))
	// On its way to the disk from now on: finishing waits for all of it, and would else begin there.
	_ = unix.SyncFileRange(int(file.Fd()), c.Offset, n, unix.SYNC_FILE_RANGE_WRITE)
	if closed := file.Close(); err == nil {
		err = closed
	}
	if c.CRC32C != nil && err == nil && crc.Sum32() != *c.CRC32C {
		err = &fault{kind: ErrChecksum, message: fmt.Sprintf("%d bytes from %d on are not what was sent", n, c.Offset), hint: "send them again"}
	}
	if err != nil && c.CRC32C != nil {
		n = 0
	}
	return fo.arrived(u, turn, n, sum, uploadFault(u.rec.Path, err))
}

// uploadFault keeps the errors of this room as they are.
func uploadFault(name string, err error) error {
	if _, own := errors.AsType[*fault](err); own || err == nil {
		return err
	}
	return writeFault(name, err)
}

func offsetFault(got, want int64) error {
	return &fault{kind: ErrOffset, message: fmt.Sprintf("bytes from %d on came, and the upload goes on at %d", got, want), hint: "ask for the upload, and go on from its offset"}
}

func lostFault(rec uploadRecord) error {
	return &fault{
		kind: ErrOffset, message: fmt.Sprintf("what had come of %s has been removed from the folder meanwhile, from byte %d on", rec.Path, rec.Offset),
		hint: "ask for the upload, and go on from its offset",
	}
}

// arrived counts bytes that are here, and passes on why there are no more.
func (fo *Keeper) arrived(u *upload, turn int, n int64, sum hash.Hash, err error) (Upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone || u.turn != turn {
		return u.rec.Upload, errors.Join(err, offsetFault(u.rec.Offset, u.rec.Offset))
	}
	u.rec.TouchedAt = time.Now().UTC()
	if n > 0 {
		u.rec.Offset += n
		u.rec.Digest, u.rec.State = u.rec.Checksum.digestOf(sum)
		last := int64(0)
		if k := len(u.rec.Marks); k > 0 {
			last = u.rec.Marks[k-1].Offset
		}
		if u.rec.Offset-last >= markEvery {
			u.rec.Marks = append(u.rec.Marks, mark{u.rec.Offset, u.rec.Digest, u.rec.State})
		}
	}
	return u.rec.Upload, errors.Join(err, fo.writeRecord(u.rec))
}
