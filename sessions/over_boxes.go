package sessions

import (
	"errors"
	"fmt"
	"maps"

	"github.com/palisade-run/palisade/accel"
)

// TooLargeError refuses a service whose routes fit no box, and would fit several.
type TooLargeError struct {
	of   error
	hint string
}

func (e *TooLargeError) Error() string { return e.of.Error() }

// Unwrap makes it what was refused.
func (e *TooLargeError) Unwrap() error { return e.of }

// Hint says over how many boxes it fits.
func (e *TooLargeError) Hint() string { return e.hint }

// overBoxes tells whoever asked for a route that fits no box over how many of them it does, where its engine can be in several containers.
func (m *Manager) overBoxes(refused error, r Recipe, d Demand) error {
	v, _ := m.Variants.Lookup(r.Variant)
	if v.MultiNode == nil || r.ClusterMode == ClusterMultiNode || m.Clusters == nil || !r.clustered() && !errors.Is(refused, accel.ErrNeverFits) {
		return refused
	}
	fits := func(count int, each Demand) bool {
		return m.checkContainers(count, ClusterMultiNode, r.Image, Waiting{Slots: each.Slots, Selector: each.Selector, Engine: true}) == nil
	}
	if r.clustered() {
		if fits(r.ClusterSize, d) {
			return &TooLargeError{refused, "over several boxes they fit: --cluster-mode multi-node"}
		}
		return refused
	}
	for count := 2; count <= min(len(m.Ledger.Pool()), MaxCluster); count++ {
		each := d
		each.Slots = maps.Clone(d.Slots)
		words, whole := "", true
		for _, slot := range d.Slots.Accelerators() {
			part := d.Slots[slot] / accel.Amount(count)
			whole = whole && part*accel.Amount(count) == d.Slots[slot] && part%100 == 0
			each.Slots[slot] = part
			words += fmt.Sprintf("-r %s=%s ", slot, accel.Format(slot, part))
		}
		if words != "" && whole && fits(count, each) {
			return &TooLargeError{refused, fmt.Sprintf("it fits over %d boxes: %s--cluster-size %d --cluster-mode multi-node", count, words, count)}
		}
	}
	return refused
}

func (r Recipe) clustered() bool { return r.ClusterSize > 1 }
