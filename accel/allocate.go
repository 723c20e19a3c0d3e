package accel

import (
	"cmp"
	"slices"
)

// Allocate finds what a session gets of a node, and takes nothing: the Ledger does that, and may refuse when the
// state has changed meanwhile. The same state and need give the same claim. Errors are a *Shortage (ErrNotNow,
// ErrNeverFits).
//
//  1. Whole devices: those of one memory node that has room for the cores and memory too, the one with the fewest to
//     spare; of these the best joined ones, and those whose going leaves the others joined; then by index.
//  2. Shares: the device with the least free that still fits; else the fewest devices, of one memory node
//     where that is possible, spread by the policy.
//  3. Slices: as whole devices, but from parents that are cut into already.
//
// The claim is near to a memory node if all its devices are and its cores and memory fit there. One without
// accelerators is near to none: the kernel moves it to where there is room.
func (s State) Allocate(session string, n *Need) (Claim, error) {
	if err := s.Never(n); err != nil {
		return Claim{}, err
	}
	if short := s.Shortages(n); short != nil {
		return Claim{}, short[0]
	}
	claim := Claim{Session: session, Node: s.node.Name, Slots: n.slots, NUMA: -1}
	var got []piece
	for i := range n.wants {
		w := &n.wants[i]
		if w.slot.fractional() {
			got = append(got, s.shares(w, n)...)
		} else {
			got = append(got, s.whole(w, n)...)
		}
	}
	slices.SortFunc(got, func(a, b piece) int { return cmp.Compare(a.device, b.device) })
	for _, p := range got {
		d := &s.node.Devices[p.device]
		claim.Shares = append(claim.Shares, Share{
			Device: d.ID, Slot: p.slot, Amount: p.amount, Memory: memoryOf(d, p.amount),
		})
	}
	claim.NUMA = s.nearTo(got, n)
	return claim, nil
}

// memoryOf is the part of a device's memory that an amount stands for. Its size and its remainder are taken apart so
// that no size overflows.
func memoryOf(d *Device, amount Amount) int64 {
	return d.Memory/hundredthsPerDevice*int64(amount) + d.Memory%hundredthsPerDevice*int64(amount)/hundredthsPerDevice
}

// piece is an amount of one device, by its position.
type piece struct {
	device int
	slot   Slot
	amount Amount
}

// whole picks free devices of a slot. There are enough of them.
func (s State) whole(w *want, n *Need) []piece {
	c, count := s.class(w.class), int(w.amount/hundredthsPerDevice)
	var candidates []int
	for i := range s.free {
		if s.classOf[i] == c && s.free[i] == hundredthsPerDevice && s.usable(i) {
			candidates = append(candidates, i)
		}
	}
	s.order(candidates)
	var got []piece
	for _, i := range s.choose(candidates, count, n) {
		got = append(got, piece{i, w.slot, hundredthsPerDevice})
	}
	return got
}

// order sorts devices: slices of parents that have the fewest whole slices left come first, then by index.
func (s State) order(devices []int) {
	left := map[int]int{}
	for _, i := range devices {
		if s.parent[i] >= 0 {
			left[s.parent[i]]++
		}
	}
	slices.SortStableFunc(devices, func(a, b int) int {
		return cmp.Or(cmp.Compare(left[s.parent[a]], left[s.parent[b]]), s.byIndex(a, b))
	})
}

func (s State) byIndex(a, b int) int {
	return cmp.Or(cmp.Compare(s.node.Devices[a].Index, s.node.Devices[b].Index), cmp.Compare(a, b))
}

// shares picks parts of devices. There is enough of them in all.
func (s State) shares(w *want, n *Need) []piece {
	c, quantum := s.class(w.class), n.options.Quantum
	units := func(i int) Amount { return max(s.free[i], 0) / quantum }
	ask := w.amount / quantum
	var candidates []int
	best := -1
	for i := range s.free {
		if s.classOf[i] != c || !s.usable(i) || units(i) == 0 {
			continue
		}
		candidates = append(candidates, i)
		if units(i) >= ask && (best < 0 || s.tighter(i, best, n) < 0) {
			best = i
		}
	}
	if best >= 0 {
		return []piece{{best, w.slot, w.amount}}
	}
	chosen := s.fewest(candidates, units, ask, n)
	free := make([]Amount, len(chosen))
	for at, i := range chosen {
		free[at] = units(i)
	}
	var got []piece
	for at, amount := range Spread(free, ask, n.options.Policy) {
		if amount > 0 {
			got = append(got, piece{chosen[at], w.slot, amount * quantum})
		}
	}
	return got
}

// tighter orders devices that all have room: less free first, then near to cores and memory that fit, then by index.
func (s State) tighter(a, b int, n *Need) int {
	return cmp.Or(cmp.Compare(s.free[a], s.free[b]), cmp.Compare(s.away(a, n), s.away(b, n)), s.byIndex(a, b))
}

// away is 1 for a device whose memory node has no room for the session's cores and memory.
func (s State) away(i int, n *Need) int {
	if n.options.IgnoreNUMA || s.roomNear(s.node.Devices[i].NUMA, n) {
		return 0
	}
	return 1
}

// fewest picks as few devices as have enough together: most free first, of one memory node where as few of them do.
func (s State) fewest(candidates []int, units func(int) Amount, ask Amount, n *Need) []int {
	most := func(devices []int) []int { // as few as are enough, or nil
		slices.SortStableFunc(devices, func(a, b int) int {
			return cmp.Or(cmp.Compare(units(b), units(a)), s.byIndex(a, b))
		})
		var sum Amount
		for at, i := range devices {
			if sum += units(i); sum >= ask {
				return devices[:at+1]
			}
		}
		return nil
	}
	chosen := most(slices.Clone(candidates))
	group := s.tightest(candidates, n, func(devices []int) bool {
		enough := most(devices)
		return enough != nil && len(enough) == len(chosen)
	})
	if group != nil {
		chosen, candidates = most(group), group
	}
	// Of those that have as much free as the least of the chosen, the best joined ones.
	least := units(chosen[len(chosen)-1])
	var sure, tied []int
	for _, i := range candidates {
		switch {
		case units(i) > least:
			sure = append(sure, i)
		case units(i) == least:
			tied = append(tied, i)
		}
	}
	slices.SortFunc(tied, s.byIndex)
	if !n.options.IgnoreNUMA {
		tied = s.joined(sure, tied, len(chosen)-len(sure))
	}
	picked := slices.Concat(sure, tied[:len(chosen)-len(sure)])
	slices.SortStableFunc(picked, func(a, b int) int {
		return cmp.Or(cmp.Compare(units(b), units(a)), s.byIndex(a, b))
	})
	return picked
}

// Spread divides ask over devices by what is free of each; nil if that is not enough. Evenly gives each the same, or all
// that it has if that is less; what does not divide goes to the first ones.
func Spread(free []Amount, ask Amount, p Policy) []Amount {
	order := make([]int, len(free))
	var sum Amount
	for i := range free {
		order[i] = i
		sum += max(free[i], 0)
	}
	if sum < ask || ask < 0 {
		return nil
	}
	if p == Evenly { // who has least is served first, so that what he cannot give is left to the others
		slices.SortFunc(order, func(a, b int) int {
			return cmp.Or(cmp.Compare(free[a], free[b]), cmp.Compare(b, a))
		})
	}
	given := make([]Amount, len(free))
	for at, i := range order {
		part := ask
		if p == Evenly {
			part = ask / Amount(len(order)-at)
		}
		given[i] = min(part, max(free[i], 0))
		ask -= given[i]
	}
	return given
}
