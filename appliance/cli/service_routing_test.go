package cli

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestSecondsAsPeopleWriteThem(t *testing.T) {
	for n, want := range map[float64]string{0: "0s", 0.25: "250ms", 1.5: "1.5s", 60: "1m", 90: "1m30s", 600: "10m", 3600: "1h", 5400: "1h30m", 3605: "1h0m5s"} {
		if got := secondsText(n); got != want {
			t.Errorf("%v s: %q, want %q", n, got, want)
		}
	}
}

func TestAnApplianceThatSaysNothingOfRouting(t *testing.T) {
	for _, f := range routingFields(api.Routing{}) {
		if f[1] != "" {
			t.Errorf("%q", f)
		}
	}
}
