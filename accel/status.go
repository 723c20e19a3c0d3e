package accel

import (
	"maps"
	"slices"
	"time"
)

// Leaving is how many claims on a node wait for their devices' memory.
func (l *Ledger) Leaving(node string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	count := 0
	if p, known := l.nodes[node]; known {
		for _, c := range p.state.claims {
			if h := l.held[c.Session]; h != nil && h.leaving {
				count++
			}
		}
	}
	return count
}

// HealthState says in a word how a device is.
type HealthState string

// The states of a device's health.
const (
	HealthOK     HealthState = "ok"
	HealthFenced HealthState = "fenced" // broken, its memory was not given back, or a person took it out
	HealthBusy   HealthState = "busy"   // someone else's process uses it
	HealthLost   HealthState = "lost"   // it does not answer any more
)

// Health of a device.
type Health struct {
	State  HealthState `json:"state"`
	Reason string      `json:"reason,omitempty"` // one sentence; "" when it is ok
	Since  time.Time   `json:"since,omitzero"`   // of a fence
}

// Status is all that the ledger knows of one node.
type Status struct {
	State   State
	Health  map[string]Health // by device
	Samples map[string]Sample // by device: the newest; none before it was asked
	Claims  []Entry           // by session
}

// Status lists the nodes by name, for people to look at.
func (l *Ledger) Status() []Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []Status
	for _, name := range slices.Sorted(maps.Keys(l.nodes)) {
		p := l.nodes[name]
		s := Status{State: p.state, Health: map[string]Health{}, Samples: maps.Clone(p.samples)}
		for _, d := range p.state.node.Devices {
			s.Health[d.ID] = p.health(d)
		}
		for _, c := range p.state.claims {
			s.Claims = append(s.Claims, l.entry(c.Session))
		}
		all = append(all, s)
	}
	return all
}

func (p *page) health(d Device) Health {
	f, fenced := p.fences[d.ID]
	if whole, cut := p.fences[d.Parent]; cut && !fenced && d.Parent != "" && (whole.kind == fenceLost || whole.kind == fenceFault) {
		f, fenced = fence{whole.kind, d.Fault, whole.since}, true
	}
	switch {
	case fenced && f.kind == fenceLost:
		return Health{HealthLost, f.reason, f.since}
	case fenced:
		return Health{HealthFenced, f.reason, f.since}
	case p.missing[d.ID]:
		return Health{State: HealthLost, Reason: d.Fault}
	case d.Fault != "":
		return Health{State: HealthFenced, Reason: d.Fault}
	case d.Busy != "":
		return Health{State: HealthBusy, Reason: d.Busy}
	}
	return Health{State: HealthOK}
}
