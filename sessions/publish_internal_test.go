package sessions

import (
	"strings"
	"testing"
)

// TestHeldUp: whoever asks a service is told what kind of thing keeps it from starting, and nothing of whose it is.
func TestHeldUp(t *testing.T) {
	pending := func(waits ...Wait) *runner {
		return &runner{session: Session{Status: StatusPending, Waits: waits}}
	}
	wait := func(p Predicate) Wait {
		return Wait{Predicate: p, Sentence: "waits for the limit of user ada: 3 of 4 gpu in use"}
	}
	for _, c := range []struct {
		name   string
		routes []*runner
		want   string
	}{
		{"its project's limit", []*runner{pending(wait(PredicateProjectLimit))}, "project"},
		{"its owner's limit", []*runner{pending(wait(PredicateUserLimit))}, "owner"},
		{"no room", []*runner{pending(wait("room"))}, "room"},
		{"one is on its way", []*runner{pending(wait(PredicateUserLimit)), pending()}, ""},
	} {
		s := &service{routes: c.routes}
		got := s.heldUp()
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || strings.ContainsAny(got, "0123456789") || strings.Contains(got, "ada") {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}
