package router

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// outlook is what is known of the routes of a service that are not there yet, by the table in force. It is
// never changed once it is published.
type outlook struct {
	ready   int  // routes that may be given something
	zero    bool // no route is wanted
	wakes   bool
	readyAt time.Time
	broken  string
	retryAt time.Time
}

func outlookOf(s *Service, ready int) *outlook {
	return &outlook{ready: ready, zero: s.Zero, wakes: s.Wakes, readyAt: s.ReadyAt, broken: s.Broken, retryAt: s.RetryAt}
}

// eta is when a route is expected to answer, in whole seconds, at least one; 0 where one does, or nobody knows.
func (o *outlook) eta(now time.Time) time.Duration {
	if o.ready > 0 || o.readyAt.IsZero() {
		return 0
	}
	return time.Duration(seconds(max(o.readyAt.Sub(now), time.Second))) * time.Second
}

// hopeless tells that starts fail, and that the next one is not due yet: nobody need wait.
func (o *outlook) hopeless(now time.Time) bool {
	return o.ready == 0 && o.broken != "" && (o.wakes || !o.zero) && (o.retryAt.IsZero() || now.Before(o.retryAt))
}

const (
	leastRetry = time.Second
	mostRetry  = time.Minute // clients that are told more give up
)

// retryAfter is when to come again: when a route is expected where that is known, else after otherwise.
func (o *outlook) retryAfter(now time.Time, otherwise time.Duration) time.Duration {
	if eta := o.eta(now); eta > 0 {
		otherwise = eta
	}
	return min(max(otherwise, leastRetry), mostRetry)
}

const wordsLen = 3 << 10 // bytes of an engine's last words, repeated to clients

// startFailed says with the engine's last words why nobody need wait for name.
func (o *outlook) startFailed(name string, now time.Time) *Refusal {
	after, next := leastRetry, ""
	if !o.retryAt.IsZero() {
		wait := max(o.retryAt.Sub(now), leastRetry)
		after = min(wait, mostRetry)
		next = fmt.Sprintf(" (the next try is in %d s)", seconds(wait))
	}
	return unavailable("start_failed", fmt.Sprintf("The service %q does not start%s: %s", name, next, clipTo(strings.TrimSpace(o.broken), wordsLen)), after)
}

// waking says that a start is under way, or about to be, for a service of which nobody may wait or has waited too long.
func (o *outlook) waking(name string, now time.Time, otherwise time.Duration) *Refusal {
	text := fmt.Sprintf("The service %q was scaled to zero and is being started.", name)
	if eta := o.eta(now); eta > 0 {
		text += fmt.Sprintf(" It is expected to answer in %d s.", seconds(eta))
	}
	after := o.retryAfter(now, otherwise)
	f := unavailable("no_route", text+fmt.Sprintf(" Try again in %d seconds.", seconds(after)), after)
	f.eta = o.eta(now)
	return f
}

// seconds is d in whole ones, no fewer.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// full says that as many wait for a service as may.
func (x *exchange) full(after time.Duration) *Refusal {
	s, now := x.service, time.Now()
	o := s.outlook.Load()
	after = o.retryAfter(now, after)
	return &Refusal{
		Status: http.StatusTooManyRequests, Type: "requests", Code: "queue_full", RetryAfter: after, eta: o.eta(now),
		Message: fmt.Sprintf("%d requests wait for the service %q already, as many as may. Try again in %d seconds.", s.line.Depth(), s.Name, seconds(after)),
	}
}

// needed tells whoever starts routes that a request wants one, and none can answer.
func (x *exchange) needed() {
	if held := x.router.observers.Held; held != nil && x.service.outlook.Load().ready == 0 {
		held(x.service.ID)
	}
}
