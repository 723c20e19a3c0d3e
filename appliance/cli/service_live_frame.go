package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// liveView is all that a frame of service top shows.
type liveView struct {
	host     string
	at       time.Time // when it was seen
	services []api.ServiceLive
	one      bool   // a service was named: its routes are shown
	trouble  string // why there is nothing newer; "" while there is
	keys     bool   // a person is at the keys
	color    bool
}

// liveRow is a line of figures.
type liveRow struct {
	name              string
	routes, auto      string // of a service: 1/2, 0..4
	inFlight, waiting int    // waiting is -1 of a route: only services have a line
	short, long       api.LiveFigures
}

// liveColumn is a column of figures. Where there is no room for all, those of the highest rank are left out.
type liveColumn struct {
	head  string
	width int
	rank  int
	show  func(r liveRow) string
}

func liveColumns() []liveColumn {
	return []liveColumn{
		{"ROUTES", 8, 3, func(r liveRow) string { return r.routes }},
		{"AUTO", 8, 6, func(r liveRow) string { return r.auto }},
		{"REQ/S", 8, 0, func(r liveRow) string { return rate(r.short.RequestsPerSecond) }},
		{"ERR/S", 8, 2, func(r liveRow) string { return rate(r.short.ErrorsPerSecond) }},
		{"FLIGHT", 8, 0, func(r liveRow) string { return fmt.Sprint(r.inFlight) }},
		{"QUEUE", 7, 1, func(r liveRow) string {
			if r.waiting < 0 {
				return ""
			}
			return fmt.Sprint(r.waiting)
		}},
		{"TTFT P50", 10, 3, func(r liveRow) string { return took(r.long.TTFT, r.long.TTFT.P50) }},
		{"TTFT P95", 10, 1, func(r liveRow) string { return took(r.long.TTFT, r.long.TTFT.P95) }},
		{"TTFT P99", 10, 4, func(r liveRow) string { return took(r.long.TTFT, r.long.TTFT.P99) }},
		{"TIME P50", 10, 6, func(r liveRow) string { return took(r.long.Duration, r.long.Duration.P50) }},
		{"TIME P95", 10, 5, func(r liveRow) string { return took(r.long.Duration, r.long.Duration.P95) }},
		{"TIME P99", 10, 8, func(r liveRow) string { return took(r.long.Duration, r.long.Duration.P99) }},
		{"TOK/S", 9, 1, func(r liveRow) string { return rate(r.short.TokensPerSecond) }},
		{"PROMPT/S", 10, 7, func(r liveRow) string { return rate(r.short.PromptTokensPerSecond) }},
		{"CACHED", 8, 9, func(r liveRow) string {
			return percent(ratio(r.short.CachedTokensPerSecond, r.short.PromptTokensPerSecond))
		}},
	}
}

// rate is a number for a second: 0.25, 3.4, 120, 4.1k.
func rate(n float64) string {
	switch {
	case n == 0:
		return "0"
	case n < 1:
		return fmt.Sprintf("%.2f", n)
	case n < 99.95:
		return fmt.Sprintf("%.1f", n)
	case n < 9999.5:
		return fmt.Sprintf("%.0f", n)
	case n < 999_950:
		return fmt.Sprintf("%.1fk", n/1000)
	}
	return fmt.Sprintf("%.1fM", n/1e6)
}

// took is one of the times of q: 85ms, 1.23s, 12.3s, 4m05s; "-" where there were none.
func took(q api.LiveQuantiles, seconds float64) string {
	if q.Count == 0 {
		return "-"
	}
	return short(time.Duration(seconds * float64(time.Second)))
}

func short(d time.Duration) string {
	switch {
	case d < 9950*time.Microsecond:
		return fmt.Sprintf("%.1fms", float64(d)/float64(time.Millisecond))
	case d < 999500*time.Microsecond:
		return fmt.Sprintf("%.0fms", float64(d)/float64(time.Millisecond))
	case d < 9995*time.Millisecond:
		return fmt.Sprintf("%.2fs", d.Seconds())
	case d < 99950*time.Millisecond:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
	return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
}

// frame implements framed. It is a function of its arguments alone.
func (v liveView) frame(width, height int) string {
	width = max(width, leastWidth)
	lines := v.title(width)
	var foot []line
	if v.keys {
		foot = append(foot, said(dim, "q quit   rates are of the last 10 s, times of the last minute"))
	}
	sections := v.sections(width)
	if height > 0 {
		height = max(height, leastHeight)
		lines = lines[:min(len(lines), height-len(foot))]
		shrink(sections, height-len(lines)-len(foot))
	}
	for _, s := range sections {
		if s.head != nil {
			lines = append(append(lines, line{}, s.head), s.rows...)
		}
	}
	for height > 0 && v.keys && len(lines) < height-len(foot) {
		lines = append(lines, line{})
	}
	lines = append(lines, foot...)
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.write(width, v.color)
	}
	return strings.Join(out, "\n")
}

// title is what stands above all.
func (v liveView) title(width int) []line {
	requests, inFlight, waiting := 0.0, 0, 0
	for _, s := range v.services {
		requests, inFlight, waiting = requests+s.Last10s.RequestsPerSecond, inFlight+s.InFlight, waiting+s.Waiting
	}
	title := fmt.Sprintf("palisade service top  %s  %s", v.host, v.at.Format("15:04:05"))
	numbers := fmt.Sprintf("%s requests/s, %d in flight, %d waiting", rate(requests), inFlight, waiting)
	if cells(title)+2+cells(numbers) > width {
		title = "palisade service top  " + v.at.Format("15:04:05")
	}
	lines := []line{{{oneLine(fit(title, max(cells(title)+2, width-cells(numbers)))), heading}, {numbers, plain}}}
	if v.trouble != "" {
		lines = append(lines, said(bad, "no news: %s", v.trouble))
	}
	return lines
}

// sections are the services, and the routes of the one that was named.
func (v liveView) sections(width int) []section {
	if len(v.services) == 0 {
		return []section{{head: said(dim, "no service; begin with: palisade service create --help")}}
	}
	var services, routes []liveRow
	for _, s := range v.services {
		services = append(services, liveRow{
			s.Name, fmt.Sprintf("%d/%d", s.HealthyRoutes, s.Replicas), boundsWord(s.MinReplicas, s.MaxReplicas, s.AutoscalingPaused),
			s.InFlight, s.Waiting, s.Last10s, s.Last60s,
		})
		if !v.one {
			continue
		}
		for _, r := range s.Routes {
			name := r.ID
			if r.Leaving {
				name += " (leaving)"
			}
			routes = append(routes, liveRow{name, "", "", r.InFlight, -1, r.Last10s, r.Last60s})
		}
	}
	out := []section{liveTable("SERVICE", services, width)}
	if v.one && len(routes) == 0 {
		return append(out, section{head: said(dim, "it has no route; why: palisade service info %s", v.services[0].Name)})
	}
	if v.one {
		out = append(out, liveTable("ROUTE", routes, width))
	}
	return out
}

// liveTable is rows under a head, with as many columns as there is room for.
func liveTable(what string, rows []liveRow, width int) section {
	name := len(what)
	for _, r := range rows {
		name = max(name, cellsUpTo(min(width/3, 40), r.name))
	}
	columns := liveColumns()
	for room := width - name; ; {
		total, last := 0, 0
		for i, c := range columns {
			total += c.width
			if c.rank > columns[last].rank {
				last = i
			}
		}
		if total <= room || len(columns) == 1 {
			break
		}
		columns = slices.Delete(columns, last, last+1)
	}
	var head strings.Builder
	head.WriteString(fit(what, name))
	for _, c := range columns {
		head.WriteString(fitRight(c.head, c.width))
	}
	s := section{head: line{{head.String(), heading}}, noun: strings.ToLower(what)}
	for _, r := range rows {
		l := line{{fit(oneLine(r.name), name), plain}}
		for _, c := range columns {
			t := plain
			switch {
			case c.head == "ERR/S" && r.short.ErrorsPerSecond > 0:
				t = bad
			case c.head == "QUEUE" && r.waiting > 0:
				t = warning
			}
			l = append(l, part{fitRight(c.show(r), c.width), t})
		}
		s.rows = append(s.rows, l)
	}
	return s
}
