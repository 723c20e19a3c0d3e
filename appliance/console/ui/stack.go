package ui

import (
	"fmt"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// Piece is a part of a bar.
type Piece struct {
	Kind  string // the class of its colour: "weights", "cache", "overhead", "others", "used"
	Value float64
	Title string // read out, and shown when the mouse is over it
}

// Stack draws the parts of a whole side by side as a bar; what they leave of it stays empty. Where they are more than the whole,
// a line shows where it ends.
func Stack(title string, whole float64, pieces ...Piece) template.HTML {
	if math.IsNaN(whole) {
		whole = 0
	}
	sum := 0.0
	for _, p := range pieces {
		sum += amount(p.Value)
	}
	scale := max(whole, sum)
	if scale <= 0 {
		scale = 1
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="stack" role="img" viewBox="0 0 100 8" preserveAspectRatio="none"><title>%s</title><rect class="stack-all" width="%.2f" height="8"/>`,
		template.HTMLEscapeString(title), 100*min(1, max(whole, 0)/scale))
	at := 0.0
	for _, p := range pieces {
		width := 100 * amount(p.Value) / scale
		if width > 0 {
			fmt.Fprintf(&b, `<rect class="stack-%s" x="%.2f" width="%.2f" height="8"><title>%s</title></rect>`,
				template.HTMLEscapeString(p.Kind), at, width, template.HTMLEscapeString(p.Title))
		}
		at += width
	}
	if sum > whole && whole > 0 {
		fmt.Fprintf(&b, `<rect class="stack-end" x="%.2f" width="0.6" height="8"/>`, 100*whole/scale)
	}
	b.WriteString("</svg>")
	//nolint:gosec // numbers, and texts that are escaped
	return template.HTML(b.String())
}

// amount is v, or nothing where that is no amount.
func amount(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return max(v, 0)
}

// Parameters writes how many weights a model has, as people of the trade do: 494 M, 8.2 B, 1.1 T.
func Parameters(n int64) string {
	v, unit := float64(n), 0
	for ; v >= 999.95 && unit < 4; unit++ {
		v /= 1000
	}
	if unit == 0 {
		return strconv.FormatInt(n, 10)
	}
	return short(v) + " " + []string{"", "k", "M", "B", "T"}[unit]
}

// Share is how much of a whole a part is, from 0 to 1; 0 where the whole is not known.
func Share(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(float64(part)/float64(whole), 0), 1)
}
