package rehearse

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"slices"
	"time"
)

// What a picture measures, in pixels.
const (
	pictureWide = 960
	panelHigh   = 150
	panelGap    = 46
	marginLeft  = 64
	marginRight = 16
	marginTop   = 84
)

// style is readable on light and on dark; hues that are told apart also by those who see few.
const style = `<style>
text{font:12px system-ui,sans-serif;fill:#333}
.t{font-size:15px;font-weight:600}.g{stroke:#8884;stroke-width:1}.p{fill:none;stroke-width:1.6;stroke-linejoin:round}
.s0{stroke:#0b62d6}.f0{fill:#0b62d6}.s1{stroke:#d55e00}.f1{fill:#d55e00}.s2{stroke:#11845b}.f2{fill:#11845b}.s3{stroke:#8e4ec6}.f3{fill:#8e4ec6}
.load{stroke-dasharray:3 3;stroke-width:1}
@media(prefers-color-scheme:dark){text{fill:#ddd}.s0{stroke:#6cb0ff}.f0{fill:#6cb0ff}.s1{stroke:#ff9c54}.f1{fill:#ff9c54}.s2{stroke:#4fd0a0}.f2{fill:#4fd0a0}.s3{stroke:#cba0ff}.f3{fill:#cba0ff}}
</style>
`

// WriteSVG writes a picture of what happened: demand, routes and who waited over time, one line each formula. All results must be
// of the same trace.
func WriteSVG(to io.Writer, title string, results []*Result) error {
	w := &picture{Writer: bufio.NewWriter(to), end: 1}
	for _, r := range results {
		if n := len(r.Points); n > 0 {
			w.end = max(w.end, float64(r.Points[n-1].At))
		}
	}
	high := marginTop + 3*(panelHigh+panelGap)
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`+"\n%s",
		pictureWide, high, pictureWide, high, html.EscapeString(title), style)
	fmt.Fprintf(w, `<text class="t" x="%d" y="24">%s</text>`+"\n", marginLeft, html.EscapeString(title))
	x := marginLeft
	for i, r := range results {
		said := fmt.Sprintf("%s: p95 wait %s, %.1f GPU-hours", r.Formula, r.Wait.P95, r.GPUHours)
		fmt.Fprintf(w, `<rect class="f%d" x="%d" y="36" width="12" height="12"/><text x="%d" y="46">%s</text>`+"\n", i%4, x, x+17, html.EscapeString(said))
		x += 32 + 7*len(said)
	}
	w.panel(0, "Requests in flight and held", results, func(p *Point) float64 { return p.Demand }, nil)
	w.panel(1, "Routes (dashed: with those that load)", results, func(p *Point) float64 { return p.Ready + p.Leaving }, func(p *Point) float64 { return p.Ready + p.Leaving + p.Starting })
	w.panel(2, "Requests waiting for a route", results, func(p *Point) float64 { return float64(p.Waiting) }, nil)
	fmt.Fprintln(w, "</svg>")
	return w.Flush()
}

// picture is one that is being drawn.
type picture struct {
	*bufio.Writer
	end float64 // seconds
}

func (w *picture) x(at Seconds) float64 {
	return marginLeft + float64(at)/w.end*(pictureWide-marginLeft-marginRight)
}

// panel draws one quantity over time, from zero to a round number.
func (w *picture) panel(row int, name string, results []*Result, of, also func(*Point) float64) {
	bottom := float64(marginTop + row*(panelHigh+panelGap) + panelHigh)
	most := 0.0
	for _, r := range results {
		for i := range r.Points {
			most = max(most, of(&r.Points[i]))
			if also != nil {
				most = max(most, also(&r.Points[i]))
			}
		}
	}
	step := round(most / 4)
	top := step * max(math.Ceil(most/step-1e-9), 1)
	fmt.Fprintf(w, `<text x="%d" y="%.0f">%s</text>`+"\n", marginLeft, bottom-panelHigh-8, name)
	for v := 0.0; v <= top+step/2; v += step {
		y := bottom - v/top*panelHigh
		fmt.Fprintf(w, `<path class="g" d="M%d %.1fH%d"/><text x="%d" y="%.1f" text-anchor="end">%g</text>`+"\n", marginLeft, y, pictureWide-marginRight, marginLeft-6, y+4, v)
	}
	every := ticks(w.end)
	for at := 0.0; at <= w.end; at += every {
		fmt.Fprintf(w, `<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`+"\n", w.x(Seconds(at)), bottom+17, clock(at))
	}
	for i, r := range slices.Backward(results) { // the first is on top
		if also != nil {
			w.line(fmt.Sprintf("p load s%d", i%4), r.Points, also, bottom, top)
		}
		w.line(fmt.Sprintf("p s%d", i%4), r.Points, of, bottom, top)
	}
}

func (w *picture) line(class string, points []Point, of func(*Point) float64, bottom, top float64) {
	if len(points) == 0 {
		return
	}
	fmt.Fprintf(w, `<path class="%s" d="`, class)
	for i := range points {
		verb := 'L'
		if i == 0 {
			verb = 'M'
		}
		fmt.Fprintf(w, "%c%.1f %.1f", verb, w.x(points[i].At), bottom-of(&points[i])/top*panelHigh)
	}
	fmt.Fprintln(w, `"/>`)
}

// round is the next number of 1, 2 or 5 and zeros, at least 1.
func round(v float64) float64 {
	if v <= 1 {
		return 1
	}
	ten := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*ten*(1+1e-9) {
			return n * ten
		}
	}
	return 10 * ten
}

// ticks is how far apart times are written, in seconds.
func ticks(end float64) float64 {
	for _, every := range []float64{10, 30, 60, 300, 600, 1800, 3600, 7200, 4 * 3600, 12 * 3600} {
		if end/every <= 12 {
			return every
		}
	}
	return max(86400, 86400*math.Ceil(end/86400/12))
}

// clock writes how long after the start something was.
func clock(at float64) string {
	d := time.Duration(at) * time.Second
	if days := int(d.Hours()) / 24; days > 0 {
		return fmt.Sprintf("%dd %02d:%02d", days, int(d.Hours())%24, int(d.Minutes())%60)
	}
	if d%time.Minute != 0 {
		return fmt.Sprintf("%d:%02d:%02d", int(d.Hours()), int(d.Minutes())%60, int(d.Seconds())%60)
	}
	return fmt.Sprintf("%d:%02d", int(d.Hours()), int(d.Minutes())%60)
}
