package cli

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

const (
	// plotHeight is how many lines a curve has where nothing bounds it.
	plotHeight = 10
	// leastPlot is the fewest lines of a curve.
	leastPlot = 3
)

// plotView is what session metrics --plot --follow shows.
type plotView struct {
	session string
	at      time.Time
	figures api.SessionMetrics
	trouble string
	plain   bool
}

// frame implements framed.
func (v plotView) frame(width, height int) string {
	width = max(width, leastWidth)
	head := fmt.Sprintf("%s  %s  q quits", oneLine(v.session), v.at.Format("15:04:05"))
	if v.trouble != "" {
		head += "  " + oneLine(v.trouble)
	}
	lines := []string{cut(head, width)}
	if n := len(v.figures.Series); n > 0 {
		each := min(max((height-1)/n-3, leastPlot), plotHeight)
		for _, plot := range plots(v.figures, width, each, v.plain) {
			lines = append(lines, strings.Split(plot, "\n")...)
		}
	} else if v.trouble == "" {
		lines = append(lines, "no figures yet")
	}
	return strings.Join(lines, "\n")
}

// plots draws a curve for each figure that has points.
func plots(m api.SessionMetrics, width, height int, plain bool) []string {
	var out []string
	for _, s := range m.Series {
		title := fmt.Sprintf("%s  %s", oneLine(s.Name), lastFigure(s.Last))
		if s.NotNumbers > 0 {
			title += fmt.Sprintf("  (%s no number)", plural(s.NotNumbers, "sample"))
		}
		lines := []string{cut(title, width)}
		if len(s.Points) > 0 {
			lines = append(lines, curve(s.Points, m.Axis, width, height, plain)...)
		}
		out = append(out, strings.Join(lines, "\n"))
	}
	return out
}

// curve draws points in lines of width columns: height of them, and one for the axis.
func curve(points []api.SessionMetricPoint, axis string, width, height int, plain bool) []string {
	low, high, left, right := points[0].Min, points[0].Max, points[0].X, points[0].X
	for _, p := range points {
		low, high, left, right = min(low, p.Min), max(high, p.Max), min(left, p.X), max(right, p.X)
	}
	top, bottom := number(high), number(low)
	label := max(len(top), len(bottom))
	d := newDots(max(width-label-2, 8), height, plain)
	at := func(p api.SessionMetricPoint, v float64) (x, y int) {
		return d.column(share(p.X, left, right)), d.row(share(v, low, high))
	}
	for i, p := range points {
		x, y := at(p, p.Last)
		_, from := at(p, p.Max)
		_, to := at(p, p.Min)
		d.line(x, from, x, to)
		if i > 0 && points[i-1].X <= p.X { // where a run went on from an older checkpoint, the line begins anew
			x0, y0 := at(points[i-1], points[i-1].Last)
			d.line(x0, y0, x, y)
		}
	}
	var lines []string
	for i, row := range d.rows() {
		word := ""
		switch {
		case i == 0:
			word = top
		case i == height-1 && bottom != top:
			word = bottom
		}
		lines = append(lines, strings.TrimRight(fmt.Sprintf("%*s |%s", label, word, row), " "))
	}
	from, to := axis+" "+number(left), number(right)
	gap := max(width-label-2-len(from)-len(to), 1)
	return append(lines, strings.Repeat(" ", label+2)+from+strings.Repeat(" ", gap)+to)
}

// share is where v is between two values, 0 to 1. Halves: their difference may be more than a number can be.
func share(v, from, to float64) float64 {
	if p := (v/2 - from/2) / (to/2 - from/2); p >= 0 && p <= 1 {
		return p
	}
	return 0.5
}

// dots are what curves are drawn of: eight to a character of Braille, or one.
type dots struct {
	across, down   int // of a character
	columns, lines int // of characters
	set            [][]bool
}

func newDots(columns, lines int, plain bool) *dots {
	d := &dots{across: 2, down: 4, columns: columns, lines: lines}
	if plain {
		d.across, d.down = 1, 1
	}
	d.set = make([][]bool, lines*d.down)
	for i := range d.set {
		d.set[i] = make([]bool, columns*d.across)
	}
	return d
}

func (d *dots) column(p float64) int { return int(math.Round(p * float64(d.columns*d.across-1))) }
func (d *dots) row(p float64) int    { return int(math.Round((1 - p) * float64(d.lines*d.down-1))) }

// line sets the dots from one to another.
func (d *dots) line(x0, y0, x1, y1 int) {
	steps := max(x1-x0, x0-x1, y1-y0, y0-y1)
	for i := range steps + 1 {
		f := float64(i) / float64(max(steps, 1))
		d.set[y0+int(math.Round(f*float64(y1-y0)))][x0+int(math.Round(f*float64(x1-x0)))] = true
	}
}

// rows are the characters.
func (d *dots) rows() []string {
	braille := [4][2]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}
	out := make([]string, d.lines)
	for line := range out {
		var b strings.Builder
		for column := range d.columns {
			var mark rune
			for y := range d.down {
				for x := range d.across {
					if d.set[line*d.down+y][column*d.across+x] {
						mark |= braille[y][x]
					}
				}
			}
			switch {
			case mark == 0:
				b.WriteByte(' ')
			case d.down == 1:
				b.WriteByte('*')
			default:
				b.WriteRune(0x2800 + mark)
			}
		}
		out[line] = b.String()
	}
	return out
}
