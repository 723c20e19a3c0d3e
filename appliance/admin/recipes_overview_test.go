package admin_test

import (
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestRecipeOverview(t *testing.T) {
	b := newBox(t)
	for query, want := range map[string]string{
		"":                             "large small",
		"?limit=1":                     "large",
		"?limit=1&offset=1":            "small",
		"?offset=100":                  "",
		"?fits=true":                   "small",
		"?task=vision":                 "large",
		"?task=vision&fits=true":       "",
		"?q=SMALL&tag=tools":           "small",
		"?tag=other":                   "",
		"?catalog=palisade&task=chat":  "small",
		"?catalog=other":               "",
		"?max_bytes=17179869184":       "small",
		"?installed=true":              "",
		"?q=nothing+of+the+sort+there": "",
	} {
		var o api.RecipeOverview
		b.do("GET", "/recipe-overview"+query, "", 200, &o)
		var names []string
		for _, row := range o.Items {
			names = append(names, row.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	var o api.RecipeOverview
	if b.do("GET", "/recipe-overview?task=chat", "", 200, &o); o.Total != 1 || o.Tasks["vision"] != 1 || o.Tasks["chat"] != 1 || o.Catalogs["palisade"] != 1 || o.Items[0].Memory != 14<<30 || o.Items[0].Fit.Verdict != api.PlanFits {
		t.Errorf("%+v", o)
	}
	for _, query := range []string{"?task=colour", "?limit=0", "?limit=1000", "?offset=-1", "?fits=maybe", "?colour=1"} {
		if p := problem(t, b.serve(b.request("GET", "/recipe-overview"+query, ""))); p.Status != 400 {
			t.Errorf("%s: %+v", query, p)
		}
	}
}
