package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func TestBoxes(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/boxes", language, 200), `id="live-boxes"`, `class="empty"`, "palisade cluster init")
	}
	if _, err := b.Boxes.Init(t.Context(), api.ClusterInit{}, "test"); err != nil {
		t.Fatal(err)
	}
	made := b.post("/boxes", nil, http.StatusOK).Body.String()
	holds(t, made, `data-token>palisade join https://10.0.0.1:8480 pal-join.token002.SECRET.FINGERPRINT<`)
	b.post("/boxes", url.Values{"approve": {"1"}}, http.StatusOK)
	for _, language := range []string{"en", "ko"} {
		holds(t, b.get("/boxes", language, 200), `id="box-box-1"`, `id="add-box"`, `/boxes/box-2/approve"`, `/boxes/box-3/drain"`, "k7q2m4xw", `id="members-title"`, "One member: the cluster stands still when it fails.")
	}
	b.post("/boxes/box-2/approve", nil, http.StatusNoContent)
	b.post("/boxes/box-2/drain", nil, http.StatusNoContent)
	b.post("/boxes/box-3/cordon", nil, http.StatusNoContent)
	page := b.get("/boxes", "en", 200)
	if holds(t, page, `/boxes/box-2/uncordon"`, `/boxes/box-3/uncordon"`); strings.Contains(page, "/approve") {
		t.Error("there is one left to be let in")
	}
	b.post("/boxes/box-3/uncordon", nil, http.StatusNoContent)
	b.post("/boxes/box-3/remove", nil, http.StatusNoContent)
	if w := b.post("/boxes/box-1/remove", nil, http.StatusConflict); !strings.Contains(w.Body.String(), "4 sessions run on box-1") {
		t.Error(w.Body)
	}
	ada := b.user("ada", false)
	b.join("ada", "owner")
	if w := b.as(ada, http.MethodGet, "/boxes", nil); w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
	if w := b.as(ada, http.MethodPost, "/boxes/box-2/uncordon", nil); w.Code != http.StatusForbidden {
		t.Errorf("%d", w.Code)
	}
}
