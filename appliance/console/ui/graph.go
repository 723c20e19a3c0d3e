package ui

import (
	"cmp"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Node of a graph: a task.
type Node struct {
	Name   string
	After  []string // names of those that come before it
	State  string   // what its colour and its mark go by: SUCCEEDED, FAILED, ...; "": it is only planned
	Word   string   // the state in words
	Note   string   // a second line: 3 instances, 2 min
	Link   string   // where a click leads; "": nowhere. It must be an address of ours
	Marked bool     // drawn with a frame: it is looked at
}

// Measures of a graph, in its own units.
const (
	nodeWidth, nodeHeight = 180, 52
	nodeGapX, nodeGapY    = 44, 16
	passHeight            = 8 // of a line that passes a column
	graphMargin           = 8
	nodeLetters           = 20
)

// spot is the left upper corner of what stands in a column.
type spot struct{ x, y int }

// cell is what stands in a column: a node, or a line that passes it.
type cell struct {
	node   *Node
	name   string   // of the node; of a line, its own
	before []string // names of cells in the column before that it is joined to
}

func (c cell) height() int {
	if c.node == nil {
		return passHeight
	}
	return nodeHeight
}

// Graph draws tasks from left to right, each behind what it comes after. Each has a mark beside its colour, and says its state.
// What comes after something that is not there, or after itself, is drawn as if it did not. title is read out first.
func Graph(title string, nodes []Node) template.HTML {
	columns := layersOf(nodes)
	at, height := placesOf(columns)
	width := 2*graphMargin + max(len(columns), 1)*(nodeWidth+nodeGapX) - nodeGapX
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="graph" role="group" aria-label="%s" width="%d" height="%d" viewBox="0 0 %[2]d %[3]d">`, template.HTMLEscapeString(title), width, height+2*graphMargin)
	for _, column := range columns {
		for _, c := range column {
			drawLines(&b, c, at)
		}
	}
	for _, n := range nodes {
		drawNode(&b, n, at[n.Name])
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // numbers, and texts that are escaped
}

// drawLines draws what leads to a cell.
func drawLines(b *strings.Builder, c cell, at map[string]spot) {
	to := at[c.name]
	y2 := to.y + c.height()/2
	for _, name := range c.before {
		from, half := at[name], nodeHeight/2
		if strings.HasPrefix(name, passing) {
			half = passHeight / 2
		}
		x1, y1, end := from.x+nodeWidth, from.y+half, to.x
		if c.node != nil {
			end -= 5
		}
		fmt.Fprintf(b, `<path class="graph-line" d="M%d %dC%d %d %d %d %d %d"/>`, x1, y1, x1+nodeGapX/2, y1, to.x-nodeGapX/2, y2, end, y2)
	}
	switch {
	case c.node == nil:
		fmt.Fprintf(b, `<path class="graph-line" d="M%d %dh%d"/>`, to.x, y2, nodeWidth)
	case len(c.before) > 0:
		fmt.Fprintf(b, `<path class="graph-tip" d="M%d %dl-7 -4v8z"/>`, to.x, y2)
	}
}

func drawNode(b *strings.Builder, n Node, at spot) {
	tone := Tone(n.State)
	class := "graph-node tone-" + tone
	if n.State == "" {
		class = "graph-node"
	}
	if n.Marked {
		class += " graph-marked"
	}
	said := strings.TrimSpace(n.Name + " " + n.Word + " " + n.Note)
	link := strings.HasPrefix(n.Link, "/") && !strings.HasPrefix(n.Link, "//")
	if link {
		fmt.Fprintf(b, `<a href="%s">`, template.HTMLEscapeString(n.Link))
	}
	fmt.Fprintf(b, `<g class="%s"><title>%s</title><rect x="%d" y="%d" width="%d" height="%d" rx="6"/>`, class, template.HTMLEscapeString(said), at.x, at.y, nodeWidth, nodeHeight)
	text := at.x + 12
	if mark := markOf(n.State); mark != "" {
		fmt.Fprintf(b, `<path class="graph-mark" transform="translate(%d %d)" d="%s"/>`, at.x+10, at.y+18, mark)
		text = at.x + 34
	}
	second := strings.Trim(n.Word+" · "+n.Note, " ·")
	if second == "" {
		fmt.Fprintf(b, `<text class="graph-name" x="%d" y="%d">%s</text></g>`, text, at.y+31, template.HTMLEscapeString(clipped(n.Name)))
	} else {
		fmt.Fprintf(b, `<text class="graph-name" x="%d" y="%d">%s</text><text class="graph-word" x="%d" y="%d">%s</text></g>`,
			text, at.y+22, template.HTMLEscapeString(clipped(n.Name)), text, at.y+40, template.HTMLEscapeString(clipped(second)))
	}
	if link {
		b.WriteString(`</a>`)
	}
}

// markOf is the shape of a state, within 16 by 16: what it says without a colour.
func markOf(state string) string {
	switch strings.ToUpper(state) {
	case "SUCCEEDED":
		return "M2 8l4 5l8 -10" // a tick
	case "CACHED":
		return "M2 8l4 5l8 -10M1 15h14" // a tick over a line
	case "FAILED":
		return "M3 3l10 10M13 3l-10 10" // a cross
	case "RUNNING":
		return "M4 2l9 6l-9 6z" // a triangle
	case "WAITING", "QUEUED":
		return "M8 1a7 7 0 1 0 .01 0M8 4v4l3 2" // a clock
	case "SKIPPED":
		return "M2 3l6 5l-6 5M9 3l6 5l-6 5" // past it
	case "CANCELLED":
		return "M3 3h10v10h-10z" // a square
	}
	return ""
}

// layersOf puts each node behind all that it comes after. Nodes of a circle come last.
func layersOf(nodes []Node) [][]cell {
	by := map[string]Node{}
	for _, n := range nodes {
		by[n.Name] = n
	}
	depth := map[string]int{}
	for _, n := range nodes {
		depth[n.Name] = 0
	}
	for range nodes { // each round settles at least one more layer
		changed := false
		for _, n := range nodes {
			d := 0
			for _, name := range n.After {
				if _, ok := by[name]; ok && name != n.Name {
					d = max(d, depth[name]+1)
				}
			}
			if d = min(d, len(nodes)-1); d != depth[n.Name] {
				depth[n.Name], changed = d, true
			}
		}
		if !changed {
			break
		}
	}
	used := slices.Compact(slices.Sorted(maps.Values(depth)))
	columns := make([][]cell, len(used))
	column := map[string]int{}
	for i := range nodes {
		n := &nodes[i]
		column[n.Name], _ = slices.BinarySearch(used, depth[n.Name])
		columns[column[n.Name]] = append(columns[column[n.Name]], cell{node: n, name: n.Name})
	}
	pass(columns, column, by)
	return columns
}

// passing begins the name of a line that passes a column: no task is called so.
const passing = "\x00"

// pass joins the cells, and puts what goes by a column between those that stand there: one line for all that come from the same.
func pass(columns [][]cell, column map[string]int, by map[string]Node) {
	known := map[string]bool{}
	for x := range columns {
		for i := range columns[x] {
			c := &columns[x][i]
			if c.node == nil {
				continue
			}
			after := slices.Compact(slices.Sorted(slices.Values(c.node.After)))
			for _, name := range after {
				if _, ok := by[name]; !ok || column[name] >= x {
					continue
				}
				last := name
				for k := column[name] + 1; k < x; k++ {
					line := passing + name + passing + strconv.Itoa(k)
					if !known[line] {
						known[line] = true
						columns[k] = append(columns[k], cell{name: line, before: []string{last}})
					}
					last = line
				}
				columns[x][i].before = append(columns[x][i].before, last)
			}
		}
	}
}

// placesOf puts cells near those that they come after, so that lines cross less; each column is in the middle. height is that
// of the highest.
func placesOf(columns [][]cell) (at map[string]spot, height int) {
	tall := func(column []cell) int {
		sum := -nodeGapY
		for _, c := range column {
			sum += c.height() + nodeGapY
		}
		return sum
	}
	height = nodeHeight
	for _, c := range columns {
		height = max(height, tall(c))
	}
	at = map[string]spot{}
	for x, column := range columns {
		middle := func(c cell) int {
			sum := 0
			for _, name := range c.before {
				sum += at[name].y
			}
			return sum / max(len(c.before), 1)
		}
		slices.SortStableFunc(column, func(a, b cell) int { return cmp.Compare(middle(a), middle(b)) })
		y := graphMargin + (height-tall(column))/2
		for _, c := range column {
			at[c.name] = spot{graphMargin + x*(nodeWidth+nodeGapX), y}
			y += c.height() + nodeGapY
		}
	}
	return at, height
}

func clipped(text string) string {
	if r := []rune(text); len(r) > nodeLetters {
		return string(r[:nodeLetters-1]) + "…"
	}
	return text
}
