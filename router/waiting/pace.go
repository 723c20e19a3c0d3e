package waiting

import (
	"math"
	"time"
)

// The figures of a slow start. An engine that has just come up is slow at its first requests: compiled graphs,
// cold caches. A thousand at once make all of them late; a few at first cost those few nothing.
const (
	atFirst   = 4               // go to each route that comes back
	perAnswer = 2               // go for each answer that begins
	every     = 1 * time.Second // atFirst more go to each route, so that answers that take minutes block nobody
)

// pace is a slow start as a value: no clock, no lock. Its zero value lets everybody go.
type pace struct {
	on    bool
	left  int       // so many may go now
	ready int       // routes
	next  time.Time // when time alone lets more go
}

// routes says that there are ready routes now where there were before. Coming from none begins the slow start;
// more of them are given their first few. The caller calls it only while somebody waits.
func (p *pace) routes(now time.Time, before, ready int) {
	switch {
	case ready <= 0: // there is nobody to spare
		*p = pace{}
	case before <= 0 && ready > 0:
		*p = pace{on: true, left: atFirst * ready, ready: ready, next: now.Add(every)}
	case p.on:
		p.left += atFirst * max(0, ready-p.ready)
		p.ready = ready
	}
}

// may tells whether one more may go at now. Where it may not, next says when it may by time alone.
func (p *pace) may(now time.Time) bool {
	if !p.on {
		return true
	}
	if late := now.Sub(p.next); late >= 0 {
		// What time lets go does not add up: nobody was held back by the pace while more might have gone.
		p.left = max(p.left, atFirst*max(p.ready, 1))
		p.next = now.Add(every - late%every)
	}
	return p.left > 0
}

// took counts one that went.
func (p *pace) took() {
	if p.on {
		p.left--
	}
}

// back lets n more go; false where the pace holds nobody anyway.
func (p *pace) back(n int) bool {
	if p.on {
		p.left += n
	}
	return p.on
}

// rate is how fast waiters go: a count that fades.
type rate struct {
	count float64
	since time.Time // of the first one counted
	at    time.Time // to which count has faded
}

const (
	fade      = 30 * time.Second // a count is worth a third after it
	unknown   = 10               // seconds, where nobody has gone yet
	mostRetry = 60               // seconds
)

func (r *rate) add(now time.Time) {
	if r.at.IsZero() || now.Sub(r.at) > 10*fade {
		*r = rate{since: now, at: now}
	}
	r.count = r.faded(now) + 1
	r.at = now
}

func (r *rate) faded(now time.Time) float64 {
	return r.count * math.Exp(-max(0, now.Sub(r.at).Seconds())/fade.Seconds())
}

// seconds is how long n take to go, from 1 to 60.
func (r *rate) seconds(now time.Time, n int) int {
	count := r.faded(now)
	if count < 0.1 {
		return unknown
	}
	// A young count has not reached its height: it stands for the time since its first, not for all of fade.
	window := fade.Seconds() * (1 - math.Exp(-max(1, now.Sub(r.since).Seconds())/fade.Seconds()))
	return min(max(int(math.Ceil(float64(n)*window/count)), 1), mostRetry)
}
