package autoscaler

import "time"

// Memory is what one decision leaves to the next: small, kept with the policy, so that a restart of the daemon goes on
// where it was. Its zero value is that of a service that was never decided.
//
// Decide never writes into the maps of the Memory that it is given: one that changes is copied first, one that does not
// may be the same map.
type Memory struct {
	Fired   map[string]time.Time `json:"fired,omitempty"`   // by rule: when it last moved the number
	Panics  map[string]Panic     `json:"panics,omitempty"`  // by rule
	Windows map[string]Window    `json:"windows,omitempty"` // by rule of a schedule
	Out     time.Time            `json:"out,omitzero"`      // the last step up
	In      time.Time            `json:"in,omitzero"`       // the last step down
	Excess  time.Time            `json:"excess,omitzero"`   // since when there have been too many routes
	Last    time.Time            `json:"last,omitzero"`     // of the decision before: a clock that went back is seen by it
}

// Panic is a rule's fast way up: while it lasts, nothing goes down.
type Panic struct {
	Since time.Time `json:"since"`
	Until time.Time `json:"until"` // unless it is seen again
	Most  int       `json:"most"`  // the highest wish since
}

// Window is how a schedule's window stands from From until Until: cron is not read anew every second.
type Window struct {
	Of    string    `json:"of"` // the schedule that it was worked out from
	Open  bool      `json:"open"`
	From  time.Time `json:"from"`
	Until time.Time `json:"until,omitzero"` // zero: for ever
}
