package door

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// dialPatience bounds how long a port of a session is waited for: it is on the same box.
const dialPatience = 5 * time.Second

func dialSession(ctx context.Context, host string, port int) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("reaching port %d of the session: %w", port, err)
	}
	return conn, nil
}

// takeOver makes the connection of a request one of its own, in the place of HTTP. Whoever gets it ends it, and calls release
// then.
func (s *Server) takeOver(w http.ResponseWriter, r *http.Request, kind string) (c *Conn, release func(), err error) {
	if r.Header.Get("Upgrade") != kind {
		return nil, nil, fmt.Errorf("this is for %s alone", kind)
	}
	s.busy.Add(1)
	raw, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		s.busy.Done()
		return nil, nil, fmt.Errorf("taking over a connection: %w", err)
	}
	if rec, ok := w.(*recorder); ok {
		rec.taken = true
	}
	crypt, ok := raw.(*tls.Conn)
	below, is := r.Context().Value(socketKey{}).(*socket)
	if !ok || !is {
		_ = raw.Close()
		s.busy.Done()
		return nil, nil, errors.New("taking over a connection that is not by TLS")
	}
	_ = crypt.SetDeadline(time.Time{})
	c = newConn(below, crypt)
	if buffered.Reader.Buffered() > 0 {
		c.read = &rest{in: buffered.Reader, then: crypt}
	}
	stop := context.AfterFunc(r.Context(), c.Break)
	release = func() {
		stop()
		_ = c.Close()
		s.busy.Done()
	}
	_, err = fmt.Fprintf(c.Conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", kind)
	if err != nil {
		release()
		return nil, nil, fmt.Errorf("taking over a connection: %w", err)
	}
	return c, release, nil
}

// tunnel connects a session's port with the box that asked for it.
func (s *Server) tunnel(w http.ResponseWriter, r *http.Request, session net.Conn) error {
	c, release, err := s.takeOver(w, r, upgradeTunnel)
	if err != nil {
		_ = session.Close()
		return err
	}
	defer release()
	Splice(c, session)
	return nil
}

// Splice passes on what comes from either side of a tunnel to the other, and how each side ends, until both have. near is the
// end of the tunnel, far is what it is connected with here.
func Splice(near Tunnel, far net.Conn) {
	j := joint{near: near, far: far}
	var both sync.WaitGroup
	both.Go(func() { j.pass(far, near, false) })
	j.pass(near, far, true)
	both.Wait()
	_ = far.Close()
	_ = near.Close()
}

// joint is a tunnel's end and what it is connected with.
type joint struct {
	near Tunnel
	far  net.Conn

	mu      sync.Mutex
	inward  bool // the last that moved came out of the tunnel
	outward bool // anything went into it
	ended   bool
}

// pieces are what is read at once: a record of TLS.
const pieces = 16 << 10

var buffers = sync.Pool{New: func() any { return new([pieces]byte) }}

// pass copies from one side to the other.
func (j *joint) pass(to, from net.Conn, fromFar bool) {
	buffer, _ := buffers.Get().(*[pieces]byte)
	defer buffers.Put(buffer)
	for {
		n, err := from.Read(buffer[:])
		if n > 0 {
			j.moved(!fromFar)
			if _, failed := to.Write(buffer[:n]); failed != nil {
				j.broke(!fromFar, failed)
				return
			}
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			if half, ok := to.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
				return
			}
			j.broke(!fromFar, nil)
			return
		default:
			j.broke(fromFar, err)
			return
		}
	}
}

func (j *joint) moved(inward bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inward = inward
	j.outward = j.outward || !inward
}

// broke ends both sides, because what is far (or the tunnel) has broken. How depends on what one may make of it:
//  1. What was reset is reset on the other side: nothing was read of what was sent last.
//  2. A tunnel that broke into an answer, or before anything was sent, is a reset: such an end is not taken for an orderly one, nor
//     what was sent for taken in.
//  3. A tunnel that broke while an answer was waited for is an end without a word: nobody knows what became of it.
func (j *joint) broke(far bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.ended {
		return
	}
	j.ended = true
	if far {
		if WasReset(err) { // 1
			j.near.Reset()
		} else {
			j.near.Break()
		}
		_ = j.far.Close()
		return
	}
	if WasReset(err) || j.inward || !j.outward { // 1, 2
		Reset(j.far)
	} else { // 3
		_ = j.far.Close()
	}
	j.near.Break()
}

// Reset ends a connection such that the other side reads ECONNRESET, if it can be.
func Reset(c net.Conn) {
	if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
