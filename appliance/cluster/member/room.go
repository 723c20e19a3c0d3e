package member

import (
	"fmt"
	"strings"
	"syscall"
)

// NeededRoom is how much must be free on the disk of a member that has found it full, bytes, until it is begun again: its log alone
// takes 64 MiB at once.
const NeededRoom = 256 << 20

// Room is how much is free on the disk of a member's directory, bytes.
func Room(dir string) (int64, error) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return 0, fmt.Errorf("looking for room on the disk of %s: %w", dir, err)
	}
	return int64(disk.Bavail) * disk.Bsize, nil
}

// brokenBy is why a member stopped, of what etcd said when it could not go on.
func (c Config) brokenBy(why string) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT} {
		if strings.Contains(why, full.Error()) {
			return &Error{fmt.Errorf("%w: %w: %s", ErrBroken, ErrFull, why), fmt.Sprintf("make room on the disk of %s: %d MiB at least", c.Dir, NeededRoom>>20)}
		}
	}
	return &Error{fmt.Errorf("%w: %s", ErrBroken, why), "is the data damaged? Remove " + c.Dir + " and restart: the box joins as a new member"}
}
