package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/sessions"
)

// placeInit puts the first process's executable where containers can be shown it, under a name that says
// what is in it: those that run go on with theirs.
func placeInit(root string, executable *io.SectionReader) (string, error) {
	if executable == nil {
		return "", &Error{
			Err:  fmt.Errorf("this program was built without what runs first in every container: %w", sessions.ErrNotSupported),
			What: "build it with: make build",
		}
	}
	whole := func() io.Reader { return io.NewSectionReader(executable, 0, executable.Size()) }
	sum := sha256.New()
	if _, err := io.Copy(sum, whole()); err != nil {
		return "", err
	}
	dir := filepath.Join(root, "bin")
	path := filepath.Join(dir, "init-"+hex.EncodeToString(sum.Sum(nil)[:8]))
	if st, err := os.Stat(path); err == nil && st.Size() == executable.Size() {
		return path, nil
	}
	err := os.MkdirAll(dir, 0o711)
	if err == nil {
		err = writeProgram(path+".tmp", whole())
	}
	if err == nil {
		err = os.Rename(path+".tmp", path)
	}
	if err != nil {
		return "", fmt.Errorf("keeping what runs first in every container: %w", err)
	}
	return path, nil
}

func writeProgram(path string, r io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	return errors.Join(err, f.Close())
}

// passable refuses a root that the users of sessions could not reach, where they are not the box's.
func passable(root string, userNamespace bool) error {
	for dir := root; userNamespace && dir != "/"; dir = filepath.Dir(dir) {
		st, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if st.Mode()&0o001 == 0 {
			return &Error{
				Err:  fmt.Errorf("sessions have users of their own, which may not pass through %s: %w", dir, sessions.ErrNotSupported),
				What: "chmod o+x " + dir + "; what is in it can be named then, not listed",
			}
		}
	}
	return nil
}

// greet connects to containerd's socket and returns the process behind it. It says in people's words why
// containerd cannot be reached at all, and refuses one whose processes cannot be seen from here.
func greet(address string) (pid int, err error) {
	address = strings.TrimPrefix(address, "unix://")
	c, err := (&net.Dialer{Timeout: askFor}).Dial("unix", address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return 0, unreachable(address, "no containerd listens there", "install it (apt-get install containerd runc), or let the appliance start one of its own: --containerd private")
	case errors.Is(err, unix.ECONNREFUSED):
		return 0, unreachable(address, "nobody listens on that socket any more", "start containerd: systemctl start containerd")
	case errors.Is(err, fs.ErrPermission):
		return 0, unreachable(address, "this user may not connect to it", "run the appliance as root")
	case err != nil:
		return 0, unreachable(address, err.Error(), "")
	}
	defer c.Close()
	conn, ok := c.(*net.UnixConn)
	if !ok {
		return 0, fmt.Errorf("containerd at %s: not a socket of files", address)
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peer *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || credErr != nil {
		return 0, errors.Join(err, credErr)
	}
	if peer.Pid == 0 {
		return 0, &Error{
			Err:  fmt.Errorf("containerd at %s runs outside of the appliance's own PID namespace: %w", address, sessions.ErrNotSupported),
			What: "run the appliance beside containerd, not in a container, or in one with --pid=host and the same paths",
		}
	}
	return int(peer.Pid), nil
}

// openFilesOf is how many files a session's process may have open: as many as is usual in containers, or
// as containerd, which is the process pid, may give.
func openFilesOf(pid int) uint64 {
	const usual = 1 << 20
	var limit unix.Rlimit
	if err := unix.Prlimit(pid, unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return usual
	}
	return min(usual, limit.Max)
}

func unreachable(address, why, hint string) error {
	return &Error{Err: fmt.Errorf("containerd at %s: %s: %w", address, why, sessions.ErrRuntimeDown), What: hint}
}

// checkVersion asks containerd for its version: that it answers at all is half of the question.
func (r *Runtime) checkVersion(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	v, err := r.client.Version(ctx)
	if err != nil {
		return fmt.Errorf("asking containerd for its version: %w", down(err))
	}
	var major, minor int
	_, err = fmt.Sscanf(strings.TrimPrefix(v.Version, "v"), "%d.%d", &major, &minor)
	if err == nil && (major < 1 || major == 1 && minor < 6) {
		return &Error{
			Err:  fmt.Errorf("containerd %s is too old, 1.6 or newer is needed: %w", v.Version, sessions.ErrNotSupported),
			What: "install a newer one; Debian 12 and Ubuntu 22.04 have one that does: apt-get install containerd runc",
		}
	}
	return nil
}
