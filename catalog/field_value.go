package catalog

import (
	"math"
	"strconv"
	"strings"
)

// Value returns whatever the field holds, as JSON has it: string, int64, float64, bool, nil, []any, map[string]any. Keys
// are as written.
func (f Field) Value() any {
	if f.node == nil {
		return nil
	}
	return f.node.value()
}

func (n *node) value() any {
	switch {
	case n.kind == list:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = item.value()
		}
		return out
	case n.kind == dict:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key] = p.value.value()
		}
		return out
	case n.tag == tagNull:
		return nil
	case n.tag == tagBool:
		return strings.EqualFold(n.text, "true")
	case n.tag == tagInt:
		if v, err := parseInt(n.text); err == nil {
			return v
		}
	case n.tag == tagFloat: // JSON has neither infinities nor NaN: they stay text
		if v, err := strconv.ParseFloat(n.text, 64); err == nil && !math.IsInf(v, 0) && !math.IsNaN(v) {
			return v
		}
	}
	return n.text
}

// At returns a field that was read before, or what encloses it, to report something at its place: for whoever finds it later
// than the reader does.
func (d *Document) At(path string) Field {
	for at := path; at != ""; at = at[:max(0, strings.LastIndexAny(at, ".["))] {
		if where, ok := d.places[at]; ok {
			return Field{doc: d, path: path, at: where}
		}
	}
	return Field{doc: d, path: path, at: place{1, 1}}
}
