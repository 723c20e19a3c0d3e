package autoscaler

import "time"

// Standing is how a service's scaling stands now.
type Standing struct {
	On       bool
	PausedBy string // whose number of routes stands until the policy is edited; "" nobody's
	PausedAt time.Time
	Last     Decision // zero: none yet
	Signals  []SignalStatus
	LoadTime time.Duration // how long a route takes to be ready, as was measured; 0: not known
	ETA      time.Time     // when the first of the starting routes is expected; zero: none starts, or not known
}

// SignalStatus says what a metric of a rule told last, or why it told nothing.
type SignalStatus struct {
	Metric  Metric
	Value   *float64 // of one route on average; nil where it is missing
	At      time.Time
	Of      int    // how many routes told it; 0: it is of the service as a whole
	Missing string // one sentence; "" where it is not missing
}
