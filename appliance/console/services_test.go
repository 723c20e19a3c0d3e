package console

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
	"github.com/palisade-run/palisade/sessions"
)

// serve makes a service that its image's script leads (see admintest.Manager).
func (b *bench) service(name, image string) {
	b.t.Helper()
	_, err := b.Manager.CreateService(b.t.Context(), sessions.ServiceRequest{
		Name: name, Project: "default", Replicas: 1, CreatedBy: "root", Recipe: sessions.Recipe{Image: image, Variant: "vllm", Env: map[string]string{"HF_TOKEN": "hush"}},
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

// watched leads all services to the end of their scripts.
func (b *bench) watched() {
	for range 12 {
		b.Manager.Changed()
	}
}

func wants(t *testing.T, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(page, w) {
			t.Errorf("no %q in\n%s", w, page)
		}
	}
}

func lacks(t *testing.T, page string, words ...string) {
	t.Helper()
	for _, w := range words {
		if strings.Contains(page, w) {
			t.Errorf("%q in\n%s", w, page)
		}
	}
}

func TestServiceList(t *testing.T) {
	b := newConsole(t)
	wants(t, b.get("/services", "en", 200), "No service yet", `href="/console/catalog"`)
	wants(t, b.get("/services", "ko", 200), "아직 서비스가 없습니다")
	for i := range 60 {
		b.service(fmt.Sprintf("demo-%02d", i), "host")
	}
	b.service("sick", "broken")
	b.watched()
	page := b.get("/services", "en", 200)
	wants(t, page, "demo-00", "demo-49", "1 to 50 of 61", `rel="next"`, "Healthy", "Unhealthy")
	lacks(t, page, "demo-50", `rel="prev"`)
	page = b.get("/services?from=50", "en", 200)
	wants(t, page, "demo-50", "51 to 61 of 61", `rel="prev"`)
	page = b.get("/services?search=SICK", "en", 200)
	wants(t, page, "sick", "0 of 1 routes healthy", `value="SICK"`)
	lacks(t, page, "demo-00")
	lacks(t, b.get("/services?status=UNHEALTHY", "en", 200), "demo-00")
	wants(t, b.get("/services?status=IDLE", "en", 200), "Nothing fits")
	wants(t, b.get("/services?sort=requests", "en", 200), `aria-sort="ascending"`)
	b.get("/services?sort=colour", "en", 400)
	for _, hostile := range []string{`"><script>alert(1)</script>`, "%00", "{{.}}"} {
		lacks(t, b.get("/services?search="+url.QueryEscape(hostile), "ko", 200), "<script>alert")
	}
	viewer := b.partOf("eve", people.Viewer)
	if page := b.as(viewer, http.MethodGet, "/services", nil); page.Code != 200 || strings.Contains(page.Body.String(), "/services/new") {
		t.Errorf("a viewer: %d", page.Code)
	}
}

// partOf is somebody with a role in the default project.
func (b *bench) partOf(name string, role people.Role) *http.Cookie {
	b.t.Helper()
	cookie := b.user(name, false)
	if _, err := b.Project.SetMember(b.t.Context(), people.Membership{Project: "default", User: name, Role: role}, false); err != nil {
		b.t.Fatal(err)
	}
	return cookie
}

func TestServiceOverview(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.service("sick", "broken")
	b.service("mute", "stuck")
	b.watched()
	b.Traffic(time.Now())
	for _, language := range []string{"en", "ko"} {
		page := b.get("/services/demo", language, 200)
		wants(t, page, "http://127.0.0.1:8080/services/demo", `hx-post="/console/services/demo/scale"`, `data-copy="http://127.0.0.1:8080/services/demo"`, `name="traffic_ratio"`, `id="chart-queue"`, "/api/v1/services/demo/history?project=default")
		lacks(t, page, "hush")
	}
	page := b.get("/services/sick", "en", 200)
	wants(t, page, "Starts that failed in a row: 3", "exit code 1: no such model", `hx-post="/console/services/sick/retry"`)
	wants(t, b.get("/services/mute", "en", 200), "It starts")
	b.get("/services/nobody", "en", 404)
}

func TestServiceChanges(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.service("sick", "broken")
	b.watched()
	w := b.post("/services/demo/scale", url.Values{"to": {"3"}, "reason": {"a fair"}}, 204)
	if w.Header().Get("X-Palisade-Toast") == "" {
		t.Error("nothing is said")
	}
	v, err := b.Manager.Service("default", "demo")
	if err != nil || v.Replicas != 3 {
		t.Errorf("%d replicas, %v", v.Replicas, err)
	}
	wants(t, b.post("/services/demo/scale", url.Values{"to": {"many"}}, 400).Body.String(), `data-field="to"`)
	wants(t, b.post("/services/demo/scale", url.Values{"to": {"-1"}}, 400).Body.String(), "replicas -1")
	route := v.Routes[0].ID
	b.post("/services/demo/routes/"+route, url.Values{"traffic_ratio": {"0.5"}}, 204)
	wants(t, b.get("/services/demo", "en", 200), `value="0.5"`)
	b.post("/services/demo/routes/"+route, url.Values{"traffic_ratio": {"-5"}}, 400)
	b.post("/services/demo/routes/"+route, url.Values{"traffic_ratio": {"half"}}, 400)
	b.post("/services/demo/routes/nobody", url.Values{"traffic_ratio": {"1"}}, 404)
	b.post("/services/sick/retry", nil, 204)
	lacks(t, b.get("/services/sick", "en", 200), "Starts that failed in a row")
	w = b.post("/services/demo/destroy", nil, 204)
	if to := w.Header().Get("HX-Redirect"); to != "/console/services" {
		t.Errorf("to %s", to)
	}
	b.get("/services/demo", "en", 404)
	b.post("/services/demo/destroy", nil, 404)
}

func TestServiceTokens(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.watched()
	for _, language := range []string{"en", "ko"} {
		wants(t, b.get("/services/demo/connect", language, 200), tokenPlace, "from openai import OpenAI", `id="token-form"`)
	}
	made := b.post("/services/demo/tokens", url.Values{
		"name": {"laptop"}, "duration": {"7d"}, "limits.tokens_per_minute": {"5000"}, "limits.token_budget": {"100000"}, "limits.budget_window": {"day"},
	}, 200).Body.String()
	wants(t, made, "data-token", "laptop")
	_, secret, _ := strings.Cut(made, "data-token>")
	secret, _, _ = strings.Cut(secret, "<")
	page := b.get("/services/demo/connect", "en", 200)
	wants(t, page, "laptop", "5,000", "100 k / a day")
	if secret == "" || strings.Contains(page, secret) {
		t.Errorf("the secret %q is shown again", secret)
	}
	id := b.Tokens.List("default", "")[0].ID
	b.post("/services/demo/tokens/"+id+"/revoke", nil, 204)
	wants(t, b.get("/services/demo/connect", "en", 200), "revoked")
	for _, bad := range []url.Values{
		{"duration": {"for ever"}}, {"duration": {"7d"}, "limits.tokens_per_minute": {"lots"}}, {"duration": {"7d"}, "limits.requests_per_minute": {"-1"}}, {},
	} {
		b.post("/services/demo/tokens", bad, 400)
	}
	hostile := b.post("/services/demo/tokens", url.Values{"name": {`<img src=x onerror=alert(1)>`}, "duration": {"7d"}}, 200).Body.String()
	lacks(t, hostile, "<img")
	lacks(t, b.get("/services/demo/connect", "en", 200), "<img")
}

func TestAdvice(t *testing.T) {
	soon := time.Now().Add(time.Minute)
	for name, c := range map[string]struct {
		s    api.Service
		e    api.ServiceErrors
		want advice
	}{
		"well":   {s: api.Service{Status: "HEALTHY"}},
		"leaves": {s: api.Service{Status: "DESTROYING", Reason: "asked"}, want: advice{Key: "destroying", Tone: "info", Cause: "asked", Next: "destroying_next"}},
		"fails": {
			s:    api.Service{Status: "UNHEALTHY", Reason: "0 of 1", Revision: 3, GoodRevision: 2},
			e:    api.ServiceErrors{Failures: 4, LastError: "out of memory", NextRetry: &soon},
			want: advice{Key: "failing", Tone: "danger", Cause: "out of memory", Next: "failing_next", At: &soon, Retry: true, Back: 2, Logs: true},
		},
		"fails beside one that answers": {
			s: api.Service{Status: "DEGRADED", HealthyRoutes: 1}, e: api.ServiceErrors{Failures: 1, LastError: "x"},
			want: advice{Key: "failing", Tone: "warning", Cause: "x", Next: "failing_next", Retry: true, Logs: true},
		},
		"mute": {
			s: api.Service{Status: "UNHEALTHY", Revision: 1, GoodRevision: 1}, e: api.ServiceErrors{Routes: []api.RouteError{{Reason: "connection refused"}}},
			want: advice{Key: "silent", Tone: "danger", Cause: "connection refused", Next: "silent_next", Logs: true},
		},
		"starts": {s: api.Service{Status: "PROVISIONING", Reason: "0 of 1", ReadyAt: &soon, Revision: 2, GoodRevision: 1}, want: advice{Key: "starting", Tone: "info", Cause: "0 of 1", Next: "starting_next", At: &soon, Logs: true}},
		"queued": {
			s:    api.Service{Status: "PROVISIONING", Routes: []api.Route{{SessionStatus: "PENDING", Reason: "waits for 8 cuda.device"}}},
			want: advice{Key: "queued", Tone: "info", Cause: "waits for 8 cuda.device", Next: "queued_next"},
		},
		"idle":  {s: api.Service{Status: "IDLE", Reason: "scaled to zero"}, want: advice{Key: "idle", Tone: "info", Cause: "scaled to zero", Next: "idle_next", Wake: true}},
		"wakes": {s: api.Service{Status: "IDLE", Autoscaling: &api.Autoscaling{IdleAfter: new(60.0)}}, want: advice{Key: "idle", Tone: "info", Next: "idle_wakes", Wake: true}},
		"new":   {s: api.Service{Status: "DREAMING", Reason: "zzz"}, want: advice{Key: "other", Tone: "secondary", Cause: "zzz", Next: "other_next"}},
	} {
		if got := adviseOn(&c.s, &c.e); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestServiceLogPage(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	for _, language := range []string{"en", "ko"} {
		wants(t, b.get("/services/demo/logs?route=%22%3E%3Cscript%3E", language, 200), "/api/v1/services/demo/logs?follow=true", `id="log-search"`, "&#34;&gt;&lt;script&gt;")
	}
}

func TestServiceScaling(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.watched()
	for _, language := range []string{"en", "ko"} {
		wants(t, b.get("/services/demo/autoscaling", language, 200), `id="policy-form"`, `name="rules[NUMBER].target"`, "router:concurrency")
	}
	policy := url.Values{
		"version": {"0"}, "min_replicas": {"1"}, "max_replicas": {"4"}, "scale_down_delay": {"60"},
		"rules[0].kind": {"target"}, "rules[0].metric": {"router:concurrency"}, "rules[0].target": {"8"}, "rules[0].start": {"left from before"},
		"rules[3].kind": {"step"}, "rules[3].metric": {"router:queued"}, "rules[3].comparator": {"greater_than"}, "rules[3].threshold": {"5"}, "rules[3].step_size": {"1"}, "rules[3].name": {`<b>q</b>`},
		"rules[7].kind": {"schedule"}, "rules[7].start": {"0 8 * * mon-fri"}, "rules[7].end": {"0 19 * * mon-fri"}, "rules[7].timezone": {"Asia/Seoul"}, "rules[7].min_replicas": {"2"},
	}
	w := b.post("/services/demo/autoscaling", policy, 204)
	if to := w.Header().Get("HX-Redirect"); to != "/console/services/demo/autoscaling" {
		t.Errorf("to %q", to)
	}
	v, err := b.Manager.Service("default", "demo")
	if err != nil {
		t.Fatal(err)
	}
	kept, _ := b.Scaling.Policy(v.ID)
	if p := kept.Policy; p.Min != 1 || p.Max != 4 || len(p.Rules) != 3 || p.Rules[0].Target != 8 || *p.Rules[1].Threshold != 5 || p.Rules[2].Zone != "Asia/Seoul" {
		t.Errorf("%+v", p)
	}
	b.Scaling.Decide(v.ID, time.Now())
	page := b.get("/services/demo/autoscaling", "en", 200)
	wants(t, page, `name="rules[2].start" value="0 8 * * mon-fri"`, "37 in flight, target 8 per route", "&lt;b&gt;q&lt;/b&gt;", `id="scaling-pause"`)
	lacks(t, page, "<b>q</b>")
	if w := b.post("/services/demo/autoscaling", policy, 412); !strings.Contains(w.Body.String(), "has changed") {
		t.Errorf("over another's edit: %s", w.Body)
	}
	policy.Set("version", "1")
	policy.Set("rules[3].threshold", "many")
	wants(t, b.post("/services/demo/autoscaling", policy, 400).Body.String(), `data-field="rules[3].threshold"`)
	policy.Del("rules[0].kind")
	for name := range policy {
		if strings.HasPrefix(name, "rules[0]") {
			policy.Del(name)
		}
	}
	policy.Set("rules[3].threshold", "5")
	policy.Set("rules[3].metric", "router:hue")
	wants(t, b.post("/services/demo/autoscaling", policy, 400).Body.String(), `data-field="rules[3].metric"`)
	b.post("/services/demo/autoscaling/pause", nil, 204)
	wants(t, b.get("/services/demo/autoscaling", "en", 200), "Paused", `id="scaling-resume"`)
	b.post("/services/demo/autoscaling/resume", nil, 204)
	wants(t, b.get("/services/demo/autoscaling", "ko", 200), "켜짐")
}

func TestServiceRehearsal(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.watched()
	policy := url.Values{"since": {"48h"}, "min_replicas": {"0"}, "max_replicas": {"2"}, "idle_after": {"60"}}
	wants(t, b.post("/services/demo/rehearse", policy, 409).Body.String(), "no request came")
	b.Traffic(time.Now())
	wants(t, b.post("/services/demo/rehearse", policy, 200).Body.String(), `data-chart="rehearsal-replicas"`, "Replica hours", "Not measured", "✓")
	policy.Set("rules[4].metric", "router:hue")
	policy.Set("rules[4].kind", "target")
	wants(t, b.post("/services/demo/rehearse", policy, 400).Body.String(), `data-field="rules[4].metric"`)
	policy.Set("since", "some day")
	b.post("/services/demo/rehearse", policy, 400)
}

// BenchmarkServiceList is the list's first page of 1,000 services, as a browser asks for it.
func BenchmarkServiceList(b *testing.B) {
	log := slog.New(slog.DiscardHandler)
	a, err := admintest.New(b.Context(), b.TempDir(), log)
	if err != nil {
		b.Fatal(err)
	}
	c, err := New(Deps{API: a.Handler, Changed: a.Manager.Changed, Log: log, Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		if err := a.Serve(b.Context(), fmt.Sprintf("demo-%04d", i)); err != nil {
			b.Fatal(err)
		}
	}
	a.Traffic(time.Now())
	for b.Loop() {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequestWithContext(admin.LocalPeer(b.Context(), "root"), http.MethodGet, Prefix+"/services?sort=requests&down=true", nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
