package record

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The windows of live figures.
const (
	ShortWindow = 10 * time.Second
	LongWindow  = time.Minute
)

// Live is what services and their routes do now. Requests only add to counters; once a second one goroutine reads off what
// came to them, and a window is the sum of such seconds. So a request takes no lock, and asks for no time of its own.
type Live struct {
	born time.Time

	mu       sync.Mutex // guards what follows, and the past of every meter
	services map[string]*LiveService
	rolls    []time.Time      // when seconds were read off, oldest first; as many as the long window takes
	kept     []time.Time      // when moments were put down, oldest first
	heard    map[string]heard // by box
}

// LiveService is one service's part. Its methods may be called on nil.
type LiveService struct {
	of       *Live
	row      LiveRow
	inFlight atomic.Int64
	waiting  atomic.Int64
	meter    // arrivals of all; the rest of those alone that no route took
	routes   map[string]*LiveRoute
	moments  []Moment             // oldest first; guarded by Live.mu
	others   map[string]elsewhere // by box; guarded by Live.mu
}

// LiveRoute is one route's part. Its methods may be called on nil.
type LiveRoute struct {
	id       string
	inFlight atomic.Int64
	goneAt   time.Time // it has left the table; guarded by Live.mu
	meter
}

// LiveRow is what Live must know of a service.
type LiveRow struct {
	ID, Name, Project string
	Routes            []string // their ids
}

// NewLive makes one without services. Run it.
func NewLive(now time.Time) *Live {
	return &Live{born: now, services: map[string]*LiveService{}, rolls: []time.Time{now}, heard: map[string]heard{}}
}

// Run reads off what came, once a second, until ctx ends.
func (l *Live) Run(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			l.roll(now)
		case <-ctx.Done():
			return
		}
	}
}

// Set says which services and routes there are. What those did that stay is kept; of routes that have gone it counts for
// their service until it is older than a window.
func (l *Live) Set(now time.Time, rows []LiveRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	next := make(map[string]*LiveService, len(rows))
	for _, row := range rows {
		s := l.services[row.ID]
		if s == nil {
			s = &LiveService{of: l, meter: meter{born: now}, routes: map[string]*LiveRoute{}}
		}
		s.row = row
		s.row.Routes = slices.Clone(row.Routes)
		for _, id := range s.row.Routes {
			if s.routes[id] == nil {
				s.routes[id] = &LiveRoute{id: id, meter: meter{born: now}}
			}
			s.routes[id].goneAt = time.Time{}
		}
		for id, r := range s.routes {
			if r.goneAt.IsZero() && !slices.Contains(s.row.Routes, id) {
				r.goneAt = now
			}
		}
		next[row.ID] = s
	}
	l.services = next
}

// Of gives a service of the table; nil where there is none, or no Live.
func (l *Live) Of(serviceID string) *LiveService {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.services[serviceID]
}

// Route gives a route of the table; nil where there is none.
func (s *LiveService) Route(id string) *LiveRoute {
	if s == nil {
		return nil
	}
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	return s.routes[id]
}

// Begin counts a request that is let through to the service.
func (s *LiveService) Begin() {
	if s != nil {
		s.inFlight.Add(1)
		s.begun.Add(1)
	}
}

// Waits counts requests that begin (1) or end (-1) to wait for a route.
func (s *LiveService) Waits(n int64) {
	if s != nil {
		s.waiting.Add(n)
	}
}

// Begin counts a request that the route is given.
func (r *LiveRoute) Begin() {
	if r != nil {
		r.inFlight.Add(1)
		r.begun.Add(1)
	}
}

// Leave counts a request that goes to another route instead.
func (r *LiveRoute) Leave() {
	if r != nil {
		r.inFlight.Add(-1)
		r.errors.Add(1)
	}
}

// First counts the time to an answer's first bytes, as soon as they are there: an answer may go on for minutes.
func (r *LiveRoute) First(after time.Duration) {
	if r != nil {
		r.first.add(after)
	}
}

// Tokens counts tokens of an answer that goes on: tell their number in Record.Told then.
func (r *LiveRoute) Tokens(n int64) {
	if r != nil {
		r.completion.Add(n)
	}
}

// End counts what a request did that has ended: once for each Begin of the service. route is the one whose Begin has no
// Leave; nil where there is none.
func (s *LiveService) End(route *LiveRoute, did *Record) {
	if s == nil {
		return
	}
	s.inFlight.Add(-1)
	m := &s.meter
	if route != nil {
		route.inFlight.Add(-1)
		m = &route.meter
	}
	m.ended.Add(1)
	if did.Failed() {
		m.errors.Add(1)
	}
	if did.Aborted {
		m.aborted.Add(1)
	}
	if n := did.Usage.Prompt; n != 0 {
		m.prompt.Add(n)
	}
	if n := did.Usage.Cached; n != 0 {
		m.cached.Add(n)
	}
	if n := did.Usage.Completion - did.Told; n != 0 {
		m.completion.Add(n)
	}
	if route != nil && !did.Aborted && did.Kind != kindUpgrade {
		m.took.add(did.Took)
	}
}

const kindUpgrade = "upgrade" // a connection that is passed on: how long it lived is no answer's time

// meter is the counters of a service or a route. They are only added to.
type meter struct {
	born                       time.Time
	begun, ended               atomic.Int64
	errors, aborted            atomic.Int64
	prompt, cached, completion atomic.Int64
	first, took                histogram
	past                       *past // nil until something came; guarded by Live.mu
}

// sums are the counters of a meter, at one moment or over a time.
type sums struct {
	begun, ended, errors, aborted, prompt, cached, completion int64
}

func (m *meter) read() sums {
	// In this order no request is seen to end that was not seen to begin.
	ended, errors, aborted := m.ended.Load(), m.errors.Load(), m.aborted.Load()
	return sums{
		begun: m.begun.Load(), ended: ended, errors: errors, aborted: aborted,
		prompt: m.prompt.Load(), cached: m.cached.Load(), completion: m.completion.Load(),
	}
}

func (s *sums) add(o sums) {
	s.begun += o.begun
	s.ended += o.ended
	s.errors += o.errors
	s.aborted += o.aborted
	s.prompt += o.prompt
	s.cached += o.cached
	s.completion += o.completion
}

func (s sums) minus(o sums) sums {
	return sums{s.begun - o.begun, s.ended - o.ended, s.errors - o.errors, s.aborted - o.aborted, s.prompt - o.prompt, s.cached - o.cached, s.completion - o.completion}
}

// second is what came to a meter between two looks.
type second struct {
	end time.Time // of the second look
	sums
	first, took []cell
}

// past is what came to a meter within the long window.
type past struct {
	last        sums // at the last look
	first, took [buckets]uint32
	seconds     []second // oldest first
}

// look reads off what came since the last look. busy tells that first bytes may have come though nothing has ended.
func (m *meter) look(now time.Time, busy bool) {
	read := m.read()
	if m.past == nil {
		if read == (sums{}) && !busy {
			return
		}
		m.past = &past{}
	}
	p := m.past
	for len(p.seconds) > 0 && now.Sub(p.seconds[0].end) > LongWindow+time.Second {
		p.drop()
	}
	came := read.minus(p.last)
	if came == (sums{}) && !busy {
		return
	}
	p.last = read
	s := p.next()
	s.end, s.sums = now, came
	s.first, s.took = m.first.since(&p.first, s.first[:0]), m.took.since(&p.took, s.took[:0])
}

// forgotten tells whether nothing that came lies within the long window.
func (m *meter) forgotten() bool { return m.past == nil || len(m.past.seconds) == 0 }

// drop forgets the oldest second, and keeps its room for another.
func (p *past) drop() {
	oldest := p.seconds[0]
	copy(p.seconds, p.seconds[1:])
	p.seconds[len(p.seconds)-1] = oldest
	p.seconds = p.seconds[:len(p.seconds)-1]
}

// next gives a second to fill.
func (p *past) next() *second {
	if len(p.seconds) < cap(p.seconds) {
		p.seconds = p.seconds[:len(p.seconds)+1]
	} else {
		p.seconds = append(p.seconds, second{})
	}
	return &p.seconds[len(p.seconds)-1]
}

// roll reads all meters off. What came in less than half a second since the last time is left for the next.
func (l *Live) roll(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.rolls[len(l.rolls)-1]) < time.Second/2 {
		return
	}
	for _, s := range l.services {
		s.look(now, len(s.others) > 0)
		s.forgetSilent(now)
		for id, r := range s.routes {
			busy := s.flyingAt(r, now) > 0
			r.look(now, busy)
			if !r.goneAt.IsZero() && !busy && r.forgotten() {
				delete(s.routes, id)
			}
		}
	}
	for len(l.rolls) > 1 && now.Sub(l.rolls[1]) >= LongWindow { // one that is older than the window is its beginning
		l.rolls = slices.Delete(l.rolls, 0, 1)
	}
	l.rolls = append(l.rolls, now)
	l.keep(now)
}

// begin is when the window before now begins: at the last look before that, or the first one at all.
func (l *Live) begin(now time.Time, window time.Duration) time.Time {
	i, _ := slices.BinarySearchFunc(l.rolls, now.Add(-window), func(at, then time.Time) int { return at.Compare(then) })
	if i == len(l.rolls) || i > 0 && l.rolls[i].After(now.Add(-window)) {
		i--
	}
	return l.rolls[i]
}

// Snapshot gives the figures of all services, by name.
func (l *Live) Snapshot(now time.Time) []ServiceFigures {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]ServiceFigures, 0, len(l.services))
	for _, s := range l.services {
		out = append(out, s.figures(now))
	}
	slices.SortFunc(out, func(a, b ServiceFigures) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return out
}

// Service gives the figures of one service, if there is such a one.
func (l *Live) Service(now time.Time, id string) (ServiceFigures, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[id]
	if s == nil {
		return ServiceFigures{}, false
	}
	return s.figures(now), true
}
