package accel

import (
	"slices"
	"strconv"
	"strings"
)

// whole is the slot of the devices that a fractional one takes parts of: cuda.device for cuda.shares.
func (s Slot) whole() Slot { return Slot(strings.TrimSuffix(string(s), ".shares") + ".device") }

// layout is what follows from a node's inventory alone, worked out once for all its states.
type layout struct {
	node    Node
	byID    map[string]int
	slots   []Slot // what devices are asked for as, each once
	counts  []int  // devices by slot, well or not, without those that are cut
	classOf []int  // by device: position in slots
	parent  []int  // by device: position of what it is cut from, or -1
	cut     []bool // by device: it has slices, which are what is handed out of it
	near    []nearby
	links   [][]int // by devices: how fast the two are joined; nil where none are
}

func newLayout(n Node) *layout {
	count := len(n.Devices)
	l := &layout{
		node: n, byID: make(map[string]int, count), classOf: make([]int, count), parent: make([]int, count), cut: make([]bool, count),
	}
	for i, d := range n.Devices {
		l.byID[d.ID] = i
	}
	for i, d := range n.Devices {
		l.parent[i] = -1
		if at, known := l.byID[d.Parent]; known && d.Parent != "" && at != i {
			l.parent[i], l.cut[at] = at, true
		}
	}
	for i, d := range n.Devices {
		at := slices.Index(l.slots, d.Slot)
		if at < 0 {
			at = len(l.slots)
			l.slots, l.counts = append(l.slots, d.Slot), append(l.counts, 0)
		}
		l.classOf[i] = at
		if !l.cut[i] {
			l.counts[at]++
		}
	}
	for _, m := range n.NUMA {
		l.near = append(l.near, nearby{Amount(len(m.CPUs)) * milliPerCore, Amount(m.Memory)})
	}
	l.join()
	return l
}

// join reads which devices are joined, from both sides.
func (l *layout) join() {
	for i, d := range l.node.Devices {
		for id, link := range d.Links {
			j, known := l.byID[id]
			if !known || i == j {
				continue
			}
			if l.links == nil {
				l.links = make([][]int, len(l.node.Devices))
				for k := range l.links {
					l.links[k] = make([]int, len(l.links))
				}
			}
			speed := max(linkSpeed(link), l.links[i][j])
			l.links[i][j], l.links[j][i] = speed, speed
		}
	}
}

// linkSpeed ranks what joins two devices, by the words that nvidia-smi topo uses: any number of NVLinks is
// better than the best of PCIe.
func linkSpeed(link string) int {
	if n, nvlink := strings.CutPrefix(link, "NV"); nvlink {
		lanes, err := strconv.Atoi(n)
		if err != nil || lanes < 1 || lanes > 100 {
			lanes = 1
		}
		return 10 + lanes
	}
	switch link {
	case "PIX":
		return 4
	case "PXB":
		return 3
	case "PHB":
		return 2
	case "NODE":
		return 1
	}
	return 0
}

// class is the position of a slot of whole devices, or -1. There are one or two, hardly ever more.
func (l *layout) class(slot Slot) int {
	for i, known := range l.slots {
		if known == slot {
			return i
		}
	}
	return -1
}

// numaAt is the position of a memory node by its number, or -1.
func (l *layout) numaAt(id int) int {
	if id < 0 {
		return -1
	}
	for i := range l.node.NUMA {
		if l.node.NUMA[i].ID == id {
			return i
		}
	}
	return -1
}

// Total is how much of a slot the node has, taken or not, well or not, in the slot's unit.
func (l *layout) Total(slot Slot) Amount {
	switch slot {
	case SlotCPU:
		return l.node.CPU
	case SlotMem:
		return l.node.Memory
	}
	if slot.fractional() {
		slot = slot.whole()
	}
	if c := l.class(slot); c >= 0 {
		return Amount(l.counts[c]) * hundredthsPerDevice
	}
	return 0
}

// Cores lists the cores near to a memory node as cpusets are written ("0-15,32-47"); "" for -1, or where the box
// does not say.
func (n *Node) Cores(numa int) string {
	for _, m := range n.NUMA {
		if m.ID == numa && numa >= 0 {
			return FormatCores(m.CPUs)
		}
	}
	return ""
}

// FormatCores writes numbers of cores as the kernel does: "0-3,8".
func FormatCores(cores []int) string {
	cores = slices.Compact(slices.Sorted(slices.Values(cores)))
	var b strings.Builder
	for i := 0; i < len(cores); {
		last := i
		for last+1 < len(cores) && cores[last+1] == cores[last]+1 {
			last++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cores[i]))
		if last > i {
			b.WriteByte('-')
			b.WriteString(strconv.Itoa(cores[last]))
		}
		i = last + 1
	}
	return b.String()
}
