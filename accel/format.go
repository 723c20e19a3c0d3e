package accel

import (
	"strconv"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// Format writes an amount as people do: "3.5" for cpu, "12 GiB" for mem, "0.25" for shares. Memory is
// rounded to a tenth of its unit.
func Format(slot Slot, amount Amount) string {
	switch slot {
	case SlotCPU:
		return decimal(amount, milliPerCore)
	case SlotMem:
		return bytesize.Format(int64(amount))
	}
	return decimal(amount, hundredthsPerDevice)
}

// String lists the slots in order: "cpu 4, mem 32 GiB, cuda.device 2"; "nothing" for none.
func (s Slots) String() string {
	var parts []string
	for _, name := range append([]Slot{SlotCPU, SlotMem}, s.Accelerators()...) {
		if amount := s[name]; amount > 0 {
			parts = append(parts, string(name)+" "+Format(name, amount))
		}
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// Written is the inverse of ParseSlots, exact.
func (s Slots) Written() map[string]string {
	written := make(map[string]string, len(s))
	for name, amount := range s {
		if name == SlotMem {
			written[string(name)] = strconv.FormatInt(int64(amount), 10)
			continue
		}
		written[string(name)] = Format(name, amount)
	}
	return written
}

// decimal writes amount/scale with as many digits as it needs.
func decimal(amount Amount, scale int64) string {
	return strconv.FormatFloat(float64(amount)/float64(scale), 'f', -1, 64)
}
