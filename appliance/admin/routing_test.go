package admin_test

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestRoutingOfAService(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"demo-model"}`, 201, nil)
	var s api.Service
	b.do("POST", "/services", `{"name":"plain","image":"host","folder":"demo-model"}`, 201, &s)
	if r := s.Routing; *r.Balance != "round_robin" || *r.MaxHeld != 1000 || *r.HoldTimeout != 120 || *r.RepeatWindow != 0 || *r.Capture != 0 || *r.Usage != "auto" {
		t.Errorf("the default: %+v", r)
	}
	b.do("POST", "/services", `{"name":"demo","image":"host","folder":"demo-model",
		"routing":{"balance":"session_affinity","affinity_header":"X-Session-Id","hold_timeout":1.5}}`, 201, &s)
	if r := s.Routing; *r.Balance != "session_affinity" || *r.AffinityHeader != "X-Session-Id" || *r.HoldTimeout != 1.5 || *r.MaxHeld != 1000 {
		t.Errorf("%+v", r)
	}
	b.do("PATCH", "/services/demo", `{"routing":{"max_in_flight":8,"repeat_window":10,"capture":20}}`, 200, &s)
	if r := s.Routing; *r.MaxInFlight != 8 || *r.RepeatWindow != 10 || *r.Capture != 20 || *r.AffinityHeader != "X-Session-Id" || s.Revision != 1 {
		t.Errorf("%+v of revision %d", r, s.Revision)
	}
	b.do("PATCH", "/services/demo", `{"routing":{"balance":"prefix"}}`, 200, &s) // the header stays for later

	for _, c := range []struct{ body, field string }{
		{`{"routing":{"balance":"random"}}`, "routing.balance"},
		{`{"routing":{"max_held":-1}}`, "routing.max_held"},
		{`{"routing":{"max_held":1.5}}`, "routing.max_held"},
		{`{"routing":{"hold_timeout":7200}}`, "routing.hold_timeout"},
		{`{"routing":{"capture":"all"}}`, "routing.capture"},
		{`{"routing":{"usage":"on"}}`, "routing.usage"},
		{`{"routing":{"balancer":"prefix"}}`, "routing.balancer"},
	} {
		p := problem(t, b.serve(b.request("PATCH", "/services/demo", c.body)))
		if p.Kind() != api.KindInvalid || len(p.Errors) != 1 || p.Errors[0].Field != c.field {
			t.Errorf("%s: %+v", c.body, p)
		}
	}
	for _, body := range []string{`{"routing":{"hold_timeout":-1}}`, `{"routing":{"affinity_header":"X-User"}}`, `{"routing":{"balance":"prefix","affinity_cookie":"sid"}}`} {
		if p := problem(t, b.serve(b.request("PATCH", "/services/demo", body))); p.Kind() != api.KindInvalid {
			t.Errorf("%s: %+v", body, p)
		}
	}
}
