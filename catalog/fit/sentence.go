package fit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/palisade-run/palisade/catalog/bytesize"
)

// needs is "needs 18.2 GiB (weights 15.3 GiB, KV cache 2 GiB for 16384 tokens, engine 0.9 GiB)".
func (c *comparison) needs(n Need) string {
	parts := []string{"weights " + bytesize.Format(n.Weights)}
	if n.Cache > 0 {
		cache := fmt.Sprintf("KV cache %s for %d tokens", bytesize.Format(n.Cache), n.Context)
		switch {
		case n.Sequences > 1 && c.request.Engine == LlamaCpp:
			cache += fmt.Sprintf(" shared by %d sequences", n.Sequences)
		case n.Sequences > 1:
			cache += fmt.Sprintf(" of each of %d sequences", n.Sequences)
		}
		parts = append(parts, cache)
	}
	parts = append(parts, "engine "+bytesize.Format(n.Compute+n.Overhead))
	text := fmt.Sprintf("needs %s (%s)", bytesize.Format(n.Total), strings.Join(parts, ", "))
	if n.Devices > 1 {
		text += fmt.Sprintf(", %s on each of %d devices", bytesize.Format(n.PerDevice), n.Devices)
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
	text := fmt.Sprintf("the largest free device has %s", bytesize.Format(best.Free))
	switch {
	case strings.Contains(best.Reason, "starts only"):
		text += ", and " + best.Reason
	case best.Usable < best.Free:
		text += fmt.Sprintf(", of which the engine uses %s", bytesize.Format(best.Usable))
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
