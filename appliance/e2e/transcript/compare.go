package transcript

import (
	"fmt"
	"strings"
)

// Same reports whether got is what want says.
func Same(want, got []string) bool {
	return costs(want, got, prices{missing: 1, added: 1, replaced: 1, alike: 1})[0][0] == 0
}

// Diff shows where got is not what want says, as a patch would that makes the one of the other; "" where it is the same.
func Diff(want, got []string) string {
	if Same(want, got) {
		return ""
	}
	var b strings.Builder
	for _, e := range align(want, got) {
		switch e.kind {
		case elision:
		case kept, skipped:
			fmt.Fprintf(&b, "  %s\n", got[e.got])
		case missing:
			fmt.Fprintf(&b, "- %s\n", want[e.want])
		case added:
			fmt.Fprintf(&b, "+ %s\n", got[e.got])
		case replaced:
			fmt.Fprintf(&b, "- %s\n+ %s\n", want[e.want], got[e.got])
		}
	}
	return b.String()
}

// merge is got with the lines and words of want where they stand for the same.
func merge(want, got []string) (out []string) {
	for _, e := range align(want, got) {
		switch e.kind {
		case kept, elision:
			out = append(out, want[e.want])
		case added:
			out = append(out, got[e.got])
		case replaced:
			out = append(out, mergeWords(want[e.want], got[e.got]))
		case skipped, missing:
		}
	}
	return out
}

// mergeWords is got with those words of want that have "..." in them and still stand for the word at their place.
func mergeWords(want, got string) string {
	old, now := strings.Fields(want), strings.Fields(got)
	if len(old) != len(now) {
		return got
	}
	var b strings.Builder
	for i, word := range now {
		at := strings.Index(got, word)
		b.WriteString(got[:at])
		got = got[at+len(word):]
		if strings.Contains(old[i], ellipsis) && wordIs(old[i], word) {
			word = old[i]
		}
		b.WriteString(word)
	}
	return b.String()
}

type editKind int

const (
	kept     editKind = iota // a line of want is that of got
	elision                  // a line of want is "...", for the lines of got that are skipped next, or for none
	skipped                  // a line of got is one of those that a "..." stands for
	replaced                 // a line of got is in the place of one of want
	missing                  // a line of want is not in got
	added                    // a line of got is not in want
)

type edit struct {
	kind      editKind
	want, got int // indexes of the lines that it is about
}

// prices are what each kind of edit costs.
type prices struct{ skipped, replaced, alike, missing, added int }

// readable is for people: a line that has changed is one line, not one that has gone and one that a "..." has swallowed.
func readable() prices { return prices{skipped: 1, alike: 2, replaced: 3, added: 2, missing: 3} }

// replace is what it costs that a line of got is in the place of one of want: less where they begin alike.
func (p prices) replace(want, got string) int {
	old, now := strings.Fields(want), strings.Fields(got)
	if len(old) > 0 && len(now) > 0 && wordIs(old[0], now[0]) {
		return p.alike
	}
	return p.replaced
}

// costs says for want from i on and got from j on what the cheapest edits cost that make the one of the other.
func costs(want, got []string, p prices) [][]int {
	cost := make([][]int, len(want)+1)
	for i := len(want); i >= 0; i-- {
		cost[i] = make([]int, len(got)+1)
		for j := len(got); j >= 0; j-- {
			switch {
			case i == len(want):
				cost[i][j] = (len(got) - j) * p.added
			case anyLines(want[i]):
				cost[i][j] = cost[i+1][j]
				if j < len(got) {
					cost[i][j] = min(cost[i][j], cost[i][j+1]+p.skipped)
				}
			case j == len(got):
				cost[i][j] = cost[i+1][j] + p.missing
			default:
				cost[i][j] = min(cost[i+1][j]+p.missing, cost[i][j+1]+p.added, cost[i+1][j+1]+p.replace(want[i], got[j]))
				if lineIs(want[i], got[j]) {
					cost[i][j] = min(cost[i][j], cost[i+1][j+1])
				}
			}
		}
	}
	return cost
}

// align finds the edits that a person would name.
func align(want, got []string) (edits []edit) {
	p := readable()
	cost := costs(want, got, p)
	for i, j := 0, 0; i < len(want) || j < len(got); {
		switch here := cost[i][j]; {
		case i == len(want):
			edits = append(edits, edit{added, i, j})
			j++
		case anyLines(want[i]):
			edits = append(edits, edit{elision, i, j})
			for ; cost[i][j] != cost[i+1][j]; j++ {
				edits = append(edits, edit{skipped, i, j})
			}
			i++
		case j < len(got) && lineIs(want[i], got[j]) && here == cost[i+1][j+1]:
			edits = append(edits, edit{kept, i, j})
			i, j = i+1, j+1
		case j < len(got) && here == cost[i+1][j+1]+p.replace(want[i], got[j]):
			edits = append(edits, edit{replaced, i, j})
			i, j = i+1, j+1
		case here == cost[i+1][j]+p.missing:
			edits = append(edits, edit{missing, i, j})
			i++
		default:
			edits = append(edits, edit{added, i, j})
			j++
		}
	}
	return edits
}

func anyLines(line string) bool { return strings.TrimSpace(line) == ellipsis }

// lineIs reports whether a line of want stands for one of got.
func lineIs(want, got string) bool {
	old, now := strings.Fields(want), strings.Fields(got)
	if len(old) != len(now) {
		return false
	}
	for i := range old {
		if !wordIs(old[i], now[i]) {
			return false
		}
	}
	return true
}

// wordIs reports whether a word stands for another: what is between its "..." is there, in that order.
func wordIs(want, got string) bool {
	parts := strings.Split(want, ellipsis)
	if len(parts) == 1 {
		return want == got
	}
	first, last := parts[0], parts[len(parts)-1]
	if len(got) < len(first)+len(last) || !strings.HasPrefix(got, first) || !strings.HasSuffix(got, last) {
		return false
	}
	got = got[len(first) : len(got)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		at := strings.Index(got, part)
		if at < 0 {
			return false
		}
		got = got[at+len(part):]
	}
	return true
}
