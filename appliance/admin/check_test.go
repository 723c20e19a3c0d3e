package admin_test

import (
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestCheckService(t *testing.T) {
	b := newBox(t)
	var c api.ServiceCheck
	b.do("POST", "/services/check", `{"image":"host","replicas":2,"resources":{"cuda.device":"1"}}`, 200, &c)
	if c.Start != 2 || c.Replicas != 2 || c.Fit == "" || len(c.Waits) != 0 || c.Resources["cuda.device"] != "1" {
		t.Errorf("%+v", c)
	}
	b.do("POST", "/services/check", `{"image":"doubtful","resources":{"cuda.device":"8"}}`, 200, &c)
	if c.Start != 0 || len(c.Waits) != 1 || len(c.Warnings) != 1 {
		t.Errorf("%+v", c)
	}
	p := problem(t, b.serve(b.request("POST", "/services/check", `{"image":"missing"}`)))
	if p.Status != 400 || len(p.Errors) != 1 || p.Errors[0].Line != 3 {
		t.Errorf("%+v", p)
	}
	for _, body := range []string{`{}`, `{"image":"host","resources":{"cuda.device":"many"}}`} {
		if p := problem(t, b.serve(b.request("POST", "/services/check", body))); p.Status != 400 {
			t.Errorf("%s: %+v", body, p)
		}
	}
	var page api.Page[api.Service]
	b.do("GET", "/services", "", 200, &page)
	if len(page.Items) != 0 {
		t.Errorf("a check made %+v", page.Items)
	}
}
