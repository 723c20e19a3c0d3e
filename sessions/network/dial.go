package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ErrShared says that a network namespace is this program's own: its loopback is the box's.
var ErrShared = errors.New("it has no network of its own")

// Dial connects to a TCP port at the loopback of the network namespace at path, 127.0.0.1 and then ::1, as who is in
// there does. Nothing else is reached that way, and what listens on localhost alone is. ErrShared where the namespace is
// this program's own. The connection belongs to its namespace for as long as it lasts.
func Dial(ctx context.Context, path string, port int) (net.Conn, error) {
	shared, err := same(path)
	switch {
	case err != nil:
		return nil, err
	case shared:
		return nil, ErrShared
	}
	conn, err := dial(ctx, path, unix.AF_INET, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	if errors.Is(err, unix.ECONNREFUSED) {
		// Some programs take localhost for ::1 and listen there alone.
		six, sixErr := dial(ctx, path, unix.AF_INET6, &unix.SockaddrInet6{Port: port, Addr: [16]byte{15: 1}})
		if sixErr == nil {
			return six, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connecting to port %d: %w", port, err)
	}
	return conn, nil
}

// same reports whether the namespace at path is that of this program.
func same(path string) (bool, error) {
	var there, here unix.Stat_t
	if err := unix.Stat(path, &there); err != nil {
		return false, fmt.Errorf("looking at the network namespace: %w", err)
	}
	// Of this thread, not of /proc/self: that is the first thread's, which may be inside of a session just now (Enter). One
	// that runs a goroutine that did not lock it is at home.
	if err := unix.Stat("/proc/thread-self/ns/net", &here); err != nil {
		return false, fmt.Errorf("looking at this program's network namespace: %w", err)
	}
	return there.Dev == here.Dev && there.Ino == here.Ino, nil
}

// dial makes the socket in the namespace, and waits for its connection outside of it: a thread that waited in there would
// be one for each connection under way.
func dial(ctx context.Context, path string, family int, to unix.Sockaddr) (net.Conn, error) {
	fd := -1
	err := Enter(path, func() (err error) {
		fd, err = unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return nil, err
	}
	err = unix.Connect(fd, to)
	f := os.NewFile(uintptr(fd), "connection") // the poller takes it as it is: not blocking
	defer f.Close()
	if errors.Is(err, unix.EINPROGRESS) {
		err = connected(ctx, f)
	}
	if err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// connected waits until the connection stands.
func connected(ctx context.Context, f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { f.Close() })()
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
		if n, err := unix.Poll(poll, 0); err != nil || n == 0 {
			return err != nil && !errors.Is(err, unix.EINTR)
		}
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		failed = err
		return true
	})
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	return errors.Join(err, failed)
}
