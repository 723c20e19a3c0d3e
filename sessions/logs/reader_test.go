package logs

import (
	"strings"
	"testing"
)

func TestTailOf(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	for _, c := range []struct {
		text  string
		lines int
		want  string // "" with left > 0: all of it
		left  int
	}{
		{"a\nb\nc\n", 1, "c\n", 0},
		{"a\nb\nc", 1, "c", 0},
		{"a\nb\nc\n", 2, "b\nc\n", 0},
		{"a\nb\nc\n", 3, "a\nb\nc\n", 1},
		{"a\n\n\n", 2, "\n\n", 0},
		{"", 3, "", 3},
		{"a\n" + long + "\nc\n", 2, long + "\nc\n", 0},
	} {
		last := true
		at, left := tailOf(strings.NewReader(c.text), int64(len(c.text)), c.lines, &last)
		if got := c.text[at:]; got != c.want || left != c.left {
			t.Errorf("the last %d of %.20q: %.20q, %d left; want %.20q, %d", c.lines, c.text, got, left, c.want, c.left)
		}
	}
}
