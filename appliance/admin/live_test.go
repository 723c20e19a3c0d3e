package admin_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/api"
)

func TestLive(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	var s api.ServiceLive
	b.do("GET", "/services/demo/live", "", 200, &s)
	if s.Name != "demo" || s.ID == "" || s.Routes == nil || s.InFlight != 0 || s.Last60s.Requests != 0 {
		t.Errorf("before the first table: %+v", s)
	}
	b.Traffic(time.Now())
	b.do("GET", "/services/demo/live", "", 200, &s)
	if s.InFlight != 1 || s.Waiting != 1 || s.Last10s.Requests != 11 || s.Last10s.Errors != 1 || s.Last10s.RequestsPerSecond == 0 || s.Last10s.TokensPerSecond == 0 {
		t.Errorf("%+v", s)
	}
	if q := s.Last60s.TTFT; q.Count != 9 || q.P50 < .045 || q.P99 > .055 || s.Last60s.Duration.Count != 10 {
		t.Errorf("%+v", s.Last60s)
	}
	if r := s.Routes; len(r) != 1 || r[0].ID != "route-1" || r[0].Last10s.Requests != 10 || r[0].InFlight != 0 {
		t.Errorf("%+v", r)
	}
	var page api.Page[api.ServiceLive]
	b.do("GET", "/live", "", 200, &page)
	if len(page.Items) != 1 || page.Items[0].Name != "demo" {
		t.Errorf("%+v", page)
	}
	b.do("GET", "/live?project=other", "", 200, &page)
	if len(page.Items) != 0 {
		t.Errorf("of another project: %+v", page)
	}
	b.do("GET", "/live?project=other&all=true", "", 200, &page)
	if len(page.Items) != 1 {
		t.Errorf("of all: %+v", page)
	}
	b.do("PATCH", "/services/demo/autoscaling", `{"min_replicas":0,"max_replicas":4,"idle_after":60}`, 200, nil)
	b.do("GET", "/live", "", 200, &page)
	if s := page.Items[0]; s.Replicas != 1 || s.MinReplicas == nil || *s.MinReplicas != 0 || *s.MaxReplicas != 4 || s.AutoscalingPaused {
		t.Errorf("with autoscaling: %+v", s)
	}
	b.do("POST", "/services/demo/scale", `{"to":2}`, 200, nil)
	s = api.ServiceLive{}
	b.do("GET", "/services/demo/live", "", 200, &s)
	if s.Replicas != 2 || !s.AutoscalingPaused {
		t.Errorf("paused: %+v", s)
	}
	if p := problem(t, b.serve(b.request("GET", "/services/dem/live", ""))); p.Status != 404 || !strings.Contains(p.Hint, "demo") {
		t.Errorf("%+v", p)
	}
	problem(t, b.serve(b.request("GET", "/services/demo/live?watch=maybe", "")))
}

// TestWatchLive: figures come until the service is gone.
func TestWatchLive(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	b.Traffic(time.Now())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.Handler.ServeHTTP(w, r.WithContext(admin.LocalPeer(r.Context(), "me")))
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+api.Prefix+"/services/demo/live?watch=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	events := map[string]int{}
	word := ""
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			word = name
			events[word]++
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if word == "gone" {
			var p api.Problem
			if err := json.Unmarshal([]byte(data), &p); err != nil || p.Status != 404 {
				t.Errorf("%s %v", data, err)
			}
			continue
		}
		var s api.ServiceLive
		if err := json.Unmarshal([]byte(data), &s); err != nil || s.Last60s.Requests != 11 {
			t.Errorf("%s %v", data, err)
		}
		if events["live"] == 1 {
			b.do("DELETE", "/services/demo", "", 204, nil)
		}
	}
	if events["live"] == 0 || events["gone"] != 1 {
		t.Errorf("%v", events)
	}
}

func TestCaptures(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	if p := problem(t, b.serve(b.request("GET", "/services/demo/captures", ""))); p.Status != 409 || !strings.Contains(p.Hint, "--capture 20") {
		t.Errorf("%+v", p)
	}
	b.Traffic(time.Now())
	var page api.Page[api.Capture]
	b.do("GET", "/services/demo/captures", "", 200, &page)
	if len(page.Items) != 5 || page.Items[0].Number != 10 || page.Items[2].Error != "broken" || page.Items[2].Status != 502 || page.Items[0].Request != nil || page.Items[0].Target != "/v1/chat/completions" {
		t.Errorf("%+v", page.Items)
	}
	var c api.Capture
	b.do("GET", "/services/demo/captures/req-9", "", 200, &c)
	if c.Number != 10 || c.Request == nil || c.Answer == nil || c.Request.Base64 || !strings.Contains(c.Request.Body, "Hello") || c.TTFT != .05 || c.Duration != 1 || c.TokenName != "laptop" {
		t.Errorf("%+v", c)
	}
	if c.Target != "/v1/chat/completions?api_key=[redacted]" || c.Request.Fields[0].Value != "Bearer [redacted]" {
		t.Errorf("%+v", c)
	}
	if p := problem(t, b.serve(b.request("GET", "/services/demo/captures/1", ""))); p.Status != 404 || p.Hint == "" {
		t.Errorf("%+v", p)
	}
	kept := b.Capture.Of(idOfDemo(t, b)).Begin(time.Now())
	kept.Body([]byte{0xff, 0xfe, 0})
	kept.AnswerBody([]byte(strings.Repeat("é", 40<<10)[:(64<<10)-1] + "é")) // cut in the middle of a letter
	b.do("GET", "/services/demo/captures/11", "", 200, &c)
	if !c.Request.Base64 || c.Request.Body != "//4A" || c.Answer.Base64 || !c.Answer.Cut || c.Ended {
		t.Errorf("%+v %v %v", c.Request, c.Answer.Base64, c.Answer.Cut)
	}
	b.do("DELETE", "/services/demo/captures", "", 204, nil)
	b.do("GET", "/services/demo/captures", "", 200, &page)
	if len(page.Items) != 0 {
		t.Errorf("%+v", page.Items)
	}
}

func idOfDemo(t *testing.T, b *box) string {
	t.Helper()
	var s api.Service
	b.do("GET", "/services/demo", "", 200, &s)
	return s.ID
}
