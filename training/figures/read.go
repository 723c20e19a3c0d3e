package figures

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/palisade-run/palisade/sessions"
)

const (
	// farthest is how many bytes are read at a time; of a longer file the end.
	farthest = 64 << 20
	// longestLine in bytes; longer ones are bad.
	longestLine = 1 << 20
)

// File is where the figures of one session are. It remembers how far it was read. One may use it at a time.
type File struct {
	Path string // as the session sees it

	mount sessions.Mount
	rel   string
	keep  *Keep

	seen    os.FileInfo // nil: nothing was read yet
	offset  int64       // of what was read
	lines   int         // that were read since the beginning, or since what was passed over
	passing bool        // what is at offset is the rest of a line that is too long
}

// Batch is what was read at once.
type Batch struct {
	*Fold
	Changed  bool  // there is something in it, or nothing any more that was
	Anew     bool  // from the beginning: what came before is none of this
	Size     int64 // of the file
	Skipped  int64 // bytes before what was read that were passed over: the file is too long
	Modified time.Time
}

// Read reads what was added since the last time, or all of it: the first time, and when another file has taken its place. A
// line without an end is under way and left for the next time; with last, there is none, and it is taken if it is whole.
func (f *File) Read(ctx context.Context, w Want, last bool) (Batch, error) {
	select {
	case f.keep.reading <- struct{}{}:
		defer func() { <-f.keep.reading }()
	case <-ctx.Done():
		return Batch{}, context.Cause(ctx)
	}
	b := Batch{Fold: NewFold(w)}
	file, err := f.open()
	if errors.Is(err, fs.ErrNotExist) {
		b.Anew, b.Changed = true, f.seen != nil
		f.forget()
		return b, nil
	}
	if err != nil {
		return b, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return b, fmt.Errorf("reading %s: %w", f.Path, err)
	}
	if f.seen == nil || !os.SameFile(f.seen, info) || info.Size() < f.offset {
		f.forget()
		b.Anew, b.Changed = true, true
	}
	f.seen, b.Size, b.Modified = info, info.Size(), info.ModTime()
	if begin := b.Size - farthest; begin > f.offset {
		b.Skipped, f.offset, f.passing = begin-f.offset, begin, true
	}
	if err := f.read(ctx, file, &b, last); err != nil {
		return b, fmt.Errorf("reading %s: %w", f.Path, err)
	}
	b.Changed = b.Changed || b.Lines > 0
	return b, nil
}

func (f *File) forget() { f.seen, f.offset, f.lines, f.passing = nil, 0, 0, false }

// read takes the lines from offset to the file's size, no matter how it grows meanwhile.
func (f *File) read(ctx context.Context, file *os.File, b *Batch, last bool) error {
	in := bufio.NewReaderSize(io.NewSectionReader(file, f.offset, b.Size-f.offset), longestLine)
	skipped := b.Skipped > 0 && f.passing // to the end of the line in which it begins
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		line, err := in.ReadSlice('\n')
		whole := err == nil
		switch {
		case errors.Is(err, bufio.ErrBufferFull): // 1 MiB, and no end
			f.passing = true
		case err != nil && !errors.Is(err, io.EOF):
			return err
		case f.passing && whole:
			if f.passing = false; !skipped {
				b.Lines, b.Bad, f.lines = b.Lines+1, b.Bad+1, f.lines+1
			}
			skipped = false
		case f.passing || len(line) == 0:
		case whole || last:
			if text := bytes.TrimSpace(line); len(text) > 0 {
				if bad := b.Line(text, f.lines+1); bad != nil && !whole {
					b.Lines, b.Bad = b.Lines-1, b.Bad-1 // torn: whoever wrote it was ended meanwhile
				} else {
					f.lines++
				}
			}
		default:
			return nil // under way
		}
		f.offset += int64(len(line))
		if errors.Is(err, io.EOF) {
			return nil
		}
	}
}
