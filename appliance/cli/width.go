package cli

import (
	"strings"

	"github.com/rivo/uniseg"
)

// cells is how many columns of a terminal a text takes: 2 for a wide character, 0 for one that joins another.
func cells(s string) int { return uniseg.StringWidth(s) }

// fit makes a text take exactly width columns: what is too long ends in "…".
func fit(s string, width int) string {
	s = cut(s, width)
	return s + strings.Repeat(" ", max(0, width-cells(s)))
}

// fitRight is fit with the text at the right.
func fitRight(s string, width int) string {
	s = cut(s, width)
	return strings.Repeat(" ", max(0, width-cells(s))) + s
}

// cut makes a text take at most width columns. It never cuts through what is seen as one character, and looks no
// further than it must.
func cut(s string, width int) string {
	if width <= 0 {
		return ""
	}
	taken, state, rest := 0, -1, s
	short := 0 // how much of s leaves room for the mark
	for rest != "" {
		var cluster string
		var w int
		cluster, rest, w, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if taken += w; taken > width {
			return s[:short] + "…"
		}
		if taken < width {
			short += len(cluster)
		}
	}
	return s
}

// cellsUpTo is cells, or most where that is less.
func cellsUpTo(most int, s string) int { return min(most, cells(cut(s, most+1))) }

// eighths are the parts of a character cell that a bar may end with; the first stands for none of it.
const eighths = "░▏▎▍▌▋▊▉█"

// bar draws a part of 1 in width columns; what is not known is left blank.
func bar(part float64, width int) string {
	if !(part >= 0) {
		return strings.Repeat(" ", max(0, width))
	}
	full := int(min(part, 1)*float64(width*8) + 0.5)
	if part > 0 {
		full = max(full, 1) // a little is not nothing
	}
	marks := []rune(eighths)
	var b strings.Builder
	for i := range width {
		b.WriteRune(marks[min(max(full-8*i, 0), 8)])
	}
	return b.String()
}

// spark draws values from 0 to most, a mark each; what is below 0 is not known, and left blank.
func spark(values []float64, most float64) string {
	marks := []rune("▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		switch {
		case !(v >= 0):
			b.WriteByte(' ')
		case most <= 0:
			b.WriteRune(marks[0])
		default:
			b.WriteRune(marks[min(int(v/most*float64(len(marks))), len(marks)-1)])
		}
	}
	return b.String()
}
