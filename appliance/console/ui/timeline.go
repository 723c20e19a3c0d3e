package ui

import (
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"
)

// Span is a time in which something was in one state.
type Span struct {
	State string // what its colour goes by
	Word  string // what it is called
	From  time.Time
	For   time.Duration
}

// leastSpan is how much of a time line the shortest span gets, of 1000: it can be pointed at.
const leastSpan = 24.0

// Timeline draws spans one behind the other, each as long as it took; short ones are a little longer than they were. title is
// read out in its place.
func Timeline(title string, spans []Span) template.HTML {
	var all time.Duration
	for _, s := range spans {
		all += max(s.For, 0)
	}
	widths, sum := make([]float64, len(spans)), 0.0
	for i, s := range spans {
		if all > 0 {
			widths[i] = 1000 * float64(max(s.For, 0)) / float64(all)
		}
		widths[i] = max(widths[i], leastSpan)
		sum += widths[i]
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="timeline" role="img" viewBox="0 0 1000 20" preserveAspectRatio="none"><title>%s</title>`, template.HTMLEscapeString(title))
	x := 0.0
	for i, s := range spans {
		w := widths[i] / sum * 1000
		fmt.Fprintf(&b, `<rect class="tone-%s" x="%.1f" width="%.1f" height="20"><title>%s</title></rect>`,
			Tone(s.State), x, max(w-2, 1), template.HTMLEscapeString(s.Word+": "+Duration(s.For)))
		x += w
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers, and texts that are escaped
}

// Resources writes what is asked for, as people ask for it: cores and memory first.
func Resources(asked map[string]string) string {
	var out []string
	for _, name := range []string{"cpu", "mem"} {
		if v, ok := asked[name]; ok {
			out = append(out, name+" "+v)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(asked)) {
		if name != "cpu" && name != "mem" {
			out = append(out, name+" "+asked[name])
		}
	}
	return strings.Join(out, " · ")
}
