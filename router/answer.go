package router

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/http1"
	"github.com/palisade-run/palisade/router/repeat"
)

// answer is what an engine says, on its way to the client: its head as a whole, its body as it comes.
type answer struct {
	conn   *engineConn
	res    http1.Response
	head   []byte // what came of a head that comes in pieces
	framed framing
	left   int64 // of a body of known length
	chunks http1.Chunks
	stream bool // its pieces do not wait for one another
	events bool // server-sent events, to which one can be added
	ending tail

	interim int // bytes of answers before the answer

	begun    bool           // the client was told of it
	started  bool           // those who wait for a route were
	whole    bool           // it came to its end
	late     bool           // it is kept, to come as an event
	early    bool           // before the request's body did
	switched bool           // to the protocol that was asked for
	rest     []byte         // what came in it already
	excess   bool           // more came than belongs to it
	next     *balance.Route // that is to be asked instead
	bad      error          // it cannot be understood
}

// framing is how the end of a body is found.
type framing uint8

const (
	noBody framing = iota
	byLength
	byChunks
	byEnd // of the connection
)

// reset makes ready for the answer of another conversation.
func (a *answer) reset(c *engineConn) {
	fields, head := a.res.Fields[:0], a.head[:0]
	a.chunks.Reset()
	*a = answer{conn: c, head: head, chunks: a.chunks, ending: tail{last: a.ending.last[:0]}}
	a.res.Fields = fields
}

// reusable tells whether the connection may carry another request. Some engines (llama.cpp's server is
// one) close it without a word after an answer of unknown length, though the answer's head promised to
// keep it; a request that is written in that moment may be read or not, and nobody can tell. A new
// connection costs microseconds.
func (a *answer) reusable() bool {
	return (a.framed == byLength || a.framed == noBody) && !a.res.Close && !a.excess && !a.early
}

// take is the sink of the conversation: head first, then the body, piece by piece.
func (x *exchange) take(b []byte) bool {
	a := &x.answer
	now := time.Now()
	x.now = now
	a.conn.bear(now)
	opens := !a.begun
	for !a.begun {
		rest, done := x.takeHead(b)
		if done || !a.begun && len(rest) == 0 {
			return done
		}
		b = rest
	}
	done := x.takeBody(b, now)
	if opens && a.stream && !done && x.first == 0 && !x.pinged && !x.pass(nil) { // who waits for a first event sees that there is an answer
		return true
	}
	if !done && a.stream && !x.parted && x.body.rest == nil && x.client.parts() && !x.stillSends() {
		x.settle() // its request may have been on its way until now
		x.parted = true
		return true
	}
	return done
}

// takeHead reads a head; rest is what follows it in b. done: the conversation is over.
func (x *exchange) takeHead(b []byte) (rest []byte, done bool) {
	a := &x.answer
	seen := len(a.head)
	if seen > 0 {
		a.head = append(a.head, b...)
		b = a.head
	}
	err := a.res.Take(b, seen)
	if errors.Is(err, http1.ErrIncomplete) {
		if seen == 0 {
			a.head = append(a.head, b...)
		}
		return nil, false
	}
	if err != nil {
		a.bad = err
		return nil, true
	}
	end := a.res.Len
	rest = b[end:]
	x.confine(&a.res)
	switch res := &a.res; {
	case res.Status == http.StatusSwitchingProtocols:
		x.upgrade(b[:end], rest)
		return nil, true
	case res.Status < 200:
		if a.interim += end; a.interim > maxInterim {
			a.bad = errInterim
			return nil, true
		}
		if res.Status != http.StatusContinue && !x.pinged { // the router has asked for the body itself
			x.client.interim(res)
		}
	default:
		if a.next = x.elsewhere(res); a.next != nil {
			return nil, true
		}
		x.deliver()
		if x.aborted {
			return nil, true
		}
	}
	if seen > 0 {
		rest = bytes.Clone(rest) // rare: the head's memory is used for the next
		a.head = a.head[:0]
	}
	a.excess = a.whole && len(rest) > 0
	return rest, a.whole
}

const maxInterim = 64 << 10 // bytes

var errInterim = errors.New("the engine sends interim answers without end")

// deliver tells the client the head of the answer.
func (x *exchange) deliver() {
	a, c := &x.answer, x.client
	res := &a.res
	a.begun = true
	x.status = res.Status
	x.frame()
	if !a.stream { // else with its first bytes
		x.started()
	}
	if x.pinged {
		x.lateHead()
		return
	}
	c.status(res.Status, res.Reason)
	for i := range res.Fields {
		f := &res.Fields[i]
		switch {
		case f.OfOneConnection() || f.Known == http1.ContentLength || f.Known == http1.RequestID:
		case f.Known == http1.Location:
			c.header(f.Name, []byte(relocate(string(f.Value), x.address.Prefix, x.call.host)))
		default:
			c.header(f.Name, f.Value)
		}
	}
	if res.Trailers {
		for i := range res.Fields {
			if res.Fields[i].Known == http1.Trailer {
				c.header(res.Fields[i].Name, res.Fields[i].Value)
			}
		}
	}
	x.guardPage(res)
	if x.opensPages() {
		x.openPage()
	}
	x.limitHeaders()
	c.header(nameRequestID, x.id)
	x.remember()
	length := int64(-1)
	if a.framed != byChunks && a.framed != byEnd {
		length = res.ContentLength
	}
	c.begin(length, a.framed == noBody)
	x.opened()
}

// frame finds out how the body ends, and what it is.
func (x *exchange) frame() {
	a := &x.answer
	res := &a.res
	switch {
	case !res.HasBody([]byte(x.call.method)):
		a.framed, a.whole = noBody, true
	case res.Chunked:
		a.framed = byChunks
	case res.ContentLength >= 0:
		a.framed, a.left = byLength, res.ContentLength
		a.whole = a.left == 0
	default:
		a.framed = byEnd
	}
	open, events := a.framed == byChunks || a.framed == byEnd, eventStream(res)
	a.events = events && open
	a.stream = open || events
	a.ending.on = a.events && a.framed == byEnd && (x.kind == kindChat || x.kind == kindCompletions) && res.Status == http.StatusOK
	if x.counts = x.kind.counts() && plainJSON(res) || events; x.counts {
		x.used.Reset(events, len(x.asked) > 0 && (open || x.pinged)) // of a known length nothing can be left out
	}
}

// started tells those who wait for a route that this one answers: it takes more.
func (x *exchange) started() {
	x.answer.started = true
	x.service.line.Began(x.now)
}

// opened is what follows the head at once.
func (x *exchange) opened() {
	if x.answer.whole {
		x.finish()
	} else if x.answer.stream {
		x.settle()
	}
}

// lateHead is for a client that had its head with the first ping. What is no stream becomes an event.
func (x *exchange) lateHead() {
	a := &x.answer
	a.events = eventStream(&a.res) // its length is not the client's: something can be added
	if a.late = !a.events || a.res.Status != http.StatusOK; a.late {
		a.stream = false
	}
	if a.whole {
		x.finish()
		return
	}
	x.settle()
}

// remember keeps the head for those who look in, and for those who ask the same.
func (x *exchange) remember() {
	if x.capture == nil && !x.turn.First() {
		return
	}
	res := &x.answer.res
	var fields []repeat.Field
	for i := range res.Fields {
		f := &res.Fields[i]
		if f.OfOneConnection() || f.Known == http1.ContentLength || f.Known == http1.RequestID {
			continue
		}
		x.capture.AnswerField(string(f.Name), string(f.Value))
		fields = append(fields, repeat.Field{Name: string(f.Name), Value: string(f.Value)})
	}
	x.turn.Begin(res.Status, fields, res.ContentLength)
}

// takeBody passes on what of b is of the body.
func (x *exchange) takeBody(b []byte, now time.Time) bool {
	a := &x.answer
	body, used := b, len(b)
	switch a.framed {
	case byLength:
		used = int(min(a.left, int64(len(b))))
		body = b[:used]
		a.left -= int64(used)
		a.whole = a.left == 0
	case byChunks:
		var err error
		if body, used, err = a.chunks.Decode(b); err != nil {
			a.bad = err
			return true
		}
		a.whole = a.chunks.Done()
	case noBody:
		used = 0
	}
	a.excess = used < len(b)
	if len(body) > 0 {
		if a.stream && x.first == 0 {
			x.first = now.Sub(x.start)
			x.route.figures.Load().First(x.first)
			x.started()
		}
		a.ending.add(body)
		x.capture.AnswerBody(body)
		x.turn.Write(body)
		if x.counts {
			body = x.used.Feed(body)
			if x.granted && x.used.Done() {
				// Some clients ask again when they see this, though the answer's end is still to come.
				u := x.used.Usage()
				x.grant.Settle(now, u.Prompt+u.Completion)
			}
		}
		if !x.pass(body) {
			return true
		}
	}
	if a.whole {
		x.finish()
	}
	return a.whole
}

// settle lets go of what a stream, which may last for hours, needs no more: the request.
func (x *exchange) settle() {
	if x.stillSends() || len(x.answer.conn.request) > 0 || x.body.rest != nil {
		return // some of it is still to be sent
	}
	x.forgetScan()
	x.router.buffers.put(x.out)
	x.out = nil
	x.kept = append(append(x.kept[:0], x.call.method...), x.address.Path[:min(len(x.address.Path), keptPath)]...)
	method := len(x.call.method)
	x.call = call{method: text(x.kept[:method]), path: text(x.kept[method:]), remote: x.call.remote}
	x.address.Path, x.address.Prefix, x.address.Name = x.call.path, "", ""
	x.whole.prefix, x.asked, x.answer.res.Fields, x.answer.head = nil, nil, nil, nil
	x.client.settle()
}

const keptPath = 128 // for records

// pass writes a piece to the client; false where it is gone. The last one waits for the end.
func (x *exchange) pass(p []byte) bool {
	if x.answer.late {
		x.answer.head = append(x.answer.head, p[:min(len(p), max(lateBody-len(x.answer.head), 0))]...)
		return true
	}
	x.out64 += int64(len(p))
	if x.client.write(p, x.answer.stream && !x.answer.whole) != nil {
		x.aborted = true
	}
	return !x.aborted
}

// finish ends the answer at the client.
func (x *exchange) finish() {
	a := &x.answer
	x.turn.End(x.now)
	if a.late {
		x.lateEnd()
		return
	}
	if x.counts {
		if rest := x.used.Rest(); len(rest) > 0 {
			x.pass(rest)
		}
	}
	var trailer []http1.Field
	if a.framed == byChunks {
		trailer, _ = a.chunks.Trailer() // what cannot be read is not passed on
	}
	if x.client.end(trailer) != nil {
		x.aborted = true
	}
}

const lateBody = 64 << 10 // of an answer that comes as an event

// lateEnd gives an answer that is no stream as an event, to a client that was told that a stream would
// come.
func (x *exchange) lateEnd() {
	body := bytes.TrimSpace(x.answer.head)
	if len(body) == 0 || len(body) >= lateBody || body[0] != '{' || bytes.ContainsAny(body, "\r\n") || x.answer.res.Status < 400 {
		x.apologize(&Refusal{
			Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed",
			Message: fmt.Sprintf("The engine of %q answered with status %d where a stream was asked for.", x.service.Name, x.answer.res.Status),
		})
		return
	}
	name := ""
	if x.shape == anthropic {
		name = "event: error\n"
	}
	if x.client.write(fmt.Appendf(nil, "%sdata: %s\n\n", name, body), false) != nil || x.client.end(nil) != nil {
		x.aborted = true
	}
}

// plainJSON tells JSON that is not compressed.
func plainJSON(res *http1.Response) bool {
	const media = "application/json"
	return len(res.ContentType) >= len(media) && http1.EqualFold(res.ContentType[:len(media)], media) && len(res.ContentEncoding) == 0
}

// endsWell tells whether the end of the connection is the end of the answer.
func (a *answer) endsWell() bool { return a.begun && a.framed == byEnd && !a.ending.missing() }

// cut ends an answer that the engine did not end.
func (x *exchange) cut(f fault, err error) {
	x.answer.late = false // what came of it is not given
	text := &Refusal{Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed"}
	text.Message = fmt.Sprintf("The engine of %q ended in the middle of this answer. What came of it is not all.", x.service.Name)
	if f == faultSilence {
		text.Code = "engine_silent"
		text.Message = fmt.Sprintf("The engine of %q was silent for %s in the middle of this answer, so it was given up.", x.service.Name, x.router.config.Silence)
	}
	x.fault, x.err = f, err
	x.service.metrics.fault(f)
	if !x.answer.events || !x.pass(text.event(x.shape)) || x.client.end(nil) != nil {
		x.client.cut()
	}
}

// eventStream tells server-sent events that are not compressed.
func eventStream(res *http1.Response) bool {
	const media = "text/event-stream"
	t := res.ContentType
	if len(t) < len(media) || !http1.EqualFold(t[:len(media)], media) {
		return false
	}
	rest := bytes.TrimLeft(t[len(media):], " \t")
	return (len(rest) == 0 || rest[0] == ';') && (len(res.ContentEncoding) == 0 || strings.EqualFold(text(res.ContentEncoding), "identity"))
}

// tail keeps the end of a stream, if on: where a stream ends with its connection only [DONE] shows that
// it is whole, for a dead engine looks like one that has said all.
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

// upgrade looks whether the engine switched to what was asked for. head is kept: the connections are
// joined when the conversation is over.
func (x *exchange) upgrade(head, rest []byte) {
	a := &x.answer
	a.head = bytes.Clone(head)
	a.rest = bytes.Clone(rest)
	if a.bad = a.res.Parse(a.head); a.bad != nil {
		return
	}
	x.confine(&a.res)
	got := ""
	for i := range a.res.Fields {
		if a.res.Fields[i].Known == http1.Upgrade {
			got = text(a.res.Fields[i].Value)
		}
	}
	if x.call.upgrade == "" || !strings.EqualFold(x.call.upgrade, got) {
		a.bad = fmt.Errorf("%w: asked for %q, got %q", errSwitched, x.call.upgrade, got)
		return
	}
	a.switched = true
}

var errSwitched = errors.New("the engine switched to another protocol than was asked for")
