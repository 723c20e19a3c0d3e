package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palisade-run/palisade/appliance/api"
)

// between is what stands in a page between two texts.
func between(t *testing.T, page, before, after string) string {
	t.Helper()
	_, rest, found := strings.Cut(page, before)
	text, _, end := strings.Cut(rest, after)
	if !found || !end {
		t.Fatalf("nothing between %q and %q in %s", before, after, page)
	}
	return text
}

func TestTokensAndKeys(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/tokens", language, 200), []string{`id="live-tokens"`, `id="live-keys"`, `class="empty-title"`, `id="create-token"`}, []string{"ZgotmplZ", ">tokens."})
	}
	made := b.post("/tokens", url.Values{"name": {"<ci>"}, "duration": {"30d"}, "limits.requests_per_minute": {"60"}, "limits.token_budget": {"1000"}, "limits.budget_window": {"month"}}, 200).Body.String()
	secret := between(t, made, `data-token>`, "</code>")
	if len(secret) < 20 || strings.Contains(made, "<ci>") {
		t.Error(made)
	}
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/tokens", language, 200), []string{"&lt;ci&gt;", "60", "0 / 1,000", "<svg"}, []string{secret, "<ci>", "ZgotmplZ"})
	}
	has(t, b.post("/tokens", url.Values{"limits.requests_per_minute": {"many"}}, 400).Body.String(), []string{`data-field="limits.requests_per_minute"`}, nil)
	has(t, b.post("/tokens", url.Values{"limits.requests_per_minute": {"-1"}}, 400).Body.String(), []string{"cannot be negative"}, nil)
	b.post("/tokens", url.Values{"service": {"nothing"}}, 404)
	id := between(t, b.get("/tokens", "en", 200), `<tr id="`, `"`)
	b.post("/tokens/"+id+"/revoke", nil, 204)
	b.post("/tokens/nothing/revoke", nil, 404)
	has(t, b.get("/tokens", "en", 200), []string{"Show 1 that is no good"}, []string{id})
	has(t, b.get("/tokens?all=true", "en", 200), []string{id, "revoked"}, []string{id + "/revoke"})

	made = b.post("/keys", url.Values{"name": {"laptop"}, "scope": {"read"}, "expires": {"30"}}, 200).Body.String()
	if secret = between(t, made, `data-token>`, "</code>"); !strings.HasPrefix(secret, "pal_") {
		t.Error(secret)
	}
	has(t, b.get("/tokens", "en", 200), []string{"laptop", "look"}, []string{secret})
	b.post("/keys", url.Values{"name": {"laptop"}}, 409)
	b.post("/keys", url.Values{"name": {"other"}, "expires": {"soon"}}, 400)
	b.post("/keys/laptop/revoke", nil, 204)

	// Who is only a viewer, or in no project, sees their keys and no tokens.
	cookie := b.user("viv", false)
	if w := b.as(cookie, http.MethodGet, "/tokens", nil); w.Code == http.StatusOK {
		has(t, w.Body.String(), []string{`id="live-keys"`}, []string{`id="live-tokens"`, `id="create-token"`})
	}
}

func TestTokenState(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	token := func(end time.Duration, spent int64) api.Token {
		return api.Token{ExpiresAt: now.Add(end), Limits: &api.TokenLimits{TokenBudget: 10}, Standing: &api.TokenStanding{Spent: spent}}
	}
	revoked := token(time.Hour, 0)
	revoked.RevokedAt = &now
	for _, c := range []struct {
		token api.Token
		want  string
	}{{token(0, 0), "expired"}, {token(time.Hour, 0), "expiring"}, {token(soon, 0), "good"}, {token(soon, 10), "spent"}, {revoked, "revoked"}} {
		if got := tokenState(&c.token, now); got != c.want {
			t.Errorf("%+v: %s, want %s", c.token, got, c.want)
		}
	}
}

func TestAudit(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/audit", language, 200), []string{`class="empty-title"`, `id="verify"`}, []string{">audit.", "ZgotmplZ"})
	}
	for _, name := range []string{"one", "two"} {
		b.post("/folders", url.Values{"name": {name}}, 204)
	}
	b.post("/folders", url.Values{"name": {"<script>"}}, 400)
	for _, language := range []string{"en", "ko"} {
		has(t, b.get("/audit", language, 200), []string{"createFolder", "root", `class="now"`, `&#34;two&#34;`, "&lt;script&gt;"}, []string{"<script>\"", "ZgotmplZ"})
	}
	has(t, b.get("/audit?actor=nobody", "en", 200), []string{"Nothing matches"}, []string{"createFolder</strong>"})
	has(t, b.get("/audit?action=createFolder&from=1d&zone=Asia%2FSeoul", "en", 200), []string{"createFolder</strong>", `href="/console/audit.jsonl?action=createFolder&amp;from=1d`}, nil)
	b.get("/audit?from=sometime", "en", 400)
	b.get("/audit?cursor=x", "en", 400)
	lines := strings.Split(strings.TrimSpace(b.get("/audit.jsonl", "en", 200)), "\n")
	if len(lines) != 3 || !strings.Contains(lines[0], `\"action\":\"createFolder\"`) {
		t.Errorf("%q", lines)
	}
	w := b.serve(b.request(http.MethodGet, "/audit.jsonl", nil))
	if w.Header().Get("Content-Disposition") != `attachment; filename="audit.jsonl"` || w.Header().Get("Content-Type") != "application/x-ndjson" {
		t.Error(w.Header())
	}
	b.get("/audit.jsonl?from=sometime", "en", 400)
	has(t, b.post("/audit/verify", nil, 200).Body.String(), []string{"The record is whole: 3"}, nil)
	for range 60 {
		b.post("/folders", url.Values{"name": {"one"}}, 409)
	}
	page := b.get("/audit", "en", 200)
	has(t, page, []string{`id="record-63"`, `id="record-14"`, "cursor=14"}, []string{`id="record-13"`})
	has(t, b.get("/audit?cursor=14", "en", 200), []string{`id="record-13"`, `id="record-1"`, "Newest"}, []string{`id="record-14"`, "Older"})
}
