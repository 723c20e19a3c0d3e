package router

import (
	"syscall"
	"unsafe"
)

// Sockets are never in blocking mode here, so a read or a write of little data is over in a microsecond or
// two, and telling Go's scheduler before and after that it may take long costs more than it saves: a tenth
// of what a request costs besides the kernel's work. Large writes, which the kernel copies for as long as
// that takes, go the usual way.

// readNow reads what there is: EAGAIN where there is nothing, 0 at the end.
func readNow(fd uintptr, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// writeNow writes as much as the kernel takes: EAGAIN where that is nothing.
func writeNow(fd uintptr, b []byte) (int, error) {
	for {
		n, _, e := syscall.RawSyscall6(syscall.SYS_SENDTO, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), syscall.MSG_NOSIGNAL, 0, 0)
		if e == 0 {
			return int(n), nil
		}
		if e != syscall.EINTR {
			return 0, e
		}
	}
}

// nothingToRead tells whether a read would find nothing, not even an end.
func nothingToRead(fd uintptr) bool {
	var b [1]byte
	_, _, e := syscall.RawSyscall6(syscall.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(&b[0])), 1, syscall.MSG_PEEK|syscall.MSG_DONTWAIT, 0, 0)
	return e == syscall.EAGAIN
}

const littleData = 16 << 10
