package ui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Point of a plot: a value, and the least and the largest of those that it stands for.
type Point struct {
	X, Y, Low, High float64
}

// Plot draws a figure over steps: a line, behind it how far it went up and down, with the ends of both axes written. What is no
// number is left out. title is read out in its place.
func Plot(title string, points []Point) template.HTML {
	const left, top, width, height = 40.0, 6.0, 274.0, 92.0
	good := points[:0:0]
	x0, x1, y0, y1 := math.Inf(1), math.Inf(-1), math.Inf(1), math.Inf(-1)
	for _, p := range points {
		if !finite(p.X) || !finite(p.Y) {
			continue
		}
		if !finite(p.Low) || !finite(p.High) {
			p.Low, p.High = p.Y, p.Y
		}
		good = append(good, p)
		x0, x1, y0, y1 = min(x0, p.X), max(x1, p.X), min(y0, p.Low), max(y1, p.High)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" role="img" viewBox="0 0 320 120"><title>%s</title>`, template.HTMLEscapeString(title))
	if len(good) == 0 {
		b.WriteString(`</svg>`)
		return template.HTML(b.String()) //nolint:gosec // a text that is escaped
	}
	at := func(x, y float64) (float64, float64) {
		px, py := left+width/2, top+height/2
		if x1 > x0 {
			px = left + width*(x-x0)/(x1-x0)
		}
		if y1 > y0 {
			py = top + height*(y1-y)/(y1-y0)
		}
		return px, py
	}
	var line, over, under strings.Builder
	for i, p := range good {
		x, y := at(p.X, p.Y)
		_, high := at(p.X, p.High)
		verb := "L"
		if i == 0 {
			verb = "M"
		}
		fmt.Fprintf(&line, "%s%.1f %.1f", verb, x, y)
		fmt.Fprintf(&over, "%s%.1f %.1f", verb, x, high)
	}
	for i := range good {
		p := good[len(good)-1-i]
		x, low := at(p.X, p.Low)
		fmt.Fprintf(&under, "L%.1f %.1f", x, low)
	}
	fmt.Fprintf(&b, `<path class="plot-grid" d="M%[1]g %[2]gH%[3]gM%[1]g %[4]gH%[3]gM%[1]g %[5]gH%[3]g"/>`, left, top, left+width, top+height/2, top+height)
	fmt.Fprintf(&b, `<path class="plot-band" d="%s%sZ"/><path class="plot-line" d="%s"/>`, over.String(), under.String(), line.String())
	x, y := at(good[len(good)-1].X, good[len(good)-1].Y)
	fmt.Fprintf(&b, `<circle class="plot-end" cx="%.1f" cy="%.1f" r="2.5"/>`, x, y)
	fmt.Fprintf(&b, `<text class="plot-text plot-right" x="%g" y="%g">%s</text><text class="plot-text plot-right" x="%g" y="%g">%s</text>`,
		left-4, top+5, template.HTMLEscapeString(Number(y1)), left-4, top+height+3, template.HTMLEscapeString(Number(y0)))
	fmt.Fprintf(&b, `<text class="plot-text" x="%g" y="%g">%s</text><text class="plot-text plot-right" x="%g" y="%g">%s</text></svg>`,
		left, top+height+14, template.HTMLEscapeString(Number(x0)), left+width, top+height+14, template.HTMLEscapeString(Number(x1)))
	return template.HTML(b.String()) //nolint:gosec // numbers, and texts that are escaped
}

func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }
