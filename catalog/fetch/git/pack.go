package git

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
)

const (
	mostObject = 128 << 20 // bytes of a file, or of a directory, in git itself: GitHub takes 100 MB
	mostGrowth = 16        // times its size that a pack may hold
)

// errHuge says that git itself holds more than is taken.
var errHuge = errors.New("more than is taken of git itself")

// unpack puts a pack that comes into a clone. It is weighed first: the library holds each object in memory, and a pack of a few
// bytes can hold one of any size.
func (s *Source) unpack(ctx context.Context, c clone, dir string, from io.Reader) (err error) {
	file, err := os.OpenFile(filepath.Join(dir, "came"), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(file.Name())) }()
	if _, err := io.Copy(file, &bounded{from, s.maxPack}); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := weigh(ctx, file, s.maxPack*mostGrowth); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return packfile.UpdateObjectStorage(c.objects, file)
}

// weigh looks how large the objects of a pack are, and what the changes in it make.
func weigh(ctx context.Context, pack io.Reader, most int64) error {
	scanner := packfile.NewScanner(pack)
	_, objects, err := scanner.Header()
	if errors.Is(err, packfile.ErrEmptyPackfile) {
		return nil
	}
	for ; err == nil && objects > 0; objects-- {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		header, err := scanner.NextObjectHeader()
		if err != nil {
			return cutOff(err)
		}
		// The scanner holds the object to the size in its header.
		if most -= header.Length; header.Length < 0 || header.Length > mostObject || most < 0 {
			return errHuge
		}
		begin := &beginning{}
		if _, _, err := scanner.NextObject(begin); err != nil {
			return cutOff(err)
		}
		if header.Type != plumbing.OFSDeltaObject && header.Type != plumbing.REFDeltaObject {
			continue
		}
		made := begin.makes()
		if made > mostObject {
			return errHuge
		}
		if most -= int64(made); most < 0 {
			return errHuge
		}
	}
	return cutOff(err)
}

// cutOff is what the end of a pack before its end is.
func cutOff(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the pack is cut off: %w", io.ErrUnexpectedEOF)
	}
	return err
}

// beginning keeps the first bytes of what is written: of a change, the sizes of what it is of and of what it makes.
type beginning struct {
	text [2 * binary.MaxVarintLen64]byte
	n    int
}

func (b *beginning) Write(p []byte) (int, error) {
	b.n += copy(b.text[b.n:], p)
	return len(p), nil
}

// makes is how large what a change makes is. What is no number is refused when the change is read.
func (b *beginning) makes() uint64 {
	_, first := binary.Uvarint(b.text[:b.n])
	if first <= 0 {
		return 0
	}
	size, _ := binary.Uvarint(b.text[first:b.n])
	return size
}

// bounded ends a stream that is longer than it may be.
type bounded struct {
	from io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errHuge
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
