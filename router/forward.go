package router

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// Bounds of what is tried for one request.
const (
	maxRetries = 2 // other routes
	maxStale   = 3 // kept connections of one route that were found closed
)

// statusClientGone is what logs and metrics call a request whose client went before an answer.
const statusClientGone = 499

var errSilence = errors.New("nothing came from the engine for too long")

// attempt is one try at one route.
type attempt struct {
	x *exchange

	mu      sync.Mutex // hooks run on the transport's goroutines
	over    bool       // no more 1xx to the client
	began   bool       // a byte of the answer came
	conn    *engineConn
	wroteAt int64 // what had been written on conn before this request
}

// forward finds a route that takes the request and passes its answer on.
func (x *exchange) forward() *Refusal {
	ctx, cancel := context.WithCancelCause(x.req.Context())
	defer cancel(nil)
	silence := x.router.config.Silence
	watch := time.AfterFunc(silence, func() { cancel(errSilence) })
	defer watch.Stop()
	x.body.progress = func() { watch.Reset(silence) }

	balance := &x.service.balance
	if x.slot = balance.acquire(x.start); x.slot == nil {
		return noRoute(x.service.Service)
	}
	header := x.engineHeader()
	tried := make([]*route, 0, maxRetries+1)
	for stale := 0; ; {
		t := x.slot.route
		a := &attempt{x: x}
		res, err := a.send(ctx, t, header)
		fault := a.judge(ctx, err)
		if fault == faultStale && stale < maxStale && x.body.replayable() {
			// Others that idled as long are no better; the route itself may be well.
			if stale++; stale > 1 {
				t.transport.CloseIdleConnections()
			}
			continue
		}
		reason := retryReason(fault, res)
		if reason == "connect" || reason == "reset" {
			t.avoid.failed(time.Now())
		}
		if reason != "" && len(tried) < maxRetries && x.body.replayable() && ctx.Err() == nil {
			tried = append(tried, t)
			if next := balance.another(time.Now(), tried); next != nil {
				x.giveUp(t, res, fault, reason)
				x.slot = next
				continue
			}
		}
		if err != nil {
			return x.failed(fault, err)
		}
		t.avoid.worked()
		if res.ContentLength < 0 && a.conn != nil && res.StatusCode != http.StatusSwitchingProtocols {
			a.conn.spend()
			defer a.conn.Close()
		}
		x.deliver(&answer{res: res, attempt: a, ctx: ctx, cancel: cancel, watch: watch, silence: silence})
		return nil
	}
}

// giveUp leaves a route for another.
func (x *exchange) giveUp(t *route, res *http.Response, fault fault, reason string) {
	if res != nil {
		_ = res.Body.Close() // its connection may be lost; the answer said that nothing was done
	}
	if fault != "" {
		x.service.metrics.fault(fault)
	}
	t.errors.Add(1)
	x.slot.release()
	x.retries++
	x.service.metrics.retry(reason)
}

// engineHeader is what every route that is tried gets.
func (x *exchange) engineHeader() http.Header {
	return engineHeader(x.req.Header, incoming{
		remote: x.req.RemoteAddr, host: x.req.Host, secure: x.req.TLS != nil, id: x.id,
		prefix: x.address.Prefix, trusted: x.router.config.TrustForwarded,
	}, x.service.Service)
}

// send writes the request and gives the head of the answer.
func (a *attempt) send(ctx context.Context, t *route, header http.Header) (*http.Response, error) {
	x := a.x
	payload, err := x.body.open()
	if err != nil {
		return nil, err
	}
	u := &url.URL{Scheme: "http", Host: t.addr, RawQuery: x.req.URL.RawQuery, ForceQuery: x.req.URL.ForceQuery}
	if path := x.address.Path; len(path) > 1 && path[1] == '/' {
		u.Path, u.RawPath = unescaped(path), path // net/url would take // for a host
	} else {
		u.Opaque = path // to the byte
	}
	out := &http.Request{
		Method: x.req.Method, URL: u, Host: x.req.Host, Header: header, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: payload, GetBody: x.body.open, ContentLength: x.body.length,
	}
	if x.body.rest != nil && len(x.req.Trailer) > 0 {
		out.Trailer = x.req.Trailer // the server fills it when the body ends
	}
	res, err := t.transport.RoundTrip(out.WithContext(httptrace.WithClientTrace(ctx, a.trace())))
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	return res, err
}

func unescaped(path string) string {
	plain, err := url.PathUnescape(path)
	if err != nil { // climbs refused it before
		return path
	}
	return plain
}

// trace watches how far the request gets, and passes on what is said before the answer.
func (a *attempt) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.began = false
			if a.conn, _ = info.Conn.(*engineConn); a.conn != nil {
				a.wroteAt = a.conn.written.Load()
				a.conn.begin()
			}
		},
		GotFirstResponseByte: func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.began = true
		},
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if a.over || code == http.StatusContinue { // the router has asked for the body itself
				return nil
			}
			h := a.x.w.Header()
			kept := h.Clone()
			endToEnd(h, http.Header(header), nil)
			a.x.w.WriteHeader(code)
			clear(h)
			maps.Copy(h, kept)
			return nil
		},
	}
}

// What judge finds besides the faults of routes. They are never counted as one.
const (
	faultStale  fault = "stale"  // nothing was read: a kept connection was closed
	faultClient fault = "client" // the client went, or its body did
)

// judge tells what an error of send means. Nothing was processed, and another route may do it, with
// faultConnect; and with faultReset, which kernels send where bytes were left unread: who read its
// request and then died is seen as an end without an answer, and that is faultBroken.
func (a *attempt) judge(ctx context.Context, err error) fault {
	if err == nil {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var op *net.OpError
	switch {
	case errors.Is(context.Cause(ctx), errSilence):
		return faultSilence
	case ctx.Err() != nil, a.x.body.clientError() != nil:
		return faultClient
	case a.conn == nil && errors.As(err, &op) && op.Op == "dial":
		return faultConnect
	case a.conn == nil || a.began:
		return faultBroken
	case a.conn.written.Load() == a.wroteAt:
		return faultStale
	case !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE):
		return faultBroken
	case a.wroteAt > 0:
		return faultStale // it had carried a request before, and was closed as the next one came
	}
	return faultReset
}

// retryReason is why another route may take the request: nothing was processed. "" where that is not
// known.
func retryReason(f fault, res *http.Response) string {
	switch {
	case f == faultConnect, f == faultReset:
		return string(f)
	case f == faultStale:
		return string(faultReset)
	case f == "" && res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "0":
		return "busy"
	}
	return ""
}

// failed is the answer to a request of which no route began one.
func (x *exchange) failed(f fault, err error) *Refusal {
	if f == faultClient {
		if bad := x.body.clientError(); bad != nil && x.req.Context().Err() == nil {
			return refuseBody(bad, x.router.config.BodyLimit)
		}
		return &Refusal{Status: statusClientGone, Type: invalidRequest, Code: "client_closed_request", Message: "The client closed the request."}
	}
	if f == faultStale {
		f = faultReset
	}
	x.fault, x.err = f, err
	x.service.metrics.fault(f)
	name := x.service.Name
	switch f {
	case faultConnect, faultReset:
		return unavailable("route_unreachable", fmt.Sprintf("No route of the service %q could be reached. Try again in a moment.", name), time.Second)
	case faultSilence:
		return &Refusal{
			Status: http.StatusGatewayTimeout, Type: serverError, Code: "engine_silent",
			Message: fmt.Sprintf("The engine of %q was silent for %s, so its answer was given up.", name, x.router.config.Silence),
		}
	}
	return &Refusal{
		Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed",
		Message: fmt.Sprintf("The engine of %q ended the connection before it answered.", name),
	}
}

const retryLater = 5 * time.Second // when to look again for a route that starts

// noRoute says why nobody can take a request now.
func noRoute(s Service) *Refusal {
	draining, off := 0, 0
	for _, t := range s.Routes {
		switch {
		case t.Draining:
			draining++
		case !(t.Weight > 0):
			off++
		}
	}
	text := fmt.Sprintf("The service %q has no route that can answer now", s.Name)
	if s.Status != "" {
		text = fmt.Sprintf("The service %q is %s and has no route that can answer now", s.Name, s.Status)
	}
	switch {
	case draining > 0 && off > 0:
		text += fmt.Sprintf(" (%d draining, %d taken out of the balance)", draining, off)
	case draining > 0:
		text += fmt.Sprintf(" (%d draining)", draining)
	case off > 0:
		text += fmt.Sprintf(" (%d taken out of the balance)", off)
	}
	return unavailable("no_route", text+fmt.Sprintf(". Try again in %d seconds.", retryLater/time.Second), retryLater)
}
