package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

// holds says that a page has all of these.
func holds(t *testing.T, page string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in %s", want, page)
		}
	}
}

func TestCatalog(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/catalog", language, 200), `id="live-catalog"`, `/console/catalog/palisade/`, `id="catalog-fits"`)
		holds(t, b.get("/catalog/palisade/small", language, 200), `id="plan"`, `id="install-form"`, `class="card-body markdown"`)
		holds(t, b.get("/catalogs", language, 200), `id="live-catalogs"`, `id="trust"`)
		holds(t, b.get("/installs", language, 200), `class="empty"`)
	}
	holds(t, b.get("/catalog?q=%3Cscript%3E&size=x&offset=-4&task=chat", "en", 200), `value="&lt;script&gt;"`, `class="empty"`)
	holds(t, b.get("/catalog?fits=1&installed=1&tag=%22%3E", "en", 200), `#&#34;&gt;`)
	b.get("/catalog?task=nothing", "en", 400)
	b.get("/catalog/nothing-of-the-sort", "en", 404)
	b.get("/catalogs/nothing", "en", 404)
	b.get("/installs/nothing", "en", 404)
	holds(t, b.get("/catalog-plan?source=small&context=1024", "en", 200), `id="plan"`)
	if page := b.get("/catalog-plan?source=small&variant=none", "en", 200); !strings.Contains(page, "text-red") {
		t.Error(page)
	}
	b.get("/catalog-plan?source=nothing", "en", 404)
}

func TestAViewerSeesTheCatalogAndInstallsNothing(t *testing.T) {
	b := newConsole(t)
	cookie := b.user("vera", false)
	b.join("vera", "viewer")
	page := b.as(cookie, http.MethodGet, "/catalog/palisade/small", nil).Body.String()
	if holds(t, page, `id="plan"`); strings.Contains(page, "install-form") {
		t.Error("a viewer is shown a form that would be refused")
	}
	if w := b.as(cookie, http.MethodPost, "/catalog-install", url.Values{"source": {"small"}}); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/catalogs", "/catalog-keys", "/catalog-secret", "/catalogs/x/remove"} {
		if w := b.as(cookie, http.MethodPost, path, url.Values{"name": {"x"}, "url": {"/x"}, "secret": {"X"}, "value": {"x"}, "public_key": {"x"}}); w.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestInstallFromThePage(t *testing.T) {
	b := newConsole(t)
	to := b.post("/catalog-install", url.Values{"source": {"palisade/small"}, "name": {"first"}}, 204).Header().Get("HX-Redirect")
	at, is := strings.CutPrefix(to, Prefix)
	if !is || !strings.HasPrefix(at, "/installs/") {
		t.Fatalf("goes to %q", to)
	}
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get(at, language, 200), `id="live-install"`, "first")
		holds(t, b.get("/installs", language, 200), at)
	}
	b.post("/catalog-install", url.Values{"source": {"nothing"}}, 404)
	b.post("/catalog-install", url.Values{"source": {""}}, 400)
	b.post("/installs/nothing/cancel", nil, 404)
	b.post("/installs/nothing/again", nil, 404)
}

// join gives somebody a role in the first project.
func (b *bench) join(name, role string) {
	b.t.Helper()
	r := b.request(http.MethodGet, "/", nil)
	c, err := b.console.clientFor(r, "default")
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := c.SetProjectMember(r.Context(), "default", name, api.ProjectMemberSet{Role: role}); err != nil {
		b.t.Fatal(err)
	}
}
