package router

import (
	"errors"
	"net/http"
	"time"
)

// A box that falls silent answers no more, and says nothing of it: who waits for an answer from there would wait until somebody gives
// the connection up. So whoever knows that it is silent says so in the table, and what may be asked again is asked of another route.

var errLost = errors.New("the box of the route is silent")

// setLost says whether the route's box is silent while there are other routes.
func (e *upstream) setLost(lost bool) {
	e.mu.Lock()
	e.lost = lost
	var all []*engineConn
	if lost {
		for c := range e.made {
			all = append(all, c)
		}
	}
	e.mu.Unlock()
	for _, c := range all {
		c.forsake()
	}
}

// forsake has the request that the connection carries go elsewhere, where that may be; it comes from any goroutine.
func (c *engineConn) forsake() {
	c.forsaken.Store(true)
	c.bearing.Lock()
	defer c.bearing.Unlock()
	if c.Conn != nil && !c.free {
		_ = c.SetReadDeadline(past)
	}
}

// stays tells whether a connection that was forsaken goes on with what it carries, and has it do so: where an answer has begun, where
// the request may have been read and is not to be asked twice, and where there is nowhere else for it to go.
func (c *engineConn) stays() bool {
	if !c.forsaken.Load() || c.interrupted.Load() {
		return false
	}
	unread := len(c.request) > 0 && !c.wrote
	if (unread || c.yields && !c.began) && c.to.leaves() {
		return false
	}
	c.forsaken.Store(false)
	c.bearing.Lock()
	c.until = time.Time{}
	c.borne.Store(0)
	c.bearing.Unlock()
	c.bear(time.Now())
	return true
}

// leaves is part of sink: a request of which nothing came leaves its route where another one takes it, or where it may wait for one.
func (x *exchange) leaves() bool {
	if x.mayRetry() && !x.client.left() {
		x.answer.next = x.another()
	}
	return x.answer.next != nil || x.mayWait()
}

// yields tells whether the request may be asked of another route though this one may have done it, or does: it is one whose answer is all
// that comes of it.
func (x *exchange) yields() bool {
	switch x.call.method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return x.call.upgrade == ""
	case http.MethodPost:
	default:
		return false
	}
	switch x.kind {
	case kindChat, kindCompletions, kindEmbeddings, kindRerank, kindAudio, kindImages:
		return true
	case kindMessages, kindResponses: // and no deeper: what is there is kept by the engine
		return x.address.Path == "/v1/messages" || x.address.Path == "/v1/responses"
	}
	return false
}
