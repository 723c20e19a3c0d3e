package figures

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// ErrUnreadable says that what a session has where its figures should be is none that can be read.
var ErrUnreadable = errors.New("figures cannot be read")

// Directories are the sessions' own. *checkpoints.Keep has them.
type Directories interface {
	Path(session string) (string, error)
}

// Keep finds sessions' figures.
type Keep struct {
	dirs    Directories
	reading chan struct{} // filled by those who read: what they take of memory and time adds up
}

// readers may read at a time.
const readers = 4

// New finds figures in the directories of sessions, and in the folders that they mount.
func New(dirs Directories) *Keep { return &Keep{dirs: dirs, reading: make(chan struct{}, readers)} }

// Of returns the figures of a session, written or not. ErrUnreadable: they are, or will be, where nothing is kept.
func (k *Keep) Of(s sessions.Session) (*File, error) {
	at := s.MetricsAt()
	if at.Path == "" {
		return nil, fmt.Errorf("session %s writes none: it is a route of a service: %w", s.Name, ErrUnreadable)
	}
	f := &File{Path: at.Path, rel: at.Within, mount: at.Mount, keep: k}
	switch {
	case at.Own:
		dir, err := k.dirs.Path(at.Session)
		if err != nil {
			return nil, err
		}
		f.mount = sessions.Mount{Source: dir}
	case at.Mount.Source == "":
		return nil, hinted{
			fmt.Errorf("session %s writes them to %s, which is in no folder and not in its checkpoint directory: %w", s.Name, at.Path, ErrUnreadable),
			"have it write to the file that PALISADE_METRICS names where nobody sets it",
		}
	}
	return f, nil
}

type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }
func (h hinted) Hint() string  { return h.hint }

// open opens the file as it is now. fs.ErrNotExist: nothing was written yet.
func (f *File) open() (*os.File, error) {
	dir, err := f.mount.Open()
	if err != nil {
		return nil, fmt.Errorf("opening the directory of %s: %w", f.Path, err)
	}
	defer dir.Close()
	// First for nothing but to look: to open a device or a pipe may do something, or never return.
	fd, err := beneath(int(dir.Fd()), f.rel)
	switch {
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ELOOP):
		return nil, fmt.Errorf("%s is a link that leads out of its directory: %w", f.Path, ErrUnreadable)
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENOENT):
		return nil, fmt.Errorf("%s: %w", f.Path, fs.ErrNotExist)
	case err != nil:
		return nil, fmt.Errorf("opening %s: %w", f.Path, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.Path, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return nil, fmt.Errorf("%s is no file but a directory, a pipe or a device: %w", f.Path, ErrUnreadable)
	}
	file, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", f.Path, err)
	}
	return file, nil
}

// beneath looks up a path of a directory. Links are followed as long as they stay in it.
func beneath(dir int, rel string) (fd int, err error) {
	for range 8 { // EAGAIN: something on the way was renamed meanwhile
		fd, err = unix.Openat2(dir, filepath.FromSlash(rel), &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
		})
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}
