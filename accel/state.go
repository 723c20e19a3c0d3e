package accel

import (
	"cmp"
	"slices"
)

// State is one node and what of it is taken: a value that never changes, as small as a pointer, so that a
// placement may take thousands of them and try. The zero State is no node at all.
//
// What is asked most often (how much is free) is counted once, when the State is made.
type State struct{ *snapshot }

// Pool is the nodes of an appliance, by name.
type Pool []State

type snapshot struct {
	*layout
	claims   []Claim  // by session
	cpu, mem Amount   // free; below 0 only where Restore found more running than fits
	near     []nearby // free, by position in Node.NUMA
	free     []Amount // hundredths, by position in Node.Devices; what is not handed out is not left out
	classes  []class  // by position in layout.slots
}

// nearby is what is free of one memory node. Claims that are near to no one in particular are not in it.
type nearby struct{ cpu, mem Amount }

// class sums up the devices of one slot that may be handed out.
type class struct {
	whole   int    // devices of which nothing is taken
	part    Amount // hundredths over all of them
	largest Amount // the most that is free on one
	faulty  int
	busy    int // well, but not handed out
}

// NewState returns a node with what the claims take of it.
func NewState(n Node, claims ...Claim) State {
	l := newLayout(n)
	s := &snapshot{layout: l, cpu: n.CPU, mem: n.Memory, near: slices.Clone(l.near), free: make([]Amount, len(n.Devices))}
	s.claims = slices.SortedStableFunc(slices.Values(claims), func(a, b Claim) int { return cmp.Compare(a.Session, b.Session) })
	for i := range s.free {
		s.free[i] = hundredthsPerDevice
	}
	for i := range s.claims {
		s.count(&s.claims[i], -1)
	}
	s.sum()
	return State{s}
}

// With returns the state with one claim more, or in place of the same session's.
func (s State) With(c Claim) State {
	at, found := s.find(c.Session)
	after := s.fork()
	if found {
		after.count(&s.claims[at], +1)
		after.claims = slices.Clone(s.claims)
		after.claims[at] = c
	} else {
		after.claims = make([]Claim, 0, len(s.claims)+1)
		after.claims = append(append(append(after.claims, s.claims[:at]...), c), s.claims[at:]...)
	}
	after.count(&c, -1)
	after.sum()
	return State{after}
}

// Without returns the state without what a session has of it.
func (s State) Without(session string) State {
	at, found := s.find(session)
	if !found {
		return s
	}
	after := s.fork()
	after.count(&s.claims[at], +1)
	after.claims = append(append(make([]Claim, 0, len(s.claims)-1), s.claims[:at]...), s.claims[at+1:]...)
	after.sum()
	return State{after}
}

// fork copies what count changes.
func (s State) fork() *snapshot {
	return &snapshot{layout: s.layout, cpu: s.cpu, mem: s.mem, near: slices.Clone(s.near), free: slices.Clone(s.free)}
}

// count adds what a claim takes to what is free, or with -1 takes it away.
func (s *snapshot) count(c *Claim, sign Amount) {
	cpu, mem := sign*c.Slots[SlotCPU], sign*c.Slots[SlotMem]
	s.cpu += cpu
	s.mem += mem
	if at := s.numaAt(c.NUMA); at >= 0 {
		s.near[at].cpu += cpu
		s.near[at].mem += mem
	}
	for i := range c.Shares {
		if at, known := s.byID[c.Shares[i].Device]; known {
			s.free[at] += sign * c.Shares[i].Amount
		}
	}
}

func (s State) find(session string) (int, bool) {
	return slices.BinarySearchFunc(s.claims, session, func(c Claim, session string) int {
		return cmp.Compare(c.Session, session)
	})
}

// Claim returns what a session has of this node.
func (s State) Claim(session string) (Claim, bool) {
	at, found := s.find(session)
	if !found {
		return Claim{}, false
	}
	return s.claims[at], true
}

// Claims lists who has what, by session. It must not be changed.
func (s State) Claims() []Claim { return s.claims }

// Node is what the box has. It must not be changed.
func (s State) Node() *Node { return &s.node }

// Name of the node.
func (s State) Name() string { return s.node.Name }

// FreeCPU is in thousandths of a core.
func (s State) FreeCPU() Amount { return s.cpu }

// FreeMemory is in bytes.
func (s State) FreeMemory() Amount { return s.mem }

// FreeWhole is the number of devices of a slot, in hundredths, of which nothing is taken and that may be handed out.
func (s State) FreeWhole(slot Slot) Amount {
	if c := s.class(slot); c >= 0 {
		return Amount(s.classes[c].whole) * hundredthsPerDevice
	}
	return 0
}

// Free is how much of a slot may still be handed out, in the slot's unit; never below 0.
func (s State) Free(slot Slot) Amount {
	switch {
	case slot == SlotCPU:
		return max(s.cpu, 0)
	case slot == SlotMem:
		return max(s.mem, 0)
	case slot.fractional():
		if c := s.class(slot.whole()); c >= 0 {
			return s.classes[c].part
		}
		return 0
	}
	return s.FreeWhole(slot)
}

// HasAccelerators says whether the node has any device at all.
func (s State) HasAccelerators() bool { return len(s.node.Devices) > 0 }

// DeviceFree is what is not taken of the i-th device, in hundredths, whether it may be handed out or not.
func (s State) DeviceFree(i int) Amount { return max(s.free[i], 0) }

// sum sums the devices up.
func (s *snapshot) sum() {
	s.classes = make([]class, len(s.slots))
	for i := range s.node.Devices {
		d := &s.node.Devices[i]
		if s.cut[i] {
			continue
		}
		c := &s.classes[s.classOf[i]]
		switch {
		case d.Fault != "":
			c.faulty++
		case d.Busy != "":
			c.busy++
		case s.usable(i):
			if s.free[i] == hundredthsPerDevice {
				c.whole++
			}
			c.part += max(s.free[i], 0)
			c.largest = max(c.largest, s.free[i])
		}
	}
}

// usable says whether what is free of a device may be handed out: it is well, nobody else is on it, it is not
// cut into slices, and if it is one itself, nobody has the device that it is cut from.
func (s *snapshot) usable(i int) bool {
	d := &s.node.Devices[i]
	if d.Fault != "" || d.Busy != "" || s.cut[i] {
		return false
	}
	parent := s.parent[i]
	return parent < 0 || s.free[parent] == hundredthsPerDevice && s.node.Devices[parent].Fault == "" && s.node.Devices[parent].Busy == ""
}
