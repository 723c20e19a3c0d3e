package router

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/http1"
)

var errSilence = errors.New("nothing came from the engine for too long")

// gRPC is HTTP/2 from end to end: messages go both ways at once, and how a call ended is told in trailers. Who
// is meant, who may, and which route takes it is decided as for every other request; only the way to the engine is
// another. A refusal is what gRPC calls trailers-only: no message, and a status that its clients understand.

// IsGRPC tells whether a request is a gRPC call. Such are the router's at any path: where the address names no
// service, the header X-Palisade-Model does, or the token is for one only. (gRPC-Web is plain HTTP, and is none.)
func IsGRPC(r *http.Request) bool {
	const media = "application/grpc"
	t := r.Header.Get("Content-Type")
	if r.ProtoMajor != 2 || r.Method != http.MethodPost || len(t) < len(media) || !strings.EqualFold(t[:len(media)], media) {
		return false
	}
	return len(t) == len(media) || t[len(media)] == '+' || t[len(media)] == ';'
}

const modelHeader = "x-palisade-model"

// addressGRPC makes of /package.Service/Method at no service's own address a call by model.
func (x *exchange) addressGRPC() {
	if x.kind = kindGRPC; x.address.Kind == NotOurs {
		x.address = Address{Kind: ByModel, Path: rooted(x.call.path)}
	}
}

// modelGRPC is the model of a call by model: messages are not looked into.
func (x *exchange) modelGRPC() (string, *Refusal) {
	model := x.call.field(modelHeader)
	if model == "" && !x.bound() {
		return "", badRequest("model", "missing_model", "The call names no service. Send its name as metadata `"+modelHeader+"`, use its own host name or a token for it alone.")
	}
	return model, nil
}

// streamsTo is the way to a route for calls of gRPC: HTTP/2 without TLS, many calls on one connection. It is nil
// until the first call.
type streamsTo struct {
	transport atomic.Pointer[http.Transport]
	other     atomic.Bool // the engine answered in HTTP/1
}

// of gives the transport to e, made for its first call.
func (s *streamsTo) of(e *upstream) *http.Transport {
	if t := s.transport.Load(); t != nil {
		return t
	}
	made := &http.Transport{
		Protocols: new(http.Protocols), DisableCompression: true, IdleConnTimeout: idleFor, MaxResponseHeaderBytes: http1.MaxHead,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := e.dial(ctx)
			if err != nil {
				return nil, err
			}
			return &listening{Conn: conn, other: &s.other}, nil
		},
		// A client that reads nothing holds so much, and never what is for others. No pings: engines take those for
		// an attack, and the kernel notices a box that is gone.
		HTTP2: &http.HTTP2Config{MaxReceiveBufferPerStream: 1 << 20},
	}
	made.Protocols.SetUnencryptedHTTP2(true)
	if !s.transport.CompareAndSwap(nil, made) {
		return s.transport.Load()
	}
	return made
}

// listening looks at the first bytes of an engine, since the errors of HTTP/2 do not tell one that speaks
// HTTP/1 from one that is gone.
type listening struct {
	net.Conn
	other *atomic.Bool
	heard bool
}

func (l *listening) Read(p []byte) (int, error) {
	n, err := l.Conn.Read(p)
	if n > 0 && !l.heard {
		l.heard = true
		l.other.Store(bytes.HasPrefix(p[:n], []byte("HTTP/1.")))
	}
	return n, err
}

func (s *streamsTo) closeIdle() {
	if t := s.transport.Load(); t != nil {
		t.CloseIdleConnections()
	}
}

// forwardGRPC finds a route that takes the call, and passes messages both ways until one side ends it.
func (x *exchange) forwardGRPC(c *httpClient) *Refusal {
	if refusal := x.acquire(); refusal != nil {
		return refusal
	}
	ctx, cancel := context.WithCancelCause(c.context())
	defer cancel(nil)
	silence := x.router.config.Silence
	alive := time.AfterFunc(silence, func() { cancel(errSilence) })
	defer alive.Stop()
	up := newUpload(c.req.Body, func() { alive.Reset(silence) })
	defer up.close()
	for {
		t := x.route
		res, sent, err := x.callGRPC(ctx, t, up) //nolint:bodyclose // relayGRPC does
		if err == nil {
			alive.Reset(silence)
			up.settle()
			fault, err := x.relayGRPC(ctx, res, func() { alive.Reset(silence) })
			return x.endedGRPC(t, fault, err)
		}
		if t.upstream.streams.other.Load() && !c.left() { // that is no fault of a route
			return &Refusal{
				Status: http.StatusNotImplemented, Type: invalidRequest, Code: "no_grpc",
				Message: fmt.Sprintf("The engine of %q does not speak gRPC.", x.service.Name),
			}
		}
		fault := judgeGRPC(ctx, c, sent)
		if fault == faultBroken && x.overdue() {
			return deadlineOver()
		}
		if fault == faultConnect {
			t.Failed(time.Now(), balance.Connect)
			if len(x.ask.Tried) < maxRetries && up.replayable() {
				if next := x.another(); next != nil {
					x.giveUp(fault, string(fault), next)
					continue
				}
			}
		}
		return x.failed(fault, err)
	}
}

// callGRPC begins the call on a route. sent tells whether any of it was written where there is no answer.
func (x *exchange) callGRPC(ctx context.Context, t *route, up *upload) (res *http.Response, sent bool, err error) {
	header, err := x.headerGRPC()
	if err != nil {
		return nil, false, err
	}
	var wrote atomic.Bool
	// A transport that finds its connection ended before it wrote, or is told by the engine that a call was not
	// looked at, begins anew: then nothing is sent again.
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { wrote.Store(false) }, WroteHeaders: func() { wrote.Store(true) },
	})
	path, err := url.PathUnescape(x.address.Path)
	if err != nil { // climbs has looked at it
		return nil, false, fmt.Errorf("reading the path: %w", err)
	}
	req := (&http.Request{
		Method: x.call.method, Host: x.call.host, Header: header, ContentLength: -1, Body: up.open(),
		URL:     &url.URL{Scheme: "http", Host: t.addr, Path: path, RawPath: x.address.Path, RawQuery: x.call.query, ForceQuery: x.call.asks},
		GetBody: func() (io.ReadCloser, error) { return up.open(), nil },
	}).WithContext(ctx)
	res, err = t.upstream.streams.of(t.upstream).RoundTrip(req)
	return res, wrote.Load(), err
}

// headerGRPC is what any engine is told, as HTTP/2 carries it.
func (x *exchange) headerGRPC() (http.Header, error) {
	var head http1.Request
	if err := head.Parse(x.appendHead(make([]byte, 0, x.headRoom()))); err != nil {
		return nil, fmt.Errorf("passing on the head: %w", err)
	}
	h := make(http.Header, len(head.Fields)+2)
	h["Te"] = []string{"trailers"}
	h["User-Agent"] = []string{""} // none of our own
	for i := range head.Fields {
		switch f := &head.Fields[i]; {
		case f.OfOneConnection(), f.Known == http1.Host, f.Known == http1.ContentLength:
		case f.Known == http1.UserAgent:
			h["User-Agent"] = []string{string(f.Value)}
		default:
			name := http.CanonicalHeaderKey(string(f.Name))
			h[name] = append(h[name], string(f.Value))
		}
	}
	return h, nil
}

// judgeGRPC tells what it means that a call got no answer.
func judgeGRPC(ctx context.Context, c *httpClient, sent bool) fault {
	switch {
	case errors.Is(context.Cause(ctx), errSilence):
		return faultSilence
	case c.left():
		return faultClient
	case !sent:
		return faultConnect
	}
	return faultBroken
}

// relayGRPC passes on head, messages and trailers as they come.
func (x *exchange) relayGRPC(ctx context.Context, res *http.Response, progress func()) (fault, error) {
	defer func() { _ = res.Body.Close() }()
	a, c := &x.answer, x.client
	a.begun = true
	x.status = res.StatusCode
	c.status(res.StatusCode, nil)
	for name, values := range res.Header {
		if k := http1.Recognize([]byte(name)); k == http1.RequestID || k == http1.ContentLength || k == http1.SetCookie || k == http1.OfHost {
			continue // the latter two are for browsers, which do not speak it
		}
		for _, v := range values {
			c.header([]byte(name), []byte(v))
			x.capture.AnswerField(name, v)
		}
	}
	x.limitHeaders()
	c.header(nameRequestID, x.id)
	c.begin(-1, false)
	if code := res.Header.Get(statusGRPC); code != "" && res.ContentLength == 0 { // trailers-only: the head is the end
		a.whole = true
		x.statusGRPC(code)
		return "", nil
	}
	if c.write(nil, true) != nil {
		return faultClient, context.Canceled
	}
	piece := x.router.buffers.get(32 << 10)
	defer x.router.buffers.put(piece)
	for {
		n, err := res.Body.Read(piece.bytes)
		if n > 0 {
			progress()
			x.piece(piece.bytes[:n])
			if x.aborted {
				return faultClient, context.Canceled
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			a.whole = true
			x.statusGRPC(res.Trailer.Get(statusGRPC))
			if c.end(fieldsOf(res.Trailer)) != nil {
				return faultClient, context.Canceled
			}
			return "", nil
		case err == nil:
		case errors.Is(context.Cause(ctx), errSilence):
			return faultSilence, err
		case c.left():
			return faultClient, err
		default:
			return faultCut, err
		}
	}
}

// piece passes on a piece of the answer. An answer of one piece is no stream, so the time to the first counts
// when there is a second.
func (x *exchange) piece(p []byte) {
	a, now := &x.answer, time.Now()
	switch {
	case x.out64 == 0:
		x.service.line.Began(now)
		a.left = int64(now.Sub(x.start))
	case x.first == 0:
		x.first = time.Duration(a.left)
		x.route.figures.Load().First(x.first)
	}
	x.capture.AnswerBody(p)
	x.out64 += int64(len(p))
	if x.client.write(p, true) != nil {
		x.aborted = true
	}
}

func fieldsOf(h http.Header) []http1.Field {
	var fields []http1.Field
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, http1.Field{Name: []byte(name), Value: []byte(v)})
		}
	}
	return fields
}

// endedGRPC is what is left to do where the client has seen an answer, or a part of it.
func (x *exchange) endedGRPC(t *route, f fault, err error) *Refusal {
	switch f {
	case "":
		if x.status == http.StatusServiceUnavailable { // a deadline that ran out is the client's
			t.Failed(time.Now(), balance.Gateway)
		} else {
			t.Worked()
		}
	case faultClient:
		x.aborted = true
		x.client.cut()
	default:
		t.Worked() // it did answer
		if f == faultCut && x.overdue() {
			over := deadlineOver()
			x.status, x.code = over.Status, over.Code
			_ = x.client.end(over.fieldsGRPC()) // the client's own clock has told it
			return nil
		}
		x.fault, x.err = f, err
		x.service.metrics.fault(f)
		code, message := "engine_failed", fmt.Sprintf("The engine of %q ended in the middle of this call. What came of its answer is not all.", x.service.Name)
		if f == faultSilence {
			code, message = "engine_silent", fmt.Sprintf("Nothing came in this call to %q for %s, so it was given up.", x.service.Name, x.router.config.Silence)
		}
		refusal := &Refusal{Status: http.StatusBadGateway, Code: code, Message: message}
		if x.client.end(refusal.fieldsGRPC()) != nil {
			x.aborted = true
		}
	}
	return nil
}

// refuseGRPC answers with f as gRPC's clients read it.
func (x *exchange) refuseGRPC(f *Refusal) {
	c := x.client
	c.status(http.StatusOK, nil)
	c.header([]byte("Content-Type"), []byte("application/grpc"))
	for _, h := range f.fieldsGRPC() {
		c.header(h.Name, h.Value)
	}
	x.limitHeaders()
	c.header(nameRequestID, x.id)
	c.begin(-1, true)
	_ = c.end(nil) // a client that is gone needs no answer
}

// overdue tells whether the call's own deadline is over: engines that keep it end the call without a word, a
// moment before the client does.
func (x *exchange) overdue() bool {
	v := x.call.field("grpc-timeout")
	if v == "" {
		return false
	}
	n, err := strconv.ParseInt(v[:len(v)-1], 10, 64)
	units := map[byte]time.Duration{'H': time.Hour, 'M': time.Minute, 'S': time.Second, 'm': time.Millisecond, 'u': time.Microsecond, 'n': time.Nanosecond}
	unit := units[v[len(v)-1]]
	return err == nil && unit > 0 && n <= int64(100*24*time.Hour/unit) && time.Since(x.start)+deadlineSlack >= time.Duration(n)*unit
}

const deadlineSlack = 10 * time.Millisecond // clients round it, and clocks of timers are not one

func deadlineOver() *Refusal {
	return &Refusal{Status: http.StatusRequestTimeout, Type: invalidRequest, Code: "deadline_exceeded", Message: "The deadline of the call is over."}
}

const statusGRPC = "Grpc-Status"

// fieldsGRPC are the status and what it says. Clients that try again by themselves wait as long as they are told.
func (f *Refusal) fieldsGRPC() []http1.Field {
	fields := []http1.Field{
		{Name: []byte(statusGRPC), Value: strconv.AppendInt(nil, int64(codeGRPC(f.Status)), 10)},
		{Name: []byte("Grpc-Message"), Value: percentGRPC(f.Message)},
		{Name: []byte("X-Palisade-Error"), Value: []byte(f.Code)},
	}
	if f.RetryAfter > 0 {
		fields = append(fields, http1.Field{Name: []byte("Grpc-Retry-Pushback-Ms"), Value: strconv.AppendInt(nil, f.RetryAfter.Milliseconds(), 10)})
	}
	if f.eta > 0 {
		fields = append(fields, http1.Field{Name: []byte(etaHeader), Value: strconv.AppendInt(nil, int64(seconds(f.eta)), 10)})
	}
	return fields
}

// codeGRPC is gRPC's status for one of HTTP.
func codeGRPC(status int) int {
	switch status {
	case http.StatusOK:
		return 0 // OK
	case statusClientGone:
		return 1 // CANCELLED
	case http.StatusUnauthorized:
		return 16 // UNAUTHENTICATED
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusNotFound:
		return 5 // NOT_FOUND
	case http.StatusRequestTimeout:
		return 4 // DEADLINE_EXCEEDED
	case http.StatusConflict:
		return 10 // ABORTED
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge, http.StatusRequestHeaderFieldsTooLarge:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return 12 // UNIMPLEMENTED
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // UNAVAILABLE
	}
	if status >= 500 {
		return 13 // INTERNAL
	}
	return 3 // INVALID_ARGUMENT
}

// statusesGRPC are HTTP's statuses for gRPC's, by number: calls are counted with all others. What an engine does
// not implement was asked for wrongly.
var statusesGRPC = [...]int{200, statusClientGone, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 404, 500, 503, 500, 401}

// statusGRPC notes how the engine says that the call ended.
func (x *exchange) statusGRPC(code string) {
	if n, err := strconv.Atoi(code); err == nil && x.status == http.StatusOK {
		x.status = http.StatusInternalServerError
		if n >= 0 && n < len(statusesGRPC) {
			x.status = statusesGRPC[n]
		}
	}
}

// percentGRPC escapes a message as gRPC wants it.
func percentGRPC(s string) []byte {
	var b bytes.Buffer
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.Bytes()
}
