package ui

import (
	"math"
	"strings"
	"testing"
)

func TestKneePicture(t *testing.T) {
	full := Knee{At: 6, Points: []KneePoint{{1, 40, 40}, {2, 78, 39}, {4, 150, 37}, {8, 160, 20}}}
	got := string(KneePicture("a<b", "all", `"each"`, full))
	for _, want := range []string{"a&lt;b", "knee-mark", ">6<", ">8<", "160"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in %s", want, got)
		}
	}
	for name, k := range map[string]Knee{
		"none": {}, "one": {At: 1, Points: []KneePoint{{1, 5, 5}}}, "nothing came": {Points: []KneePoint{{1, 0, 0}, {2, 0, 0}}},
		"odd": {At: -3, Points: []KneePoint{{1, math.NaN(), -1}, {1, 2, 3}}}, "beyond": {At: 99, Points: full.Points},
	} {
		if got := string(KneePicture(name, "", "", k)); strings.Contains(got, "Inf") || strings.Contains(got, "NaN") || len(k.Points) == 0 && got != "" {
			t.Errorf("%s: %s", name, got)
		}
	}
}
