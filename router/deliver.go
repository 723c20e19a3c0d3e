package router

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// answer is an engine's answer on its way to the client.
type answer struct {
	res     *http.Response
	attempt *attempt
	ctx     context.Context
	cancel  context.CancelCauseFunc
	watch   *time.Timer // fires after silence without a byte
	silence time.Duration
}

// deliver passes an answer on. It panics with http.ErrAbortHandler where it cannot be ended well.
func (x *exchange) deliver(a *answer) {
	res := a.res
	if res.StatusCode == http.StatusSwitchingProtocols {
		x.upgrade(a)
		return
	}
	defer func() { _ = res.Body.Close() }()
	h := x.w.Header()
	endToEnd(h, res.Header, nil)
	h["X-Request-Id"] = []string{x.id}
	if location := h.Get("Location"); location != "" {
		h["Location"] = []string{relocate(location, x.address.Prefix, x.req.Host)}
	}
	announced := len(res.Trailer)
	for k := range res.Trailer {
		h.Add("Trailer", k)
	}
	x.status = res.StatusCode
	x.w.WriteHeader(x.status)
	x.copyBody(a)
	x.trailers(res, announced)
}

// trailers passes on what came after the body: announced ones by name, others with net/http's mark.
func (x *exchange) trailers(res *http.Response, announced int) {
	if len(res.Trailer) == 0 {
		return
	}
	// A short answer would get a length otherwise, and nothing can follow that.
	_ = http.NewResponseController(x.w).Flush()
	for k, v := range res.Trailer {
		if len(res.Trailer) != announced {
			k = http.TrailerPrefix + k
		}
		x.w.Header()[k] = v
	}
}

// copyBuffer is for the copying of a body; a stream holds one for its life, so it is small.
type copyBuffer [16 << 10]byte

func (r *Router) takeBuffer() *copyBuffer {
	if b, ok := r.buffers.Get().(*copyBuffer); ok {
		return b
	}
	return new(copyBuffer)
}

// copyBody copies the answer, streams at once. Its ends:
//
//  1. whole: all is said.
//  2. the client is gone: the engine's request is cancelled.
//  3. the engine is gone in an event stream: an event says so, and no [DONE].
//  4. the engine is gone otherwise: the connection breaks, since any clean end would be a false one.
func (x *exchange) copyBody(a *answer) {
	res := a.res
	stream := streamOf(x.w.Header())
	control := http.NewResponseController(x.w)
	flush := res.ContentLength < 0 || stream == eventStream
	x.bearWith(control)
	defer func() { _ = control.SetWriteDeadline(time.Time{}) }() // the next request on this connection has its own
	if flush && x.req.Method != http.MethodHead {
		_ = control.Flush() // who waits for a first event sees that there is an answer
	}
	buf := x.router.takeBuffer()
	defer x.router.buffers.Put(buf)
	ending := tail{on: endMatters(x.kind, res, stream)}
	for {
		n, err := res.Body.Read(buf[:])
		if n > 0 {
			a.watch.Reset(a.silence)
			if flush && x.first == 0 {
				x.first = time.Since(x.start)
			}
			ending.add(buf[:n])
			if !x.pass(control, buf[:n], flush) {
				a.cancel(nil)
				x.aborted = true
				panic(http.ErrAbortHandler)
			}
		}
		if errors.Is(err, io.EOF) && !ending.missing() {
			return
		}
		if err != nil {
			x.cut(a, err, stream == eventStream && res.ContentLength < 0)
			return
		}
	}
}

// bearWith bounds how long the next write may wait for a client that reads nothing: one that lives, and
// never reads again, would hold its route for ever. Every write has at least Silence; the bound is moved on
// now and then only, for that is work.
func (x *exchange) bearWith(control *http.ResponseController) {
	now, silence := time.Now(), x.router.config.Silence
	if now.Sub(x.bounded) > silence/8 {
		x.bounded = now
		_ = control.SetWriteDeadline(now.Add(silence + silence/8))
	}
}

// pass writes a piece; false where the client is gone.
func (x *exchange) pass(control *http.ResponseController, p []byte, flush bool) bool {
	x.bearWith(control)
	if _, err := x.w.Write(p); err != nil {
		return false
	}
	return !flush || control.Flush() == nil
}

// cut ends an answer that the engine did not end.
func (x *exchange) cut(a *answer, err error, canSay bool) {
	silent := errors.Is(context.Cause(a.ctx), errSilence)
	if x.req.Context().Err() != nil && !silent {
		x.aborted = true
		panic(http.ErrAbortHandler)
	}
	f := &Refusal{Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed"}
	f.Message = fmt.Sprintf("The engine of %q ended in the middle of this answer. What came of it is not all.", x.service.Name)
	x.fault, x.err = faultCut, err
	if silent {
		x.fault, f.Code = faultSilence, "engine_silent"
		f.Message = fmt.Sprintf("The engine of %q was silent for %s in the middle of this answer, so it was given up.", x.service.Name, a.silence)
	}
	x.service.metrics.fault(x.fault)
	if !canSay || !x.pass(http.NewResponseController(x.w), f.event(x.shape), true) {
		panic(http.ErrAbortHandler)
	}
}

// contents of an answer that matter to how it is copied.
type contents int

const (
	anyContent contents = iota
	eventStream
)

// streamOf tells an event stream to which an event can be added.
func streamOf(h http.Header) contents {
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	encoding := h.Get("Content-Encoding")
	if strings.EqualFold(strings.TrimSpace(media), "text/event-stream") && (encoding == "" || strings.EqualFold(encoding, "identity")) {
		return eventStream
	}
	return anyContent
}

// endMatters tells whether only [DONE] shows that a stream is whole: where it ends with its
// connection, a dead engine looks like one that has said all.
func endMatters(k kind, res *http.Response, stream contents) bool {
	return stream == eventStream && (k == kindChat || k == kindCompletions) && res.StatusCode == http.StatusOK &&
		res.ContentLength < 0 && len(res.TransferEncoding) == 0
}

// tail keeps the end of a stream, if on.
type tail struct {
	on   bool
	last []byte
}

const tailLen = 64

func (t *tail) add(p []byte) {
	if !t.on {
		return
	}
	t.last = append(t.last, p[max(0, len(p)-tailLen):]...)
	t.last = t.last[max(0, len(t.last)-tailLen):]
}

// missing tells that the stream has not said that it is whole.
func (t *tail) missing() bool { return t.on && !bytes.Contains(t.last, []byte("[DONE]")) }

// upgrade joins the client's connection and the engine's, once both agreed on another protocol.
func (x *exchange) upgrade(a *answer) {
	res := a.res
	x.kind = kindUpgrade
	back, ok := res.Body.(io.ReadWriteCloser)
	want, got := upgradeOf(x.req.Header), upgradeOf(res.Header)
	if !ok || want == "" || !strings.EqualFold(want, got) {
		_ = res.Body.Close()
		x.fault, x.err = faultUpgrade, fmt.Errorf("asked for protocol %q, got %q", want, got)
		x.service.metrics.fault(faultUpgrade)
		x.refuse(&Refusal{
			Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed",
			Message: fmt.Sprintf("The engine of %q switched to another protocol than was asked for.", x.service.Name),
		})
		return
	}
	defer func() { _ = back.Close() }()
	client, buffered, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		x.refuse(&Refusal{
			Status: http.StatusNotImplemented, Type: invalidRequest, Code: "upgrade_not_possible",
			Message: "This connection cannot switch protocols. Use HTTP/1.1.",
		})
		return
	}
	defer func() { _ = client.Close() }()
	a.watch.Stop() // such connections may be silent as long as they like
	if a.attempt.conn != nil {
		a.attempt.conn.plain.Store(true)
	}
	x.status = http.StatusSwitchingProtocols
	h := x.w.Header()
	endToEnd(h, res.Header, nil)
	h["X-Request-Id"] = []string{x.id}
	h["Connection"], h["Upgrade"] = []string{"Upgrade"}, []string{got}
	_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\n")
	_ = h.Write(buffered)
	_, _ = buffered.WriteString("\r\n")
	if buffered.Flush() != nil { // it keeps the first error
		x.aborted = true
		return
	}
	join(client, buffered.Reader, back)
}

// halfOpen bounds how long one side of an upgraded connection may go on when the other has ended.
const halfOpen = 30 * time.Second

// join copies both ways until both sides ended, or one broke. The caller closes both.
func join(client net.Conn, fromClient *bufio.Reader, engine io.ReadWriteCloser) {
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
func pump(to io.Writer, from io.Reader) bool {
	if _, err := io.Copy(to, from); err != nil {
		return false
	}
	half, ok := to.(interface{ CloseWrite() error })
	return ok && half.CloseWrite() == nil
}
