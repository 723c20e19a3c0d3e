package daemon

import (
	"errors"
	"testing"

	"github.com/palisade-run/palisade/appliance/cluster"
)

// Who asks a box to leave that is leaving is told so: it would leave what the box has joined by then.
func TestLeavingTwice(t *testing.T) {
	s := &seat{}
	s.departing.Lock()
	for _, force := range []bool{false, true} {
		if _, err := (boxes{&daemon{house: &house{seat: s}}}).Leave(t.Context(), force, "somebody"); !errors.Is(err, cluster.ErrBusy) || adviceOf(err) == "" {
			t.Errorf("forced %v: %v", force, err)
		}
	}
}
