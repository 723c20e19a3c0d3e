package autoscaler

import (
	"math"
	"time"
)

// Sample is what a metric said at one moment.
type Sample struct {
	At    time.Time
	Total float64 // the sum over the routes that told it; of a mean or a quantile too
	Of    int     // how many told it; 0: it is one figure of the whole service
}

// Each is the figure of one route on average; of a figure of the whole service, that figure.
func (v Sample) Each() float64 {
	if v.Of > 0 {
		return v.Total / float64(v.Of)
	}
	return v.Total
}

const (
	// Depth is how far back a series goes.
	Depth = 10 * time.Minute
	// seriesMost bounds a series in number too: samples that come faster than twice a second push out the oldest.
	seriesMost = 1200
	// setBack is from where on a sample older than the last one means that the clock was set back, and not that two came out
	// of order.
	setBack = time.Minute
	// beyond is what no metric comes to. Sums of more could leave the numbers that there are, and then be no longer written.
	beyond = 1e100
	// speaks is for how long back a sample may speak for the time since the one before it. A longer gap stays a gap.
	speaks = 15 * time.Second
	// stale is how old the newest sample may be before nothing is known.
	stale = 30 * time.Second
)

// point is a Sample of 24 bytes.
type point struct {
	at    int64 // nanoseconds since 1970
	total float64
	of    int32
}

// Series is a metric's last samples, at most Depth old. A moment without one is a moment of which nothing is known.
// Its zero value is empty. It is not safe for use by several goroutines.
type Series struct {
	ring  []point // grows to what Depth holds, then goes round
	first int     // the oldest's index
	n     int
}

// Add appends a sample. One that is not later than the last, or is no number that could be meant, is dropped; one that is more than a minute
// before the last comes from a clock that was set back, and starts the series anew.
func (s *Series) Add(v Sample) {
	if !(math.Abs(v.Total) <= beyond) || v.Of < 0 || v.Of > math.MaxInt32 {
		return
	}
	p := point{v.At.UnixNano(), v.Total, int32(v.Of)}
	if s.n > 0 {
		last := s.at(s.n - 1).at
		if p.at < last-int64(setBack) {
			s.first, s.n = 0, 0
		} else if p.at <= last {
			return
		}
	}
	for s.n > 0 && s.at(0).at < p.at-int64(Depth) {
		s.drop()
	}
	if s.n == seriesMost {
		s.drop()
	}
	if s.n == len(s.ring) {
		s.grow()
	}
	s.n++
	*s.at(s.n - 1) = p
}

// Len is how many samples there are.
func (s *Series) Len() int { return s.n }

// Clone is a copy that does not see what is added later.
func (s *Series) Clone() *Series {
	if s == nil {
		return nil
	}
	c := Series{ring: make([]point, s.n), n: s.n}
	for i := range s.n {
		c.ring[i] = *s.at(i)
	}
	return &c
}

// Last is the newest sample.
func (s *Series) Last() (Sample, bool) {
	if s == nil || s.n == 0 {
		return Sample{}, false
	}
	p := s.at(s.n - 1)
	return Sample{At: time.Unix(0, p.at), Total: p.total, Of: int(p.of)}, true
}

// First is the oldest sample of the window that ends now.
func (s *Series) First(now time.Time, window time.Duration) (Sample, bool) {
	if s == nil {
		return Sample{}, false
	}
	from := now.UnixNano() - int64(window)
	for i := range s.n {
		if p := s.at(i); p.at > from {
			return Sample{At: time.Unix(0, p.at), Total: p.total, Of: int(p.of)}, true
		}
	}
	return Sample{}, false
}

// Mean is the mean of the samples in (now-window, now], each route counting alike: of several that were told by
// different numbers of routes, Total is what as many as told the last would have told. covered is for how much of the
// window samples speak. ok is false where there is none.
func (s *Series) Mean(now time.Time, window time.Duration) (mean Sample, covered time.Duration, ok bool) {
	if s == nil || s.n == 0 {
		return Sample{}, 0, false
	}
	until := now.UnixNano()
	from := until - int64(window)
	var sum float64
	var count, told, of int
	var newest, spoken int64
	var before *point // each is looked at once: there are ten thousand services
	for i, p := s.n-1, s.at(s.n-1); i >= 0; i, p = i-1, before {
		before = nil
		if i > 0 {
			before = s.at(i - 1)
		}
		if p.at > until {
			continue
		}
		if p.at <= from {
			break
		}
		if count == 0 {
			newest, of = p.at, int(p.of)
		}
		count++
		if p.of > 0 {
			told++
			sum += p.total / float64(p.of)
		} else {
			sum += p.total
		}
		if before != nil {
			spoken += min(p.at-max(before.at, from), int64(speaks))
		}
	}
	if count == 0 {
		return Sample{}, 0, false
	}
	value := sum / float64(count)
	if told > 0 {
		value *= float64(max(of, 1))
	}
	return Sample{At: time.Unix(0, newest), Total: value, Of: of}, time.Duration(spoken), true
}

func (s *Series) at(i int) *point {
	i += s.first
	if i >= len(s.ring) {
		i -= len(s.ring)
	}
	return &s.ring[i]
}

func (s *Series) drop() {
	if s.first++; s.first == len(s.ring) {
		s.first = 0
	}
	s.n--
}

func (s *Series) grow() {
	bigger := make([]point, min(max(2*len(s.ring), 16), seriesMost))
	for i := range s.n {
		bigger[i] = *s.at(i)
	}
	s.ring, s.first = bigger, 0
}
