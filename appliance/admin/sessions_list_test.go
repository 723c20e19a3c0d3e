package admin_test

import (
	"net/url"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestSessionsAreChosenAndPaged(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/sessions", `{"image":"host","name":"desk"}`, 201, nil)
	b.do("POST", "/sessions", `{"image":"host","name":"sweep","startup_command":"true","array":"0-6"}`, 201, nil)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	for query, want := range map[string]struct{ total, items int }{
		"": {2, 2}, "all=true": {9, 9}, "type=interactive": {1, 1}, "type=interactive&type=inference": {2, 2}, "all=true&type=batch": {7, 7},
		"all=true&type=batch&order=newest&limit=3": {7, 3}, "all=true&type=batch&order=newest&limit=3&offset=6": {7, 1}, "order=newest&offset=100": {2, 0},
		"search=DES": {1, 1}, "all=true&search=sweep-3": {1, 1}, "owner=me&type=interactive": {1, 1}, "owner=nobody": {0, 0},
		"status=terminated&status=running&type=batch&type=interactive": {8, 8}, "all=true&limit=4": {9, 4},
	} {
		var page api.SessionPage
		b.do("GET", "/sessions?"+query, "", 200, &page)
		if page.Total != want.total || len(page.Items) != want.items {
			t.Errorf("%s: %d of %d, want %v", query, len(page.Items), page.Total, want)
		}
	}
	var first, second api.SessionPage
	b.do("GET", "/sessions?all=true&limit=4", "", 200, &first)
	b.do("GET", "/sessions?all=true&limit=4&cursor="+url.QueryEscape(first.Next), "", 200, &second)
	if first.Items[0].Name != "desk" || second.Items[0].ID <= first.Items[3].ID {
		t.Errorf("%s, then %s", first.Items[3].ID, second.Items[0].ID)
	}
	for _, query := range []string{"order=best", "offset=1", "order=newest&offset=-1", "order=newest&cursor=xx", "order=newest&limit=0", "order=newest&limit=1001"} {
		b.do("GET", "/sessions?"+query, "", 400, nil)
	}
}

func TestSessionIsForeseen(t *testing.T) {
	b := newBox(t)
	var f api.SessionCheck
	b.do("POST", "/sessions/check", `{"image":"host","resources":{"cpu":"2","mem":"4g"}}`, 200, &f)
	if !f.Starts || f.Node != "box" || f.Sessions != 1 || f.Resources["mem"] != "4g" || len(f.Waits) != 0 {
		t.Errorf("%+v", f)
	}
	f = api.SessionCheck{}
	b.do("POST", "/sessions/check", `{"image":"host","startup_command":"x","array":"1-4","resources":{"cuda.device":"8"}}`, 200, &f)
	if f.Starts || f.Sessions != 4 || len(f.Waits) != 1 || f.Waits[0].Would == "" {
		t.Errorf("%+v", f)
	}
	b.do("POST", "/sessions/check", `{"image":"","name":"-"}`, 400, nil)
	b.do("POST", "/sessions/check", `{"imag":"x"}`, 400, nil)
	var page api.SessionPage
	b.do("GET", "/sessions?all=true", "", 200, &page)
	if page.Total != 0 {
		t.Errorf("%d were made", page.Total)
	}
}
