package router

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// outlook is a service by the table that is in force, for those who came by an earlier one and wait since. It is
// never changed once it is published.
type outlook struct {
	*Service
	ready int // routes that may be given something
}

// eta is when a route is expected to answer, in whole seconds, at least one; 0 where one does, or nobody knows.
func (o *outlook) eta(now time.Time) time.Duration {
	if o.ready > 0 || o.ReadyAt.IsZero() {
		return 0
	}
	return time.Duration(seconds(max(o.ReadyAt.Sub(now), time.Second))) * time.Second
}

// hopeless tells that nobody need wait: no route is wanted, or starts fail and the next one is not due yet.
func (o *outlook) hopeless(now time.Time) bool {
	switch {
	case o.ready > 0:
		return false
	case o.Zero && !o.Wakes:
		return true
	}
	return o.Broken != "" && (o.RetryAt.IsZero() || now.Before(o.RetryAt))
}

// sorry says why it is hopeless.
func (o *outlook) sorry(now time.Time) *Refusal {
	if o.Zero && !o.Wakes {
		return o.noRoute(now, 0)
	}
	return o.startFailed(now)
}

const (
	leastRetry = time.Second
	mostRetry  = time.Minute     // clients that are told more give up
	retryLater = 5 * time.Second // when to look again for a route that starts, where nothing is known of it
)

// retryAfter is when to come again: when a route is expected where that is known, else after otherwise.
func (o *outlook) retryAfter(now time.Time, otherwise time.Duration) time.Duration {
	if eta := o.eta(now); eta > 0 {
		otherwise = eta
	}
	return min(max(otherwise, leastRetry), mostRetry)
}

const wordsLen = 3 << 10 // bytes of an engine's last words, repeated to clients

// startFailed says with the engine's last words why nobody need wait.
func (o *outlook) startFailed(now time.Time) *Refusal {
	after, next := leastRetry, ""
	if !o.RetryAt.IsZero() {
		wait := max(o.RetryAt.Sub(now), leastRetry)
		after = min(wait, mostRetry)
		next = fmt.Sprintf(" (the next try is in %d s)", seconds(wait))
	}
	return unavailable("start_failed", fmt.Sprintf("The service %q does not start%s: %s", o.Name, next, clipTo(strings.TrimSpace(o.Broken), wordsLen)), after)
}

// noRoute says why nobody can take a request now, and when to come again; after 0 is a guess.
func (o *outlook) noRoute(now time.Time, after time.Duration) *Refusal {
	eta := o.eta(now)
	if !o.Zero || !o.Wakes {
		f := noRoute(*o.Service, min(cmp.Or(eta, after), mostRetry))
		f.eta = eta
		return f
	}
	after = o.retryAfter(now, cmp.Or(after, retryLater))
	text := fmt.Sprintf("The service %q was scaled to zero and is being started", o.Name)
	if o.Held != "" {
		text = fmt.Sprintf("The service %q was scaled to zero and cannot be started now: %s", o.Name, o.Held)
	}
	return unavailable("no_route", text+"."+tryAgain(after), after)
}

// noRoute says why nobody can take a request now, and when to come again; after 0 is a guess.
func noRoute(s Service, after time.Duration) *Refusal {
	draining, off, lost := 0, 0, 0
	for _, t := range s.Routes {
		switch {
		case t.Lost:
			lost++
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
	if lost > 0 {
		text += fmt.Sprintf(" (%d on boxes that are silent)", lost)
	}
	if s.Held != "" {
		text += ": " + s.Held
	}
	if s.Zero {
		return unavailable("scaled_to_zero", fmt.Sprintf("The service %q is scaled to zero, and nothing starts it by itself. Its owner does: `palisade service scale %s 1`.", s.Name, s.Name), time.Minute)
	}
	if after == 0 {
		after = retryLater
	}
	return unavailable("no_route", text+"."+tryAgain(after), after)
}

// tryAgain is the end of a refusal that says when to come again.
func tryAgain(after time.Duration) string { return fmt.Sprintf(" Try again in %d s.", seconds(after)) }

// seconds is d in whole ones, no fewer.
func seconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// full says that as many wait for a service as may.
func (x *exchange) full(after time.Duration) *Refusal {
	s, now := x.service, time.Now()
	o := s.outlook.Load()
	after = o.retryAfter(now, after)
	return &Refusal{
		Status: http.StatusTooManyRequests, Type: "requests", Code: "queue_full", RetryAfter: after, eta: o.eta(now),
		Message: fmt.Sprintf("%d requests wait for the service %q already, as many as may.", s.line.Depth(), s.Name) + tryAgain(after),
	}
}

// needed tells whoever starts routes that a request wants one, and none can answer.
func (x *exchange) needed() {
	if held := x.router.observers.Held; held != nil && x.service.outlook.Load().ready == 0 {
		held(x.service.ID)
	}
}
