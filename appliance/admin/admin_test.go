package admin_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/admin"
	"github.com/palisade-run/palisade/appliance/admin/admintest"
	"github.com/palisade-run/palisade/appliance/admin/keys"
	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/router/quota"
)

// box is an appliance, and a caller who came over its socket.
type box struct {
	*admintest.Appliance
	t   *testing.T
	log *bytes.Buffer
}

func newBox(t *testing.T) *box {
	t.Helper()
	b := &box{t: t, log: &bytes.Buffer{}}
	log := slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if b.Appliance, err = admintest.New(t.Context(), t.TempDir(), log); err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *box) request(method, path, body string) *http.Request {
	r := httptest.NewRequestWithContext(admin.LocalPeer(b.t.Context(), "me"), method, api.Prefix+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (b *box) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.Handler.ServeHTTP(w, r)
	return w
}

// do sends a request, wants its status, and decodes the answer.
func (b *box) do(method, path, body string, status int, out any) {
	b.t.Helper()
	w := b.serve(b.request(method, path, body))
	if w.Code != status {
		b.t.Fatalf("%s %s %s = %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	if out == nil {
		return
	}
	reflect.ValueOf(out).Elem().SetZero() // or maps would keep what they held
	if err := json.Unmarshal(w.Body.Bytes(), out); err != nil {
		b.t.Fatalf("%s %s: %v in %s", method, path, err, w.Body)
	}
}

func problem(t *testing.T, w *httptest.ResponseRecorder) api.Problem {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != api.ProblemType {
		t.Errorf("Content-Type %q, want a problem; body %s", got, w.Body)
	}
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v in %s", err, w.Body)
	}
	if p.Status != w.Code || p.Title == "" || p.Detail == "" || p.RequestID == "" || p.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("problem %+v with status %d", p, w.Code)
	}
	return p
}

func TestRefusals(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"demo-model"}`, 201, nil)
	b.do("POST", "/services", `{"name":"demo","image":"host","folder":"demo-model"}`, 201, nil)
	deep := strings.Repeat(`[`, 20000)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
		kind                     string
		words                    []string // in the detail, the hint or the fields
	}{
		{"no body", "POST", "/services", " ", 400, api.KindInvalid, []string{"empty"}},
		{"no JSON", "POST", "/services", "image: host", 400, api.KindInvalid, []string{"not JSON", "1:1"}},
		{"cut off", "POST", "/services", `{"image":"ho`, 400, api.KindInvalid, []string{"unexpected end"}},
		{"second line", "POST", "/services", "{\n  \"image\": host}", 400, api.KindInvalid, []string{"2:12"}},
		{"two objects", "POST", "/services", `{"image":"host"} {}`, 400, api.KindInvalid, []string{"after top-level value"}},
		{"trailing words", "POST", "/services", `{"image":"host"} x`, 400, api.KindInvalid, []string{"after top-level value"}},
		{"a list", "POST", "/services", `[]`, 400, api.KindInvalid, []string{"must be an object"}},
		{"null", "POST", "/services", `null`, 400, api.KindInvalid, []string{"must be an object"}},
		{"not UTF-8", "POST", "/services", "{\"image\":\"\xff\"}", 400, api.KindInvalid, []string{"UTF-8"}},
		{"very deep", "POST", "/services", deep, 400, api.KindInvalid, []string{"depth"}},
		{"unknown field", "POST", "/services", `{"imgae":"host"}`, 400, api.KindInvalid, []string{"imgae", `did you mean "image"`}},
		{"other case", "POST", "/services", `{"Image":"host"}`, 400, api.KindInvalid, []string{`did you mean "image"`}},
		{"twice", "POST", "/services", `{"image":"host","image":"x"}`, 400, api.KindInvalid, []string{"given twice"}},
		{"wrong type", "POST", "/services", `{"image":"host","replicas":"two"}`, 400, api.KindInvalid, []string{"replicas", "whole number", "a string", "1:28"}},
		{"a fraction", "POST", "/services", `{"image":"host","replicas":1.5}`, 400, api.KindInvalid, []string{"replicas", "whole number", "1.5"}},
		{"huge number", "POST", "/services", `{"image":"host","replicas":99999999999999999999}`, 400, api.KindInvalid, []string{"whole number"}},
		{"null text", "POST", "/services", `{"image":null}`, 400, api.KindInvalid, []string{"image", "not null"}},
		{"nested", "POST", "/services", `{"image":"host","policy":{"max_surge":"x","max_surgee":1}}`, 400, api.KindInvalid, []string{"policy.max_surge:", "policy.max_surgee", "2 fields"}},
		{"in a list", "POST", "/services", `{"image":"host","mounts":[{"folder":"a"},{"folder":3}]}`, 400, api.KindInvalid, []string{"mounts[1].folder"}},
		{"map of numbers", "POST", "/services", `{"image":"host","environ":{"A":1}}`, 400, api.KindInvalid, []string{"environ", "a string", "number"}},
		{"no image", "POST", "/services", `{"name":"x1"}`, 400, api.KindInvalid, []string{"image", "needed"}},
		{"bad names and numbers", "POST", "/services", `{"image":"host","name":"-","replicas":-1}`, 400, api.KindInvalid, []string{"2 things", "replicas -1", `name "-"`}},
		{"name twice", "POST", "/services", `{"image":"host","name":"demo"}`, 409, api.KindExists, []string{"demo"}},
		{"unknown folder", "POST", "/services", `{"image":"host","folder":"demo-modell"}`, 404, api.KindNotFound, []string{"demo-modell", "demo-model"}},
		{"bad definition", "POST", "/services", `{"image":"missing"}`, 400, api.KindInvalid, []string{"model-definition.yaml:3:5", "models[0].prot", "did you mean port?", "warning"}},
		{"bad project", "POST", "/services", `{"image":"host","project":"../x"}`, 400, api.KindInvalid, []string{"project"}},
		{"two projects", "POST", "/services?project=red", `{"image":"host","project":"blue"}`, 400, api.KindInvalid, []string{"red", "blue"}},
		{"negative policy", "POST", "/services", `{"image":"host","policy":{"start_timeout":-1}}`, 400, api.KindInvalid, []string{"policy.start_timeout"}},
		{"broken box", "POST", "/services", `{"image":"disk"}`, 500, api.KindInternal, []string{"request_id="}},
		{"a panic", "POST", "/services", `{"image":"panic"}`, 500, api.KindInternal, []string{"request_id="}},

		{"unknown service", "GET", "/services/dmeo", "", 404, api.KindNotFound, []string{"dmeo", `did you mean "demo"`}},
		{"slash in a name", "GET", "/services/a%2Fb", "", 404, api.KindNotFound, []string{"a/b"}},
		{"dots", "GET", "/services/%2e%2e", "", 404, api.KindNotFound, nil},
		{"other project", "GET", "/services/demo?project=red", "", 404, api.KindNotFound, nil},
		{"unknown path", "GET", "/service", "", 404, api.KindNoRoute, []string{"openapi.yaml"}},
		{"trailing slash", "GET", "/services/", "", 404, api.KindNoRoute, nil},
		{"wrong method", "PUT", "/services/demo", "{}", 405, api.KindMethod, []string{"PATCH"}},
		{"unknown parameter", "GET", "/services/demo/logs?folow=true", "", 400, api.KindInvalid, []string{`did you mean "follow"`}},
		{"no flag", "GET", "/services/demo/logs?follow=maybe", "", 400, api.KindInvalid, []string{"true or false"}},
		{"parameter twice", "GET", "/services?name=a&name=b", "", 400, api.KindInvalid, []string{"2 times"}},
		{"broken query", "GET", "/services?name=%zz", "", 400, api.KindInvalid, nil},
		{"limit 0", "GET", "/services?limit=0", "", 400, api.KindInvalid, []string{"limit", "1 to 1000"}},
		{"limit too large", "GET", "/services?limit=1001", "", 400, api.KindInvalid, []string{"limit"}},
		{"no cursor", "GET", "/services?cursor=*", "", 400, api.KindInvalid, []string{"cursor"}},

		{"scale without to", "POST", "/services/demo/scale", `{}`, 400, api.KindInvalid, []string{"to"}},
		{"scale below 0", "POST", "/services/demo/scale", `{"to":-1}`, 400, api.KindInvalid, []string{"-1"}},
		{"unknown route", "PATCH", "/services/demo/routes/ses-x", `{"traffic_ratio":1}`, 404, api.KindNotFound, []string{"ses-x"}},
		{"unknown revision", "POST", "/services/demo/rollback", `{"revision":7}`, 404, api.KindNotFound, []string{"7"}},
		{"nothing to go back to", "POST", "/services/demo/rollback", `{}`, 409, api.KindState, []string{"no earlier revision"}},
		{"no duration", "POST", "/services/demo/token", `{}`, 400, api.KindInvalid, []string{"Either valid_until or duration must be specified."}},
		{"past", "POST", "/services/demo/token", `{"valid_until":"2001-01-01T00:00:00Z"}`, 400, api.KindInvalid, []string{"The expiration time cannot be in the past."}},
		{"odd duration", "POST", "/services/demo/token", `{"duration":"soon"}`, 400, api.KindInvalid, []string{"soon", "15m"}},
		{"negative limit", "POST", "/services/demo/token", `{"duration":"1h","limits":{"tokens_per_minute":-1}}`, 400, api.KindInvalid, []string{"limits.tokens_per_minute", "cannot be negative", "no limit"}},
		{"odd window", "POST", "/services/demo/token", `{"duration":"1h","limits":{"token_budget":9,"budget_window":"fortnight"}}`, 400, api.KindInvalid, []string{"limits.budget_window", "fortnight", "hour, day, week, month"}},
		{"unknown limit", "POST", "/services/demo/token", `{"duration":"1h","limits":{"rpm":9}}`, 400, api.KindInvalid, []string{"limits.rpm"}},
		{"unknown token", "DELETE", "/services/demo/tokens/tok-x", "", 404, api.KindNotFound, []string{"tok-x"}},
		{"unknown session", "GET", "/sessions/ses-x", "", 404, api.KindNotFound, []string{"ses-x"}},
		{"stats of a pending one", "GET", "/sessions/ses-000000000002/stats", "", 404, api.KindNotFound, nil},
		{"folder in use", "DELETE", "/folders/demo-model", "", 409, api.KindInUse, []string{"service demo"}},
		{"folder twice", "POST", "/folders", `{"name":"demo-model"}`, 409, api.KindExists, nil},
		{"folder name", "POST", "/folders", `{"name":"../etc"}`, 400, api.KindInvalid, nil},
		{"usage", "POST", "/folders", `{"name":"xx","usage":"fun"}`, 400, api.KindInvalid, []string{"model, general or data"}},
		{"import a relative path", "POST", "/folders", `{"import_path":"models"}`, 400, api.KindInvalid, []string{"absolute"}},
		{"import nothing", "POST", "/folders", `{"name":"xx","import_path":"/nowhere/at/all"}`, 404, api.KindNotFound, nil},
		{"out of the folder", "GET", "/folders/demo-model/files?path=../../etc/passwd", "", 400, api.KindInvalid, nil},
		{"list out of the folder", "GET", "/folders/demo-model/entries?path=..", "", 400, api.KindInvalid, nil},
		{"upload at no time", "POST", "/folders/demo-model/uploads", `{"path":"x","size":9,"mod_time":"yesterday"}`, 400, api.KindInvalid, []string{"mod_time: must be a time", "2026-"}},
		{"file that is not there", "GET", "/folders/demo-model/files?path=x.gguf", "", 404, api.KindNotFound, []string{"x.gguf"}},
		{"no file named", "GET", "/folders/demo-model/files", "", 400, api.KindInvalid, []string{"path"}},
		{"key name", "POST", "/keys", `{"name":"a b"}`, 400, api.KindInvalid, []string{"a b"}},
		{"unknown key", "DELETE", "/keys/nobody", "", 404, api.KindNotFound, []string{"nobody"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := b.serve(b.request(c.method, c.path, c.body))
			p := problem(t, w)
			if w.Code != c.status || p.Kind() != c.kind {
				t.Errorf("%d %s, want %d %s: %s", w.Code, p.Kind(), c.status, c.kind, w.Body)
			}
			text := p.Error() + " " + p.Hint
			for _, e := range p.Errors {
				text += fmt.Sprintf(" %d:%d %s", e.Line, e.Column, e)
			}
			for _, word := range c.words {
				if !strings.Contains(text, word) {
					t.Errorf("%q lacks %q", text, word)
				}
			}
			if strings.Contains(text, "secret detail") {
				t.Errorf("%q tells what only the log may", text)
			}
		})
	}
	if log := b.log.String(); !strings.Contains(log, "secret detail") || !strings.Contains(log, "wanted by the test") {
		t.Errorf("the log does not say what went wrong inside:\n%s", log)
	}
}

func TestMediaTypeAndSize(t *testing.T) {
	b := newBox(t)
	r := b.request("POST", "/services", `{"image":"host"}`)
	r.Header.Set("Content-Type", "text/plain")
	if p := problem(t, b.serve(r)); p.Kind() != api.KindMediaType {
		t.Errorf("%+v", p)
	}
	r = b.request("POST", "/services", `{"image":"`+strings.Repeat("x", 50<<20)+`"}`)
	if p := problem(t, b.serve(r)); p.Kind() != api.KindTooLarge {
		t.Errorf("%+v", p)
	}
}

func TestWhoMayAsk(t *testing.T) {
	b := newBox(t)
	k, secret, err := b.Keys.Issue(t.Context(), keys.Wish{Name: "laptop", Scope: keys.Admin, By: "me"})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(authorization string) *httptest.ResponseRecorder {
		r := httptest.NewRequestWithContext(t.Context(), "GET", api.Prefix+"/services", nil)
		if authorization != "" {
			r.Header.Set("Authorization", authorization)
		}
		return b.serve(r)
	}
	for _, bad := range []string{"", "Bearer", "Bearer ", "Basic eDp5", "Bearer nothing", secret, "Bearer " + secret + "x"} {
		w := ask(bad)
		if p := problem(t, w); w.Code != 401 || p.Kind() != api.KindUnauthorized || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d %+v", bad, w.Code, p)
		}
	}
	if w := ask("bearer " + secret); w.Code != 200 {
		t.Errorf("good key: %d %s", w.Code, w.Body)
	}
	// In an address it is nobody's: those are in logs of proxies, in histories, and in what is sent on as Referer.
	for _, name := range []string{"key", "api_key", "token", "access_token", "authorization", "palisade_session"} {
		r := httptest.NewRequestWithContext(t.Context(), "GET", api.Prefix+"/services?"+name+"="+secret, nil)
		if w := b.serve(r); w.Code != 401 || strings.Contains(w.Body.String(), secret) {
			t.Errorf("?%s: %d %s", name, w.Code, w.Body)
		}
	}
	if !strings.Contains(b.log.String(), "actor=laptop via=key") {
		t.Errorf("the log does not say who asked:\n%s", b.log)
	}
	if strings.Contains(b.log.String(), secret) {
		t.Error("the log holds the key")
	}
	if err := b.Keys.Revoke(t.Context(), k.ID); err != nil {
		t.Fatal(err)
	}
	if w := ask("Bearer " + secret); w.Code != 401 {
		t.Errorf("revoked key: %d", w.Code)
	}
}

func TestOtherOriginsMayNotWrite(t *testing.T) {
	b := newBox(t)
	r := b.request("POST", "/services", `{"image":"host"}`)
	r.Header.Set("Origin", "https://evil.example")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if p := problem(t, b.serve(r)); p.Kind() != api.KindForbidden {
		t.Errorf("%+v", p)
	}
}

func TestRequestIDs(t *testing.T) {
	b := newBox(t)
	r := b.request("GET", "/version", "")
	r.Header.Set("X-Request-Id", "from-client.1")
	if got := b.serve(r).Header().Get("X-Request-Id"); got != "from-client.1" {
		t.Errorf("id %q", got)
	}
	r.Header.Set("X-Request-Id", "x\nlevel=ERROR")
	if got := b.serve(r).Header().Get("X-Request-Id"); !strings.HasPrefix(got, "req-") {
		t.Errorf("id %q was taken from a client that forges", got)
	}
}

// TestBrokenStreamIsNoCleanEnd: a log that breaks off must not look complete.
func TestBrokenStreamIsNoCleanEnd(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	srv := httptest.NewUnstartedServer(b.Handler)
	srv.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context { return admin.LocalPeer(ctx, "me") }
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.Start()
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+api.Prefix+"/services/demo/logs?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	first := make([]byte, 16)
	if _, err := io.ReadFull(resp.Body, first); err != nil || !strings.HasPrefix(string(first), "ses-") {
		t.Fatalf("%q, %v", first, err)
	}
	cancel() // the client goes: the handler ends, or srv.Close would never return
}

func TestServiceLife(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"demo-model"}`, 201, nil)
	var s api.Service
	b.do("POST", "/services", `{"name":"demo","image":"host","folder":"demo-model","replicas":2,"environ":{"A":"1","B":"2"},
		"policy":{"unhealthy_ttl":5.5}}`, 201, &s)
	if s.Endpoint != "http://127.0.0.1:8080/services/demo" || s.Recipe.FolderName != "demo-model" || s.CreatedBy != "me" ||
		s.Project != "default" || s.Recipe.RuntimeVariant != "custom" || len(s.Routes) != 2 || *s.Policy.UnhealthyTTL != 5.5 || *s.Policy.MaxSurge != 1 {
		t.Errorf("%+v", s)
	}
	w := b.serve(b.request("GET", "/services/"+s.ID, ""))
	if w.Header().Get("ETag") != `"1"` || w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%v", w.Header())
	}

	r := b.request("PATCH", "/services/demo", `{"open_to_public":true}`)
	r.Header.Set("If-Match", `"9"`)
	if p := problem(t, b.serve(r)); p.Kind() != api.KindPrecondition {
		t.Errorf("%+v", p)
	}
	b.do("PATCH", "/services/demo", `{"open_to_public":true,"environ":{"A":null,"C":"3"}}`, 200, &s)
	if !s.OpenToPublic || s.Revision != 2 || len(s.Recipe.Environ) != 2 || s.Recipe.Environ["B"] != "2" || s.Recipe.Environ["C"] != "3" {
		t.Errorf("%+v", s.Recipe)
	}
	b.do("PATCH", "/services/demo", `{"name":"demo2"}`, 200, &s)
	if s.Revision != 2 || s.Name != "demo2" {
		t.Errorf("a new name made revision %d", s.Revision)
	}
	var revisions api.Page[api.Revision]
	b.do("GET", "/services/demo2/revisions", "", 200, &revisions)
	if len(revisions.Items) != 2 || !revisions.Items[1].Current || revisions.Items[0].Recipe.Environ["A"] != "1" {
		t.Errorf("%+v", revisions)
	}
	b.do("POST", "/services/demo2/rollback", `{}`, 200, &s)
	if s.Revision != 1 {
		t.Errorf("rolled back to %d", s.Revision)
	}
	b.do("POST", "/services/demo2/rollback", `{"revision":1}`, 409, nil)

	b.do("POST", "/services/demo2/scale", `{"to":1,"reason":"night"}`, 200, &s)
	var route api.Route
	b.do("PATCH", "/services/demo2/routes/"+s.Routes[0].ID, `{"traffic_ratio":0}`, 200, &route)
	b.do("GET", "/services/demo2/routes/"+s.Routes[0].ID, "", 200, &route)
	if route.TrafficRatio != 0 {
		t.Errorf("%+v", route)
	}
	var events api.Page[api.Event]
	b.do("GET", "/services/demo2/events?limit=1", "", 200, &events)
	if len(events.Items) != 1 || !strings.Contains(events.Items[0].Message, "night") {
		t.Errorf("%+v", events)
	}
	b.do("POST", "/services/demo2/errors/clear", "", 204, nil)
	var errs api.ServiceErrors
	b.do("GET", "/services/demo2/errors", "", 200, &errs)
	b.do("DELETE", "/services/demo2", "", 204, nil)
	b.do("GET", "/services/demo2", "", 404, nil)
}

// TestWarningsOfTheRecipe: what is doubtful is told to who creates the service, once.
func TestWarningsOfTheRecipe(t *testing.T) {
	b := newBox(t)
	var created, later api.Service
	b.do("POST", "/services", `{"name":"odd","image":"doubtful"}`, 201, &created)
	b.do("GET", "/services/odd", "", 200, &later)
	want := []api.FieldError{{
		Field: "models[0].service.colour", File: "model-definition.yaml", Line: 4, Column: 5, Severity: "warning", Message: "unknown key",
	}}
	if !slices.Equal(created.Warnings, want) || later.Warnings != nil {
		t.Errorf("created: %+v, later: %+v", created.Warnings, later.Warnings)
	}
}

func TestPages(t *testing.T) {
	b := newBox(t)
	for i := range 7 {
		b.do("POST", "/services", fmt.Sprintf(`{"name":"demo%d","image":"host"}`, 6-i), 201, nil)
	}
	var names []string
	cursor := ""
	for range 10 {
		var page api.Page[api.Service]
		b.do("GET", "/services?limit=3&cursor="+cursor, "", 200, &page)
		for _, s := range page.Items {
			names = append(names, s.Name)
		}
		if len(names) == 3 {
			b.do("DELETE", "/services/demo2", "", 204, nil) // the one that the cursor names
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if got := strings.Join(names, " "); got != "demo0 demo1 demo2 demo3 demo4 demo5 demo6" {
		t.Errorf("pages: %s", got)
	}
	var page api.Page[api.Service]
	b.do("GET", "/services?name=nothing", "", 200, &page)
	if page.Items == nil {
		t.Error("an empty list is null")
	}
}

func TestTokens(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	b.do("POST", "/services", `{"name":"other","image":"host"}`, 201, nil)
	var one, wide api.TokenIssued
	b.do("POST", "/services/demo/token", `{"name":"ci","duration":"3d"}`, 201, &one)
	b.do("POST", "/tokens", `{"duration":"1h"}`, 201, &wide)
	if _, err := b.Tokens.Check(one.Secret); err != nil {
		t.Error(err)
	}
	var page api.Page[api.Token]
	b.do("GET", "/services/demo/tokens", "", 200, &page)
	if len(page.Items) != 1 || page.Items[0].Name != "ci" || page.Items[0].CreatedBy != "me" {
		t.Errorf("%+v", page)
	}
	b.do("GET", "/tokens", "", 200, &page)
	if len(page.Items) != 2 {
		t.Errorf("%+v", page)
	}
	b.do("DELETE", "/services/other/tokens/"+one.Token.ID, "", 404, nil) // not that service's
	var refusal api.Problem
	if b.do("DELETE", "/services/demo/tokens/"+wide.Token.ID, "", 404, &refusal); !strings.Contains(refusal.Hint, "revoke-token --all "+wide.Token.ID) {
		t.Errorf("a token of the project, as if it were the service's: %+v", refusal)
	}
	b.do("DELETE", "/tokens/"+one.Token.ID+"?project=red", "", 404, nil) // not that project's
	b.do("DELETE", "/services/demo/tokens/ci", "", 204, nil)
	if _, err := b.Tokens.Check(one.Secret); err == nil {
		t.Error("a revoked token is good")
	}
	if _, err := b.Tokens.Check(wide.Secret); err != nil {
		t.Error(err)
	}
}

func TestTokenLimits(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/services", `{"name":"demo","image":"host"}`, 201, nil)
	var one, free api.TokenIssued
	b.do("POST", "/services/demo/token", `{"duration":"3d","limits":{"requests_per_minute":2,"concurrent_requests":9,"token_budget":1000,"budget_window":"day"}}`, 201, &one)
	b.do("POST", "/tokens", `{"duration":"1h","limits":{}}`, 201, &free)
	if free.Token.Limits != nil || free.Token.Standing != nil {
		t.Errorf("without limits: %+v", free.Token)
	}
	want := api.TokenLimits{RequestsPerMinute: 2, ConcurrentRequests: 9, TokenBudget: 1000, BudgetWindow: "day"}
	if one.Token.Limits == nil || *one.Token.Limits != want || *one.Token.Standing.RemainingRequests != 2 || one.Token.Standing.RemainingTokens != nil {
		t.Errorf("%+v", one.Token)
	}
	tok, err := b.Tokens.Check(one.Secret)
	if err != nil {
		t.Fatal(err)
	}
	grant, _, ok := b.Tokens.Payers(&tok, "default").Take(time.Now(), quota.Ask{Bytes: 40, Answer: 10})
	if !ok {
		t.Fatal("refused")
	}
	standing := func(inFlight, spent int64) {
		t.Helper()
		var page api.Page[api.Token]
		b.do("GET", "/services/demo/tokens", "", 200, &page)
		s := page.Items[0].Standing
		if s == nil || *s.RemainingRequests != 1 || s.InFlight != inFlight || s.Spent != spent || s.SpentUntil == nil {
			t.Errorf("%+v", s)
		}
	}
	standing(1, 0)
	grant.Settle(time.Now(), 25)
	standing(0, 25)
}

func TestFiles(t *testing.T) {
	b := newBox(t)
	b.do("POST", "/folders", `{"name":"demo-model"}`, 201, nil)
	b.do("PUT", "/folders/demo-model/files?path=run.sh&executable=perhaps", "x", 400, nil)
	var entry api.Entry
	b.do("PUT", "/folders/demo-model/files?path=run.sh&executable=true", "x", 200, &entry)
	var first api.Page[api.Entry]
	b.do("GET", "/folders/demo-model/entries", "", 200, &first)
	if !entry.Executable || len(first.Items) != 1 || !first.Items[0].Executable {
		t.Errorf("%+v, then %+v: a program is none any more", entry, first.Items)
	}
	b.do("DELETE", "/folders/demo-model/entries?path=run.sh", "", 204, nil)
	put := b.request("PUT", "/folders/demo-model/files?path=deep/er/a.txt", "")
	put.Body = io.NopCloser(strings.NewReader("0123456789"))
	if w := b.serve(put); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, c := range []struct {
		header, want string
		status       int
	}{
		{"", "0123456789", 200}, {"bytes=4-", "456789", 206}, {"bytes=-2", "89", 206}, {"bytes=2-3", "23", 206},
	} {
		r := b.request("GET", "/folders/demo-model/files?path=/deep/er/a.txt", "")
		if c.header != "" {
			r.Header.Set("Range", c.header)
		}
		w := b.serve(r)
		if w.Code != c.status || w.Body.String() != c.want || w.Header().Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%s: %d %q %v", c.header, w.Code, w.Body, w.Header())
		}
	}
	r := b.request("GET", "/folders/demo-model/files?path=deep/er/a.txt", "")
	r.Header.Set("Range", "bytes=100-")
	if p := problem(t, b.serve(r)); p.Kind() != api.KindRange {
		t.Errorf("%+v", p)
	}
	if w := b.serve(b.request("HEAD", "/folders/demo-model/files?path=deep/er/a.txt", "")); w.Code != 200 || w.Header().Get("Content-Length") != "10" {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	cut := b.request("PUT", "/folders/demo-model/files?path=deep/er/a.txt", "")
	cut.Body = io.NopCloser(io.MultiReader(strings.NewReader("xx"), errReader{io.ErrUnexpectedEOF}))
	if p := problem(t, b.serve(cut)); p.Kind() != api.KindInvalid {
		t.Errorf("%+v", p)
	}
	var page api.Page[api.Entry]
	b.do("GET", "/folders/demo-model/entries?recursive=true", "", 200, &page)
	var paths []string
	for _, e := range page.Items {
		paths = append(paths, fmt.Sprintf("%s %s %d", e.Type, e.Path, e.Size))
	}
	if got := strings.Join(paths, ", "); got != "directory deep 0, directory deep/er 0, file deep/er/a.txt 10" {
		t.Errorf("entries: %s", got)
	}
	b.do("DELETE", "/folders/demo-model/entries?path=deep", "", 204, nil)
	b.do("GET", "/folders/demo-model/entries?path=deep", "", 404, nil)
	b.do("DELETE", "/folders/demo-model", "", 204, nil)
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestLogs(t *testing.T) {
	b := newBox(t)
	var s api.Service
	b.do("POST", "/services", `{"name":"demo","image":"host","replicas":2}`, 201, &s)
	first := s.Routes[0].ID
	for path, want := range map[string]string{
		"/sessions/" + first + "/logs?tail=1":       "listening on " + first + "\n",
		"/services/demo/logs?tail=1&route=" + first: "listening on " + first + "\n",
		"/services/demo/logs?tail=1":                first + " | listening on " + first + "\n" + s.Routes[1].ID + " | listening on " + s.Routes[1].ID + "\n",
		"/sessions/" + s.Routes[1].ID + "/logs":     "loading\nloaded\nlistening on " + s.Routes[1].ID + "\n",
	} {
		if w := b.serve(b.request("GET", path, "")); w.Code != 200 || w.Body.String() != want {
			t.Errorf("%s: %d %q", path, w.Code, w.Body)
		}
	}
	b.do("GET", "/services/demo/logs?route=ses-nothing", "", 404, nil)
}

// TestLogsOfRoutesThatWait: a route without a log yet takes nothing from the others' logs, and is followed once it has one.
func TestLogsOfRoutesThatWait(t *testing.T) {
	b := newBox(t)
	var s api.Service
	b.do("POST", "/services", `{"name":"demo","image":"stuck","replicas":2}`, 201, &s)
	b.Manager.Changed() // the first route is started, the second is not
	want := s.Routes[0].ID + " | listening on " + s.Routes[0].ID + "\n"
	if w := b.serve(b.request("GET", "/services/demo/logs?tail=1", "")); w.Code != 200 || w.Body.String() != want {
		t.Errorf("%d %q, want %q", w.Code, w.Body, want)
	}

	b.do("POST", "/services", `{"name":"waits","image":"host","replicas":2,"resources":{"cuda.device":"8"}}`, 201, nil)
	if p := problem(t, b.serve(b.request("GET", "/services/waits/logs", ""))); p.Kind() != api.KindNotFound || !strings.Contains(p.Detail, "waits for 8 cuda.device") {
		t.Errorf("%+v", p)
	}

	b.do("POST", "/services", `{"name":"late","image":"stuck"}`, 201, &s)
	read, write := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		r := b.request("GET", "/services/late/logs?follow=true", "")
		b.Handler.ServeHTTP(&streamed{ResponseRecorder: httptest.NewRecorder(), to: write}, r.WithContext(admin.LocalPeer(ctx, "me")))
	}()
	first := make([]byte, len(s.Routes[0].ID))
	if _, err := io.ReadFull(read, first); err != nil || string(first) != s.Routes[0].ID {
		t.Errorf("%q, %v", first, err)
	}
	cancel()
	read.Close()
	<-done
}

// streamed hands on what is written, as it is written.
type streamed struct {
	*httptest.ResponseRecorder
	to io.Writer
}

func (s *streamed) Write(p []byte) (int, error) { return s.to.Write(p) }
