package daemon

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// A box is announced anew when what it announced goes, and not for what never was there.
func TestPresence(t *testing.T) {
	for name, tc := range map[string]struct {
		is   []bool
		anew bool
	}{
		"not announced yet":                 {[]bool{false, false}, false},
		"announced":                         {[]bool{false, true, true}, false},
		"it went":                           {[]bool{true, false}, true},
		"it went, and others came and went": {[]bool{true, false, false}, true},
		"it went, and was announced anew":   {[]bool{true, false, true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPresence()
			now := time.Now()
			said := map[bool]*cluster.Alive{true: {Began: now.Round(0).UTC()}}
			p.begin(now)
			for _, is := range tc.is {
				p.is(said[is])
			}
			if anew := len(p.gone) > 0; anew != tc.anew {
				t.Errorf("announced anew: %t", anew)
			}
			// It is announced with another lease, and hears late that the one before has gone, and then of itself.
			p.begin(now.Add(time.Second))
			before, after := said[true], &cluster.Alive{Began: now.Add(time.Second)}
			for _, is := range []*cluster.Alive{before, nil, after} {
				if p.is(is); len(p.gone) > 0 {
					t.Error("it is announced once more for what was before")
				}
			}
			if p.is(nil); len(p.gone) == 0 {
				t.Error("what was announced with the other lease goes, and that is not noticed")
			}
		})
	}
}
