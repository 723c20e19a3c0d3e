package sessions

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-run/palisade/accel"
)

// holder is what one session holds of one node, while a pass lasts.
type holder struct {
	*Held
	node   int
	parts  []*holder      // of the same session on all its nodes; nil: it has one container
	gains  []accel.Amount // by column of nodes: the most that its end could free of it
	ends   ending
	leaves bool // it is being ended, or will be as a victim: it is not in nodes.soon
	gone   bool // from nodes.later
}

// ending says how a session comes to its end.
type ending int

const (
	endsByItself ending = iota // batch: when its work is done
	endsIdle                   // interactive: when nobody uses it any more
	endsByHand                 // routes and what belongs to the system: when someone ends it
)

func endingOf(h *Held) ending {
	switch {
	case h.ServiceID != "" || h.Type == TypeInference || h.Type == TypeSystem:
		return endsByHand
	case h.Type == TypeInteractive:
		return endsIdle
	}
	return endsByItself
}

// victim reports whether a session may ever be preempted.
func (h *holder) victim() bool { return h.Preemptible && !h.Leaving && endingOf(h.Held) != endsByHand }

// ripe is when a session has run for long enough to be preempted; false: not before it runs.
func (h *holder) ripe() (time.Time, bool) {
	return h.StartedAt.Add(h.MinRuntime), h.MinRuntime <= 0 || !h.StartedAt.IsZero()
}

// holders is who holds what of which node, by node. It is made when the first session finds no room.
type holders struct {
	made    bool
	ending  [][]*holder      // those that end soonest first, as far as that can be told
	victims [][]*holder      // those that may ever be preempted, the cheapest first
	reclaim map[int]*reclaim // by priority
	routes  map[string]int   // by service
}

// reclaim bounds what preemption could free for sessions of one priority: it may be less, never more.
type reclaim struct {
	most [][]accel.Amount // by column and node: all of them together
	each [][]accel.Amount // by column and node: the most of one of them
}

// reclaimable bounds what sessions of a priority could have of others.
func (p *pass) reclaimable(priority int) *reclaim {
	all := p.all()
	if r := all.reclaim[priority]; r != nil {
		return r
	}
	r := &reclaim{}
	for range p.nodes.slots {
		r.most = append(r.most, make([]accel.Amount, len(p.nodes.now)))
		r.each = append(r.each, make([]accel.Amount, len(p.nodes.now)))
	}
	for node := range p.nodes.now {
		for h := range p.eligible(priority, node) {
			for c, gain := range h.gains {
				r.most[c][node] += gain
				r.each[c][node] = max(r.each[c][node], gain)
			}
		}
	}
	all.reclaim[priority] = r
	return r
}

// eligible lists who may be preempted on a node now for a session of a priority, the cheapest first.
func (p *pass) eligible(priority, node int) func(yield func(*holder) bool) {
	return func(yield func(*holder) bool) {
		for _, h := range p.all().victims[node] {
			if h.Priority >= priority {
				return
			}
			at, runs := h.ripe()
			switch {
			case h.gone || !runs:
			case at.After(p.now):
				p.lookAgain(at)
			case !yield(h):
				return
			}
		}
	}
}

// all makes the lists if they are not there yet.
func (p *pass) all() *holders {
	h := &p.holders
	if h.made {
		return h
	}
	count := len(p.nodes.now)
	*h = holders{made: true, ending: make([][]*holder, count), victims: make([][]*holder, count), reclaim: map[int]*reclaim{}}
	list, width := make([]holder, 0, len(p.queue.Running)), len(p.nodes.slots)
	for i := range p.queue.Running {
		held := &p.queue.Running[i]
		for node := range p.nodes.of(held) {
			list = append(list, holder{Held: held, node: node, ends: endingOf(held), leaves: held.Leaving, gone: held.Leaving})
		}
	}
	gains := make([]accel.Amount, width*len(list))
	for i := range list {
		one := &list[i]
		one.gains = gains[i*width : (i+1)*width]
		if len(one.Others) > 0 {
			one.parts = partsOf(list, i)
		}
		p.nodes.gain(one)
		h.ending[one.node] = append(h.ending[one.node], one)
		if one.victim() {
			h.victims[one.node] = append(h.victims[one.node], one)
		}
	}
	for i := range count {
		slices.SortFunc(h.ending[i], byEnding)
		slices.SortFunc(h.victims[i], byCost)
	}
	return h
}

// partsOf are what the session of list[i] holds of all its nodes: they are side by side.
func partsOf(list []holder, i int) (parts []*holder) {
	first := i
	for first > 0 && list[first-1].Held == list[i].Held {
		first--
	}
	for ; first < len(list) && list[first].Held == list[i].Held; first++ {
		parts = append(parts, &list[first])
	}
	return parts
}

// all are what a session holds of all its nodes.
func (h *holder) all() []*holder {
	if h.parts == nil {
		return []*holder{h}
	}
	return h.parts
}

// byEnding sorts first who probably ends first: of those that do by themselves who has run longest.
func byEnding(a, b *holder) int {
	return cmp.Or(cmp.Compare(a.ends, b.ends), compareStart(a, b), cmp.Compare(a.ID, b.ID))
}

// byCost sorts first whose work is the least lost: the lowest priority, then the youngest.
func byCost(a, b *holder) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), compareStart(b, a), cmp.Compare(a.ID, b.ID))
}

// compareStart sorts the oldest first; one that does not run yet is the youngest.
func compareStart(a, b *holder) int {
	switch {
	case a.StartedAt.IsZero() && b.StartedAt.IsZero():
		return 0
	case a.StartedAt.IsZero():
		return 1
	case b.StartedAt.IsZero():
		return -1
	}
	return a.StartedAt.Compare(b.StartedAt)
}

// gain counts what the end of a session could free of a node at most. A part of a device counts as the whole
// one where whole ones are asked for: it may be the last part that is taken.
func (n *nodes) gain(h *holder) {
	name := n.now[h.node].Name()
	if h.Claim.Node == name {
		n.gainOf(h, &h.Claim)
	}
	for i := range h.Others {
		if h.Others[i].Node == name {
			n.gainOf(h, &h.Others[i])
		}
	}
}

func (n *nodes) gainOf(h *holder, claim *accel.Claim) {
	for c, slot := range n.slots {
		if !accelerator(slot) {
			h.gains[c] += claim.Slots[slot]
			continue
		}
		device := deviceSlot(slot)
		for i := range claim.Shares {
			switch share := &claim.Shares[i]; {
			case deviceSlot(share.Slot) != device:
			case slot == device:
				h.gains[c] += wholeDevice
			default:
				h.gains[c] += share.Amount
			}
		}
	}
}

// wholeDevice is one device in hundredths.
const wholeDevice accel.Amount = 100

// namesOf writes who they are, for one who waits for them. Of those of other projects it says how many they are.
func namesOf(hs []*holder, reader *Waiting) []string {
	names, others := make([]string, 0, len(hs)), 0
	for _, h := range hs {
		if h.Project == reader.Project {
			names = append(names, nameOf(h.Name, h.ID))
		} else {
			others++
		}
	}
	return withOthers(names, others)
}

// nameOf writes who a session is: by its name where it has one.
func nameOf(name, id string) string { return cmp.Or(name, id) }

// withOthers adds sessions of other projects, which are not there for who has no part in them: not by name.
func withOthers(names []string, others int) []string {
	switch others {
	case 0:
		return names
	case 1:
		return append(names, "a session of another project")
	}
	return append(names, fmt.Sprintf("%d sessions of other projects", others))
}
