package holder

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Most is how many terminals a session may have at a time.
const Most = 16

// patience bounds each wait for another program of ours in the session.
const patience = 5 * time.Second

// place is the directory with the sockets of a user's terminals in a session. Nobody else may pass there.
type place string

// findPlace returns it, made where it is missing: in shared memory, which every session has for itself and may write to,
// however its root is mounted; or else in /tmp.
func findPlace() (place, error) {
	var errs []error
	for _, in := range []string{"/dev/shm", "/tmp"} {
		dir := filepath.Join(in, fmt.Sprintf(".palisade-terminals-%d", os.Geteuid()))
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			errs = append(errs, err)
			continue
		}
		var st unix.Stat_t
		if err := unix.Lstat(dir, &st); err != nil {
			errs = append(errs, err)
			continue
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Mode&0o077 != 0 || int(st.Uid) != os.Geteuid() {
			errs = append(errs, fmt.Errorf("%s is somebody else's", dir)) // who made it could listen
			continue
		}
		return place(dir), nil
	}
	return "", fmt.Errorf("there is no place for a socket: %w", errors.Join(errs...))
}

func (p place) socket(name string) *net.UnixAddr {
	return &net.UnixAddr{Net: "unix", Name: filepath.Join(string(p), name)}
}

// alone waits until no other program of ours starts or ends a terminal there, and keeps it so until done is called.
func (p place) alone() (done func(), err error) {
	f, err := os.OpenFile(string(p)+"/.lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for begun := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Since(begun) > patience {
			f.Close()
			return nil, fmt.Errorf("waiting for whoever starts a terminal in %s: %w", p, err)
		}
	}
}

// names lists the terminals that may be there.
func (p place) names() ([]string, error) {
	entries, err := os.ReadDir(string(p))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if e.Type() == fs.ModeSocket && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// errNobody says that there is no holder of that name.
var errNobody = errors.New("there is no terminal of that name")

// dial connects to a holder. errNobody where there is none.
func (p place) dial(name string) (*net.UnixConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var d net.Dialer
	c, err := d.DialUnix(ctx, "unix", nil, p.socket(name))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) {
		return nil, errNobody
	}
	if err != nil {
		return nil, err
	}
	if err := ownPeer(c); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ownPeer refuses whoever is neither this user nor root.
func ownPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var peer *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) { peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil || credErr != nil {
		return errors.Join(err, credErr)
	}
	if peer.Uid != 0 && int(peer.Uid) != os.Geteuid() {
		return fmt.Errorf("user %d is at the other end", peer.Uid)
	}
	return nil
}

// errTooMany says that no more terminals may be started.
var errTooMany = fmt.Errorf("the session has %d terminals, and may not have more: leave one of them with exit", Most)

// connect connects to the holder of a name, which start starts on a socket that listens where there is none.
func (p place) connect(name string, start func(listener *os.File) error) (*net.UnixConn, error) {
	c, err := p.dial(name)
	if !errors.Is(err, errNobody) {
		return c, err
	}
	done, err := p.alone()
	if err != nil {
		return nil, err
	}
	defer done()
	if c, err = p.dial(name); !errors.Is(err, errNobody) { // somebody was faster
		return c, err
	}
	if err := p.room(); err != nil {
		return nil, err
	}
	if err := os.Remove(p.socket(name).Name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	l, err := net.ListenUnix("unix", p.socket(name))
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	f, err := l.File()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := start(f); err != nil {
		return nil, errors.Join(err, os.Remove(p.socket(name).Name))
	}
	return p.dial(name)
}

// room refuses one more terminal where there are as many as there may be. What holders that were killed have left behind
// is removed. The caller is alone.
func (p place) room() error {
	names, err := p.names()
	if err != nil || len(names) < Most {
		return err
	}
	live := 0
	for _, name := range names {
		switch c, err := p.dial(name); {
		case err == nil:
			c.Close()
			live++
		case errors.Is(err, errNobody):
			_ = os.Remove(p.socket(name).Name)
		}
	}
	if live >= Most {
		return errTooMany
	}
	return nil
}
