package containerd

import (
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// watch tells of changes in a directory: its Read returns when there may have been one since the Read
// before. Where the box has no more watches to give, it returns every so often. Close ends a Read.
type watch struct {
	f       *os.File // nil: none could be had
	once    sync.Once
	closed  chan struct{}
	onClose func() // may be nil
}

const lookAgain = 50 * time.Millisecond

func newWatch(dir string) *watch {
	w := &watch{closed: make(chan struct{})}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return w
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_MODIFY|unix.IN_MOVED_TO); err != nil {
		unix.Close(fd)
		return w
	}
	w.f = os.NewFile(uintptr(fd), "watch")
	return w
}

// Read implements io.Reader; what it reads means nothing.
func (w *watch) Read([]byte) (int, error) {
	if w.f != nil {
		return w.f.Read(make([]byte, 16<<10))
	}
	select {
	case <-w.closed:
		return 0, io.EOF
	case <-time.After(lookAgain):
		return 1, nil
	}
}

// Close implements io.Closer.
func (w *watch) Close() error {
	w.once.Do(func() {
		close(w.closed)
		if w.onClose != nil {
			w.onClose()
		}
		if w.f != nil {
			w.f.Close()
		}
	})
	return nil
}
