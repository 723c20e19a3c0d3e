package sessions

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog"
)

func TestTogether(t *testing.T) {
	routing := DefaultRouting()
	routing.Capture = 1000
	name := checkName("z")
	if err := together(nil, nil); err != nil {
		t.Error(err)
	}
	if err := together(nil, name); !errors.Is(err, name) || err.Error() != name.Error() {
		t.Error(err)
	}
	err := together(name, nil, routing.Check())
	ps, ok := errors.AsType[catalog.Problems](err)
	if !ok || len(ps) != 2 || !errors.Is(err, ErrInvalid) || ps[0].Message != fmt.Sprint(name)[len("invalid: "):] || ps[1].Field != "routing.capture" {
		t.Error(err)
	}
}

func TestChanges(t *testing.T) {
	was := Service{Name: "chat", Replicas: 1, Policy: DefaultPolicy(), Routing: DefaultRouting()}
	if got := changes(was, was); got != nil {
		t.Error(got)
	}
	is := was
	is.Name, is.Replicas, is.Public, is.Priority = "talk", 2, true, 50
	is.Policy.MaxSurge, is.Routing.MaxInFlight, is.Routing.HoldTimeout = 2, 8, time.Hour
	if got := changes(was, is); !slices.Equal(got, []string{"name", "open_to_public", "replicas", "priority", "max_surge", "max_in_flight", "hold_timeout"}) {
		t.Error(got)
	}
}
