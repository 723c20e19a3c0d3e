package sftp

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// How a file is to be opened.
const (
	openRead   = 1
	openWrite  = 2
	openAppend = 4
	openCreate = 8
	openTrunc  = 16
	openExcl   = 32
)

// flagsOf is a client's wish as the kernel has it. A named pipe without another end is not waited for.
func flagsOf(wish uint32) int {
	flags := os.O_RDONLY
	switch {
	case wish&openRead != 0 && wish&openWrite != 0:
		flags = os.O_RDWR
	case wish&openWrite != 0:
		flags = os.O_WRONLY
	}
	for _, pair := range [][2]int{{openAppend, os.O_APPEND}, {openCreate, os.O_CREATE}, {openTrunc, os.O_TRUNC}, {openExcl, os.O_EXCL}} {
		if int(wish)&pair[0] != 0 {
			flags |= pair[1]
		}
	}
	return flags | unix.O_NONBLOCK | unix.O_NOCTTY
}

func (s *server) room() error {
	if len(s.handles) >= mostHandles {
		return fmt.Errorf("%d files are open, and no more may be", mostHandles)
	}
	return nil
}

func (s *server) open(id uint32, r *reader) (*writer, error) {
	name, wish, a := r.string(), r.uint32(), r.attributes()
	if r.bad {
		return nil, errBadMessage
	}
	if err := s.room(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, flagsOf(wish), a.permissions(0o666))
	if err != nil {
		return nil, err
	}
	return s.keep(id, &handle{file: f, appends: wish&openAppend != 0}), nil
}

func (s *server) openDir(id uint32, r *reader) (*writer, error) {
	name := r.string()
	if err := s.room(); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return s.keep(id, &handle{file: f, entries: true}), nil
}

func (s *server) read(id uint32, r *reader) (*writer, error) {
	h, err := s.handle(r)
	offset, n := r.uint64(), r.uint32()
	if err != nil || r.bad {
		return nil, err
	}
	if offset > math.MaxInt64 {
		return nil, io.EOF
	}
	data := make([]byte, min(n, maxData))
	got, err := h.file.ReadAt(data, int64(offset))
	if got == 0 && err != nil {
		return nil, err
	}
	return reply(typeData, id).string(string(data[:got])), nil
}

func (s *server) write(r *reader) error {
	h, err := s.handle(r)
	offset, data := r.uint64(), r.bytes()
	switch {
	case err != nil || r.bad:
		return err
	case h.appends:
		_, err = h.file.Write(data)
	case offset > math.MaxInt64-uint64(len(data)):
		return unix.EFBIG
	default:
		_, err = h.file.WriteAt(data, int64(offset))
	}
	return err
}

// mostEntries of one list: an entry is a name of 255 bytes, twice, and a few words, so that all of them fit into a packet.
const mostEntries = 100

func (s *server) readDir(id uint32, r *reader) (*writer, error) {
	h, err := s.handle(r)
	switch {
	case err != nil:
		return nil, err
	case !h.entries:
		return nil, unix.ENOTDIR
	case h.finished:
		return nil, io.EOF
	}
	list, count := &writer{}, uint32(0)
	for count == 0 { // clients take a list of nothing for the end
		entries, err := h.file.ReadDir(mostEntries)
		for _, e := range entries {
			info, err := e.Info()
			if err != nil { // it has gone meanwhile
				continue
			}
			list.string(e.Name()).string(s.names.line(info, s.now())).info(info)
			count++
		}
		if err != nil {
			h.finished = true
			if count == 0 {
				return nil, err
			}
		}
	}
	w := reply(typeName, id).uint32(count)
	w.b = append(w.b, list.b...)
	return w, nil
}

// byPath does what is asked for a path.
func (s *server) byPath(kind byte, id uint32, r *reader) (*writer, error) {
	if kind == typeExtended {
		return s.extended(id, r)
	}
	name := r.string()
	if r.bad {
		return nil, errBadMessage
	}
	switch kind {
	case typeStat:
		info, err := os.Stat(name)
		return attrs(id, info, err)
	case typeLstat:
		info, err := os.Lstat(name)
		return attrs(id, info, err)
	case typeRealpath:
		full, err := realPath(name)
		return nameOnly(id, full, err)
	case typeReadlink:
		to, err := os.Readlink(name)
		return nameOnly(id, to, err)
	case typeRemove:
		return nil, unlink(name, 0)
	case typeRmdir:
		return nil, unlink(name, unix.AT_REMOVEDIR)
	}
	return nil, change(kind, name, r)
}

// change does what needs a second word.
func change(kind byte, name string, r *reader) error {
	switch kind {
	case typeSetstat, typeMkdir:
		a := r.attributes()
		if r.bad {
			return errBadMessage
		}
		if kind == typeMkdir {
			return os.Mkdir(name, a.permissions(0o777))
		}
		return a.set(byName(name))
	case typeRename, typeSymlink:
		second := r.string()
		if r.bad {
			return errBadMessage
		}
		if kind == typeSymlink { // OpenSSH has them in this order, against the draft, and everybody follows it
			return os.Symlink(name, second)
		}
		return renameNew(name, second)
	}
	return errors.ErrUnsupported
}

func unlink(name string, flags int) error {
	if err := unix.Unlinkat(unix.AT_FDCWD, name, flags); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// renameNew never replaces: that is posix-rename.
func renameNew(from, to string) error {
	err := unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	if !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOSYS) {
		return err
	}
	// A file system that does not know how: as good as it gets.
	if _, err := os.Lstat(to); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, to)
}

// nameOnly answers with one name.
func nameOnly(id uint32, name string, err error) (*writer, error) {
	if err != nil {
		return nil, err
	}
	return reply(typeName, id).uint32(1).string(name).string(name).uint32(0), nil
}

// realPath is a path from the root without links in it. Its last part need not be there: clients ask where they are about
// to write.
func realPath(name string) (string, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(full)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(full))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(full)), nil
}
