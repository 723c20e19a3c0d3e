package sftp

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// extended does what OpenSSH has added to the protocol.
func (s *server) extended(id uint32, r *reader) (*writer, error) {
	switch name := r.string(); name {
	case "posix-rename@openssh.com", "hardlink@openssh.com":
		from, to := r.string(), r.string()
		if r.bad {
			return nil, errBadMessage
		}
		if name == "hardlink@openssh.com" {
			return nil, os.Link(from, to)
		}
		return nil, unix.Rename(from, to)
	case "statvfs@openssh.com":
		var st unix.Statfs_t
		path := r.string()
		if r.bad {
			return nil, errBadMessage
		}
		return room(id, &st, unix.Statfs(path, &st))
	case "fstatvfs@openssh.com", "fsync@openssh.com":
		h, err := s.handle(r)
		if err != nil {
			return nil, err
		}
		if name == "fsync@openssh.com" {
			return nil, h.file.Sync()
		}
		var st unix.Statfs_t
		return room(id, &st, unix.Fstatfs(int(h.file.Fd()), &st))
	case "lsetstat@openssh.com":
		path, a := r.string(), r.attributes()
		if r.bad {
			return nil, errBadMessage
		}
		return nil, a.set(byLink(path))
	case "limits@openssh.com":
		return reply(typeExtendedReply, id).uint64(maxPacket).uint64(maxData).uint64(maxData).uint64(mostHandles), nil
	case "expand-path@openssh.com":
		full, err := expand(r.string())
		return nameOnly(id, full, err)
	}
	return nil, errors.ErrUnsupported
}

// room says how much a file system holds, as statvfs(3) does.
func room(id uint32, st *unix.Statfs_t, err error) (*writer, error) {
	if err != nil {
		return nil, err
	}
	w := reply(typeExtendedReply, id)
	flags := uint64(0)
	if st.Flags&unix.ST_RDONLY != 0 {
		flags |= 1
	}
	if st.Flags&unix.ST_NOSUID != 0 {
		flags |= 2
	}
	serial := uint64(uint32(st.Fsid.Val[0])) | uint64(uint32(st.Fsid.Val[1]))<<32
	for _, v := range []uint64{
		uint64(st.Bsize), uint64(st.Frsize), st.Blocks, st.Bfree, st.Bavail, st.Files, st.Ffree, st.Ffree, serial, flags, uint64(st.Namelen),
	} {
		w.uint64(v)
	}
	return w, nil
}

// expand writes ~ and ~NAME out.
func expand(path string) (string, error) {
	if !strings.HasPrefix(path, "~") {
		return realPath(path)
	}
	name, rest, _ := strings.Cut(path[1:], "/")
	home := os.Getenv("HOME")
	if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return "", fmt.Errorf("there is no user %s here", name)
		}
		home = u.HomeDir
	}
	return realPath(filepath.Join("/", home, rest))
}
