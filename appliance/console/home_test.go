package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/palisade-run/palisade/appliance/api"
)

func showsWords(t *testing.T, page string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(page, want) {
			t.Errorf("no %q in\n%s", want, page)
		}
	}
}

func TestHomeOfAnEmptyBoxSaysWhatToDoFirst(t *testing.T) {
	b := newConsole(t)
	showsWords(t, b.get("/", "en", http.StatusOK), `id="install-hello"`, "Install your first model", "Nothing yet.", `hx-post="/console/home/first"`)
	showsWords(t, b.get("/", "ko", http.StatusOK), "첫 모델을 설치해 보세요")
	if w := b.post("/home/first", nil, http.StatusNotFound); !strings.Contains(w.Body.String(), "hello") { // this box has another catalog
		t.Error(w.Body)
	}
}

func TestHomeShowsWhoSitsOnWhat(t *testing.T) {
	b := newConsole(t)
	b.Pool.Simulate()
	page := b.get("/", "en", http.StatusOK)
	showsWords(t, page, "cuda:0", "NVIDIA H100 80GB HBM3", "board-part", `id="concern-device-GPU-5555-4000"`, "it fell off the bus", "does not answer any more", "python3", `id="live-attention"`)
	for _, language := range []string{"en", "ko"} {
		list := b.get("/accelerators", language, http.StatusOK)
		showsWords(t, list, "GPU-0000-4000", `id="queue"`, "ses-night", "cuda.device")
		one := b.get("/accelerators/cuda:0?window=6h", language, http.StatusOK)
		showsWords(t, one, `data-chart="device-utilization"`, `id="device-power"`, `"unit":"watts"`, `aria-current="true"`, "NV18", `data-open="#fence"`)
	}
	b.get("/accelerators/cuda:99", "en", http.StatusNotFound)
}

func TestFencing(t *testing.T) {
	b := newConsole(t)
	b.Pool.Simulate()
	w := b.post("/accelerators/cuda:2/fence", url.Values{"reason": {`<script>alert("fan")</script>`}}, http.StatusNoContent)
	if toast, _ := url.PathUnescape(w.Header().Get("X-Palisade-Toast")); toast != "cuda:2 is out of use" {
		t.Error(toast)
	}
	page := b.get("/accelerators/cuda:2", "en", http.StatusOK)
	showsWords(t, page, "&lt;script&gt;", `/unfence"`, "taken out by root")
	if strings.Contains(page, "<script>alert") {
		t.Error("a reason is not escaped")
	}
	showsWords(t, b.get("/", "en", http.StatusOK), "Accelerator cuda:2 is out of use", "/unfence")
	if w := b.post("/accelerators/cuda:2/fence", url.Values{"reason": {""}}, http.StatusBadRequest); !strings.Contains(w.Body.String(), "one sentence is needed") {
		t.Errorf("it is not said what is wrong: %s", w.Body)
	}
	b.post("/accelerators/cuda:2/unfence", nil, http.StatusNoContent)
	if page := b.get("/accelerators/cuda:2", "en", http.StatusOK); strings.Contains(page, "/unfence\"") {
		t.Error("it is still out of use")
	}
	ada := b.user("ada", false)
	if w := b.as(ada, http.MethodPost, "/accelerators/cuda:2/fence", url.Values{"reason": {"x"}}); w.Code != http.StatusForbidden {
		t.Errorf("who is no administrator fences: %d", w.Code)
	}
	if w := b.as(ada, http.MethodGet, "/accelerators/cuda:2", nil); w.Code != http.StatusOK || strings.Contains(w.Body.String(), "fence-title") {
		t.Errorf("%d: who may not fence is offered it", w.Code)
	}
}

// A card that is offered in slices is drawn once, with its slices as parts.
func TestCards(t *testing.T) {
	say := func(key string, _ ...any) string { return key }
	half := func(id, ref, parent string, holders ...api.Holder) api.Device {
		return api.Device{ID: id, Ref: ref, Node: "a", Name: "H100 MIG 1g.40gb", Family: "cuda", Parent: parent, Health: "ok", MemoryTotal: 40 << 30, MemoryUsed: 10 << 30, Holders: holders, Utilization: -1}
	}
	held := api.Holder{Session: "ses-1", Service: "chat", Share: "1.00", Project: "red team"}
	out := cards([]api.Device{
		{ID: "g0", Ref: "cuda:0", Node: "a", Health: "ok", MemoryTotal: -1, Utilization: 0.5, Holders: []api.Holder{{Session: "ses-2", Name: "night", Share: "0.50"}, {Session: "ses-3", Share: "none"}}},
		half("m0", "cuda:1:0", "g1", held), half("m1", "cuda:1:1", "g1"), {ID: "other", Ref: "cuda:0", Node: "b"},
	}, "a", say)
	if len(out) != 2 || out[1].Ref != "cuda" || len(out[1].Rows) != 1 || out[1].Rows[0].Of != "1g.40gb" || out[1].Rows[0].Path != "/services/chat?project=red+team" || out[1].MemoryTotal != 80<<30 {
		t.Fatalf("%+v", out)
	}
	if len(out[0].Rows) != 2 || out[0].Rows[1].Label != "ses-3" || strings.Contains(string(out[0].Picture), "NaN") {
		t.Errorf("%+v", out[0])
	}
}
