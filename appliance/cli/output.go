package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// result is what a command prints, in each of its three forms.
type result struct {
	quiet []string     // -q: a line each
	json  any          // --output json
	wide  *table       // --output wide, where there is more to show than in
	table *table       // this,
	text  func() error // or this
}

// show prints a result to stdout in the form that was asked for.
func (a *app) show(r result) error {
	switch {
	case a.output == "json":
		enc := json.NewEncoder(a.out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(r.json)
	case a.quiet:
		for _, line := range r.quiet {
			fmt.Fprintln(a.out, line)
		}
		return nil
	case a.output == "wide" && r.wide != nil:
		r.wide.write(a.out)
		return nil
	case r.table != nil:
		r.table.write(a.out)
		return nil
	case r.text != nil:
		return r.text()
	}
	return nil
}

// table is rows under a head, each column as wide as it must be.
type table struct {
	head []string
	rows [][]string
}

func newTable(head ...string) *table { return &table{head: head} }

func (t *table) add(cells ...string) {
	for i, c := range cells {
		// A line break or an escape sequence in a value must not break the table, or the terminal.
		cells[i] = oneLine(c)
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(w io.Writer) {
	width := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, row := range all {
		for i, c := range row {
			width[i] = max(width[i], cells(c))
		}
	}
	for _, row := range all {
		var b strings.Builder
		for i, c := range row {
			b.WriteString(c)
			if i < len(row)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-cells(c)+2))
			}
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}

// fields prints one thing, a field a line; empty values are left out.
func (a *app) fields(pairs ...[2]string) {
	width := 0
	for _, p := range pairs {
		if p[1] != "" {
			width = max(width, utf8.RuneCountInString(p[0]))
		}
	}
	for _, p := range pairs {
		if p[1] != "" {
			fmt.Fprintf(a.out, "%-*s  %s\n", width+1, p[0]+":", oneLine(p[1]))
		}
	}
}

// oneLine makes a value safe to print in a line.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0:
			return -1
		}
		return r
	}, s)
}

// safe is text of several lines, each safe to print: what went wrong is often told in the words of a server that anybody may
// have put there.
func safe(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = oneLine(line)
	}
	return strings.Join(lines, "\n")
}

// ago prints when something was: "3m ago"; "-" for never.
func (a *app) ago(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	d := a.now().Sub(at)
	if d < 0 {
		left := (-d).Round(time.Second)
		switch { // what was asked for as 3d is 3d still when it is shown a moment later
		case left > 24*time.Hour:
			left = left.Round(time.Hour)
		case left > 10*time.Minute:
			left = left.Round(time.Minute)
		}
		return "in " + span(left)
	}
	return span(d) + " ago"
}

func (a *app) agoPtr(at *time.Time) string {
	if at == nil {
		return "-"
	}
	return a.ago(*at)
}

// span prints a duration in its largest unit.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%dh", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd", int(d/day))
	}
}

// mapWords prints a map as K=V words, by key.
func mapWords(m map[string]string) string {
	var out []string
	for k, v := range m {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
