package autoscaler

import "time"

// Sample is what a metric said at one moment.
type Sample struct {
	At    time.Time
	Total float64 // the sum over the routes that told it; of a mean or a quantile too
	Of    int     // how many told it; 0: it is one figure of the whole service
}

// Series is a metric's last samples, oldest first, at most Depth old. A moment without one is a moment of which nothing
// is known. It is not safe for use by several goroutines.
type Series struct {
	samples []Sample
}

// Depth is how far back a series goes.
const Depth = 10 * time.Minute

// Add appends a sample. One that is not later than the last, or is no number, is dropped.
func (s *Series) Add(v Sample) {
	s.samples = append(s.samples, v)
}
