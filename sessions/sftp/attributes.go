package sftp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Which attributes a packet has.
const (
	hasSize     = 1
	hasOwner    = 2
	hasMode     = 4
	hasTimes    = 8
	hasExtended = 1 << 31
)

// attributes are those of a file that a client gives.
type attributes struct {
	has          uint32
	size         uint64
	uid, gid     uint32
	mode         uint32
	access, last uint32 // seconds since 1970
}

func (r *reader) attributes() (a attributes) {
	a.has = r.uint32()
	if a.has&hasSize != 0 {
		a.size = r.uint64()
	}
	if a.has&hasOwner != 0 {
		a.uid, a.gid = r.uint32(), r.uint32()
	}
	if a.has&hasMode != 0 {
		a.mode = r.uint32()
	}
	if a.has&hasTimes != 0 {
		a.access, a.last = r.uint32(), r.uint32()
	}
	if a.has&hasExtended != 0 {
		for n := r.uint32(); n > 0 && !r.bad; n-- {
			r.bytes()
			r.bytes()
		}
	}
	return a
}

// permissions is the mode to make something with.
func (a attributes) permissions(otherwise fs.FileMode) fs.FileMode {
	if a.has&hasMode == 0 {
		return otherwise
	}
	return fs.FileMode(a.mode & 0o777)
}

// changes is a file whose attributes may be set: by its name or by its descriptor.
type changes struct {
	truncate func(int64) error
	chmod    func(mode uint32) error
	times    func(access, last time.Time) error
	chown    func(uid, gid int) error
}

func byName(name string) changes {
	return changes{
		truncate: func(n int64) error { return os.Truncate(name, n) },
		chmod:    func(mode uint32) error { return unix.Fchmodat(unix.AT_FDCWD, name, mode, 0) },
		times:    func(access, last time.Time) error { return os.Chtimes(name, access, last) },
		chown:    func(uid, gid int) error { return os.Chown(name, uid, gid) },
	}
}

// byLink changes a link itself and not what it leads to. A link has no size and no mode to be set.
func byLink(name string) changes {
	no := func(uint32) error { return errors.ErrUnsupported }
	return changes{
		truncate: func(int64) error { return errors.ErrUnsupported }, chmod: no,
		times: func(access, last time.Time) error {
			at := []unix.Timespec{unix.NsecToTimespec(access.UnixNano()), unix.NsecToTimespec(last.UnixNano())}
			return unix.UtimesNanoAt(unix.AT_FDCWD, name, at, unix.AT_SYMLINK_NOFOLLOW)
		},
		chown: func(uid, gid int) error { return os.Lchown(name, uid, gid) },
	}
}

func byFile(f *os.File) changes {
	return changes{
		truncate: f.Truncate,
		chmod:    func(mode uint32) error { return unix.Fchmod(int(f.Fd()), mode) },
		times: func(access, last time.Time) error {
			at := []unix.Timeval{{Sec: access.Unix()}, {Sec: last.Unix()}}
			return unix.Futimes(int(f.Fd()), at)
		},
		chown: f.Chown,
	}
}

// set sets what a packet has. All is tried; the first that fails is told.
func (a attributes) set(c changes) error {
	var first error
	try := func(err error) {
		if first == nil {
			first = err
		}
	}
	if a.has&hasSize != 0 {
		try(c.truncate(int64(a.size)))
	}
	if a.has&hasMode != 0 {
		try(c.chmod(a.mode & 0o7777))
	}
	if a.has&hasTimes != 0 {
		try(c.times(time.Unix(int64(a.access), 0), time.Unix(int64(a.last), 0)))
	}
	if a.has&hasOwner != 0 {
		try(c.chown(int(a.uid), int(a.gid)))
	}
	return first
}

// info says what a file is.
func (w *writer) info(info fs.FileInfo) *writer {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return w.uint32(hasSize).uint64(uint64(info.Size()))
	}
	return w.uint32(hasSize | hasOwner | hasMode | hasTimes).uint64(uint64(st.Size)).uint32(st.Uid).uint32(st.Gid).
		uint32(st.Mode).uint32(uint32(st.Atim.Sec)).uint32(uint32(st.Mtim.Sec))
}

// names remembers who has which number: a directory has many files of the same few.
type names struct{ users, groups map[uint32]string }

func (n *names) user(id uint32) string {
	if name, known := n.users[id]; known {
		return name
	}
	name := strconv.FormatUint(uint64(id), 10)
	if u, err := user.LookupId(name); err == nil {
		name = u.Username
	}
	n.users[id] = name
	return name
}

func (n *names) group(id uint32) string {
	if name, known := n.groups[id]; known {
		return name
	}
	name := strconv.FormatUint(uint64(id), 10)
	if g, err := user.LookupGroupId(name); err == nil {
		name = g.Name
	}
	n.groups[id] = name
	return name
}

// line is what `ls -l` would say of a file: clients show it as it is.
func (n *names) line(info fs.FileInfo, now time.Time) string {
	links, uid, gid := uint64(1), "-", "-"
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		links, uid, gid = uint64(st.Nlink), n.user(st.Uid), n.group(st.Gid) //nolint:unconvert // of another size elsewhere
	}
	at := info.ModTime()
	when := at.Format("Jan _2 15:04")
	if age := now.Sub(at); age > 182*24*time.Hour || age < -time.Hour {
		when = at.Format("Jan _2  2006")
	}
	return fmt.Sprintf("%s %4d %-8s %-8s %8d %s %s", modeWords(info.Mode()), links, uid, gid, info.Size(), when, info.Name())
}

// modeWords is a mode as `ls` writes it.
func modeWords(m fs.FileMode) string {
	out := []byte("-rwxrwxrwx")
	for i := range 9 {
		if m&(1<<(8-i)) == 0 {
			out[i+1] = '-'
		}
	}
	for _, kind := range []struct {
		is   fs.FileMode
		mark byte
	}{{fs.ModeDir, 'd'}, {fs.ModeSymlink, 'l'}, {fs.ModeNamedPipe, 'p'}, {fs.ModeSocket, 's'}, {fs.ModeDevice, 'b'}, {fs.ModeCharDevice, 'c'}} {
		if m&kind.is != 0 {
			out[0] = kind.mark
		}
	}
	for _, bit := range []struct {
		is         fs.FileMode
		at         int
		with, bare byte
	}{{fs.ModeSetuid, 3, 's', 'S'}, {fs.ModeSetgid, 6, 's', 'S'}, {fs.ModeSticky, 9, 't', 'T'}} {
		if m&bit.is == 0 {
			continue
		}
		if out[bit.at] == 'x' {
			out[bit.at] = bit.with
		} else {
			out[bit.at] = bit.bare
		}
	}
	return string(out)
}
