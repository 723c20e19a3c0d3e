package admin_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

func TestLimitsOfProjects(t *testing.T) {
	b := newBox(t)
	var out api.Limits
	b.do("GET", "/projects/red/limits", "", 200, &out)
	if out.Kind != "project" || out.Name != "red" || len(out.Set) != 0 || len(out.Bounds) < 6 {
		t.Errorf("%+v", out)
	}
	b.do("PUT", "/projects/red/limits", `{"set":{"cpu":"8","sessions":"10","services":"none","storage":"1t","tokens_per_minute":"100k"}}`, 200, &out)
	of := map[string]api.LimitBound{}
	for _, bound := range out.Bounds {
		of[bound.Name] = bound
	}
	if of["cpu"].Limit != "8" || of["sessions"].Limit != "10" || of["services"].Limit != "" || of["services"].From != "row" || of["tokens_per_minute"].Limit != "100000" || out.Set["services"] != "none" {
		t.Errorf("%+v", out)
	}
	for body, field := range map[string]string{
		`{"set":{"cpus":"8"}}`:                 "set.cpus",
		`{"set":{"sessions":"0"}}`:             "set.sessions",
		`{"set":{"storage":"much"}}`:           "set.storage",
		`{"set":{"tokens_per_minute":"-1"}}`:   "set.tokens_per_minute",
		`{"set":{"budget_window":"day"}}`:      "set.budget_window",
		`{"set":{"cpu":""}}`:                   "set.cpu",
		`{"set":{"routes":"a lot of routes"}}`: "set.routes",
	} {
		var p api.Problem
		if b.do("PUT", "/projects/red/limits", body, 400, &p); !strings.Contains(p.Detail, field) || p.Hint == "" {
			t.Errorf("%s: %+v", body, p)
		}
	}
	b.do("DELETE", "/projects/red/limits", "", 204, nil)
	out = api.Limits{}
	b.do("GET", "/projects/red/limits", "", 200, &out)
	if len(out.Set) != 0 {
		t.Errorf("%+v", out)
	}
	b.do("GET", "/projects/nowhere/limits", "", 404, nil)
	b.do("GET", "/users/nobody/limits", "", 404, nil)
}

// TestLimitsGoWithTheirOwner: another project of the same name begins without them.
func TestLimitsGoWithTheirOwner(t *testing.T) {
	b := newBox(t)
	var out api.Limits
	b.do("POST", "/projects", `{"name":"short"}`, 201, nil)
	b.do("PUT", "/projects/short/limits", `{"set":{"sessions":"1"}}`, 200, &out)
	b.do("DELETE", "/projects/short", "", 204, nil)
	b.do("POST", "/projects", `{"name":"short"}`, 201, nil)
	out = api.Limits{}
	if b.do("GET", "/projects/short/limits", "", 200, &out); len(out.Set) != 0 {
		t.Errorf("%+v", out)
	}
	b.do("POST", "/users", `{"name":"grace"}`, 201, nil)
	b.do("PUT", "/users/grace/limits", `{"set":{"sessions":"1"}}`, 200, &out)
	b.do("DELETE", "/users/grace", "", 204, nil)
	if row, kept := b.Limits.Row(people.LimitUser, "grace"); kept {
		t.Errorf("%+v", row)
	}
}

// TestNobodyIsMadeUnderTheNameOfAKey of the box itself: what was done with it would look like theirs, also when it is gone.
func TestNobodyIsMadeUnderTheNameOfAKey(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/keys", `{"name":"nightly","scope":"write"}`, 201, nil)
	b.do("POST", "/users", `{"name":"ada","password":"`+birds+`"}`, 201, nil)
	b.do("POST", "/keys", `{"name":"adas-own","scope":"write","owner":"ada"}`, 201, nil)
	b.do("POST", "/users", `{"name":"nightly"}`, 409, nil)
	b.do("POST", "/users", `{"name":"adas-own"}`, 201, nil) // what is done with that one is put down to ada
	b.do("DELETE", "/keys/nightly", "", 204, nil)
	b.do("POST", "/users", `{"name":"Nightly"}`, 409, nil)
	if _, err := b.Users.LogInWith(t.Context(), people.Outside{Name: "nightly", Issuer: "https://corp", Subject: "1"}, people.From{}); err == nil {
		t.Error("a provider makes one")
	}
}
