package logs

import (
	"fmt"
	"os"
	"strconv"
	"sync"
)

// tailSize is how much of the last words is remembered.
const tailSize = 2 << 10

// Writer is a session's log: files 00000001, 00000002, ... of about size bytes each, of which the
// newest are kept. A file is never renamed, so that a reader knows by its number where it is.
//
// Write never fails and never blocks for long: what the disk does not take is dropped and counted, or
// the session itself would stand still.
type Writer struct {
	dir   *os.Root
	files int
	size  int64

	mu    sync.Mutex
	seq   int
	cur   *os.File
	n     int64
	lost  int64
	why   error
	tail  []byte        // the last words, at most tailSize
	grown chan struct{} // closed, and replaced, by a write
}

// NewWriter returns a log in dir that keeps at most files files of about size bytes each.
func NewWriter(dir *os.Root, files int, size int64) *Writer {
	return &Writer{dir: dir, files: max(1, files), size: size, grown: make(chan struct{})}
}

func fileName(seq int) string { return fmt.Sprintf("%08d", seq) }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tail = append(w.tail, p[max(0, len(p)-tailSize):]...)
	w.tail = w.tail[max(0, len(w.tail)-tailSize):]
	if w.lost > 0 {
		note := fmt.Sprintf("\n[palisade: %d bytes of this log were lost: %v]\n", w.lost, w.why)
		if w.put([]byte(note)) {
			w.lost, w.why = 0, nil
		}
	}
	w.put(p)
	close(w.grown)
	w.grown = make(chan struct{})
	return len(p), nil
}

func (w *Writer) put(p []byte) bool {
	n, err := 0, w.rotate()
	if err == nil {
		n, err = w.cur.Write(p)
		w.n += int64(n)
	}
	if err != nil {
		w.lost, w.why = w.lost+int64(len(p)-n), err
	}
	return err == nil
}

// rotate sees to it that there is a file with room.
func (w *Writer) rotate() error {
	if w.cur != nil && w.n < w.size {
		return nil
	}
	f, err := w.dir.OpenFile(fileName(w.seq+1), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if w.cur != nil {
		w.cur.Close()
	}
	w.seq++
	w.cur, w.n = f, 0
	if old := w.seq - w.files; old > 0 {
		_ = w.dir.Remove(fileName(old))
	}
	return nil
}

// Last returns the last words.
func (w *Writer) Last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.tail)
}

// More returns a channel that is closed once there is more in the log than now.
func (w *Writer) More() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grown
}

func parseName(name string) (int, bool) {
	seq, err := strconv.Atoi(name)
	return seq, err == nil && seq > 0 && fileName(seq) == name
}
