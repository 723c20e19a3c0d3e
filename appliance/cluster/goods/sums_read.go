package goods

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// told is told how much of a folder has been read.
type told func(done, total int64)

// reading is one look at the files of a folder.
type reading struct {
	ctx         context.Context //nolint:containedctx // of who waits for it
	root        *os.Root
	buffer      []byte
	done, total int64
	tell        told // may be nil
}

// errNotThere is that a file is not there any more, or that something else is.
var errNotThere = errors.New("it is no file any more")

// openFile opens a file of a folder, whatever a session puts in its place meanwhile: a pipe keeps nobody waiting.
func openFile(root *os.Root, name string) (*os.File, fs.FileInfo, error) {
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		info, looking := root.Lstat(name)
		if errors.Is(looking, fs.ErrNotExist) || errors.Is(looking, syscall.ENOTDIR) || looking == nil && !info.Mode().IsRegular() {
			err = fmt.Errorf("%w: %w", errNotThere, err)
		}
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errNotThere
	}
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, info, nil
}

// read reads files whose checksums are not known, and keeps those. What has gone since is left out of the files that it returns.
func (s *sums) read(r *reading, m Manifest, todo []unread) ([]File, error) {
	for _, u := range todo {
		r.total += m.Files[u.at].Bytes
	}
	fresh, left := map[string]summed{}, map[int]bool{}
	for _, u := range todo {
		f := &m.Files[u.at]
		h := sha256.New()
		began := time.Now()
		n, err := r.into(h, f.Name)
		if errors.Is(err, errNotThere) {
			left[u.at] = true
			continue
		}
		if err != nil {
			return nil, err
		}
		f.Bytes, f.SHA256 = n, hex.EncodeToString(h.Sum(nil))
		// Kept where it is as it was before it was read.
		if info, err := r.root.Lstat(f.Name); err == nil {
			if now, _ := stampOf(info); now == u.stamp {
				fresh[f.Name] = summed{Stamp: now, SHA256: f.SHA256, Fresh: now.freshAt(began)}
			}
		}
	}
	files := make([]File, 0, len(m.Files))
	for i, f := range m.Files {
		if !left[i] {
			files = append(files, f)
		}
	}
	return files, s.keep(m.Folder, files, fresh)
}

// into reads a file into a hash, as long as it is when it is opened: one that grows meanwhile would never end.
func (r *reading) into(h hash.Hash, name string) (total int64, err error) {
	file, info, err := openFile(r.root, name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	in := io.LimitReader(file, info.Size())
	for {
		if r.ctx.Err() != nil {
			return total, context.Cause(r.ctx)
		}
		n, err := in.Read(r.buffer)
		_, _ = h.Write(r.buffer[:n]) // hashes do not fail
		total += int64(n)
		if r.done += int64(n); r.tell != nil {
			r.tell(r.done, r.total)
		}
		if errors.Is(err, io.EOF) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}
