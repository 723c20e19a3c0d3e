package accel

import (
	"errors"
	"fmt"
	"strings"
)

// Kinds of a Shortage.
var (
	// ErrNeverFits: more is asked for than the box has, whoever else is on it.
	ErrNeverFits = errors.New("more than the box has")
	// ErrNotNow: it fits on the box, but not beside what has it now.
	ErrNotNow = errors.New("not free now")
)

// Shortage says what is missing on one node. It is ErrNeverFits or ErrNotNow.
type Shortage struct {
	Node    string `json:"node"`
	Slot    Slot   `json:"slot"`
	Asked   Amount `json:"asked"`
	Free    Amount `json:"free"`
	Total   Amount `json:"total"`
	Largest Amount `json:"largest,omitempty"` // of shares: the most that is free on one device
	Faulty  int    `json:"faulty,omitempty"`  // devices that must not be used
	Busy    int    `json:"busy,omitempty"`    // devices that work, but are not handed out
	Never   bool   `json:"never,omitempty"`
	Has     string `json:"has,omitempty"` // what the box has instead, when it never fits
}

// Error is a sentence: "2 cuda.device asked, 1 of 8 free".
func (s *Shortage) Error() string {
	asked := Format(s.Slot, s.Asked) + " " + string(s.Slot) + " asked, "
	switch {
	case s.Never && s.Total == 0 && s.Has != "":
		return asked + s.box() + " has none; it has " + s.Has
	case s.Never && s.Total == 0:
		return asked + s.box() + " has none"
	case s.Never:
		return asked + s.box() + " has " + Format(s.Slot, s.Total)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s of %s free", asked, Format(s.Slot, s.Free), Format(s.Slot, s.Total))
	if s.Largest > 0 && s.Largest < s.Free {
		fmt.Fprintf(&b, ", at most %s on one device", Format(s.Slot, s.Largest))
	}
	if s.Faulty > 0 {
		fmt.Fprintf(&b, ", %d faulty", s.Faulty)
	}
	if s.Busy > 0 {
		fmt.Fprintf(&b, ", %d busy", s.Busy)
	}
	return b.String()
}

func (s *Shortage) box() string {
	if s.Node == "" {
		return "the box"
	}
	return s.Node
}

// Is tells the kind.
func (s *Shortage) Is(kind error) bool {
	return kind == ErrNeverFits && s.Never || kind == ErrNotNow && !s.Never
}

// Hint says what to do.
func (s *Shortage) Hint() string {
	switch {
	case s.Never && s.Total == 0:
		return "palisade device list shows what can be asked for"
	case s.Never:
		return fmt.Sprintf("ask for %s %s or less", Format(s.Slot, s.Total), s.Slot)
	case s.Faulty > 0:
		return "palisade device list shows what is wrong with the faulty devices"
	case s.Busy > 0:
		return "palisade device list shows what keeps devices busy"
	}
	return "it is given when something else ends; ask for less to start sooner"
}

// shortage describes what is missing of one want.
func (s State) shortage(w want) *Shortage {
	short := &Shortage{Node: s.node.Name, Slot: w.slot, Asked: w.amount, Free: s.Free(w.slot), Total: s.Total(w.slot)}
	if c := s.class(w.class); c >= 0 {
		short.Faulty, short.Busy = s.classes[c].faulty, s.classes[c].busy
		if w.slot.fractional() {
			short.Largest = s.classes[c].largest
		}
	}
	if short.Total < w.amount {
		short.Never = true
		var has []string
		for i, slot := range s.slots {
			if s.counts[i] > 0 && slot != w.slot {
				has = append(has, fmt.Sprintf("%d %s", s.counts[i], slot))
			}
		}
		short.Has = strings.Join(has, ", ")
	}
	return short
}
