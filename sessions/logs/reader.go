package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// Reader reads a log's files one after another. One goroutine reads; another may close.
type Reader struct {
	ctx   context.Context
	dir   *os.Root
	grown io.ReadCloser // may be nil
	stop  func() bool

	follows bool // false: do not follow, or the session has ended

	seq   int // of cur; 0: before the first
	cur   *os.File
	until int   // without follow: the last file
	size  int64 // and where to end in it
	at    int64

	mu     sync.Mutex
	closed bool
}

// What is looked at of a directory that somebody else may have filled is bounded.
const (
	maxFiles = 4096
	maxTail  = 64 << 20 // bytes in which the last lines are looked for
)

// Read opens the log in dir, which it closes in the end; with tail only the last lines, 0 all that is kept.
// What has been rotated away is gone; the log then begins with a whole line.
//
// With grown the reader goes on at the end: a Read of grown returns when there may be more, and fails once
// the log is complete. Closing it ends such a Read. ctx's end ends all Reads with ctx's error.
func Read(ctx context.Context, dir *os.Root, tail int, grown io.ReadCloser) (*Reader, error) {
	l := &Reader{ctx: ctx, dir: dir, grown: grown, follows: grown != nil}
	if grown != nil {
		l.stop = context.AfterFunc(ctx, func() { grown.Close() })
	}
	if err := l.begin(tail); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// files returns the numbers of the log's files, oldest first.
func (l *Reader) files() ([]int, error) {
	d, err := l.dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.ReadDir(maxFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var seqs []int
	for _, e := range entries {
		// What is no file is none of ours; a link that leads nowhere would look like one that is rotated away
		// again and again.
		if seq, ok := parseName(e.Name()); ok && e.Type().IsRegular() {
			seqs = append(seqs, seq)
		}
	}
	slices.Sort(seqs)
	return seqs, nil
}

// begin goes to where the last lines begin. The log may be rotated meanwhile.
func (l *Reader) begin(lines int) error {
	for {
		seqs, err := l.files()
		if err != nil || len(seqs) == 0 {
			return err
		}
		if err := l.beginIn(seqs, lines); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
	}
}

// beginIn is begin in those files; fs.ErrNotExist where the wanted one has been rotated away since.
func (l *Reader) beginIn(seqs []int, lines int) error {
	l.until = seqs[len(seqs)-1]
	if st, err := l.dir.Lstat(fileName(l.until)); err == nil {
		l.size = st.Size()
	}
	seq, at := seqs[0], int64(0)
	if lines > 0 {
		seq, at = l.tail(seqs, lines)
	}
	if seq == seqs[0] && at == 0 && seq > 1 {
		at = l.firstLine(seq)
	}
	return l.open(seq, at)
}

// file opens one file: nothing that is no file, and that would block who opens it. A link leads nowhere out
// of the directory: os.Root sees to that.
func (l *Reader) file(seq int) (*os.File, error) {
	f, err := l.dir.OpenFile(fileName(seq), os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: not a file", fileName(seq))
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (l *Reader) open(seq int, at int64) error {
	f, err := l.file(seq)
	if err != nil {
		return err
	}
	if _, err := f.Seek(at, io.SeekStart); err != nil {
		f.Close()
		return err
	}
	if l.cur != nil {
		l.cur.Close()
	}
	l.cur, l.seq, l.at = f, seq, at
	return nil
}

// firstLine returns where the first whole line of a file begins.
func (l *Reader) firstLine(seq int) int64 {
	f, err := l.file(seq)
	if err != nil {
		return 0
	}
	defer f.Close()
	b := make([]byte, 64<<10)
	n, _ := io.ReadFull(f, b)
	return int64(bytes.IndexByte(b[:n], '\n') + 1)
}

// tail returns where the last lines begin.
func (l *Reader) tail(seqs []int, lines int) (seq int, at int64) {
	last := true // the newline at the very end ends the last line and begins none
	room := int64(maxTail)
	for i, seq := range slices.Backward(seqs) {
		f, err := l.file(seq)
		if err != nil {
			return seqs[min(i+1, len(seqs)-1)], 0
		}
		size := l.size
		if seq != l.until {
			size, _ = f.Seek(0, io.SeekEnd)
		}
		from := max(0, size-room)
		at, left := tailOf(io.NewSectionReader(f, from, size-from), size-from, lines, &last)
		f.Close()
		if left == 0 || from > 0 {
			return seq, from + at
		}
		lines, room = left, room-size
	}
	return seqs[0], 0
}

// tailOf goes back from size over lines newlines. It returns where the line after the last of them
// begins, and how many newlines it did not find.
func tailOf(f io.ReaderAt, size int64, lines int, last *bool) (int64, int) {
	b := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(0, end-int64(len(b)))
		n, err := f.ReadAt(b[:end-start], start)
		if err != nil && n < int(end-start) {
			return 0, lines
		}
		chunk := b[:n]
		if *last {
			*last = false
			chunk = bytes.TrimSuffix(chunk, []byte("\n"))
		}
		for {
			i := bytes.LastIndexByte(chunk, '\n')
			if i < 0 {
				break
			}
			if lines--; lines == 0 {
				return start + int64(i) + 1, 0
			}
			chunk = chunk[:i]
		}
		end = start
	}
	return 0, lines
}

// Read implements io.Reader.
func (l *Reader) Read(p []byte) (int, error) {
	for {
		if err := l.ctx.Err(); err != nil {
			return 0, err
		}
		n, err := l.readFile(p)
		if n > 0 || err != nil {
			return n, err
		}
		if moved, err := l.next(); moved || err != nil {
			if err != nil {
				return 0, err
			}
			continue
		}
		if !l.follows {
			return 0, io.EOF
		}
		if _, err := l.grown.Read(make([]byte, 512)); err != nil {
			l.follows = false // the session has ended: what is there now is all
			l.until, l.size = math.MaxInt, 0
		}
	}
}

// readFile reads from the current file; 0, nil at its end.
func (l *Reader) readFile(p []byte) (int, error) {
	if l.cur == nil {
		return 0, nil
	}
	if !l.follows && l.seq == l.until {
		p = p[:min(int64(len(p)), max(0, l.size-l.at))]
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := l.cur.Read(p)
	l.at += int64(n)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil && l.isClosed() {
		err = io.ErrClosedPipe
	}
	return n, err
}

// next goes to the file after the current one, or, where that has been rotated away, to the oldest
// that is left. Before it leaves a file it must have seen that there is a next one, and then the end of
// this one once more: what was written last to it was written before the next was made.
func (l *Reader) next() (bool, error) {
	if !l.follows && l.seq >= l.until {
		return false, nil
	}
	seqs, err := l.files()
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // that is a log that was removed: it has ended
		return false, err
	}
	i := slices.IndexFunc(seqs, func(s int) bool { return s > l.seq })
	if i < 0 {
		return false, nil
	}
	if l.cur != nil {
		if st, err := l.cur.Stat(); err == nil && st.Size() > l.at {
			return true, nil
		}
	}
	if err := l.open(seqs[i], 0); errors.Is(err, fs.ErrNotExist) {
		return true, nil // rotated away just now: look again
	} else if err != nil {
		return false, err
	}
	return true, nil
}

func (l *Reader) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// Close implements io.Closer. It ends a Read that waits.
func (l *Reader) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	if l.stop != nil {
		l.stop()
	}
	if l.grown != nil {
		l.grown.Close()
	}
	err := l.dir.Close()
	if l.cur != nil {
		err = l.cur.Close()
	}
	return err
}
