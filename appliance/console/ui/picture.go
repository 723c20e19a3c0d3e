package ui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Sparkline draws values from left to right as a line over its area, in a box of 100 by 24 that style sheets size. Values that
// are no numbers leave gaps. title is read out in its place.
func Sparkline(title string, values []float64) template.HTML {
	const width, height = 100.0, 24.0
	most := 0.0
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) {
			most = max(most, v)
		}
	}
	var line, area strings.Builder
	begun := math.NaN() // where the line that is drawn began
	end := func(x float64) {
		if !math.IsNaN(begun) {
			fmt.Fprintf(&area, "L%.1f,%.0f L%.1f,%.0f Z ", x, height, begun, height)
		}
		begun = math.NaN()
	}
	last := 0.0
	for i, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			end(last)
			continue
		}
		x, y := 0.0, height-1
		if len(values) > 1 {
			x = width * float64(i) / float64(len(values)-1)
		}
		if most > 0 {
			y = height - 1 - (height-2)*max(v, 0)/most
		}
		verb := "L"
		if math.IsNaN(begun) {
			begun, verb = x, "M"
		}
		fmt.Fprintf(&line, "%s%.1f,%.1f ", verb, x, y)
		fmt.Fprintf(&area, "%s%.1f,%.1f ", verb, x, y)
		last = x
	}
	end(last)
	//nolint:gosec // numbers, and a title that is escaped
	return template.HTML(fmt.Sprintf(`<svg class="sparkline" role="img" viewBox="0 0 100 24" preserveAspectRatio="none"><title>%s</title><path class="sparkline-area" d="%s"/><path class="sparkline-line" d="%s"/></svg>`,
		template.HTMLEscapeString(title), strings.TrimSpace(area.String()), strings.TrimSpace(line.String())))
}

// Bar draws how much of something is used, share from 0 to 1, as a meter. tone is "", "warning" or "danger".
func Bar(title string, share float64, tone string) template.HTML {
	if math.IsNaN(share) {
		share = 0
	}
	share = min(max(share, 0), 1)
	//nolint:gosec // numbers, and texts that are escaped
	return template.HTML(fmt.Sprintf(`<svg class="bar %s" role="img" viewBox="0 0 100 6" preserveAspectRatio="none"><title>%s</title><rect class="bar-all" width="100" height="6" rx="1"/><rect class="bar-used" width="%.1f" height="6" rx="1"/></svg>`,
		template.HTMLEscapeString(tone), template.HTMLEscapeString(title), share*100))
}
