package sessions

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/fit"
)

// OptMemoryCheck is the resource option by which an owner who knows better starts a model that seems not to fit.
const OptMemoryCheck = "memory-check"

// checkFit holds a model's need of memory against what its session is to get. A model that fits nowhere is
// ErrInvalid; one that fits in part is a warning; of one that cannot be told nothing is said. said is the verdict in one
// sentence; "" where there is none.
func (m *Manager) checkFit(files fs.FS, r resolved, d Demand) (said string, ps catalog.Problems, err error) {
	if files == nil || r.recipe.ResourceOpts[OptMemoryCheck] == "off" {
		return "", nil, nil
	}
	sizing := m.Variants.Sizing(r.launch)
	path, known := sizing.InFolder(r.launch.Mount)
	if !known {
		return "", nil, nil // it loads something else than what is in the folder
	}
	fits := func(box fit.Box) (fit.Verdict, error) {
		v, err := fit.Check(files, sizing.Request(path), box)
		if err != nil {
			err = fmt.Errorf("%w: the model cannot be read: %w; resource option %s=off starts it all the same", ErrInvalid, err, OptMemoryCheck)
		}
		return v, err
	}
	boxes, usual := m.boxesFor(d, r.recipe, r.launch.FixedPort())
	var best fit.Verdict
	for _, box := range boxes {
		v, err := fits(box)
		if err != nil {
			return "", nil, err
		}
		if best.Outcome == "" || better(v.Outcome, best.Outcome) {
			best = v
		}
	}
	warn := func(message string) catalog.Problems {
		return catalog.Problems{{Severity: catalog.SeverityWarning, Field: "resources", Message: message}}
	}
	switch best.Outcome {
	case fit.DoesNotFit:
		return best.Sentence, nil, fmt.Errorf("%w: %s; if you know better: resource option %s=off", ErrInvalid, best.Sentence, OptMemoryCheck)
	case fit.FitsPartly:
		return best.Sentence, warn(best.Sentence), nil
	}
	if usual != nil {
		v, err := fits(*usual)
		if err != nil {
			return "", nil, err
		}
		if v.Outcome == fit.DoesNotFit {
			return best.Sentence, warn("it does not fit on every choice of boxes: with " + usual.Host.Name + ": " + v.Sentence + "; labels choose others"), nil
		}
	}
	return best.Sentence, nil, nil
}

// better orders outcomes: what fits, then what may, then the rest.
func better(a, b fit.Outcome) bool {
	order := []fit.Outcome{fit.Fits, fit.CannotTell, fit.FitsPartly, fit.DoesNotFit}
	return slices.Index(order, a) < slices.Index(order, b)
}

// boxesFor is the memory that the containers of a route would have together wherever they could run, were nobody else there: the queue
// waits until that is so. Where they may be on several boxes it is, of boxes that reach each other, the ones with most of it for each
// container; usual are then those where they go when all boxes are empty. apart: as Waiting.Apart.
func (m *Manager) boxesFor(d Demand, r Recipe, apart bool) (out []fit.Box, usual *fit.Box) {
	pool, count := m.Ledger.Pool(), max(1, r.ClusterSize)
	if count > 1 && r.ClusterMode == ClusterMultiNode {
		w := Waiting{Slots: d.Slots, Selector: d.Selector, Spread: true, Others: make([]string, count-1), Engine: true, Apart: apart}
		return boxesOver(Queue{Pool: pool, Waiting: []Waiting{w}, Reach: m.reaches(), Unasked: m.unasked(), Options: m.Queueing.Options})
	}
	all := d.Slots
	if count > 1 {
		all = times(d.Slots, count, m.Queueing.Options)
	}
	for _, state := range pool {
		if node := state.Node(); selects(d.Selector, node.Labels) && accel.FitsEmpty(*node, all) == nil {
			out = append(out, boxOf(node, d.Slots, count))
		}
	}
	return out, nil
}

// boxesOver is boxesFor of containers that may be on several boxes.
func boxesOver(q Queue) (out []fit.Box, usual *fit.Box) {
	w := q.Waiting[0]
	q.Pool = slices.Clone(q.Pool)
	for i, state := range q.Pool {
		q.Pool[i] = accel.NewState(*state.Node())
	}
	p := newPass(&q, w.Since)
	shape := p.turns.next().shape
	one := make([]fit.Box, len(p.nodes.now))
	for i, state := range p.nodes.now {
		one[i] = boxOf(state.Node(), w.Slots, 1)
	}
	join := func(parts []part) fit.Box {
		var boxes []fit.Box
		for _, part := range parts {
			boxes = append(boxes, boxOf(p.nodes.now[part.node].Node(), w.Slots, part.count))
		}
		return joined(boxes)
	}
	for _, group := range p.nodes.groups(shape) {
		slices.SortStableFunc(group, func(a, b int) int { return compareMemory(one[b], one[a]) })
		var parts []part
		left := shape.count
		for _, node := range group {
			if count := min(left, p.nodes.most(shape, node)); count > 0 {
				parts, left = append(parts, part{node, count}), left-count
			}
		}
		if left == 0 {
			out = append(out, join(parts))
		}
	}
	if parts := p.nodes.over(shape, p.nodes.now); parts != nil {
		box := join(parts)
		usual = &box
	}
	return out, usual
}

// compareMemory compares what two boxes have: of their devices, or of their own.
func compareMemory(a, b fit.Box) int {
	sum := func(box fit.Box) (devices int64) {
		for _, d := range box.Devices {
			devices += d.Free
		}
		return devices
	}
	return cmp.Or(cmp.Compare(sum(a), sum(b)), cmp.Compare(a.Host.Free, b.Host.Free))
}

// boxOf is the memory that containers have on a box where nobody else is.
func boxOf(node *accel.Node, each accel.Slots, count int) fit.Box {
	box := fit.Box{Host: fit.Place{ID: node.Name, Name: node.Name + "'s memory", Total: int64(node.Memory), Free: int64(node.Memory)}}
	if mem := int64(each[accel.SlotMem]) * int64(count); mem > 0 {
		box.Host.Free = min(box.Host.Free, mem)
	}
	for _, slot := range each.Accelerators() {
		box.Devices = append(box.Devices, placesOf(*node, slot, each[slot], count)...)
	}
	return box
}

// joined is what several boxes have together.
func joined(boxes []fit.Box) fit.Box {
	if len(boxes) == 1 {
		return boxes[0]
	}
	var all fit.Box
	var names []string
	for _, box := range boxes {
		names = append(names, box.Host.ID)
		all.Host.Total += box.Host.Total
		all.Host.Free += box.Host.Free
		for _, d := range box.Devices {
			d.ID, d.Name = box.Host.ID+"/"+d.ID, d.Name+" of "+box.Host.ID
			all.Devices = append(all.Devices, d)
		}
	}
	all.Host.ID = strings.Join(names, "+")
	all.Host.Name = "the memory of " + enumerate(names)
	return all
}

// devices is how many accelerators an ask comes to, parts of one as one.
func devices(slots accel.Slots) int {
	count := 0
	for _, slot := range slots.Accelerators() {
		count += int((slots[slot] + 99) / 100)
	}
	return count
}

// placesOf are the devices that an amount of a slot comes to for each of so many containers, the largest ones, with the part of
// them that is given.
func placesOf(node accel.Node, slot accel.Slot, amount accel.Amount, count int) []fit.Place {
	whole := deviceSlot(slot)
	var devices []accel.Device
	for _, d := range node.Devices {
		if d.Slot == whole {
			devices = append(devices, d)
		}
	}
	slices.SortStableFunc(devices, func(a, b accel.Device) int { return cmp.Compare(b.Memory, a.Memory) })
	taken := make([]accel.Amount, len(devices))
	var out []fit.Place
	for rank := range count {
		left := amount
		for i, d := range devices {
			part := min(left, wholeDevice)
			if part <= 0 {
				break
			}
			if taken[i]+part > wholeDevice {
				continue // it is another container's
			}
			left, taken[i] = left-part, taken[i]+part
			place := fit.Place{ID: d.ID, Name: fmt.Sprintf("%s:%d", d.Family, d.Index), Total: d.Memory, Free: d.Memory * int64(part) / 100}
			if count > 1 {
				place.ID = fmt.Sprintf("%s/%d", d.ID, rank) // parts of one may be several containers'
			}
			out = append(out, place)
		}
	}
	return out
}
