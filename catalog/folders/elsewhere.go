package folders

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/palisade-run/palisade/catalog/spelling"
)

// Elsewhere has other boxes of a cluster do what is to be done with folders whose home they are.
type Elsewhere interface {
	// Carry has a box carry out an operation, with what is sent along, which may be nil. out points to what comes of it, and
	// may have been filled in though there is an error; nil: nothing does. Errors are of this room's kinds.
	Carry(ctx context.Context, box string, op Operation, body io.Reader, out any) error
	// Open opens a file there.
	Open(ctx context.Context, box, folderID, path string) (File, error)
}

// File is a plain file of a folder, wherever that is.
type File interface {
	io.ReadSeekCloser
	io.ReaderAt
	Stat() (fs.FileInfo, error)
}

// Operation is something to be done with a folder on the box where it has its home. What its Do does not need is empty.
type Operation struct {
	Do     Doing  `json:"do"`
	Folder string `json:"folder"` // id

	Path       string        `json:"path,omitempty"`
	To         string        `json:"to,omitempty"`
	List       *ListQuery    `json:"list,omitempty"`
	Upload     *UploadSpec   `json:"upload,omitempty"`
	ID         string        `json:"id,omitempty"`     // of an upload
	Offset     int64         `json:"offset,omitempty"` // of a chunk of one
	CRC32C     *uint32       `json:"crc32c,omitempty"`
	Size       int64         `json:"size,omitempty"` // of a content
	Digest     string        `json:"digest,omitempty"`
	Executable *bool         `json:"executable,omitempty"`
	Modified   time.Time     `json:"modified,omitzero"`
	Replaces   *Version      `json:"replaces,omitempty"`
	By         string        `json:"by,omitempty"`
	Name       string        `json:"name,omitempty"` // of the folder, once it is out of the trash
	Clone      *Spec         `json:"clone,omitempty"`
	MaxAge     time.Duration `json:"max_age,omitempty"` // nanoseconds; of a count
}

// Doing is what an Operation does. They may not change: boxes of two versions speak to each other.
type Doing string

// All that is done with folders elsewhere.
const (
	doEntries   Doing = "entries"
	doDirectory Doing = "directory"
	doWrite     Doing = "write"
	doMake      Doing = "make"
	doMove      Doing = "move"
	doDelete    Doing = "delete"
	doBegin     Doing = "begin"
	doUpload    Doing = "upload"
	doUploads   Doing = "uploads"
	doAppend    Doing = "append"
	doFinish    Doing = "finish"
	doDrop      Doing = "drop"
	doRemove    Doing = "remove"
	doRestore   Doing = "restore"
	doPurge     Doing = "purge"
	doClone     Doing = "clone"
	doUse       Doing = "use"
)

// cloned is what comes of doClone.
type cloned struct {
	Folder Folder `json:"folder"`
	Cloned Cloned `json:"cloned"`
}

// elsewherePatience is how long what is short may take on another box.
const elsewherePatience = time.Minute

// elsewhere has the folder's home do it, where that is another box; is is false where it is this one.
func (fo *Keeper) elsewhere(ctx context.Context, f Folder, op Operation, body io.Reader, out any) (is bool, err error) {
	if !fo.Away(f) {
		return false, nil
	}
	if fo.Orphaned(f) {
		return true, f.orphan()
	}
	if fo.Settings.Elsewhere == nil {
		return true, f.gone()
	}
	op.Folder = f.ID
	return true, fo.Settings.Elsewhere.Carry(ctx, f.Home, op, body, out)
}

// shortly is elsewhere for what nobody can break off.
func (fo *Keeper) shortly(f Folder, op Operation, out any) (is bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), elsewherePatience)
	defer cancel()
	return fo.elsewhere(ctx, f, op, nil, out)
}

// within is elsewhere for what is to be done while who asks waits: a home that takes it up and falls silent keeps nobody for ever. No
// lock is held then: other folders have other homes.
func (fo *Keeper) within(ctx context.Context, f Folder, op Operation, out any) error {
	ctx, cancel := context.WithTimeout(ctx, elsewherePatience)
	defer cancel()
	_, err := fo.elsewhere(ctx, f, op, nil, out)
	return err
}

// Carry carries out what another box asks to be done with a folder whose home is here.
func (fo *Keeper) Carry(ctx context.Context, op Operation, body io.Reader) (any, error) {
	f, err := fo.byID(ctx, op.Folder)
	if err != nil {
		return nil, err
	}
	if fo.Away(f) {
		return nil, f.gone()
	}
	switch op.Do {
	case doEntries:
		return fo.Entries(f, op.Path)
	case doDirectory:
		if op.List == nil {
			op.List = &ListQuery{}
		}
		return fo.Directory(f, op.Path, *op.List)
	case doWrite:
		return fo.Write(ctx, f, op.Path, Content{Reader: body, Size: op.Size, Digest: op.Digest, Executable: op.Executable, Modified: op.Modified, Replaces: op.Replaces})
	case doMake:
		return nil, fo.MakeDirectory(f, op.Path)
	case doMove:
		return nil, fo.MoveEntry(f, op.Path, op.To)
	case doDelete:
		return nil, fo.RemoveEntry(f, op.Path)
	case doUse:
		return fo.Use(ctx, f, op.MaxAge)
	case doRemove:
		return nil, fo.Remove(ctx, f.Project, f.ID, op.By)
	case doRestore:
		return fo.Restore(ctx, f.Project, f.ID, op.Name)
	case doPurge:
		return nil, fo.Purge(ctx, f.Project, f.ID)
	case doClone:
		if op.Clone == nil {
			break
		}
		made, c, err := fo.Clone(ctx, f, *op.Clone, nil)
		return cloned{made, c}, err
	default:
		return fo.carryUpload(ctx, f, op, body)
	}
	return nil, &fault{kind: ErrInvalid, message: fmt.Sprintf("another box asks for %q without saying what", op.Do)}
}

func (fo *Keeper) carryUpload(ctx context.Context, f Folder, op Operation, body io.Reader) (any, error) {
	switch op.Do {
	case doBegin:
		if op.Upload != nil {
			return fo.BeginUpload(ctx, f, *op.Upload)
		}
	case doUpload:
		return fo.Upload(ctx, f, op.ID)
	case doUploads:
		return fo.Uploads(ctx, f)
	case doAppend:
		return fo.Append(ctx, f, op.ID, Chunk{Offset: op.Offset, Body: body, CRC32C: op.CRC32C})
	case doFinish:
		return fo.FinishUpload(ctx, f, op.ID, op.Digest)
	case doDrop:
		return nil, fo.DropUpload(ctx, f, op.ID)
	}
	return nil, &fault{kind: ErrInvalid, message: fmt.Sprintf("another box asks for %q, which this one does not know", spelling.Short(string(op.Do))), hint: "have all boxes run the same version"}
}

// useElsewhere is what a folder holds as its home counts it, kept in its account.
func (fo *Keeper) useElsewhere(ctx context.Context, f Folder, maxAge time.Duration, a *account) (use Use, err error) {
	if fo.Orphaned(f) {
		return Use{}, nil // it keeps no project from counting the others
	}
	_, err = fo.elsewhere(ctx, f, Operation{Do: doUse, MaxAge: maxAge}, nil, &use)
	fo.counts.Lock()
	defer fo.counts.Unlock()
	if a.stale = err != nil; err == nil {
		a.use = use
	}
	return use, err
}

// byID is a folder, in the trash or not.
func (fo *Keeper) byID(ctx context.Context, id string) (Folder, error) {
	all, err := fo.store.Folders(ctx)
	if err != nil {
		return Folder{}, fmt.Errorf("listing folders: %w", err)
	}
	for _, f := range all {
		if f.ID == id {
			return f, nil
		}
	}
	return Folder{}, &fault{kind: ErrNotFound, message: fmt.Sprintf("there is no folder %q", spelling.Short(id)), hint: "palisade folder list shows what there is"}
}

// Record is the row of a folder by its id, in the trash or not. ErrNotFound.
func (fo *Keeper) Record(ctx context.Context, id string) (Folder, error) { return fo.byID(ctx, id) }

// ours are those of some folders that have their home here.
func (fo *Keeper) ours(all []Folder) []Folder {
	out := make([]Folder, 0, len(all))
	for _, f := range all {
		if !fo.Away(f) {
			out = append(out, f)
		}
	}
	return out
}

// Adopt writes down that the folders that have no home yet have it here: those that this box had when it was alone.
func (fo *Keeper) Adopt(ctx context.Context) error {
	if fo.Settings.Box == "" {
		return nil
	}
	fo.changes.Lock()
	defer fo.changes.Unlock()
	all, err := fo.store.Folders(ctx)
	if err != nil {
		return fmt.Errorf("listing folders: %w", err)
	}
	for _, f := range all {
		if f.Home != "" {
			continue
		}
		f.Home = fo.Settings.Box
		if err := fo.store.UpdateFolder(ctx, f); err != nil {
			return fmt.Errorf("saying that folder %s has its home here: %w", f.Name, err)
		}
	}
	return nil
}
