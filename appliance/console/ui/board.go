package ui

import (
	"fmt"
	"html/template"
	"math"
	"strings"
)

// Board is an accelerator as a picture: a card in its slot, with who holds which part of it.
type Board struct {
	Title       string  // is read out in its place
	Utilization float64 // 0 to 1; negative: not known
	Memory      float64 // the part that is used, 0 to 1; negative: not known
	Parts       []BoardPart
	Tone        string // "" good, "warning", "danger": what is wrong with all of it
}

// BoardPart is a part of a card. What all parts leave is free.
type BoardPart struct {
	Label   string // written where there is room
	Title   string // is read out, and shown under the pointer
	Size    float64
	Colour  int  // of who holds it, from 0; negative: nobody does
	Leaving bool // it is about to be free
	Wrong   bool // it may not be used
}

// Of the picture, in its own units.
const (
	boardWidth, boardHeight   = 320.0, 104.0
	boardLeft, boardRight     = 104.0, 308.0 // of the parts
	boardTop, boardBottom     = 18.0, 62.0
	gaugeX, gaugeY, gaugeSize = 56.0, 50.0, 28.0
)

// Draw writes the picture.
func (b Board) Draw() template.HTML {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="board %s" role="img" viewBox="0 0 320 104"><title>%s</title>`, toneClass(b.Tone), template.HTMLEscapeString(b.Title))
	s.WriteString(`<path class="board-bracket" d="M6 4 v96 M6 14 h6 M6 84 h6"/><rect class="board-card" x="12" y="6" width="304" height="84" rx="6"/>`)
	for i := range 22 { // its contacts
		fmt.Fprintf(&s, `<rect class="board-pin" x="%d" y="90" width="7" height="8"/>`, 70+i*10)
	}
	b.gauge(&s)
	b.parts(&s)
	b.memory(&s)
	s.WriteString(`</svg>`)
	return template.HTML(s.String()) //nolint:gosec // numbers, and texts that are escaped
}

func toneClass(tone string) string {
	switch tone {
	case "warning", "danger":
		return "board-" + tone
	}
	return ""
}

// gauge is how busy it is, as three quarters of a circle.
func (b Board) gauge(s *strings.Builder) {
	fmt.Fprintf(s, `<path class="board-gauge" d="%s"/>`, arc(1))
	text := "–"
	if u := b.Utilization; u >= 0 && !math.IsNaN(u) {
		text = fmt.Sprintf("%.0f%%", min(u, 1)*100)
		if u > 0.004 {
			fmt.Fprintf(s, `<path class="board-busy" d="%s"/>`, arc(min(u, 1)))
		}
	}
	fmt.Fprintf(s, `<text class="board-figure" x="%.0f" y="%.0f" text-anchor="middle">%s</text>`, gaugeX, gaugeY+6, text)
}

func arc(share float64) string {
	const from, whole = 0.75 * math.Pi, 1.5 * math.Pi
	to := from + whole*share
	large := 0
	if whole*share > math.Pi {
		large = 1
	}
	x := func(a float64) float64 { return gaugeX + gaugeSize*math.Cos(a) }
	y := func(a float64) float64 { return gaugeY + gaugeSize*math.Sin(a) }
	return fmt.Sprintf("M%.1f,%.1f A%.0f,%.0f 0 %d 1 %.1f,%.1f", x(from), y(from), gaugeSize, gaugeSize, large, x(to), y(to))
}

func (b Board) parts(s *strings.Builder) {
	const width = boardRight - boardLeft
	fmt.Fprintf(s, `<rect class="board-free" x="%.0f" y="%.0f" width="%.0f" height="%.0f" rx="3"/>`, boardLeft, boardTop, width, boardBottom-boardTop)
	x := boardLeft
	for _, p := range b.Parts {
		if math.IsNaN(p.Size) || p.Size <= 0 {
			continue
		}
		w := min(p.Size*width, boardRight-x)
		if w <= 0 {
			break
		}
		class := "board-none"
		if p.Colour >= 0 {
			class = fmt.Sprintf("holder-%d", p.Colour%6)
		}
		if p.Leaving {
			class += " board-leaving"
		}
		if p.Wrong {
			class += " board-wrong"
		}
		fmt.Fprintf(s, `<g class="board-part %s"><title>%s</title><rect x="%.1f" y="%.0f" width="%.1f" height="%.0f" rx="3"/>`, class, template.HTMLEscapeString(p.Title), x+0.75, boardTop, max(w-1.5, 0.5), boardBottom-boardTop)
		if label := fit(p.Label, int((w-8)/6.4)); label != "" {
			fmt.Fprintf(s, `<text x="%.1f" y="%.0f" text-anchor="middle">%s</text>`, x+w/2, (boardTop+boardBottom)/2+4, template.HTMLEscapeString(label))
		}
		s.WriteString(`</g>`)
		x += w
	}
}

// fit cuts a label to so many characters; "" where nothing of it would be told.
func fit(label string, most int) string {
	r := []rune(label)
	switch {
	case len(r) <= most:
		return label
	case most < 4:
		return ""
	}
	return string(r[:most-1]) + "…"
}

func (b Board) memory(s *strings.Builder) {
	const width = boardRight - boardLeft
	fmt.Fprintf(s, `<rect class="board-memory" x="%.0f" y="70" width="%.0f" height="9" rx="2"/>`, boardLeft, width)
	if b.Memory > 0 {
		fmt.Fprintf(s, `<rect class="board-used" x="%.0f" y="70" width="%.1f" height="9" rx="2"/>`, boardLeft, max(min(b.Memory, 1)*width, 1.5))
	}
	for i := 1; i < 8; i++ {
		fmt.Fprintf(s, `<path class="board-chip" d="M%.1f 70 v9"/>`, boardLeft+width*float64(i)/8)
	}
}

// Cores draws a box without accelerators: a square for each of its cores (of many: for each few), those that are busy filled,
// those that sessions hold framed; -1 is not known.
func Cores(title string, total, taken, used float64) template.HTML {
	count := int(math.Ceil(total))
	if math.IsNaN(total) || count < 1 {
		return ""
	}
	each := (count + 127) / 128
	squares := (count + each - 1) / each
	columns := min(squares, 16)
	rows := (squares + columns - 1) / columns
	var s strings.Builder
	fmt.Fprintf(&s, `<svg class="cores" role="img" width="%d" viewBox="0 0 %d %d"><title>%s</title>`, columns*32, columns*20, rows*20, template.HTMLEscapeString(title))
	for i := range squares {
		class := "core"
		if float64(i*each) < taken-0.001 {
			class += " core-taken"
		}
		fmt.Fprintf(&s, `<rect class="%s" x="%d" y="%d" width="16" height="16" rx="3"/>`, class, i%columns*20+2, i/columns*20+2)
		if busy := min(max(used-float64(i*each), 0)/float64(each), 1); used > 0 && busy > 0.02 {
			fmt.Fprintf(&s, `<rect class="core-busy" x="%d" y="%.1f" width="16" height="%.1f" rx="3"/>`, i%columns*20+2, float64(i/columns*20+2)+16*(1-busy), 16*busy)
		}
	}
	s.WriteString(`</svg>`)
	return template.HTML(s.String()) //nolint:gosec // numbers, and a title that is escaped
}

// Celsius writes a temperature: 61 °C.
func Celsius(v float64) string {
	if math.IsNaN(v) || v < 0 {
		return "–"
	}
	return short(v) + " °C"
}

// Watts writes a power: 350 W, 1.2 kW.
func Watts(v float64) string {
	switch {
	case math.IsNaN(v) || v < 0:
		return "–"
	case v >= 1000:
		return short(v/1000) + " kW"
	}
	return short(v) + " W"
}
