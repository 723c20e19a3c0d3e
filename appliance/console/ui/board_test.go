package ui

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
)

// wellFormed fails where a picture is no XML.
func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %s", err, svg)
		}
	}
}

func TestBoard(t *testing.T) {
	const hostile = `<script>alert("1")</script>`
	for _, c := range []struct {
		name       string
		board      Board
		want, none []string
	}{
		{"nobody", Board{Title: "cuda:0", Utilization: 0, Memory: 0}, []string{"<title>cuda:0</title>", ">0%<"}, []string{"board-part", "board-busy", "board-used"}},
		{"not known", Board{Utilization: -1, Memory: -1}, []string{">–<"}, []string{"board-busy"}},
		{"no number", Board{Utilization: math.NaN(), Memory: math.NaN(), Parts: []BoardPart{{Size: math.NaN()}}}, []string{">–<"}, []string{"NaN", "board-part"}},
		{"halves", Board{Utilization: 0.5, Memory: 0.25, Parts: []BoardPart{{Label: "demo", Title: "demo: 0.50", Size: 0.5, Colour: 7}, {Label: "night", Size: 0.25, Colour: 1, Leaving: true}}},
			[]string{"holder-1", ">demo<", "demo: 0.50", ">50%<", "board-leaving"}, nil},
		{"too much", Board{Parts: []BoardPart{{Size: 0.9}, {Size: 0.9}, {Size: 0.9}}}, nil, []string{`width="-`}},
		{"hostile", Board{Title: hostile, Tone: hostile, Parts: []BoardPart{{Label: hostile, Title: hostile, Size: 1, Colour: -1, Wrong: true}}}, []string{"&lt;script&gt;"}, []string{"<script"}},
		{"small", Board{Parts: []BoardPart{{Label: "a long name", Size: 0.05}}}, nil, []string{"<text x=\"10"}},
	} {
		got := string(c.board.Draw())
		wellFormed(t, got)
		for _, want := range c.want {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %q in %s", c.name, want, got)
			}
		}
		for _, none := range c.none {
			if strings.Contains(got, none) {
				t.Errorf("%s: %q in %s", c.name, none, got)
			}
		}
	}
}

func TestCores(t *testing.T) {
	for _, c := range []struct {
		total, taken, used float64
		squares            int
	}{{2, 1, 0.5, 2}, {0.5, 0, -1, 1}, {64, 64, 64, 64}, {384, 10, 383.5, 128}, {-1, 0, 0, 0}, {math.NaN(), 0, 0, 0}} {
		got := string(Cores("<b>", c.total, c.taken, c.used))
		wellFormed(t, got)
		if n := strings.Count(got, `<rect class="core"`) + strings.Count(got, `<rect class="core core-taken"`); n != c.squares || strings.Contains(got, "<b>") {
			t.Errorf("%v: %d squares: %s", c, n, got)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		label string
		most  int
		want  string
	}{{"demo", 4, "demo"}, {"demonstration", 6, "demon…"}, {"demonstration", 3, ""}, {"모델서비스이름", 5, "모델서비…"}, {"", -3, ""}} {
		if got := fit(c.label, c.most); got != c.want && !(c.label == "" && got == "") {
			t.Errorf("fit(%q, %d) = %q, want %q", c.label, c.most, got, c.want)
		}
	}
	if Celsius(-1) != "–" || Celsius(61.24) != "61.2 °C" || Watts(1234) != "1.2 kW" || Watts(-1) != "–" || Watts(350) != "350 W" {
		t.Error("units")
	}
}
