package router

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// unacknowledged is for how long an engine's kernel may leave unacknowledged what was written; the kernel here
// tries for a quarter of an hour otherwise, and sends no keep-alives meanwhile.
const unacknowledged = time.Minute

// engineOptions are those of a connection to an engine. A box that is gone without a word is noticed in a minute; silence of one
// that lives is another matter.
var engineOptions = [...]struct{ level, name, value int }{
	{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
	{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged / time.Millisecond)},
	{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15},
	{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
}

func prepare(fd int) error {
	for _, o := range engineOptions {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return fmt.Errorf("preparing a socket: %w", err)
		}
	}
	return nil
}

// socket is a connection that was made here. An engine on the same machine, or in a network of containers on it, has
// accepted by the time that connect returns: so nobody sleeps for it, nothing is kept to cancel it by, and a stream
// begins a turn of the scheduler earlier than with net.Dialer.
type socket struct {
	*os.File
	remote netip.AddrPort
}

// connect asks for a connection; made is false where the other side has not answered yet. Those who may have to
// wait call await then.
func connect(to netip.AddrPort) (s *socket, made bool, err error) {
	family := unix.AF_INET
	if to.Addr().Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, false, fmt.Errorf("making a socket: %w", err)
	}
	err = prepare(fd)
	if err == nil {
		err = connectNow(fd, to)
	}
	if err == nil || errors.Is(err, unix.EINPROGRESS) {
		made, err = established(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, false, fmt.Errorf("connecting to %s: %w", to, err)
	}
	return &socket{os.NewFile(uintptr(fd), "connection to an engine"), to}, made, nil
}

// connectNow is connect(2), which does not wait here: Go's scheduler is not told, as of reads and writes.
func connectNow(fd int, to netip.AddrPort) error {
	port := to.Port()<<8 | to.Port()>>8
	var at unsafe.Pointer
	var size uintptr
	if to.Addr().Is6() {
		at, size = unsafe.Pointer(&unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: port, Addr: to.Addr().As16()}), unix.SizeofSockaddrInet6
	} else {
		at, size = unsafe.Pointer(&unix.RawSockaddrInet4{Family: unix.AF_INET, Port: port, Addr: to.Addr().As4()}), unix.SizeofSockaddrInet4
	}
	if _, _, e := syscall.RawSyscall(syscall.SYS_CONNECT, uintptr(fd), uintptr(at), size); e != 0 && e != unix.EINTR { // EINTR: it goes on
		return e
	}
	return nil
}

// established tells whether the other side has accepted, or why it does not.
func established(fd int) (bool, error) {
	if failed, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); err != nil || failed != 0 {
		return false, errors.Join(err, syscall.Errno(failed))
	}
	var peer unix.RawSockaddrAny
	size := uint32(unix.SizeofSockaddrAny)
	_, _, e := syscall.RawSyscall(syscall.SYS_GETPEERNAME, uintptr(fd), uintptr(unsafe.Pointer(&peer)), uintptr(unsafe.Pointer(&size)))
	switch e {
	case 0:
		return true, nil
	case unix.ENOTCONN:
		return false, nil
	}
	return false, e
}

// await waits until the other side accepts, no longer than patience, and ends with ctx.
func (s *socket) await(ctx context.Context, patience time.Duration) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	if err := s.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.SetWriteDeadline(past) })
	asked, made := false, false
	var failed error
	err = raw.Write(func(fd uintptr) bool {
		if !asked {
			asked = true
			return false
		}
		made, failed = established(int(fd))
		return made || failed != nil
	})
	if !stop() {
		return fmt.Errorf("connecting to %s: %w", s.remote, context.Cause(ctx))
	}
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("connecting to %s: %w", s.remote, err)
	}
	return s.SetWriteDeadline(time.Time{})
}

// CloseWrite ends one side.
func (s *socket) CloseWrite() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) { err = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, failed)
}

func (s *socket) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(s.remote) }

// LocalAddr is for those who want a net.Conn: nobody asks which port it is.
func (s *socket) LocalAddr() net.Addr { return &net.TCPAddr{} }
