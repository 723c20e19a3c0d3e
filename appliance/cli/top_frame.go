package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/catalog/bytesize"
)

// topView is all that a frame of top shows.
type topView struct {
	host     string
	at       time.Time // when it was seen
	nodes    []api.Node
	devices  []api.Device
	sessions []topSession
	services []api.Service
	waiting  int    // sessions without a place, of every project
	trouble  string // why there is nothing newer; "" while there is

	sort     topSort
	reversed bool
	keys     bool // a person is at the keys: say which there are
	color    bool
}

// topSession is a session with what it uses now. What is not known is -1.
type topSession struct {
	api.Session
	cores        float64 // busy since the sample before
	memory       int64   // bytes
	deviceMemory int64   // bytes
}

// topSort is what sessions are ordered by.
type topSort int

// The orders, in which the key s goes through them.
const (
	byCPU topSort = iota
	byMemory
	byDeviceMemory
	byName
	topSorts
)

func (s topSort) String() string {
	return [...]string{"cpu", "memory", "device memory", "name"}[s]
}

// order puts sessions into the order that is asked for: large things first, names from A to Z.
func (v *topView) order() {
	slices.SortStableFunc(v.sessions, func(a, b topSession) int {
		var c int
		switch v.sort {
		case byCPU:
			c = cmp.Compare(b.cores, a.cores)
		case byMemory:
			c = cmp.Compare(b.memory, a.memory)
		case byDeviceMemory:
			c = cmp.Compare(b.deviceMemory, a.deviceMemory)
		}
		if v.reversed && v.sort != byName {
			c = -c
		}
		if c == 0 {
			c = cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
			if v.reversed && v.sort == byName {
				c = -c
			}
		}
		return c
	})
}

// tone is how a part of a line is shown where there are colours.
type tone string

// The tones, as SGR parameters.
const (
	plain   tone = ""
	heading tone = "1"
	dim     tone = "2"
	good    tone = "32"
	warning tone = "33"
	bad     tone = "31;1"
)

// part is a part of a line, of one tone.
type part struct {
	text string
	tone tone
}

// line is one line of a frame.
type line []part

func said(t tone, format string, args ...any) line {
	return line{{oneLine(fmt.Sprintf(format, args...)), t}}
}

// write makes a line of at most width columns.
func (l line) write(width int, color bool) string {
	var b strings.Builder
	for _, p := range l {
		text := cut(p.text, width)
		width -= cells(text)
		if color && p.tone != plain && strings.TrimSpace(text) != "" {
			text = "\x1b[" + string(p.tone) + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	out := b.String()
	if !color {
		out = strings.TrimRight(out, " ")
	}
	return out
}

// frame implements framed.
func (v topView) frame(width, height int) string { return frame(v, width, height) }

// section is a part of a frame that gives way where there is no room: its last rows are left out.
type section struct {
	head line
	rows []line
	noun string
}

// The least that is useful.
const (
	leastWidth  = 40
	leastHeight = 6
)

// frame draws v in width columns and at most height lines; a height of 0 is as many as it takes. It is a function of
// its arguments alone.
func frame(v topView, width, height int) string {
	width = max(width, leastWidth)
	v.sessions = slices.Clone(v.sessions)
	v.order()
	top := v.summary(width)
	sections := []section{v.deviceSection(width), v.sessionSection(width), v.serviceSection(width)}
	var foot []line
	if v.keys {
		foot = append(foot, said(dim, "q quit   s sort (%s)   c cpu   m memory   d device memory   n name   r reverse", v.sort))
	}
	if height > 0 {
		height = max(height, leastHeight)
		if len(top) > height-len(foot) {
			top = top[:height-len(foot)]
		}
		shrink(sections, height-len(top)-len(foot))
	}
	lines := top
	for _, s := range sections {
		if s.head == nil {
			continue
		}
		lines = append(lines, line{}, s.head)
		lines = append(lines, s.rows...)
	}
	if height > 0 && v.keys {
		for len(lines) < height-len(foot) {
			lines = append(lines, line{})
		}
	}
	lines = append(lines, foot...)
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = l.write(width, v.color)
	}
	return strings.Join(out, "\n")
}

// What a section takes beside its rows, a free line and its head, and the least rows that are worth that.
const (
	overhead  = 2
	leastRows = 2
)

// shrink leaves rows out until all sections fit into room lines: every section gets as many as it has, or an equal
// part of what others leave. One that would have less than leastRows goes whole; the first go last.
func shrink(sections []section, room int) {
	for i := len(sections) - 1; i >= 0; i-- {
		needed := 0
		for _, s := range sections[:i+1] {
			needed += overhead + min(len(s.rows), leastRows)
		}
		if needed > room {
			sections[i] = section{}
		}
	}
	left, open := room, 0
	for _, s := range sections {
		if s.head != nil {
			left -= overhead
			open++
		}
	}
	byNeed := make([]int, len(sections))
	for i := range byNeed {
		byNeed[i] = i
	}
	slices.SortStableFunc(byNeed, func(a, b int) int { return len(sections[a].rows) - len(sections[b].rows) })
	for _, i := range byNeed {
		s := &sections[i]
		if s.head == nil {
			continue
		}
		s.keep(left / open)
		left -= len(s.rows)
		open--
	}
}

// keep leaves out what is more than most rows, and says how many they were.
func (s *section) keep(most int) {
	if len(s.rows) <= most {
		return
	}
	most = max(most, 1)
	gone := len(s.rows) - most + 1
	s.rows = append(slices.Clone(s.rows[:most-1]), said(dim, "and %s that this window has no room for", plural(gone, "more "+s.noun)))
}

// summary is what stands above all: where it comes from, that it is simulated, and the boxes.
func (v topView) summary(width int) []line {
	running := 0
	for _, s := range v.sessions {
		if s.Status == "RUNNING" {
			running++
		}
	}
	title := fmt.Sprintf("palisade top  %s  %s", v.host, v.at.Format("15:04:05"))
	numbers := fmt.Sprintf("%s, %d running, %d waiting", plural(len(v.services), "service"), running, v.waiting)
	if cells(title)+2+cells(numbers) > width {
		title = "palisade top  " + v.at.Format("15:04:05")
	}
	lines := []line{{{oneLine(fit(title, max(cells(title)+2, width-cells(numbers)))), heading}, {numbers, plain}}}
	if v.trouble != "" {
		lines = append(lines, said(bad, "no news: %s", v.trouble))
	}
	if text := simulatedLine(v.devices); text != "" {
		lines = append(lines, said(warning, "%s", text))
	}
	name := 0
	for _, n := range v.nodes {
		name = max(name, cellsUpTo(16, n.Name))
	}
	for _, n := range v.nodes {
		lines = append(lines, v.nodeLine(n, name, width))
	}
	return lines
}

// nodeLine is a box: what is busy as bars, and what sessions have taken in numbers.
func (v topView) nodeLine(n api.Node, name, width int) line {
	cpu := fmt.Sprintf("%s of %s cores, %s taken", known(n.CPU.Used, "%.1f"), known(n.CPU.Total, "%.4g"), known(n.CPU.Taken, "%.4g"))
	memory := fmt.Sprintf("%s, %s taken", memoryWords(n.Memory.Used, n.Memory.Total), bytesize.Format(n.Memory.Taken))
	room := width - name - len("  cpu   mem  ") - cells(cpu) - cells(memory) - 2
	w := min(max(room/2, 0), 30)
	if w < 4 {
		cpu = fmt.Sprintf("%s/%s cores", known(n.CPU.Used, "%.1f"), known(n.CPU.Total, "%.4g"))
		memory = memoryWords(n.Memory.Used, n.Memory.Total)
		if w = min((width-name-len("  cpu   mem  ")-cells(cpu)-cells(memory)-2)/2, 12); w < 4 {
			w = 0
		}
	}
	l := line{{fit(oneLine(n.Name), name), heading}, {"  cpu ", dim}}
	l = append(l, gauge(ratio(n.CPU.Used, n.CPU.Total), w)...)
	l = append(l, part{cpu, plain}, part{"  mem ", dim})
	l = append(l, gauge(ratio(float64(n.Memory.Used), float64(n.Memory.Total)), w)...)
	return append(l, part{memory, plain})
}

func ratio(used, total float64) float64 {
	if used < 0 || total <= 0 {
		return -1
	}
	return used / total
}

// gauge is a bar and a space after it; nothing where it has no room.
func gauge(of float64, width int) line {
	if width <= 0 {
		return nil
	}
	t := good
	switch {
	case of >= 0.95:
		t = bad
	case of >= 0.8:
		t = warning
	}
	return line{{bar(of, width), t}, {" ", plain}}
}
