package sessions

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Open opens what is to be mounted, for nothing but to mount or to look at it. The caller closes it.
func (m Mount) Open() (*os.File, error) {
	path := func(err error) error { return &os.PathError{Op: "open", Path: m.Source, Err: err} }
	if m.Within == "" {
		fd, err := unix.Open(m.Source, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, path(err)
		}
		return os.NewFile(uintptr(fd), m.Source), nil
	}
	rel, err := filepath.Rel(m.Within, m.Source)
	if err != nil {
		return nil, err
	}
	within, err := unix.Open(m.Within, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, path(err)
	}
	defer unix.Close(within)
	fd, err := unix.Openat2(within, rel, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
	})
	if err != nil {
		return nil, path(err)
	}
	return os.NewFile(uintptr(fd), m.Source), nil
}
