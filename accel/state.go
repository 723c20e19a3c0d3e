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
	return build(newLayout(n), claims)
}

// With returns the state with one claim more, or in place of the same session's.
func (s State) With(c Claim) State {
	at, found := s.find(c.Session)
	claims := slices.Clone(s.claims)
	if found {
		claims[at] = c
		return build(s.layout, claims)
	}
	return build(s.layout, slices.Insert(claims, at, c))
}

// Without returns the state without what a session has of it.
func (s State) Without(session string) State {
	at, found := s.find(session)
	if !found {
		return s
	}
	return build(s.layout, slices.Delete(slices.Clone(s.claims), at, at+1))
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

// LargestShare is the most that is free on one CUDA device, in hundredths.
func (s State) LargestShare() Amount {
	if c := s.class(cudaDevice); c >= 0 {
		return s.classes[c].largest
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

// build counts. It takes the claims as its own.
func build(l *layout, claims []Claim) State {
	s := &snapshot{layout: l, claims: claims, cpu: l.node.CPU, mem: l.node.Memory}
	slices.SortStableFunc(s.claims, func(a, b Claim) int { return cmp.Compare(a.Session, b.Session) })
	s.free = make([]Amount, len(l.node.Devices))
	for i := range s.free {
		s.free[i] = hundredthsPerDevice
	}
	s.near = slices.Clone(l.near)
	for _, c := range s.claims {
		s.cpu -= c.Slots[SlotCPU]
		s.mem -= c.Slots[SlotMem]
		if at := l.numaAt(c.NUMA); at >= 0 {
			s.near[at].cpu -= c.Slots[SlotCPU]
			s.near[at].mem -= c.Slots[SlotMem]
		}
		for _, share := range c.Shares {
			if i, known := l.byID[share.Device]; known {
				s.free[i] -= share.Amount
			}
		}
	}
	s.classes = make([]class, len(l.slots))
	for i, d := range l.node.Devices {
		if l.cut[i] {
			continue
		}
		c := &s.classes[l.classOf[i]]
		switch {
		case d.Fault != "":
			c.faulty++
		case d.Busy != "":
			c.busy++
		case !s.usable(i):
		default:
			if s.free[i] == hundredthsPerDevice {
				c.whole++
			}
			c.part += max(s.free[i], 0)
			c.largest = max(c.largest, s.free[i])
		}
	}
	return State{s}
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
