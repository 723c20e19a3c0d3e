package router

import (
	"crypto/tls"
	"net"
	"strconv"
	"sync"

	"github.com/palisade-run/palisade/router/http1"
)

// passing is a listener whose connections come from our own path.
type passing struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPassing() *passing { return &passing{conns: make(chan net.Conn), done: make(chan struct{})} }

// give hands a connection over; one that nobody takes any more is closed.
func (p *passing) give(c net.Conn) {
	select {
	case p.conns <- c:
	case <-p.done:
		_ = c.Close()
	}
}

func (p *passing) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *passing) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *passing) Addr() net.Addr { return &net.TCPAddr{} }

// passedConn is a connection of which the first bytes were read. net/http is more lenient than our own
// path: it takes lines that end in LF alone, headers over two lines, two lengths at once. So the heads of
// requests are looked at on their way to it, with our own rules, and what breaks them ends the connection.
type passedConn struct {
	net.Conn
	state  *tls.ConnectionState // nil: not secured
	strict strict
}

// NetConn is the connection beneath, for those who ask who is there.
func (c *passedConn) NetConn() net.Conn { return c.Conn }

// CloseWrite lets the end of one side through.
func (c *passedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

func (c *passedConn) Read(p []byte) (int, error) {
	for {
		if n, err := c.strict.release(p); n > 0 || err != nil {
			if err != nil {
				_, _ = c.Write(malformed(err))
			}
			return n, err
		}
		n, err := c.Conn.Read(p)
		if n == 0 || c.strict.off {
			return n, err
		}
		c.strict.add(p[:n])
		if err != nil {
			return 0, err
		}
	}
}

func malformed(err error) []byte {
	f := badRequest("", "malformed_request", sentence(err))
	body := append(f.body(openAI), '\n')
	b := []byte("HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ")
	b = append(append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...), body...)
	return b
}

// strict lets the bytes of requests through as long as their heads keep the rules: it holds a head back
// until it is whole, and follows bodies only to know where the next head begins.
type strict struct {
	unread []byte // not released
	looked int    // of unread, without a head's end
	body   int64  // bytes of a body still to come; -1: in chunks
	chunks http1.Chunks
	off    bool // the connection speaks another protocol: nothing is looked at any more
	free   int  // of unread: may be released
	head   http1.Request
}

func (s *strict) add(p []byte) { s.unread = append(s.unread, p...) }

// release copies to p what may go on; 0 and nil: more must come first.
func (s *strict) release(p []byte) (int, error) {
	for s.free == 0 && len(s.unread) > 0 {
		if s.off {
			s.free = len(s.unread)
			break
		}
		whole, err := s.look()
		if err != nil {
			return 0, err
		}
		if !whole {
			return 0, nil
		}
	}
	n := copy(p, s.unread[:s.free])
	s.unread = s.unread[n:]
	s.free -= n
	if len(s.unread) == 0 {
		s.unread = nil
	}
	return n, nil
}

// look finds out how much of unread may go on.
func (s *strict) look() (bool, error) {
	switch {
	case s.body > 0:
		s.free = int(min(s.body, int64(len(s.unread))))
		s.body -= int64(s.free)
		return true, nil
	case s.body < 0:
		followed := append([]byte(nil), s.unread...) // Decode takes framing off in place
		_, used, err := s.chunks.Decode(followed)
		if err != nil {
			return false, err
		}
		if s.chunks.Done() {
			s.body = 0
			s.chunks.Reset()
		}
		s.free = used
		return true, nil
	}
	end, err := http1.HeadEnd(s.unread, s.looked)
	if err != nil {
		return false, err
	}
	if end == 0 {
		s.looked = len(s.unread)
		return false, nil
	}
	s.looked = 0
	err = s.head.Parse(s.unread[:end])
	switch {
	case string(s.head.Method) == "PRI", err == nil && (s.head.Upgrade || string(s.head.Method) == "CONNECT"):
		s.off = true // HTTP/2, or what comes may be no HTTP at all
		s.free = len(s.unread)
		return true, nil
	case err != nil:
		return false, err
	}
	if s.body = max(s.head.ContentLength, 0); s.head.Chunked {
		s.body = -1
	}
	s.free = end
	return true, nil
}
