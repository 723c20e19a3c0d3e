// Package engine answers as an inference engine does, and does nothing for it: the same 400 bytes, or a stream of events
// at a steady pace. Each event carries the time at which it was sent, so that a client on the same machine sees how long
// it was on its way. It knows of no proxy.
//
//	POST anything                          400 bytes of JSON
//	the same, "stream":true in the body    Events events, one every Gap, then usage and [DONE]
//	anything else                          200 "ok"
package engine

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-run/palisade/router/bench/poll"
)

// Settings say where and what it answers.
type Settings struct {
	Addr       netip.AddrPort
	Events     int           // of a stream
	Gap        time.Duration // between two of them
	EventBytes int           // of one
	Delay      time.Duration // before an answer that is no stream
	Journal    string        // file that keeps the ids of requests (IDHeader) as they arrive; "": none
}

// IDHeader is the header by which a request is known in the journal: a decimal number.
const IDHeader = "x-bench-id"

// Server is one engine.
type Server struct {
	s        Settings
	loop     *poll.Loop
	listener int
	texts    texts
	journal  *Journal
	conns    []*conn // by their socket
	open     int
	free     []*conn
	streams  queue // those that have another event to send, the next one first
	delayed  queue // those whose answer is due later
}

// Run answers until ctx ends; then it accepts nothing more, and returns when what runs has been answered.
func Run(ctx context.Context, s Settings) error {
	e := &Server{s: s, texts: write(s), conns: make([]*conn, 1<<16)}
	if s.Journal != "" {
		j, err := OpenJournal(s.Journal)
		if err != nil {
			return err
		}
		defer j.Close()
		e.journal = j
	}
	loop, err := poll.New()
	if err != nil {
		return err
	}
	defer loop.Close()
	e.loop = loop
	if e.listener, err = poll.Listen(s.Addr); err != nil {
		return err
	}
	if err := loop.Add(e.listener, poll.In, false); err != nil {
		return err
	}
	var stopping atomic.Bool
	context.AfterFunc(ctx, func() { stopping.Store(true) })
	for !stopping.Load() || !e.drained() {
		e.turn(stopping.Load())
	}
	return nil
}

func (e *Server) turn(stopping bool) {
	for _, ev := range e.loop.Wait(e.due()) {
		if fd := int(ev.Fd); fd == e.listener {
			e.accept()
		} else if c := e.conns[fd]; c != nil {
			e.read(c, ev.Events, stopping)
		}
	}
	e.timers(stopping)
}

// drained closes what waits for no answer, and tells whether that was all.
func (e *Server) drained() bool {
	if e.listener >= 0 {
		poll.Close(e.listener)
		e.listener = -1
	}
	for _, c := range e.conns {
		if c != nil && c.state == inHead && len(c.buf) == 0 && len(c.rest) == 0 {
			e.close(c)
		}
	}
	return e.open == 0
}

func (e *Server) accept() {
	for e.listener >= 0 {
		fd, ok := poll.Accept(e.listener)
		if !ok {
			return
		}
		if fd >= len(e.conns) || e.loop.Add(fd, poll.In|poll.Out|poll.Gone, true) != nil {
			poll.Close(fd)
			continue
		}
		c := &conn{buf: make([]byte, 0, 4<<10)}
		if n := len(e.free); n > 0 {
			c, e.free = e.free[n-1], e.free[:n-1]
		}
		*c = conn{fd: fd, buf: c.buf[:0]}
		e.conns[fd] = c
		e.open++
	}
}

func (e *Server) close(c *conn) {
	if c.in != nil {
		c.in.remove(c)
	}
	poll.Close(c.fd)
	e.conns[c.fd] = nil
	e.open--
	e.free = append(e.free, c)
}

// read takes what has arrived. A connection whose other side has gone is closed, whatever it still waits for.
func (e *Server) read(c *conn, events uint32, stopping bool) {
	if events&poll.Out != 0 && !c.flush() {
		e.close(c)
		return
	}
	for {
		if cap(c.buf)-len(c.buf) < 1024 {
			c.buf = append(make([]byte, 0, 2*cap(c.buf)), c.buf...)
		}
		n, again := poll.Read(c.fd, c.buf[len(c.buf):cap(c.buf)])
		if n == 0 {
			if !again || events&poll.Gone != 0 {
				e.close(c)
			}
			return
		}
		full := len(c.buf)+n == cap(c.buf)
		c.buf = c.buf[:len(c.buf)+n]
		if !e.process(c, stopping) {
			e.close(c)
			return
		}
		if !full && events&poll.Gone == 0 {
			return
		}
	}
}

// due is when the next timer is, 0 for none.
func (e *Server) due() int64 {
	due := int64(0)
	for _, q := range []*queue{&e.streams, &e.delayed} {
		if q.first != nil && (due == 0 || q.first.due < due) {
			due = q.first.due
		}
	}
	return due
}

func (e *Server) timers(stopping bool) {
	now := poll.Now()
	for c := e.streams.first; c != nil && c.due <= now; c = e.streams.first {
		e.streams.remove(c)
		switch ok := e.event(c); {
		case !ok:
			e.close(c)
		case c.sent < e.s.Events:
			c.due += int64(e.s.Gap)
			e.streams.push(c)
		case !e.ended(c, stopping) || !e.process(c, stopping):
			e.close(c)
		}
	}
	for c := e.delayed.first; c != nil && c.due <= now; c = e.delayed.first {
		e.delayed.remove(c)
		if !c.write(e.texts.whole) || !e.ended(c, stopping) || !e.process(c, stopping) {
			e.close(c)
		}
	}
}

// Journal keeps the ids of requests in a file that outlives the process, however that ends.
type Journal struct {
	file *os.File
	mem  []byte
}

const journalSize = 64 << 20 // in the file system it takes what was written

// OpenJournal goes on with the journal at path, or begins one.
func OpenJournal(path string) (*Journal, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the journal: %w", err)
	}
	if err = f.Truncate(journalSize); err == nil {
		var mem []byte
		if mem, err = unix.Mmap(int(f.Fd()), 0, journalSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
			return &Journal{f, mem}, nil
		}
	}
	_ = f.Close()
	return nil, fmt.Errorf("opening the journal %s: %w", path, err)
}
