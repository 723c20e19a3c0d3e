// Package poll is a loop over sockets for the programs that load and answer: one thread, epoll, no goroutine for each
// connection, so that they take as little as they can of the machine on which another program is measured. It knows no
// HTTP.
package poll

import (
	"fmt"
	"net/netip"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Events of a socket that Wait gives.
const (
	In  = unix.EPOLLIN
	Out = unix.EPOLLOUT
	// Gone is that the other side sends no more, or that the connection is broken.
	Gone = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR

	edge = 1 << 31 // EPOLLET, which unix has as a negative number
)

// Loop waits for sockets. It belongs to the thread that made it.
type Loop struct {
	epoll  int
	events []unix.EpollEvent
}

// New makes a loop and keeps its goroutine on this thread from now on.
func New() (*Loop, error) {
	runtime.LockOSThread()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0) // where it is not there, waits are 50 us longer
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making an epoll: %w", err)
	}
	return &Loop{epoll: fd, events: make([]unix.EpollEvent, 512)}, nil
}

// Close ends the loop; sockets are their owners'.
func (l *Loop) Close() { Close(l.epoll) }

// Add watches a socket: for each change only (edge), or as long as something is to be done.
func (l *Loop) Add(fd int, events uint32, onlyChanges bool) error {
	if onlyChanges {
		events |= edge
	}
	e := unix.EpollEvent{Events: events, Fd: int32(fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
		return fmt.Errorf("watching socket %d: %w", fd, err)
	}
	return nil
}

// Wait gives what happened, until at the latest (Now's nanoseconds; 0: a tenth of a second).
func (l *Loop) Wait(until int64) []unix.EpollEvent {
	const longest = int64(1e8)
	d := longest
	if until > 0 {
		d = min(longest, max(0, until-Now()))
	}
	t := unix.NsecToTimespec(d)
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(l.epoll), uintptr(unsafe.Pointer(&l.events[0])),
		uintptr(len(l.events)), uintptr(unsafe.Pointer(&t)), 0, 0)
	if errno != 0 {
		return nil
	}
	return l.events[:n]
}

// Now is the machine's monotonic clock in nanoseconds: the same for all processes.
func Now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return t.Nano()
}

// Read reads without waiting. again: nothing is there now. n is 0 without again at the end, and where it is broken.
func Read(fd int, p []byte) (n int, again bool) {
	return result(unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p))))
}

// Write writes without waiting. again: the connection takes no more now. n is 0 without again where it is broken.
func Write(fd int, p []byte) (n int, again bool) {
	return result(unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0))
}

func result(n, _ uintptr, errno unix.Errno) (int, bool) {
	switch errno {
	case 0:
		return int(n), false
	case unix.EAGAIN, unix.EINTR, unix.ENOTCONN:
		return 0, true
	}
	return 0, false
}

// Close closes a socket, and so takes it out of its loop.
func Close(fd int) { _ = unix.Close(fd) }

func socket() (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("making a socket: %w", err)
	}
	return fd, nil
}

func sockaddr(a netip.AddrPort) *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
}

// Dial begins to connect.
func Dial(a netip.AddrPort) (int, error) {
	fd, err := socket()
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if err := unix.Connect(fd, sockaddr(a)); err != nil && err != unix.EINPROGRESS {
		Close(fd)
		return -1, fmt.Errorf("connecting to %s: %w", a, err)
	}
	return fd, nil
}

// Listen accepts connections at a.
func Listen(a netip.AddrPort) (int, error) {
	fd, err := socket()
	if err != nil {
		return -1, err
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
	if err = unix.Bind(fd, sockaddr(a)); err == nil {
		err = unix.Listen(fd, 4096)
	}
	if err != nil {
		Close(fd)
		return -1, fmt.Errorf("listening at %s: %w", a, err)
	}
	return fd, nil
}

// Accept takes the next connection; ok is false where there is none.
func Accept(listener int) (fd int, ok bool) {
	fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return -1, false
	}
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	return fd, true
}
