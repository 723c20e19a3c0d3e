package ui

import (
	"strings"
	"testing"
)

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		before, after any
		want          string
	}{
		{nil, nil, ""}, {1.0, 2.0, "-1|+2"}, {nil, "x", "+x"}, {"x", nil, "-x"}, {"a\nb\nc", "a\nc\nd", " a|-b| c|+d"},
		{map[string]any{"a": 1.0, "b": "<x>"}, map[string]any{"a": 1.0, "b": "y"}, ` {|   "a": 1,|-  "b": "<x>"|+  "b": "y"| }`}, {true, true, " true"},
	} {
		var got []string
		for _, l := range Diff(c.before, c.after) {
			got = append(got, l.Kind+l.Text)
			if l.Kind == "" {
				got[len(got)-1] = " " + l.Text
			}
		}
		if s := strings.Join(got, "|"); s != c.want {
			t.Errorf("%v, %v: %s, want %s", c.before, c.after, s, c.want)
		}
	}
	long := strings.Repeat("x\n", 2*maxDiff)
	if got := Diff(long, long+"y"); len(got) != 4*maxDiff+2 {
		t.Errorf("%d lines", len(got))
	}
}
