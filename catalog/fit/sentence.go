package fit

import (
	"fmt"
	"slices"
	"strings"
)

// Size is memory as people read them: 18.2 GiB, 193.6 MiB.
func Size(n int64) string {
	switch {
	case n >= gib:
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	case n >= mib:
		return fmt.Sprintf("%.1f MiB", float64(n)/mib)
	}
	return fmt.Sprintf("%d KiB", (n+1023)/1024)
}

// Like is memory in the unit of a whole, without it: 15.3 of 18.2 GiB.
func Like(n, whole int64) string {
	unit := int64(mib)
	switch {
	case whole >= gib:
		unit = gib
	case whole < mib:
		return fmt.Sprint((n + 1023) / 1024)
	}
	return fmt.Sprintf("%.1f", float64(n)/float64(unit))
}

// needs is "needs 18.2 GiB (weights 15.3, KV cache 2.0 for 16384 tokens, engine 0.9)".
func (c *comparison) needs(n Need) string {
	parts := []string{"weights " + Like(n.Weights, n.Total)}
	if n.Cache > 0 {
		cache := fmt.Sprintf("KV cache %s for %d tokens", Like(n.Cache, n.Total), n.Context)
		switch {
		case n.Sequences > 1 && c.request.Engine == LlamaCpp:
			cache += fmt.Sprintf(" shared by %d sequences", n.Sequences)
		case n.Sequences > 1:
			cache += fmt.Sprintf(" of each of %d sequences", n.Sequences)
		}
		parts = append(parts, cache)
	}
	parts = append(parts, "engine "+Like(n.Compute+n.Overhead, n.Total))
	text := fmt.Sprintf("needs %s (%s)", Size(n.Total), strings.Join(parts, ", "))
	if n.Devices > 1 {
		text += fmt.Sprintf(", %s on each of %d devices", Size(n.PerDevice), n.Devices)
	}
	return text
}

// largest is "the largest free device has 12.0 GiB".
func (c *comparison) largest(v Verdict) string {
	if v.Need.Devices > len(v.Places) {
		noun := "devices"
		if len(v.Places) == 1 {
			noun = "device"
		}
		return fmt.Sprintf("there are %d %s", len(v.Places), noun)
	}
	best := slices.MaxFunc(v.Places, func(a, b PlaceFit) int { return int(min(max(a.Free-b.Free, -1), 1)) })
	text := fmt.Sprintf("the largest free device has %s", Size(best.Free))
	switch {
	case strings.Contains(best.Reason, "starts only"):
		text += ", and " + best.Reason
	case best.Usable < best.Free:
		text += fmt.Sprintf(", of which the engine uses %s", Size(best.Usable))
	}
	return text
}

// would is "; would fit with a context of 4096 (9.8 GiB), or as Q4_K_M (5.1 GiB)".
func would(alternatives []Alternative) string {
	if len(alternatives) == 0 {
		return "; nothing was found that would fit: it wants a larger device"
	}
	texts := make([]string, len(alternatives))
	for i, a := range alternatives {
		texts[i] = a.Text
	}
	return "; would fit " + strings.Join(texts, ", or ")
}

// named is devices by their names, or how many there are.
func (c *comparison) named(ids []string) string {
	if len(ids) != 1 {
		return fmt.Sprintf("%d devices", len(ids))
	}
	for _, p := range c.box.Devices {
		if p.ID == ids[0] && p.Name != "" {
			return p.Name
		}
	}
	return ids[0]
}
