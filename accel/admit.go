package accel

import "fmt"

// Conflict is more than there is, held by what runs.
type Conflict struct {
	Session string `json:"session"`
	Node    string `json:"node"`
	Device  string `json:"device,omitempty"` // "" for cpu and mem
	Reason  string `json:"reason"`
}

// String is a sentence.
func (c Conflict) String() string {
	if c.Device == "" {
		return fmt.Sprintf("session %s on %s: %s", c.Session, c.Node, c.Reason)
	}
	return fmt.Sprintf("session %s on %s, device %s: %s", c.Session, c.Node, c.Device, c.Reason)
}

// admits says why a claim may not be added to a state: the last word before it is true, so it trusts nobody.
func (s State) admits(c Claim) error {
	if err := wellFormed(c); err != nil {
		return err
	}
	if cpu := c.Slots[SlotCPU]; cpu > 0 && cpu > s.cpu {
		return fmt.Errorf("%w: %w", ErrTaken, s.shortage(want{slot: SlotCPU, amount: cpu}))
	}
	if mem := c.Slots[SlotMem]; mem > 0 && mem > s.mem {
		return fmt.Errorf("%w: %w", ErrTaken, s.shortage(want{slot: SlotMem, amount: mem}))
	}
	for _, share := range c.Shares {
		i, known := s.byID[share.Device]
		if !known {
			return fmt.Errorf("device %s: %w", share.Device, ErrNoDevice)
		}
		if err := s.admitsShare(i, share); err != nil {
			return fmt.Errorf("device %s: %w", share.Device, err)
		}
	}
	return nil
}

func (s State) admitsShare(i int, share Share) error {
	d := &s.node.Devices[i]
	slot := share.Slot
	if slot.fractional() {
		slot = slot.whole()
	}
	switch {
	case d.Fault != "":
		return fmt.Errorf("%w: %s", ErrFenced, d.Fault)
	case d.Busy != "":
		return fmt.Errorf("%w: %s", ErrBusy, d.Busy)
	case slot != d.Slot:
		return fmt.Errorf("%w: it is %s, not %s", ErrInvalid, d.Slot, slot)
	case !s.usable(i):
		return fmt.Errorf("%w: it is cut into slices, or cut from a device that is in use", ErrTaken)
	case share.Amount > s.free[i]:
		return fmt.Errorf("%w: %s wanted, %s free", ErrTaken, Format(share.Slot, share.Amount), Format(share.Slot, max(s.free[i], 0)))
	}
	return nil
}

// wellFormed says what is wrong with a claim in itself.
func wellFormed(c Claim) error {
	if c.Session == "" {
		return fmt.Errorf("%w: a claim without a session", ErrInvalid)
	}
	for slot, amount := range c.Slots {
		if amount < 0 {
			return fmt.Errorf("%w: %s below 0", ErrInvalid, slot)
		}
	}
	if clash := c.Slots.clash(); clash != "" {
		return fmt.Errorf("%w: %s", ErrInvalid, clash)
	}
	given, seen := Slots{}, map[string]bool{}
	for _, share := range c.Shares {
		switch {
		case share.Amount <= 0 || share.Amount > hundredthsPerDevice:
			return fmt.Errorf("%w: %d hundredths of device %s", ErrInvalid, share.Amount, share.Device)
		case !share.Slot.fractional() && share.Amount != hundredthsPerDevice:
			return fmt.Errorf("%w: a part of device %s, asked for as %s", ErrInvalid, share.Device, share.Slot)
		case seen[share.Device]:
			return fmt.Errorf("%w: device %s twice", ErrInvalid, share.Device)
		}
		seen[share.Device] = true
		given[share.Slot] += share.Amount
	}
	for slot, amount := range given {
		if amount > c.Slots[slot] {
			return fmt.Errorf("%w: %s %s given, %s asked", ErrInvalid, Format(slot, amount), slot, Format(slot, c.Slots[slot]))
		}
	}
	return nil
}

// conflicts says what of a claim that runs stands against the others, and against what there is.
func (l *Ledger) conflicts(c Claim) []Conflict {
	conflict := func(device, format string, args ...any) Conflict {
		return Conflict{Session: c.Session, Node: c.Node, Device: device, Reason: fmt.Sprintf(format, args...)}
	}
	p, known := l.nodes[c.Node]
	if !known {
		return []Conflict{conflict("", "it holds %s of a node that is not there", c.Slots)}
	}
	var found []Conflict
	s := p.state.Without(c.Session)
	for _, slot := range []Slot{SlotCPU, SlotMem} {
		if asked := c.Slots[slot]; asked > s.Free(slot) && asked > 0 {
			found = append(found, conflict("", "it holds %s %s, %s of %s are free", Format(slot, asked), slot,
				Format(slot, s.Free(slot)), Format(slot, s.Total(slot))))
		}
	}
	for _, share := range c.Shares {
		i, known := s.byID[share.Device]
		switch {
		case !known:
			found = append(found, conflict(share.Device, "the box does not list it any more"))
		case s.free[i] < share.Amount:
			found = append(found, conflict(share.Device, "it holds %s of it, %s is free", Format(share.Slot, share.Amount), Format(share.Slot, max(s.free[i], 0))))
		case s.node.Devices[i].Fault != "":
			found = append(found, conflict(share.Device, "%s", s.node.Devices[i].Fault))
		}
	}
	return found
}
