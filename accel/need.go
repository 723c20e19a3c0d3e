package accel

import (
	"fmt"
	"math"
)

// Policy says how an amount is spread over devices that have several units of it.
type Policy int

// The policies.
const (
	Evenly Policy = iota // the same of each
	Fill                 // all of one before any of the next
)

// Options of an allocation. The zero value is right for most.
type Options struct {
	Quantum    Amount // shares are given in multiples of it, in hundredths; it divides 100; 0 means 1
	Policy     Policy // of shares that no single device has room for
	IgnoreNUMA bool   // take devices in the order of their numbers, wherever they are
}

// Need is what a session asks for, made ready to be compared with many states.
type Need struct {
	CPU, Memory Amount
	slots       Slots
	wants       []want // accelerators
	options     Options
}

// want is one accelerator slot of a need.
type want struct {
	slot   Slot
	class  Slot // of the devices that serve it
	amount Amount
}

// NewNeed makes an ask ready; ErrInvalid for what no box could grant as it is written.
func NewNeed(ask Slots, o Options) (Need, error) {
	o.Quantum = max(o.Quantum, 1)
	if hundredthsPerDevice%o.Quantum != 0 {
		return Need{}, fmt.Errorf("%w: a quantum of %s does not divide a device", ErrInvalid, decimal(o.Quantum, hundredthsPerDevice))
	}
	n := Need{CPU: ask[SlotCPU], Memory: ask[SlotMem], slots: ask, options: o}
	for name, amount := range ask {
		if amount < 0 || amount > math.MaxInt64/2 {
			return Need{}, fmt.Errorf("%w: %s: %d units", ErrInvalid, name, amount)
		}
	}
	if clash := ask.clash(); clash != "" {
		return Need{}, fmt.Errorf("%w: %s", ErrInvalid, clash)
	}
	for _, slot := range ask.Accelerators() {
		w := want{slot: slot, class: slot, amount: ask[slot]}
		switch {
		case slot.fractional():
			w.class = slot.whole()
			w.amount -= w.amount % o.Quantum
			if w.amount == 0 {
				return Need{}, fmt.Errorf("%w: %s %s is less than the quantum of %s", ErrInvalid,
					Format(slot, ask[slot]), slot, Format(slot, o.Quantum))
			}
		case w.amount%hundredthsPerDevice != 0:
			return Need{}, fmt.Errorf("%w: %s %s is not a whole number", ErrInvalid, Format(slot, w.amount), slot)
		}
		n.wants = append(n.wants, w)
	}
	return n, nil
}

// Slots is what was asked for.
func (n *Need) Slots() Slots { return n.slots }

// Fits says whether Allocate would succeed. It allocates no memory and looks at sums, not devices.
func (s State) Fits(n *Need) bool {
	if n.CPU > 0 && n.CPU > s.cpu || n.Memory > 0 && n.Memory > s.mem {
		return false
	}
	for i := range n.wants {
		if !s.has(&n.wants[i], n.options.Quantum) {
			return false
		}
	}
	return true
}

func (s State) has(w *want, quantum Amount) bool {
	c := s.class(w.class)
	switch {
	case c < 0:
		return false
	case !w.slot.fractional():
		return Amount(s.classes[c].whole)*hundredthsPerDevice >= w.amount
	case quantum == 1 || s.classes[c].part < w.amount:
		return s.classes[c].part >= w.amount
	}
	var sum Amount
	for i := range s.free {
		if s.classOf[i] == c && s.usable(i) {
			sum += max(s.free[i], 0) / quantum * quantum
		}
	}
	return sum >= w.amount
}

// Shortages lists all that is missing for a need, accelerators first; nil if it fits.
func (s State) Shortages(n *Need) []*Shortage {
	var short []*Shortage
	for i := range n.wants {
		if !s.has(&n.wants[i], n.options.Quantum) {
			short = append(short, s.shortage(n.wants[i]))
		}
	}
	if n.Memory > 0 && n.Memory > s.mem {
		short = append(short, s.shortage(want{slot: SlotMem, amount: n.Memory}))
	}
	if n.CPU > 0 && n.CPU > s.cpu {
		short = append(short, s.shortage(want{slot: SlotCPU, amount: n.CPU}))
	}
	return short
}

// FitsEmpty says why an ask would not fit on a box even if nobody else were on it and all of it were well:
// a *Shortage that is ErrNeverFits with what the box has, or ErrInvalid.
func FitsEmpty(n Node, ask Slots) error {
	need, err := NewNeed(ask, Options{})
	if err != nil {
		return err
	}
	return NewState(n).Never(&need)
}

// Never is FitsEmpty for a state's node: nil when the need fits once enough has ended.
func (s State) Never(n *Need) error {
	for i := range n.wants {
		if s.Total(n.wants[i].slot) < n.wants[i].amount {
			return s.shortage(n.wants[i])
		}
	}
	switch {
	case n.Memory > s.node.Memory:
		return s.shortage(want{slot: SlotMem, amount: n.Memory})
	case n.CPU > s.node.CPU:
		return s.shortage(want{slot: SlotCPU, amount: n.CPU})
	}
	return nil
}
