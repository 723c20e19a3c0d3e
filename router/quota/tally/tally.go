// Package tally counts requests for limits over several boxes, and over two processes of one box, in Redis.
//
// It owns what is kept there, the way to it, and how a box goes on when it cannot be had. What a limit means is
// router/quota's; who a subject is, or what a request is, it does not know.
//
// One script lets requests in, each for all that it counts for; requests that come at the same time share one round trip, and what
// they have in common is read and written once. All keys have one hash tag: they lie on one node of a Redis cluster. All time is Redis's.
//
// What each box has counted is kept apart in Redis, beside the sums, and each box counts its own in memory as well (quota.Subject).
// So after whatever went wrong - an answer that was lost, a time alone, a Redis that came back empty - a box puts what it
// has itself in the place of what Redis has of it. That is true however often it is said, and nothing has to be remembered of
// single requests. Before it does, it takes a greater epoch: what it sent under the one before and is still on its way
// is refused by the scripts.
//
// A box is in one of three modes:
//
//   - together: Redis lets requests in. The first call that fails or takes longer than Options.Bound ends it.
//   - alone: this box lets them in, by its share of each limit and what it last heard of the others.
//   - pausing: requests wait, for a part of Options.Bound, while the last of what was counted alone is put into Redis.
package tally

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/palisade-run/palisade/router/quota"
)

// Options of a Counter. What is zero has a default.
type Options struct {
	URL      string      // redis://[user:password@]host:port/db, rediss://..., unix:///path
	Password string      // in the place of the URL's
	TLS      *tls.Config // with rediss://; nil: the system's roots
	Prefix   string      // of all keys; "palisade". Appliances that share a Redis have different ones
	Box      string      // the box's name; each process adds something of its own to it
	Boxes    int         // that share the limits when they cannot be counted together; 0: those seen last

	Bound    time.Duration // the most that a request waits for an answer: 50 ms
	Lease    time.Duration // what a box that is silent for so long had in flight is given back: 5 s
	Settling time.Duration // how long after a Redis came back empty it is asked again: others put back what they know first. 2 s

	Log      *slog.Logger
	Registry prometheus.Registerer
}

// Mode is how requests are let in.
type Mode string

// The modes.
const (
	Together Mode = "together"
	Alone    Mode = "alone"
	pausing  Mode = "pausing"
)

// Status is how a Counter stands.
type Status struct {
	Mode  Mode
	Since time.Time
	Boxes int    // that count together, or did when they last could
	Cause string // why they do not; "" where they do
}

// Counter implements quota.Counter. All its methods may be called by many at once.
type Counter struct {
	o       Options
	name    string // of this process among the boxes
	client  *redis.Client
	queue   chan *call
	trouble chan struct{} // of size 1: together is over
	first   chan struct{} // closed when counts were first shared
	figures figures
	tripped atomic.Int64 // round trips to Redis

	mu     sync.Mutex
	mode   Mode
	since  time.Time
	cause  error
	boxes  int
	epoch  int64
	outage int64
	over   chan struct{} // closed when the epoch's together is
	resume chan struct{} // closed when a pause is
	inside int           // calls that have read mode and not yet left
	calm   chan struct{} // while pausing: closed when nobody is inside
	late   []late        // settlements that came while pausing

	book book
}

type late struct {
	now time.Time
	quota.Settlement
}

// Open makes a counter; it asks nobody before Run. Errors are of the URL.
func Open(o Options) (*Counter, error) {
	at, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, fmt.Errorf("reading the URL of Redis: %w", withoutURL(err))
	}
	o.Prefix, o.Box = cmp.Or(o.Prefix, "palisade"), cmp.Or(o.Box, "box")
	o.Bound, o.Lease, o.Settling = cmp.Or(o.Bound, 50*time.Millisecond), cmp.Or(o.Lease, 5*time.Second), cmp.Or(o.Settling, 2*time.Second)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Password != "" {
		at.Password = o.Password
	}
	if at.TLSConfig != nil && o.TLS != nil {
		name := at.TLSConfig.ServerName
		at.TLSConfig = o.TLS.Clone()
		at.TLSConfig.ServerName = cmp.Or(at.TLSConfig.ServerName, name)
	}
	at.ContextTimeoutEnabled, at.MaxRetries, at.DialerRetries = true, -1, 1
	at.DialTimeout, at.ReadTimeout, at.WriteTimeout = time.Second, time.Second, time.Second
	at.PoolSize, at.MinIdleConns, at.DisableIdentity = 4, 2, true // the carrier, the keeper
	quiet()
	c := &Counter{
		o: o, name: o.Box + "." + strings.ToLower(rand.Text()[:8]), client: redis.NewClient(at),
		queue: make(chan *call, queued), trouble: make(chan struct{}, 1), first: make(chan struct{}),
		mode: Alone, since: time.Now(), cause: errNotAsked, boxes: 1, outage: 1,
		book: book{entries: map[*quota.Subject]*entry{}},
	}
	c.figures = newFigures(o.Registry, c)
	return c, nil
}

// withoutURL takes the URL, and the password in it, out of an error of net/url.
func withoutURL(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// Status of the counter.
func (c *Counter) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := Status{Mode: c.mode, Since: c.since, Boxes: c.share()}
	if st.Mode == pausing {
		st.Mode = Alone
	}
	if st.Mode == Alone && c.cause != nil {
		st.Cause = c.cause.Error()
	}
	return st
}

// share is how many boxes there are. mu is held.
func (c *Counter) share() int { return max(c.o.Boxes, c.boxes, 1) }

// Ready waits until counts are shared for the first time, or for ctx.
func (c *Counter) Ready(ctx context.Context) error {
	select {
	case <-c.first:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for counts to be shared: %w", errors.Join(context.Cause(ctx), errors.New(c.Status().Cause)))
	}
}

// visit is what a call found when it came in.
type visit struct {
	mode   Mode
	epoch  int64
	over   chan struct{}
	waited bool // for the end of a pause
}

// enter reads the mode, which means what it says until leave. It waits for the end of a pause.
func (c *Counter) enter() visit {
	v := visit{}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.mode == pausing {
		resume := c.resume
		v.waited = true
		c.mu.Unlock()
		<-resume // within Bound
		c.mu.Lock()
	}
	c.inside++
	v.mode, v.epoch, v.over = c.mode, c.epoch, c.over
	return v
}

func (c *Counter) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inside--
	if c.inside == 0 && c.calm != nil {
		close(c.calm)
		c.calm = nil
	}
}

// lost ends the together of an epoch.
func (c *Counter) lost(epoch int64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mode != Together || c.epoch != epoch {
		return
	}
	c.mode, c.since, c.cause = Alone, time.Now(), err
	c.outage++
	close(c.over)
	c.figures.outages.Inc()
	select {
	case c.trouble <- struct{}{}:
	default:
	}
}

// alone is how this box counts without the others.
func (c *Counter) alone() quota.Alone {
	c.mu.Lock()
	defer c.mu.Unlock()
	return quota.Alone{Boxes: c.share(), Outage: c.outage}
}

// Take implements quota.Counter. It waits for Bound at most.
func (c *Counter) Take(now time.Time, p quota.Payers, ask quota.Ask) (quota.Grant, quota.Refusal, bool) {
	q := p.Call(ask)
	if q.N == 0 {
		return quota.Grant{}, quota.Refusal{}, true
	}
	v := c.enter()
	defer c.leave()
	if v.mode == Together {
		a, err := c.ask(v, now, &q)
		if err == nil {
			return c.obey(now, &q, a)
		}
		// Whether Redis has counted it is not known, and does not matter: what is counted here takes its place.
		c.lost(v.epoch, err)
	}
	g, r, ok := q.TakeAlone(now, c.alone(), c)
	c.book.changed(q.Payers, now)
	c.figures.alone.Inc()
	return g, r, ok
}

// obey does what Redis said.
func (c *Counter) obey(now time.Time, q *quota.Call, a answer) (g quota.Grant, r quota.Refusal, ok bool) {
	if ok = a.ok; ok {
		g = q.CountIn(now, c)
	} else {
		r = q.Refuse(a.who, a.kind, a.used, a.after, a.until)
	}
	for i, s := range q.Payers[:q.N] {
		s.Hear(now, a.others[i])
	}
	c.book.seen(q.Payers, now)
	return g, r, ok
}

// Settle implements quota.Counter. It is counted here at once and sent with what goes to Redis next.
func (c *Counter) Settle(now time.Time, s quota.Settlement) {
	c.mu.Lock()
	if c.mode == pausing {
		c.late = append(c.late, late{now, s})
		c.mu.Unlock()
		return
	}
	c.inside++
	mode, epoch := c.mode, c.epoch
	c.mu.Unlock()
	defer c.leave()
	s.CountOut(now)
	if mode == Together {
		c.book.seen(s.Payers, now)
		k := &call{epoch: epoch, reserved: s.Reserved, used: s.Used}
		k.about(now, s.Payers)
		if c.send(k) {
			return
		}
		c.lost(epoch, errFull)
	}
	c.book.changed(s.Payers, now)
}

// Charge implements quota.Counter. Together, whoever let the request in has told the others itself.
func (c *Counter) Charge(now time.Time, p quota.Payers, used int64) {
	v := c.enter()
	defer c.leave()
	if v.mode == Together {
		return
	}
	for _, s := range p {
		s.Charge(now, used)
	}
	c.book.changed(p, now)
}

// Close gives up a counter that Run was never called for.
func (c *Counter) Close() error { return c.client.Close() }
