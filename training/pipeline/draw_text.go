package pipeline

import (
	"slices"
	"strings"
)

// Text draws a graph, a task a line: its lines run down on the left, from each task to those that come after it.
//
//	● prepare
//	├─● train ×4
//	●─┘ choose
//	● serve
func Text(nodes []Node) string {
	left := map[string]int{} // how many are still to come after one
	for _, n := range nodes {
		for _, name := range n.After {
			left[name]++
		}
	}
	var lanes []string // who each belongs to; "": it is free
	type row struct{ lines, words string }
	var rows []row
	widest := 0
	for _, n := range sorted(nodes) {
		var joined, over []int // lanes that lead here; those of them that lead nowhere else
		for i, owner := range lanes {
			if owner == "" || !slices.Contains(n.After, owner) {
				continue
			}
			joined = append(joined, i)
			if left[owner]--; left[owner] == 0 {
				over = append(over, i)
			}
		}
		at := lane(lanes, joined, over)
		for len(lanes) <= at {
			lanes = append(lanes, "")
		}
		lines := drawRow(lanes, at, joined, over)
		for _, i := range over {
			lanes[i] = ""
		}
		if lanes[at] = ""; left[n.Name] > 0 {
			lanes[at] = n.Name
		}
		for len(lanes) > 0 && lanes[len(lanes)-1] == "" {
			lanes = lanes[:len(lanes)-1]
		}
		widest = max(widest, len([]rune(lines)))
		rows = append(rows, row{lines, shown(strings.TrimSpace(n.Name + " " + n.Note))})
	}
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.lines + strings.Repeat(" ", widest-len([]rune(r.lines))+1) + r.words + "\n")
	}
	return b.String()
}

// lane is where a node goes: on with a line that ends in it, else right of all that lead to it, where there is room.
func lane(lanes []string, joined, over []int) int {
	if len(over) > 0 {
		return over[0]
	}
	at := 0
	if len(joined) > 0 {
		at = joined[len(joined)-1] + 1
	}
	for at < len(lanes) && lanes[at] != "" {
		at++
	}
	return at
}

// drawRow is the lines of one node's row: what runs on, what comes in, and the node.
func drawRow(lanes []string, at int, joined, over []int) string {
	from, to := at, at
	for _, i := range joined {
		from, to = min(from, i), max(to, i)
	}
	var b strings.Builder
	for i, owner := range lanes {
		in, ends := slices.Contains(joined, i), slices.Contains(over, i)
		switch {
		case i == at:
			b.WriteRune('●')
		case in && i == from:
			b.WriteRune(either(ends, '└', '├'))
		case in && i == to:
			b.WriteRune(either(ends, '┘', '┤'))
		case in:
			b.WriteRune(either(ends, '┴', '┼'))
		case owner != "":
			b.WriteRune('│')
		default:
			b.WriteRune(either(i > from && i < to, '─', ' '))
		}
		b.WriteRune(either(i >= from && i < to, '─', ' '))
	}
	return strings.TrimRight(b.String(), " ")
}

func either(is bool, yes, no rune) rune {
	if is {
		return yes
	}
	return no
}
