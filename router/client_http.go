package router

import (
	"bufio"
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/http1"
)

// httpClient is the client's side of an exchange that net/http carries: all that our own path leaves to
// it, HTTP/2, uploads, upgrades.
type httpClient struct {
	w       http.ResponseWriter
	req     *http.Request
	control *http.ResponseController
	limit   int64         // of a body whose length is not known; 0: none
	silence time.Duration // for how long it may read nothing
	refused time.Duration // for the rest of a body that nobody wants
	code    int
	bounded time.Time // when the bound of writes was set
	release func() bool
	full    bool        // the answer may begin before the body has ended
	dropped bool        // the answer does not wait for the body's end
	passed  *passedConn // that carries an HTTP/1 request; nil: another
}

// ServeHTTP answers one request. It panics with http.ErrAbortHandler where an answer cannot be ended
// as it should, so that the client sees a broken connection and not a short answer.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	c := &httpClient{
		w: w, req: req, control: http.NewResponseController(w),
		limit: max(r.config.BodyLimit, 0), silence: r.config.Silence, refused: min(refusedBody, r.config.BodySilence),
	}
	if req.ProtoMajor == 1 {
		c.passed, _ = req.Context().Value(passedKey{}).(*passedConn)
	}
	x := &exchange{}
	x.begin(r, c, time.Now())
	callOf(&x.call, req)
	x.call.grpc = IsGRPC(req)
	// The next request on this connection has bounds of its own.
	defer func() { _ = c.control.SetWriteDeadline(time.Time{}) }()
	x.run()
	if c.full || c.dropped && req.ProtoMajor == 1 {
		c.drain()
	}
}

// How long the rest of a body that nobody wants is waited for.
const (
	refusedBody = 5 * time.Second  // for a piece of it
	refusedAll  = 30 * time.Second // for all of it, once its answer is out
)

// callOf is the call that net/http has read.
func callOf(c *call, req *http.Request) {
	path := req.URL.RawPath // what the client wrote, where that is not the plain way to write it
	if path == "" {
		path = req.URL.EscapedPath()
	}
	h := req.Header
	*c = call{
		method: req.Method, path: path, query: req.URL.RawQuery, asks: req.URL.RawQuery != "" || req.URL.ForceQuery, host: req.Host,
		length: req.ContentLength, remote: hostOf(req.RemoteAddr), secure: req.TLS != nil,
		authorization: h.Get("Authorization"), apiKey: h.Get("X-Api-Key"), contentType: h.Get("Content-Type"),
		contentEncoding: h.Get("Content-Encoding"), requestID: h.Get("X-Request-Id"),
	}
	for name, values := range h {
		known := http1.Recognize([]byte(name))
		for _, v := range values {
			c.fields = append(c.fields, http1.Field{Name: []byte(name), Value: []byte(v), Known: known})
		}
	}
	// An upgrade need not be taken up (RFC 9110, 7.8). One to HTTP/2 is offered by clients with every first request
	// (curl --http2, Java's), with a body too, and a body after an upgrade belongs to the request.
	if upgrades := http1.HideNamed(c.fields); upgrades && c.length == 0 && req.ProtoAtLeast(1, 1) && !strings.EqualFold(h.Get("Upgrade"), "h2c") {
		c.upgrade = h.Get("Upgrade")
	}
}

func (c *httpClient) body(wait time.Duration) io.Reader {
	from := c.req.Body
	if c.limit > 0 && c.req.ContentLength < 0 {
		from = http.MaxBytesReader(c.w, from, c.limit)
	}
	return patient{Reader: from, control: c.control, wait: wait}
}

func (c *httpClient) context() context.Context { return c.req.Context() }

func (c *httpClient) left() bool {
	return c.req.Context().Err() != nil || c.passed != nil && c.passed.left()
}

func (c *httpClient) guard(e *engineConn) {
	if c.release != nil {
		c.release()
		c.release = nil
	}
	if c.passed != nil {
		c.passed.guard(e)
	}
	if e != nil {
		c.release = context.AfterFunc(c.req.Context(), e.interrupt)
	}
}

func (c *httpClient) status(code int, _ []byte) { c.code = code }

func (c *httpClient) header(name, value []byte) { c.w.Header().Add(string(name), string(value)) }

func (c *httpClient) begin(length int64, _ bool) {
	if length >= 0 {
		c.w.Header().Set("Content-Length", strconv.FormatInt(length, 10))
	}
	c.w.WriteHeader(c.code)
}

// write bounds how long it may wait for a client that reads nothing: one that lives, and never reads
// again, would hold its route for ever. Every write has at least the bound, which is moved on now and
// then only, for that is work.
func (c *httpClient) write(p []byte, now bool) error {
	if at := time.Now(); at.Sub(c.bounded) > c.silence/8 {
		c.bounded = at
		_ = c.control.SetWriteDeadline(at.Add(c.silence + c.silence/8))
	}
	if len(p) > 0 {
		if _, err := c.w.Write(p); err != nil {
			return err
		}
	}
	if !now {
		return nil
	}
	return c.control.Flush()
}

func (c *httpClient) end(trailer []http1.Field) error {
	if len(trailer) > 0 {
		// A short answer would get a length otherwise, and nothing can follow that.
		_ = c.control.Flush()
	}
	for _, f := range trailer {
		c.w.Header().Add(http.TrailerPrefix+string(f.Name), string(f.Value))
	}
	return nil
}

func (c *httpClient) interim(res *http1.Response) {
	if !c.req.ProtoAtLeast(1, 1) {
		return // HTTP/1.0 knows no answer before the answer, and would take it for the whole
	}
	h := c.w.Header()
	kept := h.Clone()
	for i := range res.Fields {
		if f := &res.Fields[i]; !f.OfOneConnection() {
			h.Add(string(f.Name), string(f.Value))
		}
	}
	c.w.WriteHeader(res.Status)
	clear(h)
	maps.Copy(h, kept)
}

func (c *httpClient) settle() {}

func (c *httpClient) parts() bool { return false }

func (c *httpClient) cut() { panic(http.ErrAbortHandler) }

// drop bounds the time for which the server reads what is left of the body before an answer goes out.
func (c *httpClient) drop() {
	if c.req.Body != nil && c.req.Body != http.NoBody {
		c.dropped = true
		_ = c.control.SetReadDeadline(time.Now().Add(c.refused))
	}
}

func (c *httpClient) trailers() []byte {
	var b []byte
	for name, values := range c.req.Trailer {
		for _, v := range values {
			b = http1.AppendField(b, name, v)
		}
	}
	return append(b, "\r\n"...)
}

func (c *httpClient) duplex() {
	c.full = true
	_ = c.control.EnableFullDuplex()
}

// drain reads what is left of a body whose answer is out. A connection that is closed with bytes unread is reset, and who
// still writes then, as most clients do before they read, never sees the answer: that its token has expired, or that the
// body is too large. On HTTP/2 a stream can be ended alone, so only what little may be left of a call is read.
func (c *httpClient) drain() {
	_ = c.control.Flush() // the end of the answer is not to wait for the end of the request
	if c.req.ProtoMajor != 1 {
		c.drop()
		_, _ = io.CopyN(io.Discard, c.req.Body, 64<<10)
		return
	}
	rest := patient{Reader: c.req.Body, control: c.control, wait: c.refused}
	piece := make([]byte, 16<<10)
	for end := time.Now().Add(refusedAll); time.Now().Before(end); {
		if _, err := rest.Read(piece); err != nil {
			return
		}
	}
}

func (c *httpClient) join(res *http1.Response, id []byte, e *engineConn, rest []byte) error {
	conn, buffered, err := c.control.Hijack()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Time{})
	head := []byte("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n")
	for i := range res.Fields {
		if f := &res.Fields[i]; (!f.OfOneConnection() || f.Known == http1.Upgrade) && f.Known != http1.RequestID {
			head = http1.AppendField(head, f.Name, f.Value)
		}
	}
	head = append(http1.AppendField(head, "X-Request-Id", id), "\r\n"...)
	if _, err := conn.Write(append(head, rest...)); err != nil {
		return err
	}
	c.guard(nil)
	join(conn, buffered.Reader, e.Conn)
	return nil
}

// halfOpen bounds how long one side of an upgraded connection may go on when the other has ended.
const halfOpen = 30 * time.Second

// join copies both ways until both sides ended, or one broke. The caller closes both.
func join(client net.Conn, fromClient *bufio.Reader, engine net.Conn) {
	ended := make(chan bool, 2) // false: it broke
	go func() { ended <- pump(engine, fromClient) }()
	go func() { ended <- pump(client, engine) }()
	if whole := <-ended; !whole {
		return
	}
	timer := time.NewTimer(halfOpen)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
}

// pump copies one way and passes the end on; false where one of the two can go no further.
func pump(to net.Conn, from io.Reader) bool {
	if _, err := io.Copy(to, from); err != nil {
		return false
	}
	half, ok := to.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
