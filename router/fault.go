package router

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"syscall"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/http1"
)

// fault is what went wrong with a route, a label of few values.
type fault string

// The faults of routes.
const (
	faultConnect fault = "connect" // no connection was had
	faultReset   fault = "reset"   // the connection was reset before the answer began
	faultBroken  fault = "broken"  // the answer did not begin
	faultCut     fault = "cut"     // the answer began and did not end
	faultSilence fault = "silence" // nothing came for too long
	faultLost    fault = "lost"    // its box fell silent before the answer began
	faultUpgrade fault = "upgrade" // it switched to what was not asked for
)

// What judge finds besides the faults of routes. They are never counted as one.
const (
	faultStale  fault = "stale"  // nothing was read: a kept connection was closed
	faultClient fault = "client" // the client went, or its body did
)

// judge tells what the end of a conversation means. Nothing was processed, and another route may do it,
// with faultConnect; and with faultReset, which kernels send where bytes were left unread: who read its
// request and then died is seen as an end without an answer, and that is faultBroken.
func (x *exchange) judge(c *engineConn, err error) fault {
	a := &x.answer
	switch {
	case a.next != nil && errors.Is(err, errLost):
		return faultLost
	case a.whole || a.next != nil:
		return ""
	case errors.Is(err, errSwitched):
		return faultUpgrade
	case x.aborted || x.client.left() || x.body.clientError() != nil:
		return faultClient
	case errors.Is(err, errLost):
		return faultLost
	case err != nil && errors.Is(err, os.ErrDeadlineExceeded):
		return faultSilence
	case a.begun:
		return faultCut
	case c.began || err == nil:
		return faultBroken
	case !c.wrote:
		return faultStale
	case !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE):
		return faultBroken
	case c.used:
		return faultStale // it had carried a request before, and was closed as the next one came
	}
	return faultReset
}

// retryReason is why another route may take the request: nothing was processed, or nothing but the answer is lost. "" where that is not
// known.
func retryReason(f fault) string {
	switch f {
	case faultConnect, faultReset, faultLost:
		return string(f)
	case faultStale:
		return string(faultReset)
	}
	return ""
}

// elsewhere gives another route where the engine says that it did nothing and that others may: 503 with
// Retry-After: 0.
func (x *exchange) elsewhere(res *http1.Response) *balance.Route {
	if res.Status != http.StatusServiceUnavailable || string(res.RetryAfter) != "0" || !x.mayRetry() {
		return nil
	}
	return x.another()
}

// ended is what is left to do where the client has seen an answer, or a part of it.
func (x *exchange) ended(t *route, f fault, err error) {
	switch f {
	case "":
		if x.answer.res.Status >= http.StatusBadGateway && x.answer.res.Status <= http.StatusGatewayTimeout {
			t.Failed(time.Now(), balance.Gateway)
		} else {
			t.Worked()
		}
	case faultClient:
		x.aborted = true
		x.client.cut()
	default:
		t.Worked() // it did answer
		x.cut(f, err)
	}
}

// failed is the answer to a request of which no route began one.
func (x *exchange) failed(f fault, err error) *Refusal {
	if f == faultClient {
		// net/http takes who breaks the rules in a body, or stops in it, for a client that went.
		bad := x.body.clientError()
		if isMalformed(bad) || errors.Is(bad, os.ErrDeadlineExceeded) || bad != nil && !x.client.left() {
			return refuseBody(bad, x.router.config.BodyLimit)
		}
		return clientGone()
	}
	if errors.Is(err, errHeadTooLarge) {
		return &Refusal{Status: http.StatusRequestHeaderFieldsTooLarge, Type: invalidRequest, Code: "headers_too_large", Message: "The headers of the request are too large."}
	}
	if f == faultStale {
		f = faultReset
	}
	x.fault, x.err = f, err
	x.service.metrics.fault(f)
	if f == faultBroken || f == faultSilence {
		x.route.Failed(time.Now(), balance.Gateway)
	}
	name := x.service.Name
	switch f {
	case faultConnect, faultReset, faultLost:
		return unavailable("route_unreachable", fmt.Sprintf("No route of the service %q could be reached. Try again in a moment.", name), time.Second)
	case faultSilence:
		return &Refusal{
			Status: http.StatusGatewayTimeout, Type: serverError, Code: "engine_silent",
			Message: fmt.Sprintf("The engine of %q was silent for %s, so its answer was given up.", name, x.router.config.Silence),
		}
	case faultUpgrade:
		return &Refusal{
			Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed",
			Message: fmt.Sprintf("The engine of %q switched to another protocol than was asked for.", name),
		}
	}
	return &Refusal{
		Status: http.StatusBadGateway, Type: serverError, Code: "engine_failed",
		Message: fmt.Sprintf("The engine of %q ended the connection before it answered.", name),
	}
}

// statusClientGone is what logs and metrics call a request whose client went before an answer.
const statusClientGone = 499

func clientGone() *Refusal {
	return &Refusal{Status: statusClientGone, Type: invalidRequest, Code: "client_closed_request", Message: "The client closed the request."}
}
