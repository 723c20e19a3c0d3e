package router

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"

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
// path: it takes lines that end in LF alone, headers over two lines, two lengths at once. So the requests
// are looked at on their way to it, with our own rules. A head that breaks them is replaced by a request to
// be refused, so that the refusal waits for its turn: net/http may still be answering the request before.
type passedConn struct {
	net.Conn
	state   *tls.ConnectionState // nil: not secured
	strict  strict
	ended   error // what the connection ended with, behind bytes that came with it
	refused atomic.Pointer[http1.Error]
	upgrade atomic.Int32
	forget  func() // who watches over its end

	mu      sync.Mutex // guards what follows
	gone    bool       // the client has closed its side
	guarded *engineConn
}

// depart is told that the client has closed its side. net/http finds that out only once it has read the
// request's body to its end, and an engine may never take that.
func (c *passedConn) depart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	if c.guarded != nil {
		c.guarded.interrupt()
	}
}

// guard has e interrupted when the client goes; nil: nothing is to be.
func (c *passedConn) guard(e *engineConn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.guarded = e; e != nil && c.gone {
		e.interrupt()
	}
}

func (c *passedConn) left() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gone
}

// Close ends the connection.
func (c *passedConn) Close() error {
	if c.forget != nil {
		c.forget()
	}
	return c.Conn.Close()
}

// Whether a connection speaks another protocol, or will soon.
const (
	notAsked int32 = iota
	asked          // a request for it went on, and was not answered
	switched
)

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
	s := &c.strict
	for {
		asks := c.upgrade.Load()
		s.off = s.off || asks == switched
		if asks != asked {
			if err := s.look(); err != nil {
				c.refused.Store(err)
			}
		}
		if n := s.release(p); n > 0 {
			if s.free == 0 && s.upgrades {
				s.upgrades = false
				c.upgrade.Store(asked)
			}
			return n, nil
		}
		switch {
		case s.bad != nil:
			return 0, s.bad
		case c.ended != nil:
			return 0, c.ended
		case len(s.unread) > http1.MaxHead: // while an upgrade is waited for
			return 0, errTooSoon
		case s.through() > 0:
			n, err := c.Conn.Read(p[:min(int64(len(p)), s.through())])
			s.passed(n)
			s.breaks(err)
			return n, err
		}
		n, err := c.Conn.Read(p)
		if n == 0 {
			s.breaks(err)
			return 0, err
		}
		s.unread = append(s.unread, p[:n]...)
		c.ended = err
	}
}

// Write looks how a request for another protocol is answered: net/http writes nothing else before that.
func (c *passedConn) Write(p []byte) (int, error) {
	if c.upgrade.Load() == asked {
		switch {
		case bytes.HasPrefix(p, []byte("HTTP/1.1 101")):
			c.upgrade.Store(switched)
		case !bytes.HasPrefix(p, []byte("HTTP/1.1 1")):
			c.upgrade.Store(notAsked)
		}
	}
	return c.Conn.Write(p)
}

// refuse answers the request that stands for a malformed one, and ends the connection in a way that lets
// the client read why; false: this is none.
func (c *passedConn) refuse(w http.ResponseWriter, req *http.Request) bool {
	why := c.refused.Load()
	if why == nil || req.Method != refusedMethod {
		return false
	}
	f := malformed(why)
	for _, h := range f.headers() {
		w.Header().Set(h.name, h.value)
	}
	body := append(f.body(openAI), '\n')
	w.Header().Set(string(nameRequestID), string(requestID(nil, "")))
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(f.Status)
	_, _ = w.Write(body) // who is gone needs no answer
	_ = http.NewResponseController(w).Flush()
	linger(c.Conn, 0)
	return true
}

// malformed is the answer to what is no request.
func malformed(err error) *Refusal {
	f := badRequest("", "malformed_request", "The request is malformed.")
	if why, ok := errors.AsType[*http1.Error](err); ok {
		f.Status, f.Message = why.Status, sentence(why)
	}
	return f
}

// isMalformed tells what breaks the rules of HTTP from what else ends a body.
func isMalformed(err error) bool {
	_, ok := errors.AsType[*http1.Error](err)
	return ok
}

var errTooSoon = errors.New("too much was sent before the answer to an upgrade")

// refusedMethod is that of the request that stands for a malformed one. Who sends it otherwise gets no
// refusal for it, unless what follows is malformed; then it comes a request early.
const refusedMethod = "MALFORMED"

const refusedRequest = refusedMethod + " / HTTP/1.1\r\nHost: malformed\r\n\r\n"

// strict lets the bytes of requests through as long as they keep the rules: it holds a head back until it
// is whole, and follows bodies to know where the next head begins.
type strict struct {
	unread   []byte // not released
	free     int    // of unread: may be released
	looked   int    // of unread, without a head's end
	upgrades bool   // what is free is a head that asks for another protocol
	begun    bool   // a head was there
	body     int64  // bytes of a body that are still to come; -1: in chunks
	chunks   http1.Chunks
	off      bool  // the connection speaks another protocol: nothing is looked at any more
	bad      error // no more is released: what came breaks the rules
	head     http1.Request
}

// release copies to p what may go on.
func (s *strict) release(p []byte) int {
	n := copy(p, s.unread[:s.free])
	s.unread = s.unread[n:]
	if s.free -= n; len(s.unread) == 0 {
		s.unread = nil
	}
	return n
}

// through is how many of the bytes that come next may go on unseen.
func (s *strict) through() int64 {
	switch {
	case s.off:
		return math.MaxInt64
	case len(s.unread) > 0:
		return 0
	}
	return max(s.body, 0)
}

// passed notes that so many did.
func (s *strict) passed(n int) {
	if !s.off {
		s.body -= int64(n)
	}
}

// breaks notes that reading ended with err. In a body that is for good, also where it only took too long:
// net/http may look for another request then, which would begin in the middle of the body.
func (s *strict) breaks(err error) {
	if err != nil && s.body != 0 && !s.off {
		s.bad = err
	}
}

// look finds out how much of unread may go on. The error is that of a head, for which a request to be
// refused goes on.
func (s *strict) look() *http1.Error {
	if s.free > 0 || len(s.unread) == 0 || s.bad != nil {
		return nil //nolint:nilerr // bad is told when all that is free is released
	}
	switch {
	case s.off:
		s.free = len(s.unread)
	case s.body > 0:
		s.free = int(min(s.body, int64(len(s.unread))))
		s.body -= int64(s.free)
	case s.body < 0:
		s.lookInChunks()
	default:
		return s.lookAtHead()
	}
	return nil
}

// lookInChunks follows a body in chunks. What breaks its rules cannot be told from a request: the body
// ends with the error, and so does the connection.
func (s *strict) lookInChunks() {
	used, err := s.chunks.Skip(s.unread)
	if err == nil && s.chunks.Done() {
		_, err = s.chunks.Trailer()
		s.body = 0
		s.chunks.Reset()
	}
	if s.bad = err; err == nil {
		s.free = used
	}
}

func (s *strict) lookAtHead() *http1.Error {
	err := s.head.Take(s.unread, s.looked)
	if errors.Is(err, http1.ErrIncomplete) {
		s.looked = len(s.unread)
		return nil
	}
	if whole, may := http1.Preface(s.unread); may && !s.begun {
		if s.off = whole; whole {
			s.free = len(s.unread)
		}
		return nil
	}
	s.looked, s.begun = 0, true
	if why, ok := errors.AsType[*http1.Error](err); ok {
		s.unread, s.free, s.bad = []byte(refusedRequest), len(refusedRequest), io.EOF
		return why
	}
	s.free = s.head.Len
	if s.body = max(s.head.ContentLength, 0); s.head.Chunked {
		s.body = -1
	}
	s.upgrades = s.head.Upgrade && s.body == 0 // with a body it is an offer that is not taken up, see callOf
	return nil
}
