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

// rewind makes the memory one of a clock that shows now.
func (j *judge) rewind() {
	m := &j.memory
	m.Last, m.Excess = j.now, time.Time{}
	m.Out, m.In = earlier(m.Out, j.now), earlier(m.In, j.now)
	for rule, at := range j.in.Memory.Fired {
		if at.After(j.now) {
			m.Fired = with(m.Fired, rule, j.now)
		}
	}
	for rule, p := range j.in.Memory.Panics {
		if p.Since.After(j.now) {
			m.Panics = without(m.Panics, rule)
		}
	}
}

// forget drops what is remembered of rules that are no more: a policy may be edited for years.
func (j *judge) forget() {
	j.memory.Fired = only(j.memory.Fired, j.p)
	j.memory.Panics = only(j.memory.Panics, j.p)
	j.memory.Windows = only(j.memory.Windows, j.p)
}

// only is what a map has of a policy's rules. The map that is given stays as it is.
func only[V any](m map[string]V, p *Policy) map[string]V {
	for key := range m {
		known := false
		for i := range p.Rules {
			known = known || p.Rules[i].key(i) == key
		}
		if !known {
			m = without(m, key)
		}
	}
	return m
}
