package pipeline

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Measures of a drawing, in pixels.
const (
	boxWidth, boxHeight = 190, 46
	gapX, gapY          = 70, 18
	margin              = 20
	titleHeight         = 34
	longestWord         = 26 // characters that fit into a box
)

// colour of a box, by how its task stands.
func colour(s StepStatus) (fill, line string) {
	switch s {
	case StepRunning:
		return "#dbeafe", "#2563eb"
	case StepSucceeded:
		return "#dcfce7", "#16a34a"
	case StepCached:
		return "#ecfccb", "#65a30d"
	case StepFailed:
		return "#fee2e2", "#dc2626"
	case StepCancelled, StepSkipped:
		return "#f3f4f6", "#9ca3af"
	}
	return "#ffffff", "#64748b"
}

// SVG draws a graph from left to right. It loads nothing from anywhere.
func SVG(title string, nodes []Node) []byte {
	columns := layers(nodes)
	type point struct{ x, y int }
	at := map[string]point{}
	tallest := 0
	for _, c := range columns {
		tallest = max(tallest, len(c))
	}
	height := tallest*(boxHeight+gapY) - gapY
	for x, column := range columns {
		if x > 0 { // near those that they come after: lines cross less
			middle := func(n Node) (sum int) {
				for _, name := range n.After {
					sum += at[name].y
				}
				return sum / max(len(n.After), 1)
			}
			slices.SortStableFunc(column, func(a, b Node) int { return middle(a) - middle(b) })
		}
		top := titleHeight + margin + (height-(len(column)*(boxHeight+gapY)-gapY))/2
		for y, n := range column {
			at[n.Name] = point{margin + x*(boxWidth+gapX), top + y*(boxHeight+gapY)}
		}
	}
	width := 2*margin + max(len(columns), 1)*(boxWidth+gapX) - gapX
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" role="img">`,
		width, titleHeight+2*margin+max(height, 0))
	fmt.Fprintf(&b, "\n<title>%[1]s</title>\n"+`<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n"+`<text x="%d" y="30" font-size="16" font-weight="600" fill="#0f172a">%[1]s</text>`+"\n",
		html.EscapeString(title), margin)
	b.WriteString(`<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#94a3b8"/></marker></defs>` + "\n")
	for _, n := range nodes {
		to := at[n.Name]
		for _, name := range n.After {
			from := at[name]
			x1, y1, x2, y2 := from.x+boxWidth, from.y+boxHeight/2, to.x, to.y+boxHeight/2
			fmt.Fprintf(&b, `<path d="M%[1]d %[2]dC%[3]d %[2]d %[6]d %[5]d %[4]d %[5]d" fill="none" stroke="#94a3b8" stroke-width="1.5" marker-end="url(#tip)"/>`+"\n",
				x1, y1, x1+gapX/2, x2, y2, x2-gapX/2)
		}
	}
	for _, n := range nodes {
		box(&b, n, at[n.Name].x, at[n.Name].y)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

func box(b *strings.Builder, n Node, x, y int) {
	fill, line := colour(n.Status)
	fmt.Fprintf(b, `<g><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="8" fill="%s" stroke="%s" stroke-width="1.5"/>`,
		html.EscapeString(shown(strings.TrimSpace(n.Name+" "+n.Note))), x, y, boxWidth, boxHeight, fill, line)
	middle := y + boxHeight/2 + 5
	if n.Note != "" {
		middle = y + 19
		fmt.Fprintf(b, `<text x="%d" y="%d" font-size="11" fill="#475569">%s</text>`, x+12, y+36, html.EscapeString(clip(n.Note)))
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" font-size="13" font-weight="600" fill="#0f172a">%s</text></g>`+"\n", x+12, middle, html.EscapeString(clip(n.Name)))
}

func clip(text string) string {
	if r := []rune(shown(text)); len(r) > longestWord {
		return string(r[:longestWord-1]) + "…"
	}
	return shown(text)
}
