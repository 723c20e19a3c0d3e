package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/people"
)

// TestLimitsOnPages: who is in a project sees its limits with what is used of them; administrators set them there, and those of
// people.
func TestLimitsOnPages(t *testing.T) {
	b := newConsole(t)
	keys := []string{">limits.", "ZgotmplZ", "<script>alert"}
	eve := b.partOf("eve", people.Viewer)
	for _, at := range []string{"/projects/default", "/users/eve"} {
		for _, language := range []string{"en", "ko"} {
			has(t, b.get(at, language, 200), []string{`id="limit-sessions"`, `id="limits-form"`, "∞"}, keys)
		}
		b.post(at+"/limits", url.Values{"set.sessions": {"10"}, "set.storage": {" 1t "}, "set.services": {"none"}, "set.routes": {""}, "slot": {"cuda.device"}, "amount": {"2"}}, 204)
		has(t, b.get(at, "en", 200), []string{`name="set.sessions" value="10"`, `id="limit-cuda.device"`, "0 of 10 used", "set here", "Set by root"}, keys)
		for field, word := range map[string]string{"set.sessions": "many", "set.storage": "<script>alert(1)</script>", "set.budget_window": "day"} {
			has(t, b.post(at+"/limits", url.Values{field: {word}}, 400).Body.String(), []string{`role="alert"`, field}, keys)
		}
		b.post(at+"/limits", url.Values{"slot": {"elbows"}, "amount": {"2"}}, 400)
		b.post(at+"/limits", url.Values{"set.sessions": {""}}, 204)
		has(t, b.get(at, "en", 200), nil, []string{"Set by root", "set here"})
	}
	b.post("/users/eve/limits", url.Values{"set.routes": {"3"}}, 204)
	own := b.as(eve, http.MethodGet, "/profile", nil).Body.String()
	has(t, own, []string{`id="limit-routes"`, "0 of 3 used", `id="live-own-limits"`}, append(keys, `id="limits-form"`))
	page := b.as(eve, http.MethodGet, "/projects/default", nil)
	if page.Code != 200 || !strings.Contains(page.Body.String(), `id="limit-sessions"`) || strings.Contains(page.Body.String(), `id="limits-form"`) {
		t.Errorf("a viewer: %d\n%s", page.Code, page.Body)
	}
	for _, at := range []string{"/projects/default/limits", "/users/eve/limits"} {
		if w := b.as(eve, http.MethodPost, at, url.Values{"set.sessions": {"1000"}}); w.Code != http.StatusForbidden {
			t.Errorf("a viewer sets %s: %d", at, w.Code)
		}
	}
}
