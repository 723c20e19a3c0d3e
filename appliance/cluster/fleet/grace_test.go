package fleet_test

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/fleet"
)

func TestIsCrowd(t *testing.T) {
	for _, c := range []struct {
		silent, all int
		want        bool
	}{
		{0, 1000, false}, {40, 1000, false}, {200, 1000, false}, {201, 1000, true}, {501, 1000, true}, {99, 300, false}, {100, 300, true}, {40, 100, false}, {1000, 1000, true}, {5, 10, false}, {6, 10, true}, {2, 3, false}, {9, 9, false}, {0, 0, false},
	} {
		if got := fleet.IsCrowd(c.silent, c.all); got != c.want {
			t.Errorf("%d of %d are silent: %v", c.silent, c.all, got)
		}
	}
}

// TestCrowd walks through what a box that is silent from 0 on, with so many others, is waited for.
func TestCrowd(t *testing.T) {
	const asked = 20 * time.Second
	began := time.Unix(1000, 0)
	type at struct {
		second, silent int // of ten boxes
		over           bool
	}
	for name, all := range map[string][]at{
		"alone":                                {{1, 1, false}, {20, 1, false}, {21, 1, true}},
		"half":                                 {{1, 5, false}, {21, 5, true}},
		"most, who do not come back":           {{1, 6, false}, {21, 6, false}, {120, 6, false}, {121, 6, true}},
		"most, who come back one by one":       {{1, 6, false}, {60, 6, false}, {61, 5, false}, {80, 4, false}, {81, 3, true}},
		"most, and again":                      {{1, 6, false}, {30, 6, false}, {40, 5, false}, {45, 6, false}, {65, 5, false}, {66, 5, true}},
		"most others are counted no more":      {{1, 6, false}, {119, 0, true}},
		"most fell silent when it was so long": {{1, 1, false}, {19, 6, false}, {25, 6, false}, {40, 2, false}, {46, 2, true}},
	} {
		var c fleet.Crowd
		for _, a := range all {
			if got := c.Over(began.Add(time.Duration(a.second)*time.Second), began, asked, a.silent, 10); got != a.over {
				t.Errorf("%s: after %d s, %d silent: %v", name, a.second, a.silent, got)
			}
		}
	}
}
