package ui

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// DiffLine is a line of two texts that are compared.
type DiffLine struct {
	Kind string // "-" was, "+" is now, "" both
	Text string
}

const (
	maxDiff  = 400  // lines of each text that are compared; more are shown one behind the other
	maxShown = 1000 // characters of a line
)

// Diff compares two values, nil for what was not there, as indented JSON.
func Diff(before, after any) []DiffLine {
	a, b := jsonLines(before), jsonLines(after)
	if len(a) > maxDiff || len(b) > maxDiff {
		return append(marked("-", a), marked("+", b)...)
	}
	// common[i][j] is how many lines a[i:] and b[j:] have in common, in their order.
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, left := range slices.Backward(a) {
		for j, right := range slices.Backward(b) {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); left == right {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var out []DiffLine
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			out = append(out, DiffLine{"", a[i]})
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, DiffLine{"-", a[i]})
			i++
		default:
			out = append(out, DiffLine{"+", b[j]})
			j++
		}
	}
	return append(append(out, marked("-", a[i:])...), marked("+", b[j:])...)
}

func marked(kind string, lines []string) []DiffLine {
	out := make([]DiffLine, len(lines))
	for i, l := range lines {
		out[i] = DiffLine{kind, l}
	}
	return out
}

// jsonLines writes a value as people read it: a text as it is, anything else as indented JSON.
func jsonLines(v any) []string {
	if v == nil {
		return nil
	}
	text, ok := v.(string)
	if !ok {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(v); err != nil {
			return nil
		}
		text = strings.TrimSuffix(b.String(), "\n")
	}
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if r := []rune(l); len(r) > maxShown {
			lines[i] = string(r[:maxShown]) + "…"
		}
	}
	return lines
}
