package router

import (
	"errors"
	"io"
	"slices"
	"sync"
)

// upload is the client's side of a gRPC call on its way to an engine. It is read by a goroutine of its own, a
// little ahead, and what was read is kept for as long as the call may have to begin anew: an engine that stops
// says which calls it has not looked at. One goroutine writes, one reads.
type upload struct {
	progress func()

	mu     sync.Mutex
	moved  sync.Cond // something came, went, or ended
	held   []byte
	gone   int  // bytes before held that nobody needs any more
	read   int  // where the reader is
	anew   bool // held has all from the start
	turn   int  // of the reader that counts
	err    error
	closed bool
}

const uploadRoom = 64 << 10 // read ahead, and kept for a call that begins anew

var errUploadGone = errors.New("the call's messages were sent and are not kept")

func newUpload(from io.Reader, progress func()) *upload {
	u := &upload{progress: progress, anew: true}
	u.moved.L = &u.mu
	go u.fill(from) // ends when the request has been answered: net/http closes its body then
	return u
}

func (u *upload) fill(from io.Reader) {
	piece := make([]byte, 4<<10)
	for {
		n, err := from.Read(piece)
		u.mu.Lock()
		if n > 0 && !u.closed {
			u.progress()
		}
		u.held = append(u.held, piece[:n]...)
		u.err = err
		u.moved.Broadcast()
		for !u.closed && u.gone+len(u.held)-u.read >= uploadRoom {
			u.moved.Wait()
		}
		end := u.closed || err != nil
		u.mu.Unlock()
		if end {
			return
		}
		if n == len(piece) && n < 32<<10 {
			piece = make([]byte, 2*n)
		}
	}
}

// open gives the messages from the first one. Who read before gets nothing any more.
func (u *upload) open() io.ReadCloser {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.turn++
	if u.anew {
		u.read = 0
	}
	u.moved.Broadcast()
	return &uploadReader{upload: u, turn: u.turn, lost: !u.anew}
}

// replayable tells whether the messages can be had from the first one.
func (u *upload) replayable() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.anew
}

// settle says that the call will not begin anew.
func (u *upload) settle() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.anew = false
	u.forget()
}

// forget drops what was read.
func (u *upload) forget() {
	u.held = slices.Delete(u.held, 0, u.read-u.gone)
	u.gone = u.read
	if len(u.held) == 0 && cap(u.held) > 4<<10 {
		u.held = nil // a call may be silent for hours
	}
	u.moved.Broadcast()
}

func (u *upload) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	u.moved.Broadcast()
}

type uploadReader struct {
	upload *upload
	turn   int
	lost   bool
	shut   bool // guarded by upload.mu
}

func (r *uploadReader) Read(p []byte) (int, error) {
	u := r.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		switch at := u.read - u.gone; {
		case r.shut, r.lost, u.closed, r.turn != u.turn:
			return 0, errUploadGone
		case at < len(u.held):
			n := copy(p, u.held[at:])
			u.read += n
			if u.anew = u.anew && u.gone+len(u.held) <= uploadRoom; !u.anew {
				u.forget()
			}
			u.moved.Broadcast()
			return n, nil
		case u.err != nil:
			return 0, u.err
		}
		u.moved.Wait()
	}
}

func (r *uploadReader) Close() error {
	r.upload.mu.Lock()
	defer r.upload.mu.Unlock()
	r.shut = true
	r.upload.moved.Broadcast()
	return nil
}
