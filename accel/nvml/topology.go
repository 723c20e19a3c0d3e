package nvml

import "strconv"

// topology is what lies between two cards on the PCI side, nearest first.
type topology int

// Values in NVML's order. The words are those of `nvidia-smi topo -m`.
const (
	sameBoard topology = iota
	oneSwitch
	manySwitches
	hostBridge
	sameNode
	acrossNodes
)

// levelFrom reads NVML's own numbers, which leave gaps of ten.
func levelFrom(code int) topology {
	return topology(min(max(code/10, 0), int(acrossNodes)))
}

func (t topology) String() string {
	return [...]string{"PIX", "PIX", "PXB", "PHB", "NODE", "SYS"}[t]
}

// joins says of each card what joins it to each other one, by uuid.
//  1. NVLinks that lead straight from one to the other: NV and their number.
//  2. NVLinks of both into a switch: NV and the smaller number, as all of a switch's ports see each other.
//  3. What lies between them on the PCI side.
//  4. Else nothing.
func joins(cards []card) map[string]map[string]string {
	all := make(map[string]map[string]string, len(cards))
	for _, a := range cards {
		links := map[string]string{}
		for _, b := range cards {
			if a.uuid == "" || b.uuid == "" || a.uuid == b.uuid {
				continue
			}
			level, near := a.levels[b.uuid]
			switch {
			case a.peers[b.pci] > 0: // 1
				links[b.uuid] = "NV" + strconv.Itoa(a.peers[b.pci])
			case min(a.switches, b.switches) > 0: // 2
				links[b.uuid] = "NV" + strconv.Itoa(min(a.switches, b.switches))
			case near: // 3
				links[b.uuid] = level.String()
			}
		}
		all[a.uuid] = links
	}
	return all
}
