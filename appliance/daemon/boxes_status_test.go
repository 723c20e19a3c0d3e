package daemon

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// A box that has just joined is about to speak: nobody is told to look after it, or to remove it.
func TestSilent(t *testing.T) {
	now := time.Now()
	ago := func(d time.Duration) *time.Time {
		at := now.Add(-d)
		return &at
	}
	for name, c := range map[string]struct {
		box  api.ClusterBox
		want bool
	}{
		"it is heard of":             {api.ClusterBox{Alive: true, JoinedAt: ago(time.Hour)}, false},
		"it has just joined":         {api.ClusterBox{JoinedAt: ago(time.Second)}, false},
		"it joined and never spoke":  {api.ClusterBox{JoinedAt: ago(time.Minute)}, true},
		"it spoke, and then no more": {api.ClusterBox{JoinedAt: ago(time.Second), SilentSince: ago(time.Second)}, true},
		"nobody knows when it came":  {api.ClusterBox{}, true},
	} {
		if got := silent(c.box, now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
