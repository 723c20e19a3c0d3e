package console

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/palisade-run/palisade/appliance/api"
	"github.com/palisade-run/palisade/appliance/people"
)

// All pages of a service, in both languages, for who may all and who may look.
func TestServicePages(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.watched()
	b.Traffic(time.Now())
	viewer, owner := b.partOf("eve", people.Viewer), b.partOf("olga", people.Owner)
	for _, tab := range []string{"", "/connect", "/logs", "/autoscaling", "/calibration", "/revisions", "/events", "/settings"} {
		for _, language := range []string{"en", "ko"} {
			page := b.get("/services/demo"+tab, language, 200)
			wants(t, page, `id="service-destroy"`)
			lacks(t, page, "hush", "<no value>")
		}
		w := b.as(viewer, http.MethodGet, "/services/demo"+tab, nil)
		if w.Code != 200 {
			t.Errorf("%s for a viewer: %d %s", tab, w.Code, w.Body)
		}
		lacks(t, w.Body.String(), `id="service-destroy"`, `id="token-form"`, `id="policy-save"`, `id="settings-save"`, "/captures")
	}
	if w := b.as(viewer, http.MethodGet, "/services/demo/captures", nil); w.Code != 403 {
		t.Errorf("captures for a viewer: %d", w.Code)
	}
	if w := b.as(owner, http.MethodGet, "/services/demo/captures", nil); w.Code != 200 || !strings.Contains(w.Body.String(), "/v1/chat/completions") || strings.Contains(w.Body.String(), "hush") {
		t.Errorf("captures for an owner: %d %s", w.Code, w.Body)
	}
	if w := b.as(owner, http.MethodGet, "/services/demo/captures/10", nil); w.Code != 200 || !strings.Contains(w.Body.String(), "Hello") {
		t.Errorf("one capture: %d %s", w.Code, w.Body)
	}
	for _, change := range []string{"/scale", "/destroy", "/settings", "/rollback", "/tokens", "/autoscaling", "/calibrate", "/retry", "/captures"} {
		if w := b.as(viewer, http.MethodPost, "/services/demo"+change, url.Values{"to": {"0"}, "capture": {"5"}, "duration": {"7d"}}); w.Code != 403 && w.Code != 501 {
			t.Errorf("a viewer's %s: %d %s", change, w.Code, w.Body)
		}
	}
}

func TestServiceSettings(t *testing.T) {
	b := newConsole(t)
	b.service("demo", "host")
	b.watched()
	form := url.Values{
		"name": {"demo"}, "image": {"host"}, "runtime_variant": {"vllm"}, "folder": {""}, "open_to_public": {"true"}, "priority": {"20"},
		"environ.name": {"HF_TOKEN", "ARGS", ""}, "environ.value": {"", "-x <b>", "nobody"},
		"routing.max_held": {"7"}, "policy.start_timeout": {"60"},
	}
	w := b.post("/services/demo/settings", form, 204)
	if to := w.Header().Get("HX-Redirect"); to != "/console/services/demo/settings" {
		t.Errorf("to %q", to)
	}
	v, err := b.Manager.Service("default", "demo")
	if err != nil || !v.Public || v.Priority != 20 || v.Recipe.Env["HF_TOKEN"] != "hush" || v.Recipe.Env["ARGS"] != "-x <b>" || len(v.Recipe.Env) != 2 || v.Routing.MaxHeld != 7 || v.Policy.StartTimeout != time.Minute {
		t.Errorf("%v %+v", err, v)
	}
	page := b.get("/services/demo/settings", "en", 200)
	wants(t, page, "-x &lt;b&gt;", `value="HF_TOKEN"`)
	lacks(t, page, "hush", "-x <b>")
	page = b.get("/services/demo/revisions", "en", 200)
	wants(t, page, "Revision 2", "<ins>-x &lt;b&gt;</ins>")
	viewer := b.partOf("eve", people.Viewer)
	for _, tab := range []string{"/settings", "/revisions"} { // who may not change it sees which variables there are
		page := b.as(viewer, http.MethodGet, "/services/demo"+tab, nil).Body.String()
		wants(t, page, "ARGS", "***")
		lacks(t, page, "-x &lt;b&gt;")
	}
	b.post("/services/demo/settings", url.Values{"environ.name": {"HF_TOKEN"}, "environ.value": {"zebra"}, "priority": {"20"}}, 204)
	page = b.get("/services/demo/revisions", "ko", 200)
	wants(t, page, "••••••")
	lacks(t, page, "hush", "zebra")
	b.post("/services/demo/rollback", url.Values{"revision": {"1"}}, 204)
	b.post("/services/demo/rollback", url.Values{"revision": {"99"}}, 404)
	b.post("/services/demo/rollback", url.Values{"revision": {"first"}}, 400)
	form.Set("priority", "high")
	wants(t, b.post("/services/demo/settings", form, 400).Body.String(), `data-field="priority"`)
	form.Set("priority", "1")
	form.Set("version", "1")
	b.post("/services/demo/settings", form, 412)
	wants(t, b.get("/services/demo/events", "en", 200), "created", "changed by")
}

func TestNewService(t *testing.T) {
	b := newConsole(t)
	for _, language := range []string{"en", "ko"} {
		wants(t, b.get("/services/new", language, 200), `id="service-form"`, "llama-cpp", `name="resources.cpu"`)
	}
	check := func(form url.Values) string { return b.post("/services/new/check", form, 200).Body.String() }
	wants(t, check(nil), "while you type")
	wants(t, check(url.Values{"image": {"host"}, "replicas": {"2"}}), "It starts at once, on box", "it needs 5 GiB, and fits")
	wants(t, check(url.Values{"image": {"doubtful"}, "resources.cuda.device": {"8"}}), "waits for 8 cuda.device: 4 of 8 free", "would fit with 4", "it fits in part")
	wants(t, check(url.Values{"image": {"missing"}}), "model-definition.yaml", "line 3, column 5", "did you mean port?")
	wants(t, check(url.Values{"image": {"host"}, "replicas": {"many"}}), "must be a number")
	wants(t, check(url.Values{"image": {"host"}, "resources.cuda.device": {`<script>`}}), "&lt;script&gt;")

	w := b.post("/services", url.Values{"name": {"fresh"}, "image": {"host"}, "runtime_variant": {"vllm"}, "environ.name": {"A"}, "environ.value": {"b"}}, 204)
	if to := w.Header().Get("HX-Redirect"); to != "/console/services/fresh" {
		t.Errorf("to %q", to)
	}
	made := b.post("/services", url.Values{"name": {"second"}, "image": {"host"}, "token": {"true"}}, 200).Body.String()
	wants(t, made, "second is made", "data-token", `href="/console/services/second"`)
	b.post("/services", url.Values{"name": {"fresh"}, "image": {"host"}}, 409)
	wants(t, b.post("/services", url.Values{"name": {"x"}}, 400).Body.String(), `data-field="image"`)
	wants(t, b.post("/services", url.Values{"image": {"missing"}}, 400).Body.String(), `data-line="3"`)
	if w := b.as(b.partOf("eve", people.Viewer), http.MethodPost, "/services", url.Values{"image": {"host"}}); w.Code != 403 {
		t.Errorf("a viewer's: %d", w.Code)
	}
}

func TestDiffRecipes(t *testing.T) {
	a := api.Recipe{Image: "a:1", Environ: map[string]string{"API_KEY": "one", "ARGS": "-x", "GONE": "y"}, Resources: map[string]string{"cpu": "1"}}
	z := api.Recipe{Image: "a:2", Environ: map[string]string{"API_KEY": "two", "ARGS": "-x", "hf_token": "new"}, Resources: map[string]string{"cpu": "1"}, Mounts: []api.Mount{{Folder: "data", Target: "/d", ReadOnly: true}}}
	want := []change{
		{"environ.API_KEY", "••••••", "••••••"}, {"environ.GONE", "y", ""}, {"environ.hf_token", "", "••••••"}, {"image", "a:1", "a:2"}, {"mounts[0]", "", "data → /d (ro)"},
	}
	if d := cmp.Diff(want, diffRecipes(a, z)); d != "" {
		t.Error(d)
	}
	if len(diffRecipes(a, a)) != 0 {
		t.Error("the same is different")
	}
}

func TestChangedPairs(t *testing.T) {
	now := map[string]string{"KEEP": "1", "TOKEN": "hush", "GONE": "x", "ARGS": "-x"}
	got := changedPairs(now, []string{"KEEP", "TOKEN", "ARGS", "", "NEW"}, []string{"1", "", "", "nobody", "2"})
	want := map[string]*string{"GONE": nil, "ARGS": new(""), "NEW": new("2")}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if changedPairs(now, []string{"KEEP", "TOKEN", "GONE", "ARGS"}, []string{"1", "", "x", "-x"}) != nil {
		t.Error("nothing is a change")
	}
	if changedPairs(nil, []string{"A", "B"}, []string{"1"}); len(pairsOf([]string{"A", "B"}, []string{"1"})) != 1 {
		t.Error("a name without a value")
	}
}
