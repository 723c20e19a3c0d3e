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

func TestCrowdWords(t *testing.T) {
	if got := crowdWords(20*time.Second, 4, 10); got != "" {
		t.Errorf("four of ten: %q", got)
	}
	want := "8 of 12 boxes fell silent at one time: what they run is begun elsewhere after 2m0s, and not after 20s; look at the network between the boxes"
	if got := crowdWords(20*time.Second, 8, 12); got != want {
		t.Errorf("eight of twelve: %q, want %q", got, want)
	}
}
