package install

import (
	"slices"
	"testing"
)

func TestSpare(t *testing.T) {
	const good, bad = true, false
	for _, row := range []struct {
		what    string
		current int
		good    []bool // of revisions 1, 2, ...
		keep    int
		want    []int
	}{
		{"none", 0, nil, 2, nil},
		{"as many as are kept", 2, []bool{good, good}, 2, nil},
		{"the oldest", 4, []bool{good, good, good, good}, 2, []int{1, 2}},
		{"more are kept", 4, []bool{good, good, good, good}, 3, []int{1}},
		{"two at least", 3, []bool{good, good, good}, 0, []int{1}},
		{"what never was good goes first", 4, []bool{good, good, bad, good}, 3, []int{3}},
		{"rolled back from a good one, and a bad one came after it", 1, []bool{good, good, bad}, 2, []int{3}},
		{"rolled back in the middle", 2, []bool{good, good, good, good}, 2, []int{3}},
	} {
		s := ModelState{Current: row.current}
		for i, g := range row.good {
			s.Revisions = append(s.Revisions, Revision{Number: i + 1, Good: g})
		}
		if got := s.spare(row.keep); !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, want %v", row.what, got, row.want)
		}
	}
}
