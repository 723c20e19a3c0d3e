package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/console/static"
	"github.com/palisade-run/palisade/sessions"
)

const hostileMarkup = `"><script>alert(1)</script>`

func TestImages(t *testing.T) {
	b := newConsole(t)
	showsWords(t, b.get("/images", "en", http.StatusOK), `id="pull"`, "No images yet", "Public images need none.")
	img, err := b.Images.Refresh(t.Context(), "ghcr.io/org/engine:1", func(sessions.Progress) {})
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"en", "ko"} {
		showsWords(t, b.get("/images", language, http.StatusOK), img.Name, "4 MiB", `hx-post="/console/images/remove"`)
	}
	b.post("/images/registries", url.Values{"host": {"nvcr.io"}, "user": {hostileMarkup}, "password": {"planted-secret"}}, http.StatusNoContent)
	page := b.get("/images", "en", http.StatusOK)
	showsWords(t, page, "nvcr.io", "&lt;script&gt;")
	if strings.Contains(page, "planted-secret") || strings.Contains(page, "<script>alert") {
		t.Error("a password is shown, or a name is not escaped")
	}
	b.post("/images/registries", url.Values{"host": {hostileMarkup}, "password": {"x"}}, http.StatusBadRequest)
	b.post("/images/registries/nvcr.io/remove", nil, http.StatusNoContent)
	b.post("/images/registries/nvcr.io/remove", nil, http.StatusNotFound)
	b.post("/images/remove", url.Values{"image": {"nothing:1"}}, http.StatusNotFound)
	b.post("/images/prune", nil, http.StatusNoContent)
	showsWords(t, b.get("/images", "en", http.StatusOK), "No images yet")
	ada := b.user("ada", false)
	w := b.as(ada, http.MethodGet, "/images", nil)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `id="pull"`) {
		t.Errorf("%d: who is no administrator is offered to pull", w.Code)
	}
	if w := b.as(ada, http.MethodPost, "/images/prune", nil); w.Code != http.StatusForbidden {
		t.Errorf("who is no administrator prunes: %d", w.Code)
	}
}

func TestSettings(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		showsWords(t, b.get("/settings", language, http.StatusOK), "free some space", "llama-server", "router.domain", "models.example", `id="effective"`)
		showsWords(t, b.get("/updates", language, http.StatusOK), "0.0.0-test", "/updates/restart")
		showsWords(t, b.get("/about", language, http.StatusOK), "htmx.org", "MIT", "/console/support-bundle")
	}
	b.post("/settings/secrets", url.Values{"name": {"NGC_API_KEY"}, "value": {"planted-secret"}}, http.StatusNoContent)
	page := b.get("/settings", "en", http.StatusOK)
	showsWords(t, page, "NGC_API_KEY")
	if strings.Contains(page, "planted-secret") {
		t.Error("a secret is shown")
	}
	w := b.post("/settings/secrets", url.Values{"name": {hostileMarkup}, "value": {"x"}}, http.StatusBadRequest)
	if strings.Contains(w.Body.String(), "<script>alert") {
		t.Error("a name is not escaped")
	}
	b.post("/settings/secrets/NGC_API_KEY/remove", nil, http.StatusNoContent)
	b.post("/settings/secrets/NGC_API_KEY/remove", nil, http.StatusNotFound)
	b.post("/settings/look", nil, http.StatusNoContent)
	if to := b.post("/updates/restart", nil, http.StatusNoContent).Header().Get("HX-Redirect"); to != "/console/updates?restarted=0.05" {
		t.Error(to)
	}
	showsWords(t, b.get("/updates?restarted=0.05", "en", http.StatusOK), "paused for 0.05 s")
	if page := b.get("/updates?restarted="+url.QueryEscape(hostileMarkup), "en", http.StatusOK); strings.Contains(page, "Decisions paused") {
		t.Error("what somebody wrote into the address is said")
	}
	bundle := b.serve(b.request(http.MethodGet, "/support-bundle", nil))
	if bundle.Code != http.StatusOK || bundle.Header().Get("Content-Type") != "application/gzip" || bundle.Body.Len() < 1000 {
		t.Errorf("%d %v", bundle.Code, bundle.Header())
	}
}

func TestSettingsAreForAdministrators(t *testing.T) {
	b := newConsole(t)
	ada := b.user("ada", false)
	for _, path := range []string{"/settings", "/updates", "/support-bundle"} {
		if w := b.as(ada, http.MethodGet, path, nil); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	for _, path := range []string{"/settings/secrets", "/updates/restart", "/settings/look"} {
		if w := b.as(ada, http.MethodPost, path, url.Values{"name": {"A"}, "value": {"b"}}); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	if w := b.as(ada, http.MethodGet, "/about", nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "support-bundle") {
		t.Errorf("about: %d", w.Code)
	}
}

func TestGrouped(t *testing.T) {
	groups, changed := grouped([]api.Setting{{Name: "data", From: "default"}, {Name: "tls.mode", From: "file"}, {Name: "listen", From: "flag"}, {Name: "tls.cert", From: "default"}})
	if len(groups) != 2 || groups[0].Name != "" || len(groups[0].Rows) != 2 || groups[1].Name != "tls" || len(groups[1].Rows) != 2 || changed != 2 {
		t.Errorf("%+v %d", groups, changed)
	}
}

func TestOthers(t *testing.T) {
	all := static.Others()
	icons := false
	for _, f := range all {
		if f.License == "" || f.Version == "" {
			t.Errorf("%+v", f)
		}
		icons = icons || f.Name == "icons" && f.Count > 50
	}
	if len(all) < 5 || !icons {
		t.Errorf("%+v", all)
	}
}
