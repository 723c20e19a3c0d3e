package folders

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// FinishUpload puts an upload that is complete into its place, as a whole: what was there before is replaced at once.
// digest ("sha256:HEX") is what the sender has; "" takes what arrived. ErrInvalid while bytes are missing; ErrChecksum, after which
// there is no such upload.
func (fo *Keeper) FinishUpload(ctx context.Context, f Folder, id, digest string) (w Written, err error) {
	if is, err := fo.elsewhere(ctx, f, Operation{Do: doFinish, ID: id, Digest: digest}, nil, &w); is {
		return w, err
	}
	u, err := fo.findUpload(ctx, f, id)
	if err != nil {
		return Written{}, err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return Written{}, err
	}
	defer root.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.gone {
		return Written{}, noUpload(id)
	}
	came := u.rec.Offset
	part, err := fo.openWhole(ctx, root, u)
	if err != nil {
		return Written{}, uploadFault(u.rec.Path, err)
	}
	defer part.Close()
	rec := u.rec
	switch {
	case rec.Offset < came:
		return Written{}, lostFault(rec)
	case rec.Offset != rec.Size:
		return Written{}, &fault{kind: ErrInvalid, message: fmt.Sprintf("%d of %d bytes are here", rec.Offset, rec.Size), hint: "send the rest first"}
	}
	if err := compare(digest, rec.Digest); errors.Is(err, ErrChecksum) {
		fo.forgetUpload(root, u)
		return Written{}, err
	} else if err != nil {
		return Written{}, err
	}
	u.turn++ // nobody writes from here on
	replaced := sizeOf(root, rec.Path)
	if err := u.charge.set(ctx, max(0, rec.Size-replaced)); err != nil {
		return Written{}, err // what it was to replace has been removed since
	}
	if err := settleAt(root, rec, part); err != nil {
		return Written{}, uploadFault(rec.Path, err)
	}
	u.gone = true
	u.charge.settle(rec.Size - replaced)
	// The record goes last: one that is left points to a part that is not there, and is swept.
	fo.unlist(id)
	_ = root.Remove(partsDir) // where it was the last
	return Written{Path: rec.Path, Size: rec.Size, Digest: rec.Digest}, nil
}

// settleAt renames a complete part to where it belongs.
func settleAt(root *os.Root, rec uploadRecord, file *os.File) error {
	mode, err := writable(root, rec.Path)
	if err != nil {
		return err
	}
	if rec.Executable != nil {
		mode = withExecutable(mode, *rec.Executable)
	}
	// It stays whose it was, and with it who may read it.
	if st, ok := statOf(root, rec.Path); ok && os.Geteuid() == 0 {
		if err := file.Chown(int(st.Uid), int(st.Gid)); err != nil {
			return err
		}
	}
	if err := errors.Join(file.Truncate(rec.Size), file.Chmod(mode), file.Sync()); err != nil {
		return err
	}
	part := filepath.Join(partsDir, rec.ID)
	mine, err := file.Stat()
	if err != nil {
		return err
	}
	if there, err := root.Lstat(part); err != nil || !os.SameFile(mine, there) {
		return &fault{kind: ErrChecksum, message: "what had arrived of " + rec.Path + " was taken away", hint: "send it again"}
	}
	if !rec.Modified.IsZero() {
		if err := root.Chtimes(part, time.Time{}, rec.Modified); err != nil {
			return err
		}
	}
	if err := makeAll(root, filepath.Dir(rec.Path)); err != nil {
		return err
	}
	return root.Rename(part, rec.Path)
}

// DropUpload gives an upload up. ErrNotFound.
func (fo *Keeper) DropUpload(ctx context.Context, f Folder, id string) error {
	if is, err := fo.elsewhere(ctx, f, Operation{Do: doDrop, ID: id}, nil, nil); is {
		return err
	}
	u, err := fo.findUpload(ctx, f, id)
	if err != nil {
		return err
	}
	root, err := f.OpenRoot()
	if err != nil {
		return err
	}
	defer root.Close()
	u.mu.Lock()
	defer u.mu.Unlock()
	fo.forgetUpload(root, u)
	return nil
}

// forgetUpload removes what is here of one. The caller holds its mu.
func (fo *Keeper) forgetUpload(root *os.Root, u *upload) {
	if u.gone {
		return
	}
	u.gone = true
	u.charge.settle(0)
	fo.unlist(u.rec.ID)
	fo.removePart(root, u.rec.ID)
}

func (fo *Keeper) removePart(root *os.Root, id string) {
	if id != "" {
		_ = root.Remove(filepath.Join(partsDir, id)) // else it is swept
		_ = root.Remove(partsDir)
	}
}
