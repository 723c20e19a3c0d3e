package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestModels(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/models", language, 200), `class="empty"`, `id="receive-form"`, `id="verify"`)
	}
	b.get("/models/nothing", "en", 404)
	r := b.request(http.MethodGet, "/", nil)
	c, err := b.console.clientFor(r, "default")
	if err != nil {
		t.Fatal(err)
	}
	begun, err := c.CreateInstall(r.Context(), api.InstallCreate{Source: t.TempDir(), Name: "mine", NoService: true})
	if err == nil { // a directory without files ends as FAILED: its page says why, and offers another try
		_ = c.WatchInstall(r.Context(), begun.ID, func(in api.Install) error {
			if in.Status != "RUNNING" {
				return api.ErrStopWatch
			}
			return nil
		})
		holds(t, b.get("/installs/"+begun.ID, "ko", 200), `id="install-again"`, `role="alert"`)
	}
	for _, path := range []string{"/models/nothing/update", "/models/nothing/pin", "/models/nothing/remove", "/models/nothing/rollback"} {
		b.post(path, url.Values{"revision": {"x"}}, 404)
	}
	cookie := b.user("vera", false)
	b.join("vera", "viewer")
	if page := b.as(cookie, http.MethodGet, "/models", nil).Body.String(); strings.Contains(page, "models-gc") || strings.Contains(page, "receive-form") {
		t.Error("a viewer is shown what would be refused")
	}
	if w := b.as(cookie, http.MethodPost, "/models-gc", nil); w.Code != http.StatusForbidden {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
