package ui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Knee is what a calibration measured: tokens a second by requests at once, and where more of them only wait.
type Knee struct {
	Points []KneePoint // by AtOnce
	At     int         // 0: not known
}

// KneePoint is what an engine did with so many requests at once.
type KneePoint struct {
	AtOnce    int
	All, Each float64 // tokens a second
}

// known is a figure that can be drawn.
func known(v float64) float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return 0
	}
	return max(v, 0)
}

// KneePicture draws them. Steps to the right double; the knee is a line from top to bottom. each says what the second line is.
func KneePicture(title, all, each string, k Knee) template.HTML {
	const width, height, left, right, top, bottom = 640.0, 240.0, 56.0, 12.0, 16.0, 34.0
	if len(k.Points) == 0 {
		return ""
	}
	most := 0.0
	for _, p := range k.Points {
		most = max(most, known(p.All))
	}
	if most <= 0 {
		most = 1
	}
	// One request alone may be so short that its speed is no figure: it does not set the scale.
	x := func(i float64) float64 {
		if len(k.Points) == 1 {
			return left + (width-left-right)/2
		}
		return left + (width-left-right)*i/float64(len(k.Points)-1)
	}
	y := func(v float64) float64 { return height - bottom - (height-top-bottom)*min(known(v), most)/most }
	var b strings.Builder
	line := func(class string, of func(p KneePoint) float64) {
		fmt.Fprintf(&b, `<polyline class="%s" points="`, class)
		for i, p := range k.Points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(float64(i)), y(of(p)))
		}
		b.WriteString(`"/>`)
	}
	for _, part := range []float64{0, 0.5, 1} {
		fmt.Fprintf(&b, `<line class="knee-axis" x1="%.0f" x2="%.0f" y1="%.1f" y2="%.1f"/><text x="%.0f" y="%.1f" text-anchor="end">%s</text>`,
			left, width-right, y(most*part), y(most*part), left-6, y(most*part)+4, template.HTMLEscapeString(Number(most*part)))
	}
	line("knee-line", func(p KneePoint) float64 { return p.All })
	line("knee-each", func(p KneePoint) float64 { return p.Each })
	knee := -1.0
	for i, p := range k.Points {
		fmt.Fprintf(&b, `<circle class="knee-dot" cx="%.1f" cy="%.1f" r="3"/><text x="%.1f" y="%.0f" text-anchor="middle">%d</text>`, x(float64(i)), y(p.All), x(float64(i)), height-bottom+16, p.AtOnce)
		if p.AtOnce <= k.At {
			knee = float64(i)
		}
	}
	if knee >= 0 && int(knee)+1 < len(k.Points) { // it may lie between two that were tried
		a, z := k.Points[int(knee)].AtOnce, k.Points[int(knee)+1].AtOnce
		knee += float64(k.At-a) / float64(max(z-a, 1))
	}
	if knee >= 0 {
		fmt.Fprintf(&b, `<line class="knee-mark" x1="%.1f" x2="%.1f" y1="%.0f" y2="%.0f"/><text x="%.1f" y="%.0f" text-anchor="middle">%d</text>`, x(knee), x(knee), top, height-bottom, x(knee), top-4, k.At)
	}
	//nolint:gosec // numbers, and texts that are escaped
	return template.HTML(fmt.Sprintf(`<svg class="knee" role="img" viewBox="0 0 640 240"><title>%s</title>%s<text x="%.0f" y="%.0f">%s · - - %s</text></svg>`,
		template.HTMLEscapeString(title), b.String(), left, height-4, template.HTMLEscapeString(all), template.HTMLEscapeString(each)))
}
