package router

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// departures tells when the other side of a connection has closed it. A goroutine that waits for one
// connection cannot see another one end, and a look at every turn would be a system call each; so one
// epoll watches them all for nothing but their end. Nothing is to be done while they live.
type departures struct {
	begin func() (epoll int, err error) // when the first connection is there
	next  atomic.Int64
	gone  sync.Map // id of a watch -> func()
}

func newDepartures() *departures {
	d := &departures{}
	d.begin = sync.OnceValues(func() (int, error) {
		epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
		if err == nil {
			go d.run(epoll) // for as long as the process
		}
		return epoll, err
	})
	return d
}

// watch calls left, once and from another goroutine, when the other side of raw has ended. Ids are never
// used again, so that an event that is late is nobody else's. The kernel forgets a connection that is
// closed here; forget drops the rest.
func (d *departures) watch(raw syscall.RawConn, left func()) (id int64, err error) {
	epoll, err := d.begin()
	if err != nil {
		return 0, fmt.Errorf("watching for connections that end: %w", err)
	}
	id = d.next.Add(1)
	d.gone.Store(id, left)
	event := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(id), Pad: int32(id >> 32)}
	failed := raw.Control(func(fd uintptr) { err = unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, int(fd), &event) })
	if err = errors.Join(err, failed); err != nil {
		d.forget(id)
		return 0, fmt.Errorf("watching for the end of a connection: %w", err)
	}
	return id, nil
}

func (d *departures) forget(id int64) { d.gone.Delete(id) }

// release is forget for a connection that lives on: the kernel forgets it too.
func (d *departures) release(id int64, raw syscall.RawConn) {
	d.forget(id)
	if epoll, err := d.begin(); err == nil {
		_ = raw.Control(func(fd uintptr) { _ = unix.EpollCtl(epoll, unix.EPOLL_CTL_DEL, int(fd), nil) })
	}
}

func (d *departures) run(epoll int) {
	events := make([]unix.EpollEvent, 128)
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return // the descriptor is ours alone and never closed
		}
		for _, e := range events[:max(n, 0)] {
			id := int64(e.Pad)<<32 | int64(uint32(e.Fd))
			if found, ok := d.gone.LoadAndDelete(id); ok {
				if left, ok := found.(func()); ok {
					left()
				}
			}
		}
	}
}
