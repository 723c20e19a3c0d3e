package fleet_test

import (
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/cluster/fleet"
)

func TestGrace(t *testing.T) {
	const asked = 20 * time.Second
	for _, c := range []struct {
		silent, all int
		want        time.Duration
	}{
		{0, 1000, asked}, {40, 1000, asked}, {500, 1000, asked}, {501, 1000, 2 * time.Minute}, {1000, 1000, 2 * time.Minute},
		{5, 10, asked}, {6, 10, 2 * time.Minute}, {2, 3, asked}, {8, 9, asked}, {0, 0, asked},
	} {
		if got := fleet.Grace(asked, c.silent, c.all); got != c.want {
			t.Errorf("%d of %d are silent: %s, want %s", c.silent, c.all, got, c.want)
		}
	}
}
