package pid1

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// User is who a session's processes run as.
type User struct {
	UID    uint32   `json:"uid"`
	GID    uint32   `json:"gid"`
	Groups []uint32 `json:"groups,omitempty"`
	Home   string   `json:"home,omitempty"`
}

// Bounds of what an image may say of users: what is kept of one has to fit into a file that is read with a bound.
const (
	maxAccounts = 4 << 20 // bytes of each list
	maxGroups   = 512     // that one user is in
	maxHome     = 1 << 10 // bytes of a home directory's path
)

// lookUpUser finds who an image's USER says, in the texts of its /etc/passwd and /etc/group:
//
//  1. before a colon the user, by name or number; a number needs no entry. None: root.
//  2. after it the group, by name or number; none: the user's own, of a user without entry 0.
//  3. other groups are those that list the user, unless a group was given.
func lookUpUser(says, passwd, group string) (User, error) {
	name, wanted, grouped := strings.Cut(says, ":")
	if name == "" {
		name = "0"
	}
	u, number := User{Home: "/"}, -1
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		u.UID, number = uint32(n), int(n)
	}
	login := ""
	for f := range accounts(passwd, 7) {
		uid, errU := strconv.ParseUint(f[2], 10, 31)
		gid, errG := strconv.ParseUint(f[3], 10, 31)
		if errU != nil || errG != nil || f[0] != name && int(uid) != number {
			continue
		}
		if len(f[5]) > maxHome || strings.ContainsFunc(f[5], func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return User{}, fmt.Errorf("the image's /etc/passwd gives user %.40q a home directory that is none: %.40q", name, f[5])
		}
		login, u.UID, u.GID, u.Home = f[0], uint32(uid), uint32(gid), f[5]
		break
	}
	if login == "" && number < 0 {
		return User{}, fmt.Errorf("the image says that it runs as user %.80q, and its /etc/passwd has none of that name", name)
	}
	if !grouped {
		for f := range accounts(group, 4) {
			gid, err := strconv.ParseUint(f[2], 10, 31)
			if err == nil && login != "" && slices.Contains(strings.Split(f[3], ","), login) {
				u.Groups = append(u.Groups, uint32(gid))
			}
		}
		slices.Sort(u.Groups)
		u.Groups = slices.Compact(u.Groups)
		if len(u.Groups) > maxGroups {
			return User{}, fmt.Errorf("the image's /etc/group has user %.40q in %d groups, %d are allowed", login, len(u.Groups), maxGroups)
		}
		return u, nil
	}
	if n, err := strconv.ParseUint(wanted, 10, 31); err == nil {
		u.GID = uint32(n)
		return u, nil
	}
	for f := range accounts(group, 4) {
		if gid, err := strconv.ParseUint(f[2], 10, 31); err == nil && f[0] == wanted {
			u.GID = uint32(gid)
			return u, nil
		}
	}
	return User{}, fmt.Errorf("the image says that it runs as group %.80q, and its /etc/group has none of that name", wanted)
}

// accounts yields the lines of a list of accounts that have the wanted fields.
func accounts(text string, fields int) func(func([]string) bool) {
	return func(yield func([]string) bool) {
		scan := bufio.NewScanner(strings.NewReader(text))
		scan.Buffer(nil, maxAccounts)
		for scan.Scan() {
			if f := strings.Split(scan.Text(), ":"); len(f) >= fields && f[0] != "" && !strings.HasPrefix(f[0], "#") && !yield(f) {
				return
			}
		}
	}
}

// userOf looks up says in this root's own lists.
func userOf(says string) (User, error) {
	var texts [2]string
	for i, name := range []string{"/etc/passwd", "/etc/group"} {
		f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
			continue // an image of one program has none
		}
		if err != nil {
			return User{}, fmt.Errorf("looking for the image's user: %w", err)
		}
		b, err := io.ReadAll(io.LimitReader(f, maxAccounts))
		f.Close()
		if err != nil {
			return User{}, fmt.Errorf("looking for the image's user: %w", err)
		}
		texts[i] = string(b)
	}
	return lookUpUser(says, texts[0], texts[1])
}

// become makes the calling thread, which is locked, and what it will start, the user's, for good. The
// other threads stay who they are: hence the bare system calls.
func (u User) become() error {
	groups := append([]uint32{u.GID}, u.Groups...)
	if _, _, e := syscall.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(groups)), uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return fmt.Errorf("joining the groups of user %d: %w", u.UID, e)
	}
	gid, uid := uintptr(u.GID), uintptr(u.UID)
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESGID, gid, gid, gid); e != 0 {
		return fmt.Errorf("joining group %d: %w", u.GID, e)
	}
	if _, _, e := syscall.RawSyscall(unix.SYS_SETRESUID, uid, uid, uid); e != 0 {
		return fmt.Errorf("becoming user %d: %w", u.UID, e)
	}
	return nil
}
