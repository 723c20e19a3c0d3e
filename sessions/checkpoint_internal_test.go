package sessions

import (
	"slices"
	"testing"

	"github.com/palisade-run/palisade/variants"
)

// TestCheckpointTarget: a folder of its owner's is left as it is, whether it is the directory or the home.
func TestCheckpointTarget(t *testing.T) {
	for name, c := range map[string]struct {
		mounts  []string
		want    string
		given   bool
		scratch int
	}{
		"nothing mounted":     {nil, "/home/work/.checkpoint", false, 1},
		"a folder beside it":  {[]string{"/home/work/data"}, "/home/work/.checkpoint", false, 1},
		"the directory":       {[]string{"/home/work/.checkpoint"}, "/home/work/.checkpoint", true, 1},
		"the home":            {[]string{"/home/work"}, "/checkpoint", false, 0},
		"the home, and one":   {[]string{"/home/work", "/checkpoint"}, "/checkpoint", true, 0},
		"both":                {[]string{"/home/work", "/home/work/.checkpoint"}, "/home/work/.checkpoint", true, 0},
		"one above it":        {[]string{"/home/work/.checkpoint/deep"}, "/home/work/.checkpoint", false, 1},
		"of a name like that": {[]string{"/home/worker"}, "/home/work/.checkpoint", false, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := Session{Launch: variants.LaunchSpec{Scratch: []string{HomeDir}}}
			for _, target := range c.mounts {
				s.Mounts = append(s.Mounts, Mount{Target: target})
			}
			if target, given := checkpointTarget(s.Mounts); target != c.want || given != c.given {
				t.Errorf("%s %v", target, given)
			}
			if got := scratch(s); len(got) != c.scratch || !slices.Equal(s.Launch.Scratch, []string{HomeDir}) {
				t.Errorf("scratch %v", got)
			}
		})
	}
}
