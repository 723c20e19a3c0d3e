package rehearse

import (
	"math/bits"
	"time"
)

// formula says how many routes there are to be. Its methods are called in the order of time.
type formula interface {
	name() string
	// every is how long it is from one decision to the next: whole seconds.
	every() time.Duration
	// wantsTimes reports whether it looks at how long requests take.
	wantsTimes() bool
	// notes say what it cannot do here as it would.
	notes() []string
	// sample tells what was in a second, at its end. It is valid during the call.
	sample(s *second)
	decide(x *player) (want int, why string)
}

// second is what a service did in one second, as the router counts it.
type second struct {
	now         time.Duration // its end
	arrivals    int
	ended       int
	failed      int     // refused, or sent away after HoldTimeout
	tokens      float64 // of answers
	concurrency float64 // in flight and held, the mean of the second
	inFlight    int     // on routes, at the end
	held        int     // at the end
	ready       int     // routes
	starting    int
	leaving     int
	latency     *recent // nil: not counted
	ttft        *recent
}

// How times are told apart, as the router does: in 16 steps to every doubling, from 65.5 µs on.
const (
	unitBits  = 16
	stepBits  = 4
	timeSteps = 1 << stepBits
	doublings = 20
	buckets   = (doublings + 2) * timeSteps
	recently  = 10 // seconds
)

// recent counts how long requests took that ended in the last ten seconds.
type recent struct {
	sum     [buckets]uint32
	seconds [recently][buckets]uint32
	now     int
	n       int
	of      [recently]int
}

func (r *recent) add(d time.Duration) {
	b := bucketOf(d)
	r.sum[b]++
	r.seconds[r.now][b]++
	r.of[r.now]++
	r.n++
}

// roll begins the next second, and forgets the oldest.
func (r *recent) roll() {
	r.now = (r.now + 1) % recently
	if r.of[r.now] == 0 {
		return
	}
	old := &r.seconds[r.now]
	for i, n := range old {
		r.sum[i] -= n
	}
	*old = [buckets]uint32{}
	r.n -= r.of[r.now]
	r.of[r.now] = 0
}

// at is, in seconds, the time that a part of them stay below; false where there are none.
func (r *recent) at(part float64) (float64, bool) {
	rank, below := part*float64(r.n), 0.0
	for i, n := range r.sum {
		if n > 0 && below+float64(n) >= rank {
			doubling := max(i>>stepBits-1, 0)
			low := time.Duration(i-doubling<<stepBits) << (doubling + unitBits)
			width := time.Duration(1) << (doubling + unitBits)
			return (low + time.Duration(float64(width)*(rank-below)/float64(n))).Seconds(), true
		}
		below += float64(n)
	}
	return 0, false
}

func bucketOf(d time.Duration) int {
	units := uint64(max(d, 0)) >> unitBits
	if units < timeSteps {
		return int(units)
	}
	doubling := bits.Len64(units) - stepBits - 1
	if doubling > doublings {
		return buckets - 1
	}
	return doubling<<stepBits + int(units>>doubling)
}
