package router

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/http1"
)

// Bounds of what is tried for one request.
const (
	maxRetries = 2 // other routes
	maxStale   = 3 // kept connections of one route that were found closed
)

// forward finds a route that takes the request and passes its answer on.
func (x *exchange) forward() *Refusal {
	if refusal := x.acquire(); refusal != nil {
		return refusal
	}
	for stale := 0; ; {
		t := x.route
		// A body that streams cannot be sent again, so it is not risked on a kept connection.
		fault, err := x.try(t, stale > 0 || x.body.rest != nil)
		if x.parted {
			return nil
		}
		if fault == faultStale && stale < maxStale && x.body.replayable() {
			// Others that idled as long are no better; the route itself may be well.
			if stale++; stale > 1 {
				t.upstream.closeIdle()
			}
			x.now = time.Now()
			continue
		}
		if x.answer.begun {
			x.ended(t, fault, err)
			return nil
		}
		if next := x.answer.next; next != nil { // the engine was busy or its box is silent, and another takes it
			x.answer.next = nil
			reason := "busy"
			if fault == faultLost {
				reason = retryReason(fault)
				t.Failed(time.Now(), balance.Connect)
			}
			x.giveUp(fault, reason, next)
			continue
		}
		reason := retryReason(fault)
		if reason != "" {
			t.Failed(time.Now(), balance.Connect)
		}
		if reason != "" && x.mayRetry() && !x.client.left() {
			if next := x.another(); next != nil {
				x.giveUp(fault, reason, next)
				continue
			}
		}
		if reason != "" && x.mayWait() {
			if refusal := x.again(fault, reason); refusal != nil {
				return refusal
			}
			stale = 0
			continue
		}
		return x.failed(fault, err)
	}
}

// mayRetry tells whether another route may be tried.
func (x *exchange) mayRetry() bool { return len(x.ask.Tried) < maxRetries && x.body.replayable() }

// another takes a route that was not tried, as far as the service's retries allow.
func (x *exchange) another() *balance.Route {
	ask := x.ask
	ask.Tried = append(ask.Tried, x.route.Route)
	ask.Retry, ask.Now = true, time.Now()
	next, _ := x.service.balance.Acquire(&ask)
	return next
}

// Pauses of a request that no route took: doubled from first to most.
const (
	firstPause = 20 * time.Millisecond
	mostPause  = time.Second
)

// mayWait tells whether a request that no route took, and of which nothing was processed, may try again after
// a pause: where requests may wait at all, and it has not waited as long as they may.
func (x *exchange) mayWait() bool {
	hold := &x.service.Traffic.Hold
	return hold.Most > 0 && x.body.replayable() && !x.client.left() && (hold.Timeout <= 0 || time.Since(x.start) < hold.Timeout)
}

// again gives the route back and looks for one after a pause. A route that has ended is out of the table a
// moment later, and then its place is waited for in line. Requests for which the budget of retries has nothing
// left come this way too: not at once, and each time later, so that they are no storm.
func (x *exchange) again(f fault, reason string) *Refusal {
	x.service.metrics.fault(f)
	x.service.metrics.retry(reason)
	x.route.CountError()
	x.release(true)
	pause := min(firstPause<<min(x.pauses, 10), mostPause)
	x.pauses++
	x.retries++
	x.held += pause
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-x.client.context().Done():
		return clientGone()
	}
	if x.streams() && time.Since(x.start) > heartbeat && time.Since(x.told) > heartbeat && x.ping() != nil {
		return clientGone()
	}
	x.now = time.Now()
	x.ask.Tried, x.ask.Now = x.ask.Tried[:0], x.now
	return x.find()
}

// giveUp leaves the route for another.
func (x *exchange) giveUp(fault fault, reason string, next *balance.Route) {
	if fault != "" {
		x.service.metrics.fault(fault)
	}
	x.route.CountError()
	x.ask.Tried = append(x.ask.Tried, x.route.Route)
	x.release(true)
	x.now = time.Now()
	x.took(next)
	x.retries++
	x.service.metrics.retry(reason)
}

// try gives the request to a route and passes the answer on as it comes. What went wrong, if something
// did, is the fault; whether the client has seen any of it is x.answer.begun.
func (x *exchange) try(t *route, fresh bool) (fault, error) {
	c, err := t.upstream.take(x.client.context, x.now, fresh)
	if err != nil {
		if x.client.left() {
			return faultClient, err
		}
		return faultConnect, err
	}
	x.answer.reset(c)
	x.conversing = c
	x.client.guard(c)
	c.yields = x.yields()
	c.bear(x.now)
	err = x.converse(c)
	if x.parted = x.parted && err == nil; x.parted {
		return "", nil
	}
	return x.conclude(c, err)
}

// resume passes on what is left of a stream. Most of a stream's life is here: it is called from as little
// depth as may be, for each goroutine that waits keeps its stack.
func (x *exchange) resume() {
	defer x.done()
	x.answer.conn.yields = false // the client has a part of it
	x.over(x.answer.conn.converse(nil, x))
}

// carriedOut is resume for a stream that was carried; err is why nothing more of it came, if it is not whole.
func (x *exchange) carriedOut(err error) {
	defer x.done()
	x.over(err)
}

func (x *exchange) over(err error) {
	fault, err := x.conclude(x.answer.conn, err)
	x.ended(x.route, fault, err)
}

// conclude finds out how a conversation has ended, and keeps the connection or closes it.
func (x *exchange) conclude(c *engineConn, err error) (fault, error) {
	a := &x.answer
	if a.switched {
		return x.join(c)
	}
	x.client.guard(nil)
	x.conversing = nil
	if errors.Is(err, io.EOF) && a.endsWell() {
		a.whole, err = true, nil
		x.finish()
	}
	if a.bad != nil {
		err = a.bad
	}
	fault := x.judge(c, err)
	if err == nil && a.whole && a.reusable() && !x.aborted && !x.client.left() {
		x.route.upstream.keep(c, x.now)
	} else {
		c.close()
	}
	return fault, err
}

// join makes one of both connections, until both sides ended.
func (x *exchange) join(c *engineConn) (fault, error) {
	defer c.close()
	x.conversing = nil
	x.kind, x.status, x.answer.begun, x.answer.whole = kindUpgrade, http.StatusSwitchingProtocols, true, true
	c.unbound() // such connections may be silent as long as they like
	if err := x.client.join(&x.answer.res, x.id, c, x.answer.rest); err != nil {
		return faultClient, err
	}
	return "", nil
}

// converse sends the request and takes the answer. What is held whole goes out in one write with the head,
// unless that would be another copy of something large.
func (x *exchange) converse(c *engineConn) error {
	room := x.headRoom()
	together := x.body.rest == nil && room+len(x.body.prefix) <= 64<<10
	if together {
		room += len(x.body.prefix)
	}
	x.out = x.router.buffers.get(room)
	if x.out == nil {
		return errHeadTooLarge
	}
	defer func() { x.router.buffers.put(x.out); x.out = nil }()
	request := x.appendHead(x.out.bytes[:0])
	if together {
		return c.converse(append(request, x.body.prefix...), x)
	}
	return x.stream(c, request)
}

var errHeadTooLarge = errors.New("the head of the request is too large to be passed on")

// stream sends a large body, or one that still comes, while the answer may come already.
func (x *exchange) stream(c *engineConn, head []byte) error {
	if _, err := c.Write(head); err != nil {
		return fmt.Errorf("writing to the engine: %w", err)
	}
	sent := make(chan error, 1)
	x.sending, x.sent = true, sent // the request's bytes are not to be given back
	if x.body.rest != nil {
		x.body.touched.Store(true) // what is read of it from now on is not kept
	}
	go func() {
		err := x.sendBody(c)
		if err != nil && x.body.clientError() != nil {
			c.interrupt() // what came of the body is no request
		}
		sent <- err
	}()
	err := c.converse(nil, x)
	c.wrote = true
	if x.stillSends() { // the answer came first, or there is none: nobody wants the rest
		x.answer.early = true
		if x.body.rest != nil {
			x.body.close()
			x.client.drop()
		}
		c.interrupt()
		<-sent //nolint:errcheck // it was ended here
	}
	x.sending = false
	return err
}

// stillSends tells whether some of the request's body is still to be sent.
func (x *exchange) stillSends() bool {
	if !x.sending {
		return false
	}
	select {
	case err := <-x.sent:
		x.sending, x.answer.early = false, err != nil // then half a request is on the connection
	default:
	}
	return x.sending
}

// sendBody writes a body after its head: of a known length as it is, otherwise in chunks.
func (x *exchange) sendBody(c *engineConn) error {
	b := x.body
	if b.rest == nil {
		_, err := c.Write(b.prefix)
		return err
	}
	const room = 32 // for a chunk's line before, and CR LF after
	chunked := b.length < 0
	piece := x.router.buffers.get(64 << 10)
	defer x.router.buffers.put(piece)
	from := io.MultiReader(bytes.NewReader(b.prefix), b)
	for {
		n, err := from.Read(piece.bytes[room : len(piece.bytes)-room])
		if n > 0 {
			out := piece.bytes[room : room+n]
			if chunked {
				var line [16]byte
				head := http1.AppendChunkHead(line[:0], n)
				out = piece.bytes[room-len(head) : room+n+2]
				copy(out, head)
				copy(out[len(head)+n:], "\r\n")
			}
			c.bear(time.Now())
			if _, err := c.Write(out); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			if chunked {
				_, err = c.Write(append([]byte("0\r\n"), x.client.trailers()...))
				return err
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
