package sessions

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/palisade-run/palisade/accel"
	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/catalog/fit"
	"github.com/palisade-run/palisade/variants"
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
	var best fit.Verdict
	for _, box := range boxesFor(m.Ledger.Pool(), d) {
		box = joined(box, r.launch.Span)
		v, err := fit.Check(files, sizing.Request(path), box)
		if err != nil {
			return "", nil, fmt.Errorf("%w: the model cannot be read: %w; resource option %s=off starts it all the same", ErrInvalid, err, OptMemoryCheck)
		}
		if best.Outcome == "" || better(v.Outcome, best.Outcome) {
			best = v
		}
	}
	switch best.Outcome {
	case fit.DoesNotFit:
		return best.Sentence, nil, fmt.Errorf("%w: %s; if you know better: resource option %s=off", ErrInvalid, best.Sentence, OptMemoryCheck)
	case fit.FitsPartly:
		return best.Sentence, catalog.Problems{{Severity: catalog.SeverityWarning, Field: "resources", Message: best.Sentence}}, nil
	}
	return best.Sentence, nil, nil
}

// better orders outcomes: what fits, then what may, then the rest.
func better(a, b fit.Outcome) bool {
	order := []fit.Outcome{fit.Fits, fit.CannotTell, fit.FitsPartly, fit.DoesNotFit}
	return slices.Index(order, a) < slices.Index(order, b)
}

// boxesFor is the memory that a session would have on each box that could run it, were the box empty: the queue waits
// until it is.
func boxesFor(pool accel.Pool, d Demand) []fit.Box {
	var out []fit.Box
	for _, state := range pool {
		node := state.Node()
		if !selects(d.Selector, node.Labels) || accel.FitsEmpty(*node, d.Slots) != nil {
			continue
		}
		box := fit.Box{Host: fit.Place{ID: node.Name, Name: node.Name + "'s memory", Total: int64(node.Memory), Free: int64(node.Memory)}}
		if mem := int64(d.Slots[accel.SlotMem]); mem > 0 {
			box.Host.Free = min(box.Host.Free, mem)
		}
		for _, slot := range d.Slots.Accelerators() {
			box.Devices = append(box.Devices, placesOf(*node, slot, d.Slots[slot])...)
		}
		out = append(out, box)
	}
	return out
}

// devices is how many accelerators an ask comes to, parts of one as one.
func devices(slots accel.Slots) int {
	count := 0
	for _, slot := range slots.Accelerators() {
		count += int((slots[slot] + 99) / 100)
	}
	return count
}

// joined is what all containers of an engine have, where each has as much as one on this box.
func joined(box fit.Box, span *variants.Span) fit.Box {
	if span == nil {
		return box
	}
	one := box
	box.Host.Total, box.Host.Free = one.Host.Total*int64(span.Nodes), one.Host.Free*int64(span.Nodes)
	box.Devices = nil
	for rank := range span.Nodes {
		for _, d := range one.Devices {
			d.ID, d.Name = fmt.Sprintf("%s/%d", d.ID, rank), fmt.Sprintf("%s of container %d", d.Name, rank+1)
			box.Devices = append(box.Devices, d)
		}
	}
	return box
}

// placesOf are the devices that an amount of a slot comes to, the largest ones, with the part of them that is given.
func placesOf(node accel.Node, slot accel.Slot, amount accel.Amount) []fit.Place {
	whole := slot
	if slot == "cuda.shares" {
		whole = "cuda.device"
	}
	var devices []accel.Device
	for _, d := range node.Devices {
		if d.Slot == whole {
			devices = append(devices, d)
		}
	}
	slices.SortStableFunc(devices, func(a, b accel.Device) int { return int(min(1, max(-1, b.Memory-a.Memory))) })
	var out []fit.Place
	for _, d := range devices {
		if amount <= 0 {
			break
		}
		part := min(amount, 100)
		amount -= part
		out = append(out, fit.Place{
			ID: d.ID, Name: fmt.Sprintf("%s:%d", d.Family, d.Index), Total: d.Memory, Free: d.Memory / 100 * int64(part),
		})
	}
	return out
}
