package cli

import (
	"context"
	"errors"
	"strings"
)

// column is what stands under one name.
type column struct {
	head, text, foot string
}

// columns are the answers as far as they have come.
func (c *comparison) columns() []column {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []column
	for _, one := range c.all {
		k := column{head: one.service, text: tame(strings.TrimSpace(one.came))}
		switch {
		case one.done && one.err != nil && !errors.Is(one.err, errStopped):
			k.foot = tame(one.err.Error())
		case one.done:
			k.text, k.foot = tame(strings.TrimSpace(one.reply.Text)), one.reply.words()
		case one.came == "":
			k.foot = "waiting"
		default:
			k.foot = "..."
		}
		all = append(all, k)
	}
	return all
}

// Where columns stand: what is between them, and how narrow one may be.
const (
	gutter    = " │ "
	narrowest = 20
)

// beside puts columns side by side in width columns of a terminal; one below the other where that is too narrow, or 0.
func beside(all []column, width int) string {
	each := (width - cells(gutter)*(len(all)-1)) / max(len(all), 1)
	var b strings.Builder
	if each < narrowest {
		for i, k := range all {
			if i > 0 {
				b.WriteByte('\n')
			}
			b.WriteString("== " + k.head + " ==\n")
			if k.text != "" {
				b.WriteString(k.text + "\n")
			}
			b.WriteString("-- " + k.foot + "\n")
		}
		return b.String()
	}
	texts, feet := make([][]string, len(all)), make([][]string, len(all))
	for i, k := range all {
		texts[i], feet[i] = wrap(k.text, each), wrap(k.foot, each)
	}
	rows := func(of [][]string) {
		for row := 0; ; row++ {
			var line []string
			more := false
			for _, lines := range of {
				text := ""
				if row < len(lines) {
					text, more = lines[row], true
				}
				line = append(line, fit(text, each))
			}
			if !more {
				return
			}
			b.WriteString(strings.TrimRight(strings.Join(line, gutter), " ") + "\n")
		}
	}
	heads, rules := make([][]string, len(all)), make([]string, len(all))
	for i, k := range all {
		heads[i], rules[i] = []string{k.head}, strings.Repeat("─", each)
	}
	rule := strings.Join(rules, "─┼─") + "\n"
	rows(heads)
	b.WriteString(rule)
	rows(texts)
	b.WriteString(rule)
	rows(feet)
	return b.String()
}

// wrap breaks a text into lines of at most width columns: between words, and in words that are longer.
func wrap(text string, width int) []string {
	var out []string
	for line := range strings.SplitSeq(strings.ReplaceAll(text, "\t", "    "), "\n") {
		out = append(out, wrapLine(strings.TrimRight(line, " "), width)...)
	}
	return out
}

func wrapLine(line string, width int) []string {
	var out []string
	for cells(line) > width {
		at, taken, space := 0, 0, -1
		for i, r := range line {
			w := cells(string(r))
			if taken+w > width {
				break
			}
			if r == ' ' && i > 0 {
				space = i
			}
			taken += w
			at = i + len(string(r))
		}
		switch {
		case at < len(line) && line[at] == ' ': // it ends with a word
		case space > 0 && strings.TrimSpace(line[:space]) != "":
			at = space
		case at == 0: // one character that is wider than all
			at = len(line)
		}
		out = append(out, strings.TrimRight(line[:at], " "))
		line = strings.TrimLeft(line[at:], " ")
	}
	return append(out, line)
}

// comparisonView is a comparison as it is drawn.
type comparisonView struct{ columns []column }

func (c *comparison) view() comparisonView { return comparisonView{c.columns()} }

// frame shows the newest lines of answers that are longer than the window.
func (v comparisonView) frame(width, height int) string {
	lines := strings.Split(strings.TrimRight(beside(v.columns, width), "\n"), "\n")
	if height <= 2 || len(lines) <= height-1 {
		return strings.Join(lines, "\n")
	}
	head := lines[:min(2, len(lines))]
	return strings.Join(append(append([]string{}, head...), lines[len(lines)-(height-1-len(head)):]...), "\n")
}

// watching draws it until it is done, or somebody has seen enough.
func (c *comparison) watching(stop func()) watching[comparisonView] {
	return watching[comparisonView]{
		interval: redrawEvery,
		look:     func(context.Context) comparisonView { return c.view() },
		with:     func(_, news comparisonView) comparisonView { return news },
		press: func(v comparisonView, key byte) (comparisonView, bool) {
			if key == interruptKey || key == 'q' {
				stop()
				return v, true
			}
			return v, false
		},
	}
}
