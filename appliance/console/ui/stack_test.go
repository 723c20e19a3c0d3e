package ui

import (
	"math"
	"strings"
	"testing"
)

func TestStack(t *testing.T) {
	for _, c := range []struct {
		name   string
		whole  float64
		pieces []Piece
		want   []string
		not    string
	}{
		{"parts and what is left", 100, []Piece{{"weights", 25, "weights"}, {"cache", 25, "cache"}}, []string{`x="0.00" width="25.00"`, `x="25.00" width="25.00"`, `stack-all" width="100.00"`}, "stack-end"},
		{"more than there is", 50, []Piece{{"weights", 100, "w"}}, []string{`stack-all" width="50.00"`, `stack-end" x="50.00"`}, ""},
		{"hostile", 1, []Piece{{`"><script>`, 1, `<b>"`}}, []string{"&lt;b&gt;&#34;"}, "<script>"},
		{"nothing", 0, nil, []string{`stack-all" width="0.00"`}, "NaN"},
		{"no number", math.NaN(), []Piece{{"weights", math.NaN(), "w"}}, []string{"<svg"}, `width="NaN"`},
	} {
		got := string(Stack(`<t>`, c.whole, c.pieces...))
		for _, want := range append(c.want, "&lt;t&gt;") {
			if !strings.Contains(got, want) {
				t.Errorf("%s: no %s in %s", c.name, want, got)
			}
		}
		if c.not != "" && strings.Contains(got, c.not) {
			t.Errorf("%s: %s in %s", c.name, c.not, got)
		}
	}
}

func TestParameters(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 664_704: "665 k", 494_000_000: "494 M", 8_200_000_000: "8.2 B", 999_999_999: "1 B", 1_100_000_000_000: "1.1 T"} {
		if got := Parameters(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
