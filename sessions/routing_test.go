package sessions_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/palisade-run/palisade/catalog"
	"github.com/palisade-run/palisade/sessions"
)

func TestRoutingCheck(t *testing.T) {
	tests := []struct {
		name   string
		change func(*sessions.Routing)
		field  string // "": nothing is wrong
	}{
		{"the default", func(*sessions.Routing) {}, ""},
		{"all of it", func(r *sessions.Routing) {
			*r = sessions.Routing{Balance: "session_affinity", AffinityHeader: "X-Session-Id", AffinityCookie: "sid", MaxInFlight: 8, MaxHeld: 10,
				HoldTimeout: time.Second, RepeatWindow: 30 * time.Second, Capture: 100, Usage: "off"}
		}, ""},
		{"nothing held", func(r *sessions.Routing) { r.MaxHeld = 0 }, ""},
		{"another policy", func(r *sessions.Routing) { r.Balance = "random" }, "routing.balance"},
		{"no policy", func(r *sessions.Routing) { r.Balance = "" }, "routing.balance"},
		{"a header with a space", func(r *sessions.Routing) { r.AffinityHeader = "X Session" }, "routing.affinity_header"},
		{"a header with a line in it", func(r *sessions.Routing) { r.AffinityHeader = "X\r\nY" }, "routing.affinity_header"},
		{"a cookie with =", func(r *sessions.Routing) { r.AffinityCookie = "a=b" }, "routing.affinity_cookie"},
		{"fewer than none in flight", func(r *sessions.Routing) { r.MaxInFlight = -1 }, "routing.max_in_flight"},
		{"a million held", func(r *sessions.Routing) { r.MaxHeld = 1_000_000 }, "routing.max_held"},
		{"held for ever", func(r *sessions.Routing) { r.HoldTimeout = 1000 * time.Hour }, "routing.hold_timeout"},
		{"held for less than no time", func(r *sessions.Routing) { r.HoldTimeout = -1 }, "routing.hold_timeout"},
		{"answers that count for days", func(r *sessions.Routing) { r.RepeatWindow = 48 * time.Hour }, "routing.repeat_window"},
		{"captures of everything", func(r *sessions.Routing) { r.Capture = 1_000_000 }, "routing.capture"},
		{"another way to count", func(r *sessions.Routing) { r.Usage = "on" }, "routing.usage"},
	}
	for _, tt := range tests {
		r := sessions.DefaultRouting()
		tt.change(&r)
		err := r.Check()
		problems, _ := errors.AsType[catalog.Problems](err)
		switch {
		case tt.field == "" && err != nil:
			t.Errorf("%s: %v", tt.name, err)
		case tt.field != "" && (!errors.Is(err, sessions.ErrInvalid) || len(problems) != 1 || problems[0].Field != tt.field):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.field)
		}
	}
	if problems, _ := errors.AsType[catalog.Problems](sessions.Routing{MaxHeld: -1}.Check()); len(problems) != 3 {
		t.Errorf("all that is wrong is told at once: %v", problems)
	}
}

func TestRoutingHeld(t *testing.T) {
	r := sessions.DefaultRouting()
	if r.Held() != 1000 {
		t.Errorf("%d", r.Held())
	}
	r.HoldTimeout = 0
	if r.Held() != 0 {
		t.Errorf("%d wait for no time", r.Held())
	}
}

func TestRoutingOfAnOlderVersionTakesDefaults(t *testing.T) {
	r := sessions.DefaultRouting()
	if err := json.Unmarshal([]byte(`{"max_held":0}`), &r); err != nil || r.Balance != "round_robin" || r.MaxHeld != 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

// An edit of the routing reaches who balances at once, and starts nothing anew.
func TestRoutingIsChangedWithoutARevision(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.write(definition)
		w.boot()
		v, err := w.m.CreateService(t.Context(), request())
		if err != nil || v.Routing != sessions.DefaultRouting() {
			t.Fatalf("%+v, %v", v.Routing, err)
		}
		wanted := v.Routing
		wanted.Balance, wanted.MaxInFlight = sessions.BalanceLeastInFlight, 4
		v, err = w.m.UpdateService(t.Context(), v.Project, v.ID, sessions.ServiceUpdate{Routing: &wanted, By: "me"})
		if err != nil || v.Routing != wanted || v.Revision != 1 {
			t.Errorf("%+v of revision %d, %v", v.Routing, v.Revision, err)
		}
		if got := w.balance.routing(v.Name); got != wanted {
			t.Errorf("who balances is told %+v", got)
		}
		bad := wanted
		bad.Balance = "random"
		if _, err := w.m.UpdateService(t.Context(), v.Project, v.ID, sessions.ServiceUpdate{Routing: &bad}); !errors.Is(err, sessions.ErrInvalid) {
			t.Errorf("%v", err)
		}
		if _, err := w.m.CreateService(t.Context(), request(func(r *sessions.ServiceRequest) { r.Name, r.Routing = "other", &bad })); !errors.Is(err, sessions.ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
}
