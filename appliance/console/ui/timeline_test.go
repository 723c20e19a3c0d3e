package ui

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestTimeline(t *testing.T) {
	got := string(Timeline(`a"<b>`, []Span{{State: "PENDING", Word: "<i>", For: time.Millisecond}, {State: "RUNNING", For: time.Hour}, {State: `"x`, For: -time.Hour}}))
	if strings.Contains(got, "<b>") || strings.Contains(got, "<i>") || strings.Contains(got, `"x`) || strings.Count(got, "<rect") != 3 || !strings.Contains(got, "tone-success") {
		t.Error(got)
	}
	for _, spans := range [][]Span{nil, {{}}, {{For: math.MaxInt64}, {For: 1}}} {
		if got := string(Timeline("x", spans)); strings.Contains(got, "NaN") || strings.Contains(got, "Inf") {
			t.Error(got)
		}
	}
}

func TestPlot(t *testing.T) {
	nan := math.NaN()
	for name, points := range map[string][]Point{
		"none": nil, "one": {{X: 1, Y: 2, Low: 2, High: 2}}, "flat": {{X: 0, Y: 5}, {X: 9, Y: 5}}, "no numbers": {{X: nan, Y: 1}, {X: 1, Y: math.Inf(1)}, {X: 2, Y: 3, Low: nan, High: nan}},
		"far": {{X: -1e300, Y: 1e300, Low: 1e300, High: 1e300}, {X: 1e300, Y: -1e300, Low: -1e300, High: -1e300}},
	} {
		if got := string(Plot(`<"`+name, points)); strings.Contains(got, "NaN") || strings.Contains(got, `<"`) || !strings.HasSuffix(got, "</svg>") {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := string(Plot("loss", []Point{{0, 3, 3, 3}, {10, 1, 0.5, 2}})); !strings.Contains(got, "plot-line") || !strings.Contains(got, ">10<") || !strings.Contains(got, ">0.5<") {
		t.Error(got)
	}
}

func TestResourcesAndLengths(t *testing.T) {
	if got := Resources(map[string]string{"mem": "4g", "cuda.device": "1", "cpu": "2"}); got != "cpu 2 · mem 4g · cuda.device 1" {
		t.Error(got)
	}
	for seconds, want := range map[float64]string{0: "0", -5: "0", 5400: "1h30m", 172800: "2d", 59.6: "1m", 3661: "1h1m1s"} {
		if got := Length(seconds); got != want {
			t.Errorf("%v: %s", seconds, got)
		}
	}
}
