package router

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-run/palisade/router/balance"
	"github.com/palisade-run/palisade/router/scan"
	"github.com/palisade-run/palisade/router/waiting"
)

// acquire takes a route, at once or after those that wait already.
func (x *exchange) acquire() *Refusal {
	s := x.service
	s.balance.Earn()
	x.ask.Now = x.start
	switch s.Traffic.Balance.Policy {
	case balance.SessionAffinity:
		x.ask.Key = x.session()
	case balance.Prefix:
		if body := x.body.prefix; x.read && len(body) > 0 {
			x.ask.Prompt = func(yield func([]byte) bool) { scan.Prompt(body, yield) }
		}
	}
	return x.find()
}

// find takes a route, at once or after those that wait already, for what is known of the request.
func (x *exchange) find() *Refusal {
	s := x.service
	if !s.line.Waiting() {
		r, verdict := s.balance.Acquire(&x.ask)
		if verdict == balance.Taken {
			x.took(r)
			return nil
		}
		if o, now := s.outlook.Load(), time.Now(); o.hopeless(now) {
			return o.sorry(now)
		}
		if s.Traffic.Hold.Most <= 0 {
			x.needed()
			return x.notNow(verdict, 0)
		}
	}
	return x.wait()
}

// took notes the route that is held from now on.
func (x *exchange) took(r *balance.Route) {
	x.route, _ = r.Value().(*route) // newRoute sees to it
	x.route.figures.Load().Begin()
}

// release gives the route back. elsewhere: the request goes to another one.
func (x *exchange) release(elsewhere bool) {
	if x.route == nil {
		return
	}
	if elsewhere {
		x.route.figures.Load().Leave()
	}
	if x.route.Release() {
		x.route.upstream.closeIdle()
	}
	x.route = nil
	x.service.line.Freed(x.now, x.answer.started)
}

// wait waits for a route, in line with others.
func (x *exchange) wait() *Refusal {
	s := x.service
	began := time.Now()
	x.now = began
	s.figures.Waits(1)
	defer func() {
		s.figures.Waits(-1)
		x.now = time.Now()
		x.held += x.now.Sub(began)
	}()
	var taken *balance.Route
	var hopeless *outlook
	verdict := balance.None
	ask := &waiting.Ask{
		Token: x.payerName(), Now: began, Waits: x.needed,
		Try: func(now time.Time) waiting.Outcome {
			x.ask.Now = now
			if taken, verdict = s.balance.Acquire(&x.ask); verdict == balance.Taken {
				return waiting.Taken
			}
			if o := s.outlook.Load(); o.hopeless(now) {
				hopeless = o
				return waiting.Refused
			}
			return waiting.NotYet
		},
	}
	if x.streams() {
		ask.Every, ask.Still = heartbeat, x.ping
	}
	err := s.line.Wait(x.client.context(), ask)
	switch {
	case err == nil && hopeless != nil:
		return hopeless.sorry(time.Now())
	case err == nil:
		x.took(taken)
		return nil
	case errors.Is(err, waiting.ErrFull):
		return x.full(time.Duration(s.line.RetryAfter(time.Now(), ask.Token)) * time.Second)
	case errors.Is(err, waiting.ErrTimeout):
		f := x.notNow(verdict, time.Duration(s.line.RetryAfter(time.Now(), ask.Token))*time.Second)
		f.Message = fmt.Sprintf("No route of the service %q became free within %s. ", s.Name, s.Traffic.Hold.Timeout) + f.Message
		return f
	case errors.Is(err, errServiceGone):
		return notFound(x.address, s.Name)
	}
	return clientGone()
}

// notNow says why no route takes the request, and when to come again; after 0 is a guess.
func (x *exchange) notNow(v balance.Verdict, after time.Duration) *Refusal {
	if v != balance.Busy {
		return x.service.outlook.Load().noRoute(time.Now(), after)
	}
	after = max(after, time.Second)
	return unavailable("routes_busy", fmt.Sprintf("Every route of the service %q has as many requests as it may (%d).",
		x.service.Name, x.service.Traffic.Balance.Limit)+tryAgain(after), after)
}

// payerName says whose turn it is in line: a token's, or an address's where there is none.
func (x *exchange) payerName() string {
	if x.who.token != nil {
		return x.who.token.ID
	}
	return strings.Clone(x.call.remote)
}

// sessionSeed is one for all routers of the process, so that a session stays where it is when its service
// is set anew.
var sessionSeed = maphash.MakeSeed()

// session is what names the session of the call: the service's header or cookie, else the body's user.
// 0: nothing does.
func (x *exchange) session() uint64 {
	t := &x.service.Traffic
	name := ""
	if t.AffinityHeader != "" {
		name = x.call.field(strings.ToLower(t.AffinityHeader))
	}
	if name == "" && t.AffinityCookie != "" {
		name = x.call.cookie(t.AffinityCookie)
	}
	if name == "" && x.scan != nil {
		name = text(x.scan.User())
	}
	if name == "" {
		return 0
	}
	return max(maphash.String(sessionSeed, name), 1)
}

// streams tells whether the client has asked for events.
func (x *exchange) streams() bool {
	return x.scan != nil && x.scan.Stream() && (x.kind == kindChat || x.kind == kindCompletions || x.kind == kindResponses || x.kind == kindMessages)
}

const heartbeat = 10 * time.Second // before that a status can still be chosen

// ping tells a client that waits for a stream that it is not forgotten. With the first one the answer has
// begun: what is wrong after it is told by an event.
func (x *exchange) ping() error {
	x.told = time.Now()
	if !x.pinged {
		x.pinged = true
		x.status = http.StatusOK
		x.client.status(http.StatusOK, nil)
		x.client.header([]byte("Content-Type"), []byte("text/event-stream"))
		x.client.header([]byte("Cache-Control"), []byte("no-cache"))
		if eta := x.service.outlook.Load().eta(x.told); eta > 0 {
			x.client.header([]byte(etaHeader), strconv.AppendInt(nil, int64(seconds(eta)), 10))
		}
		if x.opensPages() {
			x.openPage()
		}
		x.limitHeaders()
		x.client.header(nameRequestID, x.id)
		x.client.begin(-1, false)
	}
	if err := x.client.write([]byte(": ping\n\n"), true); err != nil {
		x.aborted = true
		return context.Canceled
	}
	return nil
}

// apologize ends with f an answer that a ping has begun.
func (x *exchange) apologize(f *Refusal) {
	if x.client.write(f.event(x.shape), false) != nil || x.client.end(nil) != nil {
		x.aborted = true
	}
}
