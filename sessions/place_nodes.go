package sessions

import (
	"cmp"
	"slices"

	"github.com/palisade-run/palisade/accel"
)

// nodes is the pool while a pass lasts: three views of each node, and of the first of them what is free as
// columns of numbers, which a thousand nodes are compared by.
//
// Of every resource, now has at most as much free as soon, and soon at most as much as later. So what is
// placed now spoils nothing that is kept for anybody.
type nodes struct {
	now   []accel.State // with what was placed in this pass, and less what is kept for sessions that have been tried
	soon  []accel.State // when all that are being ended have ended
	later []accel.State // when those have ended, too, that sessions at the head of the queue wait for

	slots    []accel.Slot
	columns  [][]accel.Amount // free now, by slot and node
	totals   [][]accel.Amount
	equipped []bool   // has accelerators
	leaving  []int    // nodes whose soon is not their now
	reach    []string // by which kind of network sessions of a node reach others; "": not at all
	unasked  []bool   // Queue.Unasked, by node
	byName   map[string]int
}

func newNodes(pool accel.Pool) *nodes {
	sorted := slices.Clone([]accel.State(pool))
	byName := func(a, b accel.State) int { return cmp.Compare(a.Name(), b.Name()) }
	if !slices.IsSortedFunc(sorted, byName) {
		slices.SortStableFunc(sorted, byName)
	}
	n := &nodes{now: sorted, soon: slices.Clone(sorted), later: slices.Clone(sorted), byName: make(map[string]int, len(sorted)), equipped: make([]bool, len(sorted))}
	for i, s := range sorted {
		n.byName[s.Name()], n.equipped[i] = i, s.HasAccelerators()
	}
	n.column(accel.SlotCPU)
	n.column(accel.SlotMem)
	return n
}

// The columns that there always are.
const (
	cpuColumn = 0
	memColumn = 1
)

// column counts a slot on all nodes and returns its number.
func (n *nodes) column(slot accel.Slot) int {
	if i := slices.Index(n.slots, slot); i >= 0 {
		return i
	}
	free, total := make([]accel.Amount, len(n.now)), make([]accel.Amount, len(n.now))
	for i, s := range n.now {
		free[i], total[i] = s.Free(slot), s.Total(slot)
	}
	n.slots, n.columns, n.totals = append(n.slots, slot), append(n.columns, free), append(n.totals, total)
	return len(n.slots) - 1
}

// leave tells that a session is being ended: what it holds is not free now, but soon.
func (n *nodes) leave(node int, h *Held) {
	now, soon, later := n.now[node], n.soon[node], n.later[node]
	if soon == now {
		n.leaving = append(n.leaving, node)
	}
	n.soon[node] = h.outOf(soon)
	n.later[node] = n.soon[node]
	if later != soon {
		n.later[node] = h.outOf(later)
	}
}

// place takes a claim out of all views of its node.
func (n *nodes) place(node int, c accel.Claim) {
	now, soon, later := n.now[node], n.soon[node], n.later[node]
	n.setNow(node, now.With(c))
	n.soon[node] = n.now[node]
	if soon != now {
		n.soon[node] = soon.With(c)
	}
	n.later[node] = n.soon[node]
	if later != soon {
		n.later[node] = later.With(c)
	}
}

func (n *nodes) setNow(node int, s accel.State) {
	n.now[node] = s
	for c, slot := range n.slots {
		n.columns[c][node] = s.Free(slot)
	}
}

// level holds back, for a session, what one view of a node has free and the view behind it has not.
func (n *nodes) level(node int, session string) {
	if c, some := excess(n.soon[node], n.later[node], session); some {
		n.soon[node] = n.soon[node].With(c)
	}
	if c, some := excess(n.now[node], n.soon[node], session); some {
		n.setNow(node, n.now[node].With(c))
	}
}

// keptFor is who holds what is kept for a session.
func keptFor(session string) string { return "kept for " + session }

// excess is what more of everything is free in one state of a node than in another, as a claim.
func excess(more, less accel.State, session string) (accel.Claim, bool) {
	if more == less {
		return accel.Claim{}, false
	}
	c := accel.Claim{Session: keptFor(session), Node: more.Name(), Slots: accel.Slots{}, NUMA: -1}
	if d := more.FreeCPU() - max(less.FreeCPU(), 0); d > 0 {
		c.Slots[accel.SlotCPU] = d
	}
	if d := more.FreeMemory() - max(less.FreeMemory(), 0); d > 0 {
		c.Slots[accel.SlotMem] = d
	}
	for i, device := range more.Node().Devices {
		if d := more.DeviceFree(i) - less.DeviceFree(i); d > 0 {
			c.Shares = append(c.Shares, accel.Share{Device: device.ID, Slot: device.Slot, Amount: d})
		}
	}
	return c, len(c.Slots) > 0 || len(c.Shares) > 0
}
