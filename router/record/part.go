package record

import (
	"crypto/rand"
	"time"
)

// Part is what came to a Live of one box in some time, for the one that hears of all boxes: counters and buckets alone, since rates
// and quantiles of boxes do not add up.
type Part struct {
	Of       string        `json:"of"`              // who cut it: unlike any other's, also of those before a restart
	Number   int64         `json:"number"`          // from 1, by one: it may be told twice, and counts once
	Every    time.Duration `json:"every,omitempty"` // about how long until the next one, in nanoseconds; 0: soon
	Services []ServicePart `json:"services,omitempty"`
}

// ServicePart is one service's part of it.
type ServicePart struct {
	ID       string      `json:"id"`
	InFlight int         `json:"in_flight,omitempty"` // when it was cut; waiting ones too
	Waiting  int         `json:"waiting,omitempty"`   // for a route, when it was cut
	Counts               // arrivals of all; the rest of those alone that no route took
	Routes   []RoutePart `json:"routes,omitempty"`
}

// RoutePart is one route's.
type RoutePart struct {
	ID       string `json:"id"`
	InFlight int    `json:"in_flight,omitempty"` // when it was cut
	Counts
}

// Counts are what came to one meter.
type Counts struct {
	Begun      int64 `json:"begun,omitempty"`
	Ended      int64 `json:"ended,omitempty"`
	Errors     int64 `json:"errors,omitempty"`
	Aborted    int64 `json:"aborted,omitempty"`
	Prompt     int64 `json:"prompt,omitempty"`
	Cached     int64 `json:"cached,omitempty"`
	Completion int64 `json:"completion,omitempty"` // less than 0 where more was guessed before than there was at the end
	// First and Took are times by their buckets: number of the bucket, and how many.
	First [][2]uint32 `json:"first,omitempty"`
	Took  [][2]uint32 `json:"took,omitempty"`
}

func (c *Counts) sums() sums {
	return sums{c.Begun, c.Ended, c.Errors, c.Aborted, c.Prompt, c.Cached, c.Completion}
}

// nothing tells whether there is nothing to tell.
func (c *Counts) nothing() bool { return c.sums() == (sums{}) && len(c.First)+len(c.Took) == 0 }

// size is how many numbers it has, about.
func (c *Counts) size() int { return 8 + 2*(len(c.First)+len(c.Took)) }

const (
	tellEvery = 400 * time.Millisecond // parts are no shorter
	// tellWithin is how old a part may become: what is older is not of now any more, and would look as if it all came at once. Where
	// parts are cut so seldom that it would be older, three times as far as they are apart.
	tellWithin = 5 * time.Second
	apart      = 3
	// mostTold bounds the numbers of a part. What finds no place is in a later one.
	mostTold = 50_000
)

// Teller cuts what comes to a Live into parts, one after the other. One goroutine uses it.
type Teller struct {
	live    *Live
	of      string
	to      string // whom the parts are for
	number  int64
	cut     time.Time // when the last part was
	pending *Part     // not known to have arrived: it goes again as it is
	before  map[*meter]*told
}

// told is what a meter had when a part was cut.
type told struct {
	sums        sums
	first, took [buckets]uint32
}

// NewTeller makes one that has told nothing yet.
func NewTeller(l *Live) *Teller {
	return &Teller{live: l, of: rand.Text(), before: map[*meter]*told{}}
}

// Next gives what is to be told to who hears of all boxes, who is called to; nil where there is nothing new. The same part is
// given until it has Arrived, or is too old. Who is told for the first time is told of what comes from then on. every is about how long
// it is until Next is called again.
func (t *Teller) Next(now time.Time, to string, every time.Duration) *Part {
	if since := now.Sub(t.cut); t.to != to || since > max(tellWithin, apart*every) {
		t.to, t.pending = to, nil
		t.read(now, false)
		return nil
	} else if t.pending != nil || since < tellEvery {
		return t.pending
	}
	services := t.read(now, true)
	if len(services) == 0 {
		return nil
	}
	t.number++
	t.pending = &Part{Of: t.of, Number: t.number, Every: every, Services: services}
	return t.pending
}

// Arrived says that who hears of all boxes has the part that Next gave last.
func (t *Teller) Arrived() { t.pending = nil }

// read gives what came since it was called last. Bounded: no more than has place in a part.
func (t *Teller) read(now time.Time, bounded bool) (services []ServicePart) {
	t.live.mu.Lock()
	defer t.live.mu.Unlock()
	t.cut = now
	seen := make(map[*meter]*told, len(t.before))
	size := 0
	for id, s := range t.live.services {
		part := ServicePart{ID: id, InFlight: int(max(s.inFlight.Load(), 0)), Waiting: int(max(s.waiting.Load(), 0))}
		full := bounded && size > mostTold
		for id, r := range s.routes {
			route := RoutePart{ID: id, InFlight: int(max(r.inFlight.Load(), 0))}
			route.Counts = t.since(&r.meter, seen, route.InFlight > 0, full)
			if route.InFlight > 0 || !route.nothing() {
				part.Routes = append(part.Routes, route)
				size += route.size()
			}
		}
		part.Counts = t.since(&s.meter, seen, false, full) // last: no request is seen to end that was not seen to begin
		if part.InFlight > 0 || part.Waiting > 0 || len(part.Routes) > 0 || !part.nothing() {
			services = append(services, part)
			size += part.size()
		}
	}
	t.before = seen
	return services
}

// since is what came to a meter since it was looked at last. left: it is left for later. busy tells that first bytes may have
// come though nothing has ended.
func (t *Teller) since(m *meter, seen map[*meter]*told, busy, left bool) (c Counts) {
	before, known := t.before[m]
	now := m.read()
	switch {
	case left:
		if known {
			seen[m] = before
		}
		return c
	case !known && now == (sums{}) && !busy:
		return c
	case !known:
		before = &told{}
	}
	seen[m] = before
	came := now.minus(before.sums)
	if came == (sums{}) && !busy {
		return c
	}
	before.sums = now
	c = Counts{
		Begun: came.begun, Ended: came.ended, Errors: came.errors, Aborted: came.aborted,
		Prompt: came.prompt, Cached: came.cached, Completion: came.completion,
	}
	c.First, c.Took = pairs(m.first.since(&before.first, nil)), pairs(m.took.since(&before.took, nil))
	return c
}

func pairs(cells []cell) (out [][2]uint32) {
	for _, c := range cells {
		out = append(out, [2]uint32{uint32(c.bucket), c.n})
	}
	return out
}

// take adds to a meter what came to one on another box.
func (m *meter) take(c *Counts) {
	m.begun.Add(c.Begun)
	m.prompt.Add(c.Prompt)
	m.cached.Add(c.Cached)
	m.completion.Add(c.Completion)
	m.first.take(c.First)
	m.took.take(c.Took)
	m.errors.Add(c.Errors)
	m.aborted.Add(c.Aborted)
	m.ended.Add(c.Ended)
}

// take adds pairs of a bucket's number and how many. A bucket that there is not is left out.
func (h *histogram) take(pairs [][2]uint32) {
	for _, p := range pairs {
		if p[0] < buckets {
			h[p[0]].Add(p[1])
		}
	}
}

// elsewhere is what a service has under way on another box.
type elsewhere struct {
	until             time.Time // it counts: another one is heard before, unless the box is silent
	inFlight, waiting int
	routes            map[string]int
}

// heardWithin is for how long counts what a box said that it has under way: one that is silent has nothing. Of a box that says it seldom
// it counts for longer, up to heardAtMost.
const (
	heardWithin = 3 * time.Second
	heardAtMost = time.Minute
)

// Hear adds what a Live of another box was told: each part once, however often it comes. What is of a service that is in no table
// here is left out; what is of a route that is in none counts for its service.
func (l *Live) Hear(now time.Time, box string, p *Part) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := l.heard[box]; last.of == p.Of && p.Number <= last.number {
		return
	}
	l.heard[box] = heard{p.Of, p.Number}
	for i := range p.Services {
		of := &p.Services[i]
		s := l.services[of.ID]
		if s == nil {
			continue
		}
		there := elsewhere{until: now.Add(max(heardWithin, min(apart*p.Every, heardAtMost))), inFlight: of.InFlight, waiting: of.Waiting, routes: map[string]int{}}
		s.take(&of.Counts)
		for j := range of.Routes {
			r := &of.Routes[j]
			there.routes[r.ID] = r.InFlight
			if known := s.routes[r.ID]; known != nil {
				known.take(&r.Counts)
				continue
			}
			counts := r.Counts
			counts.Begun = 0 // the service has counted it
			s.take(&counts)
		}
		if s.others == nil {
			s.others = map[string]elsewhere{}
		}
		s.others[box] = there
	}
}

// heard is the last part of a box.
type heard struct {
	of     string
	number int64
}

// flying is how much of a service is in flight on all boxes, and how much of that waits.
func (s *LiveService) flying(now time.Time) (inFlight, waiting int) {
	inFlight, waiting = int(max(s.inFlight.Load(), 0)), int(max(s.waiting.Load(), 0))
	for _, there := range s.others {
		if now.Before(there.until) {
			inFlight += there.inFlight
			waiting += there.waiting
		}
	}
	return inFlight, waiting
}

// flyingAt is how much a route has in flight, of all boxes' requests.
func (s *LiveService) flyingAt(r *LiveRoute, now time.Time) int {
	n := int(max(r.inFlight.Load(), 0))
	for _, there := range s.others {
		if now.Before(there.until) {
			n += there.routes[r.id]
		}
	}
	return n
}

// forgetSilent drops what boxes said too long ago.
func (s *LiveService) forgetSilent(now time.Time) {
	for box, there := range s.others {
		if !now.Before(there.until) {
			delete(s.others, box)
		}
	}
}
