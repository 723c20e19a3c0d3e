package pid1

import (
	"errors"
	"sync"
	"syscall"
)

// Reaper is the part of a session's first process that every first process has: it waits for every
// process that ends, its own and those orphaned to it.
type Reaper struct {
	mu       sync.Mutex
	children map[int]*Child
	reaped   chan struct{} // closed, and replaced, when processes were waited for
}

// NewReaper returns one that knows of no process yet.
func NewReaper() *Reaper {
	return &Reaper{children: map[int]*Child{}, reaped: make(chan struct{})}
}

// start forks and remembers the child before its end can be seen.
func (r *Reaper) start(fork func() (pid, host int, err error)) (*Child, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	pid, host, err := fork()
	if err != nil {
		return nil, err
	}
	ch := &Child{PID: pid, Host: host, Done: make(chan struct{})}
	r.children[pid] = ch
	return ch, nil
}

// Reap waits for all that has ended, without waiting for what has not. It returns true when there is no
// process left to wait for.
func (r *Reaper) Reap() (none bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		var ws syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &ws, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil || pid <= 0 {
			none = errors.Is(err, syscall.ECHILD)
			break
		}
		if ch := r.children[pid]; ch != nil {
			delete(r.children, pid)
			ch.Status = ws
			close(ch.Done)
		}
	}
	close(r.reaped)
	r.reaped = make(chan struct{})
	return none
}

// Next returns a channel that is closed after the next reap.
func (r *Reaper) Next() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reaped
}
