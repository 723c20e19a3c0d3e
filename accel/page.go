package accel

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"
)

// page is one node in the ledger: what was found, what is known of its devices, and the state that follows.
type page struct {
	found   Node              // the last inventory
	known   map[string]Device // every device that was ever listed, as it was last
	missing map[string]bool   // devices that are not listed any more, but held
	state   State

	fences  map[string]fence                // by device
	foreign map[string]intruder             // by device: who else uses it
	others  map[string]map[int]stranger     // by device and PID: processes that are of no session
	samples map[string]Sample               // by device: the newest
	used    map[string]map[string]int64     // by device and session: bytes; what cannot be told is left out
	over    map[string]map[string]time.Time // by device and session: since when it uses more than its share
}

// stranger is a process that belongs to no session.
type stranger struct {
	use   ProcessUse
	since time.Time // when it was first seen
}

// Why a device is fenced.
type fenceKind int

const (
	fenceLost     fenceKind = iota // cannot be reached; ends when it is well again
	fenceMemory                    // memory was not given back; ends when it is seen free
	fenceOperator                  // a person took it out; ends when a person says so
	fenceFault                     // it is broken; ends when a person says so
)

type fence struct {
	kind   fenceKind
	reason string
	since  time.Time
}

// SetNode says what a node has, when it is found and whenever that changes. A device that is not listed any more is gone;
// while a session holds it, it stays, with a fault. Nodes that are as they were change nothing.
func (l *Ledger) SetNode(n Node) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, again := l.nodes[n.Name]
	if again && reflect.DeepEqual(p.found, n) {
		return
	}
	if !again {
		p = &page{
			known: map[string]Device{}, fences: map[string]fence{}, foreign: map[string]intruder{}, others: map[string]map[int]stranger{},
			samples: map[string]Sample{}, used: map[string]map[string]int64{}, over: map[string]map[string]time.Time{},
		}
		l.nodes[n.Name] = p
	}
	p.found = n
	for _, d := range n.Devices {
		p.known[d.ID] = d
	}
	l.rebuild(p)
	l.tell()
}

// RemoveNode forgets a node. Claims on it stay, and count again when it is back.
func (l *Ledger) RemoveNode(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.nodes[name]; known {
		delete(l.nodes, name)
		l.tell()
	}
}

// Fence takes a device out of use, for a person's reason. Who has it keeps it.
func (l *Ledger) Fence(node, device, reason string) error {
	return l.refence(node, device, func(p *page) {
		if f, fenced := p.fences[device]; !fenced || f.kind < fenceOperator {
			p.fences[device] = fence{fenceOperator, reason, l.now()}
		}
	})
}

// Unfence puts a device back into use, whatever it was fenced for. If it is still broken, its next sample fences it again.
func (l *Ledger) Unfence(node, device string) error {
	return l.refence(node, device, func(p *page) { delete(p.fences, device) })
}

func (l *Ledger) refence(node, device string, change func(*page)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.nodes[node]
	if !known {
		return fmt.Errorf("node %q: %w", node, ErrNoNode)
	}
	if _, known := p.state.byID[device]; !known {
		return fmt.Errorf("device %q of %s: %w", device, node, ErrNoDevice)
	}
	before := p.fences[device]
	change(p)
	if p.fences[device] != before {
		l.rebuild(p)
		l.tell()
	}
	return nil
}

// Lose says that devices cannot be reached, and why. They are well again with the first sample without a fault.
func (l *Ledger) Lose(node string, devices []string, reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p, known := l.nodes[node]
	if !known {
		return
	}
	changed := false
	for _, id := range devices {
		f, fenced := p.fences[id]
		if !fenced || f.kind < fenceOperator && (f.kind != fenceLost || f.reason != reason) {
			since := l.now()
			if fenced && f.kind == fenceLost {
				since = f.since
			}
			p.fences[id], changed = fence{fenceLost, reason, since}, true
		}
	}
	if changed {
		l.rebuild(p)
		l.tell()
	}
}

// rebuild works a node's state out from what was found, what is known of the devices, and what is held.
func (l *Ledger) rebuild(p *page) {
	var claims []Claim
	for _, h := range l.held {
		if h.claim.Node == p.found.Name {
			claims = append(claims, h.rest)
		}
	}
	slices.SortFunc(claims, func(a, b Claim) int { return cmp.Compare(a.Session, b.Session) })
	n := p.found
	n.Devices = slices.Clone(n.Devices)
	p.missing = map[string]bool{}
	listed := map[string]bool{}
	for _, d := range n.Devices {
		listed[d.ID] = true
	}
	for _, c := range claims {
		for _, share := range c.Shares {
			if !listed[share.Device] {
				listed[share.Device], p.missing[share.Device] = true, true
				n.Devices = append(n.Devices, p.lastKnown(share))
			}
		}
	}
	for i := range n.Devices {
		p.mark(&n.Devices[i])
	}
	for i := range n.Devices {
		d := &n.Devices[i]
		at := slices.IndexFunc(n.Devices, func(whole Device) bool { return d.Parent != "" && whole.ID == d.Parent })
		if at >= 0 && d.Fault == "" && n.Devices[at].Fault != "" {
			d.Fault = "the device that it is cut from: " + n.Devices[at].Fault
		}
	}
	for _, gone := range slices.Collect(maps.Keys(p.samples)) {
		if !listed[gone] {
			delete(p.samples, gone)
			delete(p.used, gone)
			delete(p.others, gone)
			delete(p.foreign, gone)
			delete(p.over, gone)
		}
	}
	p.state = NewState(n, claims...)
}

// lastKnown is a device that is held, but not listed any more.
func (p *page) lastKnown(share Share) Device {
	d, known := p.known[share.Device]
	if !known {
		d = Device{ID: share.Device, Slot: share.Slot, Family: share.Slot.family(), NUMA: -1}
		if share.Slot.fractional() {
			d.Slot = share.Slot.whole()
		}
	}
	d.Fault = "the box does not list it any more"
	return d
}

// mark writes what is known of a device into it.
func (p *page) mark(d *Device) {
	if f, fenced := p.fences[d.ID]; fenced {
		switch f.kind {
		case fenceFault, fenceLost:
			d.Fault = f.reason
		case fenceMemory, fenceOperator: // it works: who has the rest of it is not disturbed
			d.Busy = f.reason
		}
	}
	if d.Busy == "" {
		d.Busy = p.foreign[d.ID].reason
	}
}

// strange says whether a holding has a device that the state does not have.
func (p *page) strange(h *holding) bool {
	if h == nil {
		return false
	}
	return slices.ContainsFunc(h.rest.Shares, func(s Share) bool {
		_, known := p.state.byID[s.Device]
		return !known
	})
}

// tells says whether a device can be expected to tell how much of its memory is in use.
func (p *page) tells(device string) bool {
	d, known := p.known[device]
	if !known {
		return false
	}
	sample, sampled := p.samples[device]
	if !sampled || sample.Fault != "" {
		return d.Memory > 0
	}
	return sample.MemoryUsed >= 0 || sample.Processes != nil
}
