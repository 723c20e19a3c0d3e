package admin_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestServiceOverview(t *testing.T) {
	b := newBox(t)
	for i := range 7 {
		b.do("POST", "/services", fmt.Sprintf(`{"name":"demo-%d","image":"host","runtime_variant":"vllm","replicas":%d}`, i, i%3), 201, nil)
	}
	b.do("POST", "/services", `{"name":"other","image":"registry/llama:1"}`, 201, nil)
	b.Traffic(time.Now())
	names := func(query string) (out []string, o api.ServiceOverview) {
		b.do("GET", "/service-overview"+query, "", 200, &o)
		for _, row := range o.Items {
			out = append(out, row.Name)
		}
		return out, o
	}
	all, o := names("")
	if o.Total != 8 || len(all) != 8 || !slices.IsSorted(all) || o.States["IDLE"]+o.States["PROVISIONING"] != 8 || o.Items[0].Trend == nil || o.Items[0].Places == nil {
		t.Errorf("%v %+v", all, o)
	}
	for query, want := range map[string]string{
		"?search=LLAMA":               "other",
		"?search=vllm&limit=2":        "demo-0 demo-1",
		"?limit=2&offset=7":           "other",
		"?offset=100":                 "",
		"?down=true&limit=1":          "other",
		"?sort=replicas&down=true":    "demo-2 demo-5 demo-1 demo-4 other demo-0 demo-3 demo-6",
		"?sort=status&limit=1":        "demo-1",
		"?status=idle&sort=name":      "demo-0 demo-3 demo-6",
		"?project=other":              "",
		"?sort=requests&limit=1":      "demo-0",
		"?search=nothing+of+the+sort": "",
	} {
		if got, _ := names(query); strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", query, got, want)
		}
	}
	if _, o := names("?search=demo&status=idle&limit=1"); o.Total != 3 || o.States["PROVISIONING"] != 4 || len(o.Items) != 1 {
		t.Errorf("%+v", o)
	}
	for _, query := range []string{"?sort=colour", "?limit=0", "?limit=1000", "?offset=-1", "?down=maybe"} {
		if p := problem(t, b.serve(b.request("GET", "/service-overview"+query, ""))); p.Status != 400 {
			t.Errorf("%s: %+v", query, p)
		}
	}
}

func TestServiceHistory(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	var h api.ServiceHistory
	b.do("GET", "/services/demo/history?after=10m", "", 200, &h)
	if h.Step != 10 || h.Points == nil || len(h.Points) != 0 {
		t.Errorf("%+v", h)
	}
	for path, status := range map[string]int{"/services/nobody/history": 404, "/services/demo/history?after=soon": 400} {
		if p := problem(t, b.serve(b.request("GET", path, ""))); p.Status != status {
			t.Errorf("%s: %+v", path, p)
		}
	}
}
