package ui

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{Count(0), "0"}, {Count(9999), "9,999"}, {Count(12345), "12.3 k"}, {Count(-1234), "-1,234"}, {Count(4_500_000), "4.5 M"}, {Count(math.MinInt64), "-9223 P"},
		{Number(0.0239), "0.024"}, {Number(0.5), "0.5"}, {Number(3.44), "3.4"}, {Number(128.4), "128"}, {Number(math.NaN()), "–"},
		{Percent(0.123), "12.3 %"}, {Percent(1), "100 %"}, {Percent(math.Inf(1)), "–"},
		{Seconds(0), "0 s"}, {Seconds(0.00035), "350 µs"}, {Seconds(0.012), "12 ms"}, {Seconds(3.42), "3.4 s"}, {Seconds(59.97), "1 min"}, {Seconds(310), "5 min 10 s"},
		{Duration(26 * time.Hour), "1 d 2 h"}, {Seconds(-5), "-5 s"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 5, 1, 12, 0, 0, 0, time.FixedZone("KST", 9*3600))
	if got := string(Time(at)); !strings.Contains(got, `datetime="2026-05-01T03:00:00Z"`) {
		t.Error(got)
	}
	if Time(time.Time{}) != "–" || Ago(time.Time{}) != "–" {
		t.Error("no time is a time")
	}
}

func TestPictures(t *testing.T) {
	for name, got := range map[string]string{
		"gap": string(Sparkline(`a<b"`, []float64{1, math.NaN(), 2, 3})), "none": string(Sparkline("x", nil)), "one": string(Sparkline("x", []float64{5})),
		"bar": string(Bar("<", math.NaN(), `"x`)),
	} {
		if strings.Contains(got, "NaN") || strings.Contains(got, "<b") || strings.Contains(got, `"x"x`) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := string(Sparkline("x", []float64{1, math.NaN(), 2, 3})); strings.Count(got, "Z") != 2 {
		t.Errorf("a gap does not part the area: %s", got)
	}
}
