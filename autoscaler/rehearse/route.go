package rehearse

import (
	"time"

	"github.com/palisade-run/palisade/autoscaler"
)

// never is later than all that happens.
const never = time.Duration(1<<63 - 1)

// mark is a place on a route's own clock at which something happens to a request.
type mark struct {
	work    float64
	request int32
}

// route is one modelled route. Its own clock counts the work that each request on it has got, in seconds at full speed: a
// request ends when that clock has gone on by what it takes, however many share the route meanwhile. So nothing needs to be
// counted again when one comes or goes.
type route struct {
	number  int
	id      string
	state   autoscaler.RouteState
	since   time.Duration // since when it is in state
	placed  time.Duration // since when it holds its place; never: it waits for one
	readyAt time.Duration // when it is, or was, first ready; never: it waits for a place
	next    time.Duration // when something happens to it; never
	at      int           // its place in the agenda
	clock   float64
	clockAt time.Duration
	firsts  marks // of the requests that have no token yet, where they will
	ends    marks // of all
}

func (r *route) inFlight() int { return len(r.ends) }

// speed is how fast each of the route's requests goes on.
func (r *route) speed(knee int) float64 {
	if n := len(r.ends); n > knee {
		return float64(knee) / float64(n)
	}
	return 1
}

// schedule says when the next thing happens.
func (r *route) schedule(now time.Duration, knee int) {
	switch {
	case r.state == autoscaler.RouteStarting:
		r.next = r.readyAt
	case len(r.ends) == 0:
		r.next = never
	default:
		next := r.ends[0].work
		if len(r.firsts) > 0 {
			next = min(next, r.firsts[0].work)
		}
		wait := (next - r.clock) / r.speed(knee)
		r.next = now + time.Duration(min(max(wait, 0), farAway)*float64(time.Second)) + 1 // rounded up: then it has come
	}
}

// farAway is, in seconds, where no rehearsal comes to, and what a duration can hold.
const farAway = 1e9

// marks is a heap, the least work on top.
type marks []mark

func (h *marks) push(m mark) {
	*h = append(*h, m)
	a, i := *h, len(*h)-1
	for i > 0 {
		up := (i - 1) / 2
		if !less(m, a[up]) {
			break
		}
		a[i] = a[up]
		i = up
	}
	a[i] = m
}

func (h *marks) pop() mark {
	a := *h
	top, n := a[0], len(a)-1
	m := a[n]
	*h = a[:n]
	i := 0
	for {
		down := 2*i + 1
		if down >= n {
			break
		}
		if down+1 < n && less(a[down+1], a[down]) {
			down++
		}
		if !less(a[down], m) {
			break
		}
		a[i] = a[down]
		i = down
	}
	if n > 0 {
		a[i] = m
	}
	return top
}

// less orders marks; of two at the same place the earlier request comes first, so that a rehearsal is the same each time.
func less(a, b mark) bool {
	return a.work < b.work || a.work == b.work && a.request < b.request
}

// agenda is the routes by when something happens to them next, the soonest on top.
type agenda []*route

func (h agenda) before(i, j int) bool {
	return h[i].next < h[j].next || h[i].next == h[j].next && h[i].number < h[j].number
}

func (h agenda) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

func (h *agenda) add(r *route) {
	r.at = len(*h)
	*h = append(*h, r)
	h.moved(r)
}

func (h *agenda) remove(r *route) {
	i, last := r.at, len(*h)-1
	h.swap(i, last)
	*h = (*h)[:last]
	if i < last {
		h.moved((*h)[i])
	}
}

// moved puts a route to its place after its next has changed.
func (h *agenda) moved(r *route) {
	a := *h
	for r.at > 0 && a.before(r.at, (r.at-1)/2) {
		a.swap(r.at, (r.at-1)/2)
	}
	for {
		down := 2*r.at + 1
		if down+1 < len(a) && a.before(down+1, down) {
			down++
		}
		if down >= len(a) || !a.before(down, r.at) {
			return
		}
		a.swap(r.at, down)
	}
}

// line is the requests that wait for a route, first in, first out.
type line struct {
	ring []int32
	head int
	n    int
}

func (l *line) push(request int32) {
	if l.n == len(l.ring) {
		grown := make([]int32, max(64, 2*l.n))
		for i := range l.n {
			grown[i] = l.ring[(l.head+i)%len(l.ring)]
		}
		l.ring, l.head = grown, 0
	}
	l.ring[(l.head+l.n)%len(l.ring)] = request
	l.n++
}

func (l *line) first() int32 { return l.ring[l.head] }

func (l *line) pop() int32 {
	request := l.ring[l.head]
	l.head = (l.head + 1) % len(l.ring)
	l.n--
	return request
}
