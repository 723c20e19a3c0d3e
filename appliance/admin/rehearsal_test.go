package admin_test

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestRehearsal(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	if p := problem(t, b.serve(b.request("POST", "/services/demo/rehearse", `{}`))); p.Status != 409 || p.Hint == "" {
		t.Errorf("without requests: %+v", p)
	}
	b.Traffic(time.Now())
	var r api.Rehearsal
	b.do("POST", "/services/demo/rehearse", `{}`, 200, &r)
	if r.Requests != 3 || r.Proposed != nil || r.Now.MostRoutes != 1 || r.Now.Actions != 0 || r.Now.Refused != 0 || len(r.Now.Points) == 0 || r.Now.DeviceHours <= 0 || r.Route.Measured || r.Route.Knee != 8 {
		t.Errorf("%d requests, %+v, %+v", r.Requests, r.Route, r.Now)
	}
	b.do("POST", "/services/demo/rehearse", `{"since":"2d","autoscaling":{"min_replicas":0,"max_replicas":3,"idle_after":60,"rules":[{"metric_source":"router","metric_name":"concurrency","target":4}]}}`, 200, &r)
	if r.Requests != 4 || r.Proposed == nil || r.Proposed.DeviceHours >= r.Now.DeviceHours || r.Proposed.Actions == 0 || len(r.Proposed.Steps) == 0 || r.Proposed.Steps[0].Reason == "" || r.Proposed.WaitP95 == nil {
		t.Errorf("%+v against %+v", r.Proposed, r.Now)
	}
	if r.Proposed != nil && (r.Proposed.Steps[0].At.Before(r.From) || r.Proposed.Points[0].At.Before(r.From)) {
		t.Errorf("a step at %s, of what begins at %s", r.Proposed.Steps[0].At, r.From)
	}
	b.do("POST", "/services/demo/rehearse", `{"autoscaling":{"max_replicas":3,"rules":[{"metric_source":"router","metric_name":"concurrency","target_auto":true}]}}`, 200, &r)
	for body, field := range map[string]string{
		`{"autoscaling":{"max_replicas":0}}`:                                         "autoscaling.max_replicas",
		`{"autoscaling":{"rules":[{"metric_source":"router","metric_name":"hue"}]}}`: "autoscaling.rules[0]",
		`{"since":"some day"}`:                                                       "since",
	} {
		p := problem(t, b.serve(b.request("POST", "/services/demo/rehearse", body)))
		if p.Status != 400 || !strings.Contains(p.Error(), field) {
			t.Errorf("%s: %+v", body, p)
		}
	}
	var kept api.AutoscalingStanding
	b.do("GET", "/services/demo/autoscaling", "", 200, &kept)
	if kept.Version != 0 {
		t.Errorf("a rehearsal has changed the policy: %+v", kept)
	}
}
