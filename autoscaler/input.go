package autoscaler

import "time"

// Input is all that Decide looks at for one service.
type Input struct {
	Policy   *Policy
	Replicas int     // wanted now
	Routes   []Route // those that have not ended
	// PausedBy is the person whose number of routes stands until the policy is edited; "" nobody.
	PausedBy string
	Signals  Signals
	// Held is how many requests wait for a route now.
	Held int
	// Busy is when a request was last there: now while one is. Zero: not known, and then the service is not idle.
	Busy time.Time
	// Known is since when all this is seen without a gap: the start of the daemon, or of the service. Nothing before it counts.
	Known time.Time
	// LoadTime is how long a route takes from being asked for to being ready, as was measured; 0: not known. Demand that
	// grows is looked at so far ahead.
	LoadTime time.Duration
	// Full says why the pool has no place for a route that waits; "" where none waits.
	Full string
	// Yields asks for one route less, for a service that is worth more; nil: nobody asks.
	Yields *Yield
	Memory Memory // of the decision before
}

// Yield is a wish of another service for this one's place.
type Yield struct {
	For    string // the other one's name
	Routes int    // how many have to go; 0 is one
	Reason string // one sentence
}

// RouteState is what the autoscaler must know of a route's life.
type RouteState string

// The states.
const (
	RouteStarting  RouteState = "starting" // asked for; counts as capacity
	RouteReady     RouteState = "ready"
	RouteUnhealthy RouteState = "unhealthy" // was ready; may be again
	RouteLeaving   RouteState = "leaving"   // drains or ends; counts no more
)

// Route is one route of a service.
type Route struct {
	ID       string
	State    RouteState
	Since    time.Time // since when it is in State
	ReadyAt  time.Time // when it first was ready; zero: not yet
	InFlight int
}

// Signals gives the series of a metric; nil where nothing is known of it.
type Signals interface {
	Series(Metric) *Series
}

// Decision is how many routes there should be, and why.
type Decision struct {
	At       time.Time `json:"at"`
	Was      int       `json:"was"`
	Replicas int       `json:"replicas"`
	Rule     string    `json:"rule,omitempty"` // id of the rule that won; "" none
	Reason   string    `json:"reason"`         // one sentence: "2 -> 4: 37 in flight, target 8 per route, panic since 12:03:05"
	Panic    bool      `json:"panic,omitempty"`
	Wishes   []Wish    `json:"wishes,omitempty"` // of every rule
	Seen     Seen      `json:"seen,omitzero"`
	// Standoff is the choice of who gives way, for the one that gives and the one that gets; nil: there was none.
	Standoff *Standoff `json:"standoff,omitempty"`
	Memory   Memory    `json:"memory,omitzero"` // for the next Input
	Next     time.Time `json:"next,omitzero"`   // look again at the latest; zero: with the next tick
}

// Seen is what else was seen when it was decided.
type Seen struct {
	Ready     int           `json:"ready"`
	Starting  int           `json:"starting,omitempty"`
	Unhealthy int           `json:"unhealthy,omitempty"`
	Leaving   int           `json:"leaving,omitempty"`
	Held      int           `json:"held,omitempty"` // requests that waited
	Low       int           `json:"low"`            // the bounds in force
	High      int           `json:"high"`
	LoadTime  time.Duration `json:"load_time,omitempty"` // of a route, as was measured
	Full      string        `json:"full,omitempty"`      // why a route waited for a place
	Excess    time.Time     `json:"excess,omitzero"`     // since when there had been too many routes
}

// Wish is what one rule wants, and why.
type Wish struct {
	Rule   string   `json:"rule"` // its id, or "idle", "held", "bounds"
	Name   string   `json:"name"` // as people call it
	Want   int      `json:"want"`
	Value  *float64 `json:"value,omitempty"`  // what its metric said; nil: nothing
	Why    string   `json:"why"`              // one sentence; also where it wishes nothing
	Silent bool     `json:"silent,omitempty"` // it wishes nothing: no data, cooling down, window closed
}
